"""One question in SQL, for places that are no worker: the demo's summary, a person's command."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from monitor.store.engine import address, connect_arguments


def answer(url: str, statement: str) -> Sequence[tuple[Any, ...]]:
    """Rows of a read-only statement."""
    engine = create_engine(address(url), poolclass=NullPool, connect_args=connect_arguments())
    with engine.connect() as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        return [tuple(row) for row in connection.execute(text(statement))]

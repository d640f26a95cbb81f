"""One question in SQL, for places that are no worker: the demo's summary, a person's command."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from monitor.storage.engine import opened


def read_only_rows(url: str, statement: str) -> Sequence[tuple[Any, ...]]:
    """Rows of a read-only statement."""
    with opened(url).connect() as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        return [tuple(row) for row in connection.execute(text(statement))]

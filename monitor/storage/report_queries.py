"""Rows of the schema `report` for people: one statement, and the export of a whole history."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from monitor.storage.engine import opened, unavailable
from monitor.storage.observations import PARTITIONS_AHEAD

# One question in SQL, for places that are no worker: the demo's summary, a person's command.


def read_only_rows(url: str, statement: str) -> Sequence[tuple[Any, ...]]:
    """Rows of a read-only statement."""
    with opened(url).connect() as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        return [tuple(row) for row in connection.execute(text(statement))]


# Observations as people may see them, streamed: one page of memory, however long the history.


PAGE = 1000  # rows fetched at once
LONGEST_S = 3600  # of one statement: the history of a year


class ExportStream(NamedTuple):
    """Column names and their Postgres types, in order, and pages of rows."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    pages: Iterator[Sequence[tuple[Any, ...]]]


@contextmanager
def observed(url: str, since: timedelta) -> Iterator[ExportStream]:
    """Rows of `report.observations` since then, oldest first, by a cursor of the server.

    Raises DatabaseUnavailable if the server cannot be used.
    """
    engine = opened(url, statement_timeout_s=LONGEST_S, idle_s=LONGEST_S)
    try:
        with engine.connect() as connection:
            connection.execute(text("SET TRANSACTION READ ONLY"))
            columns = connection.execute(_COLUMNS).all()
            options = {"stream_results": True, "yield_per": PAGE}
            found = connection.execute(
                _ROWS, {"since": since, "ahead": PARTITIONS_AHEAD}, execution_options=options
            )
            with closing(found):  # the reader may leave it half read
                pages = ([tuple(row) for row in page] for page in found.partitions(PAGE))
                names, types = zip(*columns, strict=True)
                yield ExportStream(names, types, pages)
    except DBAPIError as error:
        if no_database := unavailable(error):
            raise no_database from None
        raise
    finally:
        engine.dispose()


_COLUMNS = text("""
    SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
    WHERE attrelid = 'report.observations'::regclass AND attnum > 0 ORDER BY attnum
""")
# What is dated later than now was written while a clock was ahead.
_ROWS = text("""
    SELECT * FROM report.observations
    WHERE slot >= now() - :since AND slot <= now() + :ahead AND started_at <= now() + :ahead
    ORDER BY slot, id
""")

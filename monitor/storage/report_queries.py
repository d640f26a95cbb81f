"""Rows of the schema `report` for people: one statement, and the export of a whole history."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, TextClause, text
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
    with _reading(url) as connection:
        values = {"since": since, "ahead": PARTITIONS_AHEAD}
        with _streamed(connection, _ROWS, values) as stream:
            yield stream


@contextmanager
def _reading(url: str) -> Iterator[Connection]:
    """A transaction that only reads. Raises DatabaseUnavailable."""
    engine = opened(url, statement_timeout_s=LONGEST_S, idle_s=LONGEST_S)
    try:
        with engine.connect() as connection:
            connection.execute(text("SET TRANSACTION READ ONLY"))
            yield connection
    except DBAPIError as error:
        if no_database := unavailable(error):
            raise no_database from None
        raise
    finally:
        engine.dispose()


@contextmanager
def _streamed(
    connection: Connection, rows: TextClause, values: Mapping[str, Any]
) -> Iterator[ExportStream]:
    columns = connection.execute(_COLUMNS).all()
    options = {"stream_results": True, "yield_per": PAGE}
    found = connection.execute(rows, values, execution_options=options)
    with closing(found):  # the reader may leave it half read
        pages = ([tuple(row) for row in page] for page in found.partitions(PAGE))
        names, types = zip(*columns, strict=True)
        yield ExportStream(names, types, pages)


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


# An archive of raw rows: one hour of slots (UTC) at a time, and which hours changed since.


class ArchiveLook(NamedTuple):
    """`now` by the database's clock; hours before `closed_until` are over."""

    now: datetime
    closed_until: datetime


def look(url: str) -> ArchiveLook:
    """How far the database's rows reach. A standby is as old as what it has replayed."""
    with _reading(url) as connection:
        now, closed_until = connection.execute(_LOOK).one()
        return ArchiveLook(now, closed_until)


def changed_hours(url: str, *, since: datetime, before: datetime) -> Sequence[datetime]:
    """Hours before an instant with rows stored or derived again since another, oldest first.

    Rows of transactions that were open at `since` are included.
    """
    with _reading(url) as connection:
        return list(connection.scalars(_CHANGED, {"since": since, "before": before}))


def next_hour(url: str, *, since: datetime | None, before: datetime) -> datetime | None:
    """The first hour with a row from `since` on (None: of all), and before `before`."""
    with _reading(url) as connection:
        found: datetime | None = connection.scalar(_NEXT, {"since": since, "before": before})
        return found


def hour_signature(url: str, hour: datetime) -> str:
    """What identifies the state of the rows of an hour: `HourSignature` of the same rows."""
    with _reading(url) as connection:
        return str(connection.scalar(_SIGNATURE, {"hour": hour}))


@contextmanager
def hour_rows(url: str, hour: datetime) -> Iterator[ExportStream]:
    """The rows of an hour in the order of slot and id, by a cursor of the server."""
    with _reading(url) as connection, _streamed(connection, _HOUR, {"hour": hour}) as stream:
        yield stream


class HourSignature:
    """The number of rows, and the sums of when they were stored and derived again.

    A row that is added, removed or derived again changes it, also if transactions commit in
    another order than they began.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._columns = [names.index(name) for name in ("recorded_at", "derived_at")]
        self._rows, self._sums = 0, [0, 0]

    def add(self, row: Sequence[Any]) -> None:
        self._rows += 1
        for place, column in enumerate(self._columns):
            if row[column] is not None:
                self._sums[place] += (row[column] - _EPOCH) // timedelta(microseconds=1)

    def __str__(self) -> str:
        return f"{self._rows} {self._sums[0]} {self._sums[1]}"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A round begins up to five minutes after its slot; what is stored later is a change of the hour.
_LOOK = text("""
    SELECT at.now, date_trunc('hour', at.now - interval '10 minutes', 'UTC')
    FROM (SELECT CASE WHEN pg_is_in_recovery()
        THEN coalesce(pg_last_xact_replay_timestamp(), 'epoch') ELSE now() END AS now) AS at
""")
# A transaction that began before a look may commit after it, but never as late as this.
_CHANGED = text("""
    SELECT DISTINCT date_trunc('hour', slot, 'UTC') AS hour FROM report.observations
    WHERE slot < :before AND (
        recorded_at >= least(CAST(:since AS timestamptz), now()) - interval '10 minutes'
        OR derived_at >= least(CAST(:since AS timestamptz), now()) - interval '10 minutes')
    ORDER BY hour
""")
_NEXT = text("""
    SELECT date_trunc('hour', min(slot), 'UTC') FROM report.observations
    WHERE slot >= coalesce(CAST(:since AS timestamptz), '-infinity') AND slot < :before
""")
_SIGNATURE = text("""
    SELECT concat_ws(' ', count(*),
        coalesce(sum((extract(epoch FROM recorded_at) * 1000000)::bigint), 0),
        coalesce(sum((extract(epoch FROM derived_at) * 1000000)::bigint), 0))
    FROM report.observations
    WHERE slot >= :hour AND slot < CAST(:hour AS timestamptz) + interval '1 hour'
""")
_HOUR = text("""
    SELECT * FROM report.observations
    WHERE slot >= :hour AND slot < CAST(:hour AS timestamptz) + interval '1 hour'
    ORDER BY slot, id
""")

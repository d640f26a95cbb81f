"""Observations of the future: set aside, so that nobody judges them when their time comes.

A clock that was ahead for a minute leaves rows of an hour, a day or a year later. They would take
the slots of that time and be judged then. Set aside they do neither, and nothing of them is lost:
where it turns out that the clock was behind when they were noticed, they are restored.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Column, Double, Index, Table, Text, Uuid, select, text
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.storage.observations import AHEAD, SKEW
from monitor.storage.tables import INSTANT, metadata, observations

misdated_observations = Table(
    "misdated_observations",
    metadata,
    Column("id", Uuid, primary_key=True, comment="of the observation"),
    Column("target", Text, nullable=False, comment="name of the watched service"),
    Column("started_at", INSTANT, nullable=False, comment="as stored, by a wrong clock"),
    Column("noticed_at", INSTANT, nullable=False, comment="set aside, database's clock"),
    Column("observation", JSONB, nullable=False, comment="the whole row, to restore it from"),
    Index("ix_misdated_observations_noticed_at", "noticed_at"),
    comment="observations dated in the future when they were noticed: neither judged nor reported",
)  # fmt: skip

clock_readings = Table(
    "clock_readings",
    metadata,
    Column("boot", Text, primary_key=True, comment="one start of one machine"),
    Column("at", INSTANT, nullable=False, comment="latest look at the database's clock"),
    Column("steady_s", Double, nullable=False, comment="the machine's steady clock then, s"),
    Column("since", INSTANT, nullable=False,
           comment="up to at, the database's clock went evenly from here"),
    comment="the database's clock as each machine saw it: a step shows after a restart, too",
)  # fmt: skip


class ClockReading(NamedTuple):
    """What a machine knows of the database's clock: up to `at` it went evenly from `since`."""

    at: datetime
    steady_s: float
    since: datetime


async def clock_reading(connection: AsyncConnection, boot: str) -> ClockReading | None:
    """What workers on this machine saw last; None: nothing."""
    table = clock_readings.c
    found = select(table.at, table.steady_s, table.since).where(table.boot == boot)
    row = (await connection.execute(found)).one_or_none()
    return ClockReading(*row) if row else None


async def keep_clock_reading(connection: AsyncConnection, boot: str, reading: ClockReading) -> None:
    """Keep what this machine knows; of two workers on it the later word counts."""
    new = insert(clock_readings).values(boot=boot, **reading._asdict())
    await connection.execute(
        new.on_conflict_do_update(index_elements=["boot"], set_=reading._asdict())
    )


async def set_aside(connection: AsyncConnection, *, worker: str, now: datetime) -> int:
    """Set observations of the future aside; returns how many. Safe to repeat.

    `now` is the worker's clock. A worker that is a little ahead of the database is no error of a
    clock: its rows stay. One that is far from it cannot decide which of the two is wrong.
    """
    values = {"worker": worker, "now": now, "ahead": AHEAD, "skew": SKEW}
    return int(await connection.scalar(_SET_ASIDE, values) or 0)


async def restore(
    connection: AsyncConnection, *, since: datetime, until: datetime, step: timedelta
) -> int:
    """Restore what any worker set aside between two instants of a clock that was behind by `step`.

    Returns how many; a row whose slot has another one by now stays aside.
    """
    values = {"since": since, "until": until, "step": step + AHEAD}
    restored = await connection.scalars(_RESTORE, values)
    ids = list(restored.all())
    if ids:
        await connection.execute(_SLOTS, {"ids": ids})
        await connection.execute(_RESTORED, {"ids": ids})
    return len(ids)


async def forget(connection: AsyncConnection, older_than: timedelta) -> None:
    """Delete what was set aside long ago, and what machines saw that are long gone."""
    await connection.execute(_FORGET, {"older_than": older_than})
    await connection.execute(_FORGET_READINGS, {"older_than": older_than})


_COLUMNS = ", ".join(column.name for column in observations.columns if column.computed is None)
_SET_ASIDE = text("""
    SELECT set_aside_observations(:worker, :ahead + greatest(:now - now(), interval '0'), :skew)
    WHERE :now BETWEEN now() - :skew AND now() + :skew
""")
_RESTORE = text(f"""
    INSERT INTO observations ({_COLUMNS})
    SELECT {", ".join(f"(o).{name}" for name in _COLUMNS.split(", "))}
    FROM (
        SELECT jsonb_populate_record(NULL::observations, observation) AS o
        FROM misdated_observations
        WHERE noticed_at BETWEEN :since AND :until AND started_at <= noticed_at + :step
    ) AS aside
    ON CONFLICT DO NOTHING RETURNING id
""")  # noqa: S608  names of columns only
_SLOTS = text("""
    INSERT INTO slots (target, region, slot, worker, claimed_at, finished_at)
    SELECT DISTINCT ON (target, region, slot) target, region, slot, worker, started_at, recorded_at
    FROM observations WHERE id = ANY(:ids) AND origin = 'round'
    ORDER BY target, region, slot, started_at
    ON CONFLICT DO NOTHING
""")
_RESTORED = text("DELETE FROM misdated_observations WHERE id = ANY(:ids)")
_FORGET = text("DELETE FROM misdated_observations WHERE noticed_at < now() - :older_than")
_FORGET_READINGS = text("DELETE FROM clock_readings WHERE at < now() - :older_than")

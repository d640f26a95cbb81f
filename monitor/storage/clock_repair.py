"""Repairs what a wrong clock left behind: rows of the future, and state that waits for it.

Observations are facts and are never changed: every query for the latest ones ends at now, and those
of the future are set aside (`misdated`). State is set to now, so that it blocks nothing until its
time has come. All of it uses the database's clock.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import (
    Column,
    DateTime,
    Double,
    Index,
    Table,
    Text,
    Uuid,
    case,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.storage.calendar_rows import calendar_entries
from monitor.storage.identity_tables import (
    identity_answers,
    identity_epochs,
    identity_profiles,
    identity_states,
    identity_tokenizers,
)
from monitor.storage.observations import PARTITIONS_AHEAD, SKEW
from monitor.storage.provider_models import model_listings, model_statistics
from monitor.storage.report_tables import health_readings
from monitor.storage.tables import (
    INSTANT,
    account_readings,
    channels,
    incident_actions,
    incidents,
    metadata,
    observations,
    outbox,
)

# Instants that legitimately lie in the future.
_PLANNED = {"due_at", "paused_until", "expires_at", "ends_at"}
_STATE: Sequence[Table] = (
    incidents,
    incident_actions,
    outbox,
    channels,
    account_readings,
    calendar_entries,
    health_readings,
    identity_answers,
    identity_epochs,
    identity_profiles,
    identity_states,
    identity_tokenizers,
    model_listings,
    model_statistics,
)


class MisdatedObservation(NamedTuple):
    """The observation dated furthest in the future, by the database's clock."""

    target: str
    worker: str
    started_at: datetime
    recorded_at: datetime
    now: datetime


async def now(connection: AsyncConnection) -> datetime:
    """The database's clock when this transaction began."""
    return (await connection.scalars(select(func.now()))).one()


async def furthest(
    connection: AsyncConnection, targets: Iterable[str]
) -> MisdatedObservation | None:
    """The observation of these targets that is dated furthest in the future; None: none is."""
    row = (await connection.execute(_FURTHEST, {"targets": list(targets)})).one_or_none()
    return MisdatedObservation(*row) if row else None


async def correct(connection: AsyncConnection) -> int:
    """Set state that was dated in the future to now; returns how many rows.

    Safe to repeat, and at any time.
    """
    count = 0
    present, limit = func.now(), func.now() + PARTITIONS_AHEAD
    digests = (
        update(outbox)  # its id would prevent the digest of that day from being written
        .where(outbox.c.created_at > limit, outbox.c.notice["rule"].as_string() == "digest")
        .values(id=func.gen_random_uuid(), news=None)
    )
    await connection.execute(digests)
    for table in _STATE:
        written = [
            column
            for column in table.c
            if isinstance(column.type, DateTime) and column.name not in _PLANNED
        ]
        # Not `least`, which would also date what has not happened: it ignores NULL.
        clamped = {
            column.name: case((column > present, present), else_=column) for column in written
        }
        wrong = or_(*(column > limit for column in written))
        count += (await connection.execute(update(table).where(wrong).values(clamped))).rowcount
    for statement in _OTHERS:
        count += (await connection.execute(statement)).rowcount
    return count


_FURTHEST = text("""
    SELECT latest.target, latest.worker, latest.started_at, latest.recorded_at, now()
    FROM unnest(CAST(:targets AS text[])) AS t (name) CROSS JOIN LATERAL (
        SELECT o.target, o.worker, o.started_at, o.recorded_at FROM observations AS o
        WHERE o.target = t.name AND o.started_at > now() + interval '10 seconds'
        ORDER BY o.started_at DESC LIMIT 1
    ) AS latest
    ORDER BY latest.started_at DESC LIMIT 1
""")
# Rounds claimed for a future time would count as another worker's. A receipt is requested within
# two hours or never. Rollups of the future would count as finished hours.
_OTHERS = (
    text("""
        DELETE FROM slots AS s
        WHERE s.slot > now() + interval '10 seconds' AND NOT EXISTS (SELECT FROM observations AS o
            WHERE o.target = s.target AND o.region = s.region AND o.slot = s.slot)
    """),
    text("""
        UPDATE mutes SET muted_at = now(), until = until - (muted_at - now())
        WHERE muted_at > now() + interval '10 seconds'
    """),
    text("""
        UPDATE receipts SET due_at = now()
        WHERE settled_at IS NULL AND due_at > now() + interval '1 day'
    """),
    *(
        text(
            f"DELETE FROM {table} WHERE hour >= (SELECT date_trunc('hour', now(), zone) "  # noqa: S608
            "FROM report_state WHERE hours_until > now())"
        )
        for table in ("rollups_hourly", "answers_hourly", "models_hourly", "rollups_due")
    ),
    *(
        text(
            f"DELETE FROM {table} WHERE day >= (SELECT (now() AT TIME ZONE zone)::date "  # noqa: S608
            "FROM report_state WHERE days_until > (now() AT TIME ZONE zone)::date)"
        )
        for table in ("rollups_daily", "answers_daily", "models_daily")
    ),
    text("""
        UPDATE report_state
        SET seen_until = least(seen_until, now()),
            hours_until = least(hours_until, date_trunc('hour', now(), zone)),
            days_until = least(days_until, (now() AT TIME ZONE zone)::date),
            raw_since = CASE WHEN raw_since > now()
                THEN date_trunc('day', least(now(), (SELECT min(slot) FROM observations)), zone)
                ELSE raw_since END
        WHERE greatest(seen_until, hours_until, raw_since) > now() + interval '10 seconds'
            OR days_until > (now() AT TIME ZONE zone)::date
    """),
)


# Observations of the future are set aside, so that they are not judged when their time comes.
#
# A clock that was ahead for a minute leaves rows of an hour, a day or a year later. They would take
# the slots of that time and be judged then. Set aside, they do neither, and nothing is lost: if it
# turns out that the clock was behind when they were noticed, they are restored.


misdated_observations = Table(
    "misdated_observations",
    metadata,
    Column("id", Uuid, primary_key=True, comment="id of the observation"),
    Column("target", Text, nullable=False, comment="name of the target"),
    Column("started_at", INSTANT, nullable=False, comment="start as stored, by a wrong clock"),
    Column(
        "noticed_at",
        INSTANT,
        nullable=False,
        comment="when it was moved here, by the database's clock",
    ),
    Column("observation", JSONB, nullable=False, comment="the whole row, to restore it from"),
    Index("ix_misdated_observations_noticed_at", "noticed_at"),
    comment=(
        "observations with a start in the future when they were found; neither judged nor reported"
    ),
)

clock_readings = Table(
    "clock_readings",
    metadata,
    Column("boot", Text, primary_key=True, comment="boot id of a machine"),
    Column("at", INSTANT, nullable=False, comment="latest reading of the database's clock"),
    Column(
        "steady_s",
        Double,
        nullable=False,
        comment="reading of the machine's monotonic clock at that time, s",
    ),
    Column(
        "since",
        INSTANT,
        nullable=False,
        comment="start of the interval, up to at, in which the database's clock had no step",
    ),
    comment=(
        "readings of the database's clock by each machine, to detect a step, also after a restart"
    ),
)


class ClockReading(NamedTuple):
    """What a machine knows about the database's clock: from `since` to `at` it ran evenly."""

    at: datetime
    steady_s: float
    since: datetime


async def clock_reading(connection: AsyncConnection, boot: str) -> ClockReading | None:
    """The latest reading by workers on this machine; None: none."""
    table = clock_readings.c
    found = select(table.at, table.steady_s, table.since).where(table.boot == boot)
    row = (await connection.execute(found)).one_or_none()
    return ClockReading(*row) if row else None


async def keep_clock_reading(connection: AsyncConnection, boot: str, reading: ClockReading) -> None:
    """Store what this machine knows; of two workers on it the later one counts."""
    new = insert(clock_readings).values(boot=boot, **reading._asdict())
    await connection.execute(
        new.on_conflict_do_update(index_elements=["boot"], set_=reading._asdict())
    )


async def set_aside(connection: AsyncConnection, *, worker: str, now: datetime) -> int:
    """Set observations of the future aside; returns how many. Safe to repeat.

    `now` is the worker's clock. If the worker is a little ahead of the database, no clock is wrong
    and its rows stay. A worker that differs much cannot decide which of the two is wrong.
    """
    values = {"worker": worker, "now": now, "ahead": PARTITIONS_AHEAD, "skew": SKEW}
    return int(await connection.scalar(_SET_ASIDE, values) or 0)


async def restore(
    connection: AsyncConnection, *, since: datetime, until: datetime, step: timedelta
) -> int:
    """Restore what was set aside between two instants of a clock that was behind by `step`.

    Returns how many; a row whose slot is taken by now stays aside.
    """
    values = {"since": since, "until": until, "step": step + PARTITIONS_AHEAD}
    restored = await connection.scalars(_RESTORE, values)
    ids = list(restored.all())
    if ids:
        await connection.execute(_SLOTS, {"ids": ids})
        await connection.execute(_RESTORED, {"ids": ids})
    return len(ids)


async def forget(connection: AsyncConnection, older_than: timedelta) -> None:
    """Delete what was set aside long ago, and the readings of machines that are long gone."""
    await connection.execute(_FORGET, {"older_than": older_than})
    await connection.execute(_FORGET_READINGS, {"older_than": older_than})


_COLUMNS = [c.name for c in observations.columns if c.computed is None and c.name != "derived_at"]
_SET_ASIDE = text("""
    SELECT set_aside_observations(:worker, :ahead + greatest(:now - now(), interval '0'), :skew)
    WHERE :now BETWEEN now() - :skew AND now() + :skew
""")
_RESTORE = text(f"""
    INSERT INTO observations ({", ".join(_COLUMNS)}, derived_at)
    SELECT {", ".join(f"(o).{name}" for name in _COLUMNS)}, now()
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

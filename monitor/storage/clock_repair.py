"""What a clock that was wrong left behind: rows of the future, and state that waits for it.

Observations are facts and are never changed: every query that looks for the latest ones ends at
now, and those of the future are set aside (`misdated`). State is set to now, so that it blinds
nobody until its time has come. All of it goes by the database's clock.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import DateTime, Table, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.storage.identity_tables import (
    identity_answers,
    identity_epochs,
    identity_profiles,
    identity_states,
    identity_tokenizers,
)
from monitor.storage.observations import AHEAD
from monitor.storage.report_tables import health_readings
from monitor.storage.tables import account_readings, channels, incidents, outbox

# Instants that rightly lie in the future.
_PLANNED = {"due_at", "paused_until", "expires_at"}
_STATE: Sequence[Table] = (
    incidents, outbox, channels, account_readings, health_readings, identity_answers,
    identity_epochs, identity_profiles, identity_states, identity_tokenizers,
)  # fmt: skip


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
    """The observation of these targets that lies furthest in the future; None: none does."""
    row = (await connection.execute(_FURTHEST, {"targets": list(targets)})).one_or_none()
    return MisdatedObservation(*row) if row else None


async def correct(connection: AsyncConnection) -> int:
    """Bring state that was written in the future back to now; returns how many rows.

    Safe to repeat, and at any time.
    """
    count = 0
    present, limit = func.now(), func.now() + AHEAD
    digests = (
        update(outbox)  # its id would keep the digest of that day from being written
        .where(outbox.c.created_at > limit, outbox.c.notice["rule"].as_string() == "digest")
        .values(id=func.gen_random_uuid())
    )
    await connection.execute(digests)
    for table in _STATE:
        written = [
            column for column in table.c
            if isinstance(column.type, DateTime) and column.name not in _PLANNED
        ]  # fmt: skip
        clamped = {column.name: func.least(column, present) for column in written}
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
# Rounds claimed for a time that is still to come would be taken for another worker's. A receipt
# is asked for within two hours or never. Rollups of the future would pass for finished hours.
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
        text(f"DELETE FROM {table} WHERE hour >= (SELECT date_trunc('hour', now(), zone) "  # noqa: S608
             "FROM report_state WHERE hours_until > now())")
        for table in ("rollups_hourly", "answers_hourly", "models_hourly", "rollups_due")
    ),
    *(
        text(f"DELETE FROM {table} WHERE day >= (SELECT (now() AT TIME ZONE zone)::date "  # noqa: S608
             "FROM report_state WHERE days_until > (now() AT TIME ZONE zone)::date)")
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
)  # fmt: skip

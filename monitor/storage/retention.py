"""Retention: raw rows go once they are rolled up and old enough; rollups stay.

What deletes observations are functions of the database that do nothing else; each call is one
short transaction, so it may be killed between any two.
"""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

BATCH = 5000  # rows a transaction: some tens of milliseconds


async def clock_agrees(connection: AsyncConnection) -> bool:
    """Whether the rows speak for the clock: some are of the week before the last day.

    A clock that jumped ahead would let everything go at once. Until rows have come for a day
    nobody knows whether the time before them was an absence or an error of the clock.
    """
    return bool(await connection.scalar(_AGREES))


async def set_limit(connection: AsyncConnection, raw: timedelta) -> None:
    """Move the instant before which raw rows may go: a whole day ago, and rolled up for certain."""
    await connection.execute(text("""
        UPDATE report_state
        SET raw_since = greatest(raw_since, least(
            date_trunc('day', now() - CAST(:raw AS interval), zone),
            hours_until,
            days_until::timestamp AT TIME ZONE zone
        ))
    """), {"raw": raw})  # fmt: skip


async def drop_months(connection: AsyncConnection) -> list[str]:
    """Drop months that are wholly old; returns their names."""
    return list(await connection.scalars(text("SELECT drop_old_months()")))


async def forget_observations(connection: AsyncConnection, most: int = BATCH) -> int:
    """Delete some old observations; returns how many: fewer than `most` were left."""
    gone = await connection.scalar(text("SELECT forget_observations(:most)"), {"most": most})
    return int(gone or 0)


async def forget_excerpts(
    connection: AsyncConnection, *, good: timedelta, failed: timedelta, most: int = BATCH
) -> int:
    """Forget some answer excerpts, of failed probes later than of good ones; returns how many."""
    gone = await connection.scalar(
        text("SELECT forget_excerpts(:good, :failed, :most)"),
        {"good": good, "failed": failed, "most": most},
    )
    return int(gone or 0)


async def forget_rounds(connection: AsyncConnection, most: int = BATCH) -> int:
    """Delete some old slots, account readings and receipts; returns how many of the greatest."""
    gone = [await connection.execute(statement, {"most": most}) for statement in _ROUNDS]
    return max(len(result.all()) for result in gone)


_AGREES = text("""
    SELECT EXISTS (SELECT FROM observations
        WHERE slot >= now() - interval '8 days' AND slot < now() - interval '1 day')
""")
_ROUNDS = (
    text("""
        DELETE FROM slots WHERE ctid IN (
            SELECT ctid FROM slots
            WHERE slot < (SELECT raw_since FROM report_state) LIMIT :most
        ) RETURNING slot
    """),
    text("""
        DELETE FROM account_readings WHERE ctid IN (
            SELECT ctid FROM account_readings
            WHERE at < (SELECT raw_since FROM report_state) LIMIT :most
        ) RETURNING at
    """),
    text("""
        DELETE FROM receipts WHERE ctid IN (
            SELECT ctid FROM receipts
            WHERE slot < (SELECT raw_since FROM report_state) LIMIT :most
        ) RETURNING slot
    """),
)

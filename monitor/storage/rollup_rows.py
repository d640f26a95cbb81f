"""Rollups: finished hours and days computed from raw rows, complete or not at all.

Each step is one transaction and leaves everything consistent: views read rolled-up hours from here,
and the rest from raw rows. After a kill anywhere, the next step continues.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.storage import spend_rows
from monitor.storage.engine import sql_file

Step = Literal["late hour", "hour", "day"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTarget:
    """What reports must know about a target. Models and costs None: unknown."""

    target: str
    every_s: float
    daily_queries: int
    expected_model: str | None = None
    fallback_model: str | None = None
    expected_usd: Decimal | None = None
    fallback_usd: Decimal | None = None


async def configure(
    connection: AsyncConnection, zone: str, targets: Sequence[ReportTarget]
) -> None:
    """Set the time zone and the targets of the reports. A new zone computes days again.

    Rounds are due from when a target is configured, or its interval changes, until it is removed.

    Hours are hours of the zone. If the new zone's hours begin at another minute, those with raw
    rows are computed again, too; older ones stay, and belong to the day in which they began.
    """
    given = json.dumps([asdict(one) for one in targets], default=str)
    await connection.execute(_DESCRIBE, {"targets": given})
    await connection.execute(_GONE, {"names": [one.target for one in targets]})
    old = await connection.scalar(text("SELECT zone FROM report_state FOR UPDATE"))
    if old == zone:
        return
    zones = {"old": old, "new": zone}
    again = _NEW_DAYS + (_NEW_HOURS if await connection.scalar(_HOURS_MOVED, zones) else ())
    for statement in again:
        await connection.execute(statement)
    await connection.execute(text("UPDATE report_state SET zone = :new"), {"new": zone})
    for statement in _TOMORROW:  # the old zone's today
        await connection.execute(statement)


async def note_absence(connection: AsyncConnection, *, running: timedelta) -> None:
    """Store the time in which no worker ran before this one, which has been `running` for so long.

    It ends with this worker's first round, at the latest a minute after its start: it may have
    stored its rounds in a file. It begins with the last sign of another one: a round that it
    claimed, or the job that looks for late rows.
    """
    await connection.execute(_NOTE_ABSENCE, {"running": running, "least": ABSENT})


async def notice_late(connection: AsyncConnection) -> int:
    """Queue the finished hours that received rows since the last call; returns how many."""
    return len((await connection.execute(_NOTICE_LATE)).all())


async def advance(connection: AsyncConnection) -> Step | None:
    """Compute the next hour or day that is due; None when nothing is."""
    due = (await connection.execute(_DUE)).one()
    if due.late is not None:
        await _compute(connection, _HOUR, due.late)
        await connection.execute(_LATE_DONE, {"at": due.late})
        if due.day_was_rolled_up and due.late_day_ends:
            await _compute(connection, _DAY, due.late_day)
        await spend_rows.mark_stale(connection, due.late_day, due.late)
        return "late hour"
    if due.next_hour is not None and due.next_hour < due.this_hour:
        await _compute(connection, _HOUR, due.next_hour)
        await connection.execute(_HOUR_DONE, {"at": due.next_hour})
        return "hour"
    if due.next_day < due.this_day:
        await _compute(connection, _DAY, due.next_day)
        await connection.execute(_DAY_DONE, {"at": due.next_day})
        return "day"
    return None


async def _compute(
    connection: AsyncConnection, statements: Iterable[TextClause], at: datetime | date
) -> None:
    values: dict[str, datetime | date] = {"at": at}
    if isinstance(at, datetime):
        values["until"] = await connection.scalar(_HOUR_END, values)
    for statement in statements:
        await connection.execute(statement, values)


async def answer_tokens(connection: AsyncConnection) -> Mapping[str, Mapping[str, int]]:
    """By target and query, the mean tokens of a complete answer over the last week, as far as
    rolled up.
    """
    means: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for row in await connection.execute(_ANSWER_TOKENS):
        means[row.target][row.query] = row.tokens
    return means


ABSENT = timedelta(seconds=10)  # a restart is no absence
_NOTE_ABSENCE = text("""
    WITH started AS (
        SELECT now() - CAST(:running AS interval) AS at
    ), absence AS (
        SELECT tstzrange(last.at, first.at) AS span
        FROM report_state AS state, started,
            LATERAL (SELECT greatest(state.seen_until, (
                SELECT claimed_at FROM slots WHERE claimed_at < started.at
                ORDER BY slot DESC LIMIT 1
            )) AS at) AS last,
            LATERAL (SELECT least(now(), started.at + interval '1 minute', (
                SELECT min(slot) FROM slots
                WHERE slot > now() - interval '1 hour' AND claimed_at >= started.at
            )) AS at) AS first
        WHERE last.at > '-infinity' AND first.at - last.at > CAST(:least AS interval)
    )
    UPDATE report_state
    SET absences = (absences + tstzmultirange(absence.span))
        * tstzmultirange(tstzrange(raw_since, NULL))
    FROM absence
""")
_GONE = text("""
    UPDATE report_targets SET gone_at = now()
    WHERE gone_at IS NULL AND target <> ALL(CAST(:names AS text[]))
""")
_NAMES = [one.name for one in fields(ReportTarget)]
_VALUES = [name for name in _NAMES if name != "target"]
_DESCRIBE = text(f"""
    INSERT INTO report_targets AS known ({", ".join(_NAMES)})
    SELECT {", ".join(_NAMES)}
    FROM jsonb_populate_recordset(NULL::report_targets, CAST(:targets AS jsonb))
    ON CONFLICT (target) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in _VALUES)}, gone_at = NULL,
        since = CASE WHEN known.gone_at IS NULL AND known.every_s = excluded.every_s
            THEN known.since ELSE now() END
    WHERE known.gone_at IS NOT NULL OR ({", ".join(f"known.{name}" for name in _VALUES)})
        IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in _VALUES)})
""")  # noqa: S608  names of columns only

# Days are sums of hours, so a new zone needs no raw rows.
_NEW_DAYS = (
    text("UPDATE report_state SET days_until = '-infinity'"),
    text("DELETE FROM rollups_daily"),
    text("DELETE FROM answers_daily"),
    text("DELETE FROM models_daily"),
)
_NEW_HOURS = (
    text("DELETE FROM rollups_hourly WHERE hour >= (SELECT raw_since FROM report_state)"),
    text("DELETE FROM answers_hourly WHERE hour >= (SELECT raw_since FROM report_state)"),
    text("DELETE FROM models_hourly WHERE hour >= (SELECT raw_since FROM report_state)"),
    text("DELETE FROM rollups_due"),
    text("UPDATE report_state SET hours_until = raw_since"),
)

_TOMORROW = (
    text(
        "DELETE FROM spend_days WHERE day > "
        "(SELECT (now() AT TIME ZONE zone)::date FROM report_state)"
    ),
    text(
        "DELETE FROM spend_target_days WHERE day > "
        "(SELECT (now() AT TIME ZONE zone)::date FROM report_state)"
    ),
)

# Twice a year a clock may change by half an hour: no day of the raw rows may differ.
_HOURS_MOVED = sql_file("rollups_hours_moved")

# A transaction that began before this query may commit after it, but never as late as this.
_NOTICE_LATE = sql_file("rollups_notice_late")

# A round begins up to five minutes after its slot, so an hour is over five minutes later.
# If nothing was monitored for a week, the next row tells where to continue.
_DUE = sql_file("rollups_due")
_LATE_DONE = text("DELETE FROM rollups_due WHERE hour = :at")
_HOUR_DONE = text("UPDATE report_state SET hours_until = report.hour_end(:at, zone)")
_DAY_DONE = text("UPDATE report_state SET days_until = CAST(:at AS date) + 1")

_HOUR_END = text("SELECT report.hour_end(:at, zone) FROM report_state")

_HOUR = (
    text("DELETE FROM rollups_hourly WHERE hour >= :at AND hour < :until"),
    text("INSERT INTO rollups_hourly SELECT * FROM report.ttft_hours(:at, :until)"),
    text("DELETE FROM answers_hourly WHERE hour >= :at AND hour < :until"),
    text("INSERT INTO answers_hourly SELECT * FROM report.answers_hours(:at, :until)"),
    text("DELETE FROM models_hourly WHERE hour >= :at AND hour < :until"),
    text("INSERT INTO models_hourly SELECT * FROM report.models_hours(:at, :until)"),
)
_DAY = (
    text("DELETE FROM rollups_daily WHERE day = :at"),
    text("INSERT INTO rollups_daily SELECT * FROM report.ttft_days(:at, CAST(:at AS date) + 1)"),
    text("DELETE FROM answers_daily WHERE day = :at"),
    text("INSERT INTO answers_daily SELECT * FROM report.answers_days(:at, CAST(:at AS date) + 1)"),
    text("DELETE FROM models_daily WHERE day = :at"),
    text("INSERT INTO models_daily SELECT * FROM report.models_days(:at, CAST(:at AS date) + 1)"),
)
_ANSWER_TOKENS = text("""
    SELECT target, query, round(sum(answer_tokens)::numeric / sum(counted))::int AS tokens
    FROM answers_daily
    WHERE counted > 0
        AND day >= (SELECT (now() AT TIME ZONE zone)::date - 7 FROM report_state)
    GROUP BY target, query
""")


# Retention: raw rows are deleted once they are rolled up and old enough; rollups stay.
#
# Only database functions delete observations; each call is one short transaction, so it can be
# killed between any two.


BATCH = 5000  # rows a transaction: some tens of milliseconds


async def clock_agrees(connection: AsyncConnection) -> bool:
    """Whether the rows agree with the clock: some are of the week before the last day.

    A clock that jumped ahead would let everything be deleted at once. Until rows have arrived for a
    day, a gap cannot be distinguished from an error of the clock.
    """
    return bool(await connection.scalar(_AGREES))


async def set_limit(connection: AsyncConnection, raw: timedelta) -> None:
    """Move the instant before which raw rows may be deleted: a day ago, and rolled up."""
    await connection.execute(
        text("""
        UPDATE report_state
        SET raw_since = greatest(raw_since, least(
            date_trunc('day', now() - CAST(:raw AS interval), zone),
            hours_until,
            days_until::timestamp AT TIME ZONE zone
        ))
    """),
        {"raw": raw},
    )


async def drop_months(connection: AsyncConnection) -> list[str]:
    """Drop months that are entirely old; returns their names."""
    return list(await connection.scalars(text("SELECT drop_old_months()")))


async def forget_observations(connection: AsyncConnection, most: int = BATCH) -> int:
    """Delete some old observations; returns how many: fewer than `most` were left."""
    gone = await connection.scalar(text("SELECT forget_observations(:most)"), {"most": most})
    return int(gone or 0)


async def forget_excerpts(
    connection: AsyncConnection, *, good: timedelta, failed: timedelta, most: int = BATCH
) -> int:
    """Delete some answer excerpts, those of failed probes later; returns how many."""
    gone = await connection.scalar(
        text("SELECT forget_excerpts(:good, :failed, :most)"),
        {"good": good, "failed": failed, "most": most},
    )
    return int(gone or 0)


async def forget_rounds(connection: AsyncConnection, most: int = BATCH) -> int:
    """Delete some old slots, readings and receipts; returns the largest of the counts."""
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
        DELETE FROM model_statistics WHERE ctid IN (
            SELECT ctid FROM model_statistics
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

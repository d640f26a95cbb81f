"""Spend as reports show it: by hour, provider and meter, and by day as the spend rule judges it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import delete, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.report_tables import spend_days, spend_hourly


@dataclass(frozen=True, slots=True, kw_only=True)
class HourRow:
    """A row of `spend_hourly`."""

    hour: datetime
    until: datetime
    target: str
    provider: str | None
    meter: str
    usd: Decimal
    at_least: bool
    margin_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRow:
    """A provider's row of `spend_days`, for the day it is kept under."""

    provider: str | None
    probes_usd: Decimal
    traffic_usd: Decimal
    unpriced: int
    account_usd: Decimal | None
    spent_usd: Decimal
    at_least: bool
    meter: str
    because: str
    probes_margin_usd: Decimal = Decimal(0)
    traffic_margin_usd: Decimal = Decimal(0)
    spent_margin_usd: Decimal = Decimal(0)


NOTHING = DayRow(
    provider=None,
    probes_usd=Decimal(0),
    traffic_usd=Decimal(0),
    unpriced=0,
    account_usd=None,
    spent_usd=Decimal(0),
    at_least=False,
    meter="estimate",
    because="nothing was asked, and no traffic is configured",
)


async def may_keep(connection: AsyncConnection) -> bool:
    """Whether our role may write here: one that reads reports may not."""
    return bool(await connection.scalar(text("""
        SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'
            AND has_table_privilege(to_regclass('spend_days'), 'DELETE')
            AND has_table_privilege(to_regclass('spend_days'), 'INSERT')
            AND has_table_privilege(to_regclass('report_state'), 'UPDATE')
    """)))  # fmt: skip


async def known_until(connection: AsyncConnection, day: date) -> datetime | None:
    """How far a day was reckoned; None: not at all."""
    until = text("SELECT max(reckoned_at) FROM spend_days WHERE day = :day")
    at: datetime | None = await connection.scalar(until, {"day": day})
    return at


async def alone(connection: AsyncConnection) -> None:
    """Wait until nobody else reckons or rolls up, and keep them waiting to the end."""
    await connection.execute(text("SELECT FROM report_state FOR UPDATE"))


async def keep(
    connection: AsyncConnection,
    day: date,
    *,
    starts_at: datetime,
    ends_at: datetime,
    until: datetime,
    hours: Sequence[HourRow],
    providers: Sequence[DayRow],
) -> None:
    """Replace all that is kept of a day."""
    at = spend_hourly.c.hour
    await connection.execute(delete(spend_hourly).where(at >= starts_at, at < ends_at))
    await connection.execute(delete(spend_days).where(spend_days.c.day == day))
    if hours:
        await connection.execute(insert(spend_hourly).values([asdict(row) for row in hours]))
    rows = [asdict(row) | {"day": day, "reckoned_at": until} for row in providers]
    if rows:
        await connection.execute(insert(spend_days).values(rows))


async def stale_days(connection: AsyncConnection, most: int = 31) -> Sequence[date]:
    """Finished days whose spend is not what the rollups say, oldest first.

    Nobody reckoned them, or not to their end, or late rows came. Days of which raw rows may
    be gone stay as they are.
    """
    found = await connection.scalars(text(_STALE), {"most": most})
    return list(found)


_STALE = """
    WITH rolled AS (
        SELECT day, sum(usd + low_usd) AS usd, sum(high_usd - low_usd) AS margin_usd,
            sum(unpriced) AS unpriced
        FROM answers_daily GROUP BY day
    ), reckoned AS (
        SELECT day, sum(probes_usd) AS usd, sum(probes_margin_usd) AS margin_usd,
            sum(unpriced) AS unpriced, max(reckoned_at) AS until
        FROM spend_days GROUP BY day
    )
    SELECT d.day::date
    FROM report_state AS s
    CROSS JOIN LATERAL (
        SELECT greatest(min(day), (s.raw_since AT TIME ZONE s.zone)::date) AS first FROM rolled
    ) AS r
    CROSS JOIN generate_series(r.first::timestamp, s.days_until::timestamp - interval '1 day',
        interval '1 day') AS d (day)
    LEFT JOIN rolled USING (day)
    LEFT JOIN reckoned USING (day)
    WHERE s.days_until > '-infinity' AND (
        reckoned.until IS DISTINCT FROM (d.day + interval '1 day') AT TIME ZONE s.zone
        OR reckoned.usd <> coalesce(rolled.usd, 0)
        OR reckoned.margin_usd <> coalesce(rolled.margin_usd, 0)
        OR reckoned.unpriced <> coalesce(rolled.unpriced, 0)
    )
    ORDER BY d.day LIMIT :most
"""

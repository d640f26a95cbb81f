"""Spend as reports show it: by hour, provider and meter, and by day as the spend rule judges it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import and_, delete, or_, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.storage.report_tables import spend_days, spend_hourly, spend_target_days


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendHourRow:
    """A row of `spend_hourly`."""

    hour: datetime
    until: datetime
    target: str
    model: str | None
    provider: str | None
    meter: str
    usd: Decimal
    at_least: bool
    margin_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendDayRow:
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


NOTHING = SpendDayRow(
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


async def begins_at(connection: AsyncConnection, day: date) -> datetime | None:
    """Where the day before ends, if it stays in an earlier zone; None: at this day's midnight.

    Days of which raw rows are gone keep the zone they were counted in. The first day after
    them takes what lies between, so that no hour is counted twice, and none is left out.
    """
    at: datetime | None = await connection.scalar(text(_BEGINS_AT), {"day": day})
    return at


async def mark_stale(connection: AsyncConnection, day: date, hour: datetime) -> None:
    """Have a day computed again at the next run: rows of that hour are not what they were."""
    kept = spend_days.c
    longer = and_(
        kept.begins_at <= hour, kept.reckoned_at > hour
    )  # it took hours of the day before
    await connection.execute(
        update(spend_days).where(or_(kept.day == day, longer)).values(stale=True)
    )


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
    hours: Sequence[SpendHourRow],
    providers: Sequence[SpendDayRow],
    zone: str,
    begins_at: datetime | None = None,
) -> None:
    """Replace all that is kept of a day. `begins_at`: see there."""
    at = spend_hourly.c.hour
    await connection.execute(delete(spend_hourly).where(at >= starts_at, at < ends_at))
    for table in (spend_days, spend_target_days):
        await connection.execute(delete(table).where(table.c.day == day))
    if hours:
        await connection.execute(insert(spend_hourly).values([asdict(row) for row in hours]))
    same = {"day": day, "reckoned_at": until, "zone": zone}
    rows = [asdict(row) | same | {"begins_at": begins_at} for row in providers]
    if rows:
        await connection.execute(insert(spend_days).values(rows))
    if by_target := _by_target(hours):
        await connection.execute(
            insert(spend_target_days).values([row | same for row in by_target])
        )


def _by_target(hours: Sequence[SpendHourRow]) -> list[dict[str, object]]:
    """A day's hours added up by target, model and provider, meters side by side."""
    sums: dict[tuple[str, str | None, str | None], dict[str, Any]] = {}
    for hour in hours:
        row = sums.setdefault(
            (hour.target, hour.model, hour.provider),
            {"probes_usd": Decimal(0), "traffic_usd": Decimal(0), "margin_usd": Decimal(0),
             "at_least": False},
        )  # fmt: skip
        row[f"{hour.meter}_usd"] += hour.usd
        row["margin_usd"] += hour.margin_usd
        row["at_least"] |= hour.at_least
    return [
        {"target": target, "model": model, "provider": provider, **row}
        for (target, model, provider), row in sums.items()
    ]


async def stale_days(connection: AsyncConnection, most: int = 31) -> Sequence[date]:
    """Finished days whose spend is not what the rollups say, oldest first.

    Nobody reckoned them, or not to their end, or rows came late or were derived again. Days
    of which raw rows may be gone stay as they are.
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
            sum(unpriced) AS unpriced, max(reckoned_at) AS until, max(zone) AS zone,
            max(begins_at) AS begins_at, bool_or(stale) AS stale
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
    WHERE s.days_until > '-infinity'
        AND coalesce(reckoned.begins_at, d.day AT TIME ZONE coalesce(reckoned.zone, s.zone))
            >= s.raw_since
        AND (
            reckoned.until IS DISTINCT FROM (d.day + interval '1 day') AT TIME ZONE s.zone
            OR reckoned.stale
            -- A day that begins elsewhere than the rollups' day has other sums.
            OR (reckoned.begins_at IS NULL AND (
                reckoned.usd <> coalesce(rolled.usd, 0)
                OR reckoned.margin_usd <> coalesce(rolled.margin_usd, 0)
                OR reckoned.unpriced <> coalesce(rolled.unpriced, 0)
            ))
        )
    ORDER BY d.day LIMIT :most
"""
_BEGINS_AT = """
    SELECT max(d.reckoned_at)
    FROM spend_days AS d, report_state AS s
    WHERE d.day = CAST(:day AS date) - 1
        AND coalesce(d.begins_at, d.day::timestamp AT TIME ZONE coalesce(d.zone, s.zone))
            < s.raw_since
        AND d.reckoned_at <> CAST(:day AS date)::timestamp AT TIME ZONE s.zone
        AND d.zone IS DISTINCT FROM s.zone
"""

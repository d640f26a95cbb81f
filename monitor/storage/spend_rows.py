"""Cost and number of our own probes, counted from rows, and spend for reports."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import and_, case, delete, func, literal_column, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.pricing.spend_day import SpendSlice, SpentHour
from monitor.storage.engine import sql_file
from monitor.storage.report_tables import spend_days, spend_target_days
from monitor.storage.tables import observations


@dataclass(frozen=True, slots=True)
class ProbesSpent:
    """What so many probes cost for certain, and up to `margin_usd` more."""

    usd: Decimal
    count: int
    margin_usd: Decimal = Decimal(0)

    @property
    def high_usd(self) -> Decimal:
        """What counts against the budget: unknown models are included at their highest price."""
        return self.usd + self.margin_usd

    @classmethod
    def of(cls, cost_ends: Sequence[tuple[Decimal, Decimal]]) -> "ProbesSpent":
        """The sum of probes, given the lowest and the highest possible cost of each."""
        low = sum((usd for usd, _ in cost_ends), Decimal(0))
        high = sum((usd for _, usd in cost_ends), Decimal(0))
        return cls(low, len(cost_ends), high - low)

    def __add__(self, more: "ProbesSpent") -> "ProbesSpent":
        return ProbesSpent(
            self.usd + more.usd, self.count + more.count, self.margin_usd + more.margin_usd
        )

    def __sub__(self, less: "ProbesSpent") -> "ProbesSpent":
        return ProbesSpent(
            self.usd - less.usd, self.count - less.count, self.margin_usd - less.margin_usd
        )


NOTHING_SPENT = ProbesSpent(Decimal(0), 0)


async def today(connection: AsyncConnection) -> ProbesSpent:
    """Sum and count of every probe of the UTC day, from all workers.

    It reads the rows of the day: a worker uses a running sum (`SpentToday`).
    """
    midnight, next_midnight = (
        text(f"date_trunc('day', now() + interval '{days} days', 'UTC')") for days in (0, 1)
    )
    total = select(*_PAID).where(
        observations.c.slot >= midnight, observations.c.slot < next_midnight
    )
    paid = ProbesSpent(*(await connection.execute(total)).one())
    return paid + (await aside(connection)).probes


_PAID = (
    func.coalesce(
        func.sum(func.coalesce(observations.c.cost_usd, observations.c.cost_low_usd)), Decimal(0)
    ),
    func.count(),
    func.coalesce(func.sum(observations.c.cost_high_usd - observations.c.cost_low_usd), Decimal(0)),
)
_BEGINS = func.date_bin(
    literal_column("interval '5 minutes'"),
    observations.c.slot,
    literal_column("'2000-01-01'::timestamptz"),
)


class SliceSpent(NamedTuple):
    """The probes of five minutes; `latest`: when the latest rows were stored, by id."""

    starts_at: datetime
    probes: ProbesSpent
    latest: Mapping[UUID, datetime]


async def by_slice(
    connection: AsyncConnection, *, since: datetime, until: datetime, recorded_since: datetime
) -> Sequence[SliceSpent]:
    """Sums of all probes by five minutes of their slots, for those slices that have any.

    `recorded_since`: rows stored later are in `latest`.
    """
    table = observations.c
    late = table.recorded_at > recorded_since
    ids, times = (func.array_agg(column).filter(late) for column in (table.id, table.recorded_at))
    summed = (
        select(_BEGINS, *_PAID, ids, times)
        .where(table.slot >= since, table.slot < until)
        .group_by(_BEGINS)
    )
    return [
        SliceSpent(begins, ProbesSpent(*paid), dict(zip(ids or (), times or (), strict=True)))
        for begins, *paid, ids, times in await connection.execute(summed)
    ]


# Set aside because a clock was wrong, but paid for: see `misdated`.
_ASIDE = text("""
    SELECT now(), date_trunc('day', now(), 'UTC'),
        coalesce(sum(coalesce(cost, low)), 0), count(*), coalesce(sum(high - low), 0)
    FROM (
        SELECT (observation->>'cost_usd')::numeric AS cost,
            (observation->>'cost_low_usd')::numeric AS low,
            (observation->>'cost_high_usd')::numeric AS high
        FROM misdated_observations WHERE noticed_at >= date_trunc('day', now(), 'UTC')
    ) AS aside
""")


# Answers and their cost, by five minutes, target and model: the input of spend.


async def by_five_minutes(
    connection: AsyncConnection,
    *,
    since: datetime,
    until: datetime,
    targets: Collection[str] | None = None,
) -> Sequence[SpendSlice]:
    """Sums of every probe whose round is between two instants, including late rows.

    `targets`: only of these.
    """
    table, begins = observations.c, _BEGINS
    answered = table.outcome == "answered"
    ranged = table.cost_high_usd.is_not(None)
    low = func.coalesce(table.cost_usd, table.cost_low_usd)
    without_price = case(
        (ranged, table.rates.has_key("without_price")), else_=table.cost_usd.is_(None)
    )
    summed = (
        select(
            table.target,
            begins.label("starts_at"),
            table.model_detected.label("model"),
            func.coalesce(func.sum(low), Decimal(0)).label("probes_usd"),
            func.count().filter(answered).label("answers"),
            func.count().filter(table.pieces > 0, without_price).label("unpriced"),
            func.avg(low).filter(answered).label("mean_usd"),
            func.sum(table.cost_high_usd).label("high_usd"),
            func.avg(table.cost_high_usd).filter(answered).label("mean_high_usd"),
            func.count().label("probes"),
        )
        .where(table.slot >= since, table.slot < until)
        .group_by(table.target, begins, table.model_detected, ranged)
    )
    if targets is not None:  # by the index of each target: no probe begins before its slot
        summed = summed.where(
            table.target.in_(targets), table.started_at >= since - timedelta(hours=1)
        )
    return [SpendSlice(**row._mapping) for row in await connection.execute(summed)]


class SpentAside(NamedTuple):
    """The probes that were set aside since the midnight (UTC) of the database's clock."""

    now: datetime
    midnight: datetime
    probes: ProbesSpent


async def aside(connection: AsyncConnection) -> SpentAside:
    """The probes of the UTC day that were set aside, because a clock was wrong."""
    now, midnight, *paid = (await connection.execute(_ASIDE)).one()
    return SpentAside(now, midnight, ProbesSpent(*paid))


async def costs(
    connection: AsyncConnection, *, since: datetime, until: datetime
) -> Sequence[tuple[datetime, Decimal]]:
    """Start and certain cost in USD of every probe whose round is in between, in order of start."""
    table = observations.c
    usd = func.coalesce(table.cost_usd, table.cost_low_usd)
    each = (
        select(table.started_at, usd)
        .where(table.slot >= since, table.slot < until, usd > 0)
        .order_by(table.started_at)
    )
    return [(row[0], row[1]) for row in await connection.execute(each)]


# Spend for reports: by hour, provider and meter, and by day as the spend rule judges it.


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendDayRow:
    """A provider's row of `spend_days`, for the day under which it is stored."""

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
    """Whether our role may write here; one that reads reports may not."""
    return bool(
        await connection.scalar(
            text("""
        SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'
            AND has_table_privilege(to_regclass('spend_days'), 'DELETE')
            AND has_table_privilege(to_regclass('spend_days'), 'INSERT')
            AND has_table_privilege(to_regclass('report_state'), 'UPDATE')
    """)
        )
    )


async def known_until(connection: AsyncConnection, day: date) -> datetime | None:
    """Up to when a day was computed; None: not at all."""
    until = text("SELECT max(reckoned_at) FROM spend_days WHERE day = :day")
    at: datetime | None = await connection.scalar(until, {"day": day})
    return at


async def begins_at(connection: AsyncConnection, day: date) -> datetime | None:
    """The end of the day before, if it stays in an earlier zone; None: this day's midnight.

    Days whose raw rows are deleted keep the zone in which they were counted. The first day after
    them includes the time in between, so that no hour is counted twice or left out.
    """
    at: datetime | None = await connection.scalar(_BEGINS_AT, {"day": day})
    return at


async def mark_stale(connection: AsyncConnection, day: date, hour: datetime) -> None:
    """Have a day computed again at the next run: rows of that hour have changed."""
    kept = spend_days.c
    longer = and_(
        kept.begins_at <= hour, kept.reckoned_at > hour
    )  # it took hours of the day before
    await connection.execute(
        update(spend_days).where(or_(kept.day == day, longer)).values(stale=True)
    )


async def alone(connection: AsyncConnection) -> None:
    """Wait until no other session computes spend or rollups, and block others until the end."""
    await connection.execute(text("SELECT FROM report_state FOR UPDATE"))


async def keep(
    connection: AsyncConnection,
    day: date,
    *,
    starts_at: datetime,
    ends_at: datetime,
    until: datetime,
    hours: Sequence[SpentHour],
    providers: Sequence[SpendDayRow],
    zone: str,
    begins_at: datetime | None = None,
) -> None:
    """Replace everything stored for a day. `begins_at`: see there.

    Hours that are the same are not written again: of a day, that is all but the current one.
    """
    values = {
        "starts_at": starts_at,
        "ends_at": ends_at,
        "rows": json.dumps([_hour(row) for row in hours], default=str),
    }
    await connection.execute(_CHANGED_HOURS, values)
    await connection.execute(_NEW_HOURS, {"rows": values["rows"]})
    for table in (spend_days, spend_target_days):
        await connection.execute(delete(table).where(table.c.day == day))
    same = {"day": day, "reckoned_at": until, "zone": zone}
    rows = [asdict(row) | same | {"begins_at": begins_at} for row in providers]
    if rows:
        await connection.execute(insert(spend_days), rows)
    if by_target := _by_target(hours):
        await connection.execute(insert(spend_target_days), [row | same for row in by_target])


_GIVEN = "jsonb_populate_recordset(NULL::spend_hourly, CAST(:rows AS jsonb)) AS given"
_CHANGED_HOURS = text(f"""
    DELETE FROM spend_hourly AS kept WHERE hour >= :starts_at AND hour < :ends_at AND NOT EXISTS (
        SELECT FROM {_GIVEN}
        WHERE given.hour = kept.hour AND given.target = kept.target
            AND given IS NOT DISTINCT FROM kept
    )
""")  # noqa: S608  constants of ours
_NEW_HOURS = text(f"""
    INSERT INTO spend_hourly SELECT given.* FROM {_GIVEN} ON CONFLICT DO NOTHING
""")  # noqa: S608


def _hour(spent: SpentHour) -> dict[str, object]:
    return {
        "hour": spent.starts_at,
        "until": spent.until,
        "target": spent.target,
        "model": spent.model,
        "provider": spent.provider,
        "meter": spent.meter,
        **asdict(spent.spent),
    }


def _by_target(hours: Sequence[SpentHour]) -> list[dict[str, object]]:
    """A day's hours summed by target, model and provider, with the meters side by side."""
    sums: dict[tuple[str, str | None, str | None], dict[str, Any]] = {}
    for hour in hours:
        row = sums.setdefault(
            (hour.target, hour.model, hour.provider),
            {
                "probes_usd": Decimal(0),
                "traffic_usd": Decimal(0),
                "margin_usd": Decimal(0),
                "at_least": False,
            },
        )
        row[f"{hour.meter}_usd"] += hour.spent.usd
        row["margin_usd"] += hour.spent.margin_usd
        row["at_least"] |= hour.spent.at_least
    return [
        {"target": target, "model": model, "provider": provider, **row}
        for (target, model, provider), row in sums.items()
    ]


async def stale_days(connection: AsyncConnection, most: int = 31) -> Sequence[date]:
    """Finished days whose spend differs from the rollups, oldest first.

    They were not computed to their end, or rows arrived late or were derived again. Days whose raw
    rows may be deleted stay as they are.
    """
    found = await connection.scalars(_STALE, {"most": most})
    return list(found)


_STALE = sql_file("spend_stale_days")
_BEGINS_AT = sql_file("spend_begins_at")

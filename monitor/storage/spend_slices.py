"""What was heard and paid for, by five minutes, target and model: the raw matter of spend."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import case, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.storage.tables import observations


class SpendSliceRow(NamedTuple):
    """One row of the sum; the fields of `monitor.pricing.SpendSlice`, in its order.

    `high_usd` None: the rows have exact costs, or none at all.
    """

    target: str
    starts_at: datetime
    model: str | None
    probes_usd: Decimal
    answers: int
    unpriced: int
    mean_usd: Decimal | None
    high_usd: Decimal | None
    mean_high_usd: Decimal | None


async def by_five_minutes(
    connection: AsyncConnection, *, since: datetime, until: datetime
) -> Sequence[SpendSliceRow]:
    """Sums of every probe whose round lies between two instants, late rows included."""
    table = observations.c
    begins = func.date_bin(
        literal_column("interval '5 minutes'"),
        table.slot,
        literal_column("'2000-01-01'::timestamptz"),
    )
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
            table.model_detected,
            func.coalesce(func.sum(low), Decimal(0)),
            func.count().filter(answered),
            func.count().filter(table.pieces > 0, without_price),
            func.avg(low).filter(answered),
            func.sum(table.cost_high_usd),
            func.avg(table.cost_high_usd).filter(answered),
        )
        .where(table.slot >= since, table.slot < until)
        .group_by(table.target, begins, table.model_detected, ranged)
    )
    return [SpendSliceRow(*row) for row in await connection.execute(summed)]


async def costs(
    connection: AsyncConnection, *, since: datetime, until: datetime
) -> Sequence[tuple[datetime, Decimal]]:
    """Start and certain cost in USD of every probe whose round lies between, in order of start."""
    table = observations.c
    usd = func.coalesce(table.cost_usd, table.cost_low_usd)
    each = (
        select(table.started_at, usd)
        .where(table.slot >= since, table.slot < until, usd > 0)
        .order_by(table.started_at)
    )
    return [(row[0], row[1]) for row in await connection.execute(each)]

"""What was heard and paid for, by five minutes, target and model: the raw matter of spend."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.tables import observations


class Heard(NamedTuple):
    """One row of the sum; the fields of `monitor.pricing.Slice`, in its order."""

    target: str
    starts_at: datetime
    model: str | None
    probes_usd: Decimal
    answers: int
    unpriced: int
    mean_usd: Decimal | None


async def by_five_minutes(
    connection: AsyncConnection, *, since: datetime, until: datetime
) -> Sequence[Heard]:
    """Sums of every probe whose round lies between two instants, late rows included."""
    table = observations.c
    begins = func.date_bin(
        literal_column("interval '5 minutes'"),
        table.slot,
        literal_column("'2000-01-01'::timestamptz"),
    )
    answered = table.outcome == "answered"
    summed = (
        select(
            table.target,
            begins.label("starts_at"),
            table.model_detected,
            func.coalesce(func.sum(table.cost_usd), Decimal(0)),
            func.count().filter(answered),
            func.count().filter(table.cost_usd.is_(None), table.pieces > 0),
            func.avg(table.cost_usd).filter(answered),
        )
        .where(table.slot >= since, table.slot < until)
        .group_by(table.target, begins, table.model_detected)
    )
    return [Heard(*row) for row in await connection.execute(summed)]

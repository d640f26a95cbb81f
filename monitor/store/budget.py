"""What our own probes cost and how many there were, today in UTC: counted, never remembered."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.tables import observations


@dataclass(frozen=True, slots=True)
class Probed:
    usd: Decimal
    count: int

    def __add__(self, more: "Probed") -> "Probed":
        return Probed(self.usd + more.usd, self.count + more.count)


async def today(connection: AsyncConnection) -> Probed:
    """Sum and count of every probe of the UTC day, whoever sent it."""
    midnight, next_midnight = (
        text(f"date_trunc('day', now() + interval '{days} days', 'UTC')") for days in (0, 1)
    )
    total = select(
        func.coalesce(func.sum(observations.c.cost_usd), Decimal(0)).label("usd"),
        func.count().label("probes"),
    ).where(observations.c.slot >= midnight, observations.c.slot < next_midnight)
    row = (await connection.execute(total)).one()
    return Probed(row.usd, row.probes)

"""What our own probes cost and how many there were, today in UTC: counted, never remembered."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.storage.tables import observations


@dataclass(frozen=True, slots=True)
class ProbesSpent:
    """What so many probes cost for certain, and `margin_usd` more at most."""

    usd: Decimal
    count: int
    margin_usd: Decimal = Decimal(0)

    @property
    def high_usd(self) -> Decimal:
        """What counts against the budget: no unknown model evades it."""
        return self.usd + self.margin_usd

    def __add__(self, more: "ProbesSpent") -> "ProbesSpent":
        return ProbesSpent(
            self.usd + more.usd, self.count + more.count, self.margin_usd + more.margin_usd
        )


async def today(connection: AsyncConnection) -> ProbesSpent:
    """Sum and count of every probe of the UTC day, whoever sent it."""
    midnight, next_midnight = (
        text(f"date_trunc('day', now() + interval '{days} days', 'UTC')") for days in (0, 1)
    )
    table = observations.c
    low = func.sum(func.coalesce(table.cost_usd, table.cost_low_usd))
    margin = func.sum(table.cost_high_usd - table.cost_low_usd)
    total = select(
        func.coalesce(low, Decimal(0)).label("usd"),
        func.coalesce(margin, Decimal(0)).label("margin_usd"),
        func.count().label("probes"),
    ).where(observations.c.slot >= midnight, observations.c.slot < next_midnight)
    row = (await connection.execute(total)).one()
    aside = (await connection.execute(_ASIDE)).one()
    return ProbesSpent(row.usd, row.probes, row.margin_usd) + ProbesSpent(*aside)


# Set aside because a clock was wrong, and paid for all the same: see `misdated`.
_ASIDE = text("""
    SELECT coalesce(sum(coalesce(cost, low)), 0), count(*), coalesce(sum(high - low), 0)
    FROM (
        SELECT (observation->>'cost_usd')::numeric AS cost,
            (observation->>'cost_low_usd')::numeric AS low,
            (observation->>'cost_high_usd')::numeric AS high
        FROM misdated_observations WHERE noticed_at >= date_trunc('day', now(), 'UTC')
    ) AS aside
""")

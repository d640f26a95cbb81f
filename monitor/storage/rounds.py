"""Our own state: rounds as their slots tell, whether somebody evaluates, what stands open."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.storage.tables import incidents, leases, slots

LONGEST = timedelta(minutes=2)


class ClaimedRound(NamedTuple):
    """One claimed round. `missed` None: it was asked whole, as far as it went."""

    slot: datetime
    worker: str
    finished: bool
    missed: str | None


async def rounds(
    connection: AsyncConnection, target: str, region: str, *, at: Sequence[datetime]
) -> Sequence[ClaimedRound]:
    """The rounds of these slots that anybody claimed, oldest first."""
    table = slots.c
    found = (
        select(table.slot, table.worker, table.finished_at.is_not(None), table.missed)
        .where(table.target == target, table.region == region, table.slot.in_(at))
        .order_by(table.slot)
    )
    return [ClaimedRound(*row) for row in await connection.execute(found)]


async def evaluated(connection: AsyncConnection) -> bool:
    """Whether somebody evaluated lately: without an evaluation that ends well the lease lapses."""
    far = func.now() + LONGEST  # a lease further away was written by a wrong clock
    held = select(leases.c.until.between(func.now(), far)).where(leases.c.name == "evaluate")
    return bool(await connection.scalar(held))


async def writable(connection: AsyncConnection) -> bool:
    """Whether this server takes writes; a standby does not."""
    return bool(
        await connection.scalar(select(func.current_setting("transaction_read_only") == "off"))
    )


async def opened(connection: AsyncConnection) -> Mapping[str, int]:
    """How many incidents of each rule stand open; rules without one are left out."""
    counted = (
        select(incidents.c.rule, func.count().label("opened"))
        .where(incidents.c.resolved_at.is_(None))
        .group_by(incidents.c.rule)
    )
    return {row.rule: row.opened for row in await connection.execute(counted)}

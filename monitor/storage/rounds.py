"""Slots: whoever inserts the row of a round asks the round."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.storage.tables import incidents, leases, slots


async def claim(
    connection: AsyncConnection, target: str, region: str, slot: datetime, worker: str
) -> bool:
    """True when this worker is to ask the round, False when another one does or did."""
    row = {"target": target, "region": region, "slot": slot, "worker": worker}
    statement = insert(slots).values(row).on_conflict_do_nothing().returning(slots.c.slot)
    return await connection.scalar(statement) is not None


async def miss(
    connection: AsyncConnection,
    target: str,
    region: str,
    slot: datetime,
    *,
    worker: str,
    reason: str,
) -> bool:
    """Record a slot that nobody claimed as missed; False where somebody did, or where there is
    no slot of the target before it: it was not watched then.
    """
    earlier = select(slots.c.slot).where(
        slots.c.target == target, slots.c.region == region, slots.c.slot < slot
    )
    if await connection.scalar(earlier.limit(1)) is None:
        return False
    if not await claim(connection, target, region, slot, worker):
        return False
    await finish(connection, target, region, slot, missed=reason)
    return True


async def finish(
    connection: AsyncConnection,
    target: str,
    region: str,
    slot: datetime,
    *,
    missed: str | None = None,
) -> None:
    """Mark the round asked, or say why it was not."""
    await connection.execute(
        update(slots)
        .where(slots.c.target == target, slots.c.region == region, slots.c.slot == slot)
        .values(finished_at=func.now(), missed=missed)
    )


# Our own state: rounds as their slots tell, whether somebody evaluates, what stands open.


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

"""Slots: whoever inserts the row of a round asks the round."""

from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.storage.tables import slots


async def claim(
    connection: AsyncConnection, target: str, region: str, slot: datetime, worker: str
) -> bool:
    """True when this worker is to ask the round, False when another one does or did."""
    row = {"target": target, "region": region, "slot": slot, "worker": worker}
    statement = insert(slots).values(row).on_conflict_do_nothing().returning(slots.c.slot)
    return await connection.scalar(statement) is not None


async def miss(
    connection: AsyncConnection, target: str, region: str, slot: datetime, *, worker: str,
    reason: str,
) -> bool:  # fmt: skip
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

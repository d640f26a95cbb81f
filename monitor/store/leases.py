"""Leases: work that one worker does at a time, taken over when its holder dies."""

from datetime import timedelta

from sqlalchemy import case, func, or_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.tables import leases


async def hold(
    connection: AsyncConnection, name: str, *, holder: str, span: timedelta
) -> int | None:
    """Take or keep the lease; returns its fencing number, or None while another holds it.

    Expiry goes by the database's clock. The row stays locked until the transaction ends, so
    work done in the same transaction cannot overlap with another holder's.
    """
    new = insert(leases).values(name=name, holder=holder, until=func.now() + span, fence=1)
    ours = leases.c.holder == new.excluded.holder
    statement = new.on_conflict_do_update(
        index_elements=["name"],
        set_={
            "holder": new.excluded.holder,
            "until": new.excluded.until,
            "fence": case((ours, leases.c.fence), else_=leases.c.fence + 1),
        },
        where=or_(ours, leases.c.until < func.now()),
    ).returning(leases.c.fence)
    fence: int | None = await connection.scalar(statement)
    return fence

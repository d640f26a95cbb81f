"""Mutes: who silenced what, why, until when. Ended, never deleted."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.storage.tables import mutes


class MuteInForce(NamedTuple):
    """A mute in force."""

    id: int
    rule: str
    target: str
    reason: str
    muted_by: str
    until: datetime


async def in_force(connection: AsyncConnection) -> Sequence[MuteInForce]:
    """Mutes that have not ended, oldest first."""
    columns = (getattr(mutes.c, name) for name in MuteInForce._fields)
    now = select(*columns).where(mutes.c.until > func.now()).order_by(mutes.c.id)
    return [MuteInForce(*row) for row in await connection.execute(now)]


async def add(
    connection: AsyncConnection,
    *,
    rule: str,
    target: str,
    reason: str,
    muted_by: str,
    until: datetime,
) -> int:
    """Silence a rule and scope, or all of either; returns the mute's id."""
    new = insert(mutes).values(
        rule=rule, target=target, reason=reason, muted_by=muted_by, until=until
    )
    number: int = (await connection.execute(new.returning(mutes.c.id))).scalar_one()
    return number


async def end(connection: AsyncConnection, *, rule: str, target: str) -> int:
    """End the mutes of exactly that rule and scope; returns how many there were."""
    ended = (
        update(mutes)
        .where(mutes.c.rule == rule, mutes.c.target == target, mutes.c.until > func.now())
        .values(until=func.now())
    )
    return len((await connection.execute(ended.returning(mutes.c.id))).all())

"""What health pages said: one row a change, its end moved ahead while it says the same."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.storage.observations import AHEAD
from monitor.storage.report_tables import health_readings


async def keep(
    connection: AsyncConnection,
    target: str,
    url: str,
    *,
    at: datetime,
    http_status: int | None,
    healthy: bool | None,
    unmet: Sequence[str],
    facts: Mapping[str, str | bool | None],
) -> bool:
    """Keep one reading; True when the page says something else than before."""
    table = health_readings.c
    latest = (
        select(table.id, table.http_status, table.healthy, table.unmet, table.facts)
        .where(table.target == target, table.url == url)
        .order_by(table.at.desc(), table.id.desc())
        .limit(1)
        .with_for_update()
    )
    before = (await connection.execute(latest)).one_or_none()
    reported = (http_status, healthy, list(unmet), dict(facts))
    if before is not None and tuple(before[1:]) == reported:
        await connection.execute(
            update(health_readings)
            .where(table.id == before.id)
            .values(checked_at=func.greatest(table.checked_at, at))
        )
        return False
    await connection.execute(
        insert(health_readings).values(
            target=target, url=url, at=at, checked_at=at, http_status=http_status,
            healthy=healthy, unmet=list(unmet), facts=dict(facts),
        )
    )  # fmt: skip
    return True


async def checked_since(
    connection: AsyncConnection, target: str, url: str, span: timedelta
) -> bool:
    """Whether the page was read within this span."""
    table = health_readings.c
    age = func.clock_timestamp() - table.checked_at
    found = exists().where(table.target == target, table.url == url,
                           age.between(timedelta(0), span))  # fmt: skip
    return bool(await connection.scalar(select(found)))


class HealthChange(NamedTuple):
    """A page that says something else than before. `status` None: no answer."""

    at: datetime
    status: int | None
    healthy: bool | None
    facts: Mapping[str, str | bool | None]
    status_before: int | None
    healthy_before: bool | None
    facts_before: Mapping[str, str | bool | None]


async def changes(
    connection: AsyncConnection, target: str, *, since: datetime
) -> Sequence[HealthChange]:
    """What a target's pages have said differently since then, oldest first."""
    table = health_readings.c

    def before(column: ColumnElement[Any]) -> ColumnElement[Any]:
        order = (table.at, table.id)
        return func.lag(column).over(partition_by=table.url, order_by=order)

    reported = (
        select(
            table.at, table.http_status, table.healthy, table.facts,
            before(table.http_status).label("status_before"),
            before(table.healthy).label("healthy_before"),
            before(table.facts).label("facts_before"),
        )
        .where(table.target == target)
        .subquery()
    )  # fmt: skip
    recent = (
        select(reported)
        .where(reported.c.at >= since, reported.c.at <= func.now() + AHEAD)
        .where(reported.c.facts_before.is_not(None))
        .order_by(reported.c.at)
    )
    return [HealthChange(*row) for row in await connection.execute(recent)]

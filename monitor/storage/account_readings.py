"""Account readings: kept as they came, and the latest of each provider."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, RowMapping, exists, func, select, update
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import AccountReading, AccountState
from monitor.storage.observations import PARTITIONS_AHEAD
from monitor.storage.report_tables import health_readings
from monitor.storage.tables import account_readings

_SAID = (
    "provider",
    "at",
    "state",
    "detail",
    "expires_at",
    "limit_usd",
    "remaining_usd",
    "spent_today_usd",
)


async def add(connection: AsyncConnection, reading: AccountReading) -> None:
    """Keep a reading, failures included."""
    row = {name: getattr(reading, name) for name in _SAID}
    await connection.execute(insert(account_readings).values(row))


async def latest(
    connection: AsyncConnection, provider: str | None = None
) -> Sequence[AccountReading]:
    """The latest reading of each provider, or of one of them alone; empty where there is none."""
    each = (
        select(account_readings)
        .ext(distinct_on(account_readings.c.provider))
        .where(account_readings.c.at <= func.now() + PARTITIONS_AHEAD)
        .order_by(account_readings.c.provider, account_readings.c.at.desc())
    )
    if provider is not None:
        each = each.where(account_readings.c.provider == provider)
    return [_reading(row) for row in (await connection.execute(each)).mappings()]


async def spent(
    connection: AsyncConnection, provider: str, *, since: datetime
) -> Sequence[tuple[datetime, Decimal]]:
    """What a provider said was spent since its UTC midnight, each time it was read."""
    table = account_readings.c
    reported = (
        select(table.at, table.spent_today_usd)
        .where(
            table.provider == provider,
            table.at >= since,
            table.at <= func.now() + PARTITIONS_AHEAD,
        )
        .where(table.spent_today_usd.is_not(None))
        .order_by(table.at)
    )
    return [(row.at, row.spent_today_usd) for row in await connection.execute(reported)]


def _reading(row: RowMapping) -> AccountReading:
    reported = {name: row[name] for name in _SAID}
    return AccountReading(**reported | {"state": AccountState(row["state"])})


# What health pages said: one row a change, its end moved ahead while it says the same.


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
            target=target,
            url=url,
            at=at,
            checked_at=at,
            http_status=http_status,
            healthy=healthy,
            unmet=list(unmet),
            facts=dict(facts),
        )
    )
    return True


async def checked_since(
    connection: AsyncConnection, target: str, url: str, span: timedelta
) -> bool:
    """Whether the page was read within this span."""
    table = health_readings.c
    age = func.clock_timestamp() - table.checked_at
    found = exists().where(
        table.target == target, table.url == url, age.between(timedelta(0), span)
    )
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
            table.at,
            table.http_status,
            table.healthy,
            table.facts,
            before(table.http_status).label("status_before"),
            before(table.healthy).label("healthy_before"),
            before(table.facts).label("facts_before"),
        )
        .where(table.target == target)
        .subquery()
    )
    recent = (
        select(reported)
        .where(reported.c.at >= since, reported.c.at <= func.now() + PARTITIONS_AHEAD)
        .where(reported.c.facts_before.is_not(None))
        .order_by(reported.c.at)
    )
    return [HealthChange(*row) for row in await connection.execute(recent)]

"""Account readings: kept as they came, and the latest of each provider."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import RowMapping, func, select
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import AccountReading, AccountState
from monitor.storage.observations import AHEAD
from monitor.storage.tables import account_readings

_SAID = ("provider", "at", "state", "detail", "expires_at", "limit_usd", "remaining_usd",
         "spent_today_usd")  # fmt: skip


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
        .where(account_readings.c.at <= func.now() + AHEAD)
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
        .where(table.provider == provider, table.at >= since, table.at <= func.now() + AHEAD)
        .where(table.spent_today_usd.is_not(None))
        .order_by(table.at)
    )
    return [(row.at, row.spent_today_usd) for row in await connection.execute(reported)]


def _reading(row: RowMapping) -> AccountReading:
    reported = {name: row[name] for name in _SAID}
    return AccountReading(**reported | {"state": AccountState(row["state"])})

"""Bills of providers for closed days, and how far the stated spend was from them."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import (
    CheckConstraint,
    Column,
    Date,
    PrimaryKeyConstraint,
    Table,
    Text,
    exists,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.storage.tables import INSTANT, MONEY, metadata

provider_bills = Table(
    "provider_bills",
    metadata,
    Column("provider", Text, nullable=False, comment="provider that bills"),
    Column("day", Date, nullable=False, comment="closed UTC day"),
    Column("usd", MONEY, comment="bill of the day, USD; NULL: only a total is reported"),
    Column(
        "running_usd",
        MONEY,
        comment="total up to the end of the day, USD; NULL: the day itself is reported",
    ),
    Column("read_at", INSTANT, nullable=False, comment="when it was last read"),
    CheckConstraint("usd >= 0 AND usd < 'NaN'", "usd"),
    CheckConstraint("running_usd >= 0 AND running_usd < 'NaN'", "running_usd"),
    PrimaryKeyConstraint("provider", "day"),
    comment="bills of providers for closed days; kept for ever",
)


class ClosedDay(NamedTuple):
    """What was stated for a closed day, and what its providers billed, in USD."""

    stated_usd: Decimal
    billed_usd: Decimal


async def read_since(
    connection: AsyncConnection, provider: str, day: date, *, since: datetime
) -> bool:
    """Whether the bill of a day was read at that time or later."""
    table = provider_bills.c
    stored = exists().where(table.provider == provider, table.day == day, table.read_at >= since)
    return bool(await connection.scalar(select(stored)))


async def keep_bill(
    connection: AsyncConnection,
    provider: str,
    day: date,
    *,
    usd: Decimal | None,
    running_usd: Decimal | None,
    at: datetime,
) -> None:
    """Store the bill of a day; a later reading replaces it."""
    values = {"usd": usd, "running_usd": running_usd, "read_at": at}
    await connection.execute(
        insert(provider_bills)
        .values(provider=provider, day=day, **values)
        .on_conflict_do_update(index_elements=["provider", "day"], set_=values)
    )


async def closed_days(connection: AsyncConnection, *, most: int) -> Sequence[ClosedDay]:
    """The latest closed days with a bill, over all providers that sent one, oldest first."""
    found = await connection.execute(_CLOSED, {"most": most})
    return [ClosedDay(*row) for row in reversed(found.all())]


_CLOSED = text("""
    SELECT sum(stated_usd), sum(billed_usd) FROM report.reconciliation_daily
    WHERE day >= (now() AT TIME ZONE 'UTC')::date - 3 * CAST(:most AS integer)
    GROUP BY day ORDER BY day DESC LIMIT :most
""")

"""Bills of providers for closed days, and how far the stated spend was from them."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import (
    CheckConstraint,
    Column,
    Date,
    PrimaryKeyConstraint,
    Table,
    Text,
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


async def due(
    connection: AsyncConnection, provider: str, day: date, *, since: datetime, earlier: int
) -> Sequence[date]:
    """The days whose bill was not read since then: `day`, and up to so many `earlier` ones.

    Earlier days count from the first bill of the provider on. The latest day comes first.
    """
    table = provider_bills.c
    stored = select(table.day, table.read_at).where(table.provider == provider)
    read_at = {row.day: row.read_at for row in await connection.execute(stored.order_by(table.day))}
    first = next(iter(read_at), day)
    days = [day - timedelta(days=back) for back in range(earlier + 1)]
    return [
        one
        for one in days
        if (one == day or one >= first) and (one not in read_at or read_at[one] < since)
    ]


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
    """The latest closed days with a bill, over all providers that sent one, oldest first.

    Days of which only a lower bound was stated are left out: they say nothing about the error.
    """
    found = await connection.execute(_CLOSED, {"most": most})
    return [ClosedDay(*row) for row in reversed(found.all())]


_CLOSED = text("""
    SELECT sum(stated_usd), sum(billed_usd) FROM report.reconciliation_daily
    WHERE day >= (now() AT TIME ZONE 'UTC')::date - 3 * CAST(:most AS integer)
    GROUP BY day HAVING NOT bool_or(lower_bound) ORDER BY day DESC LIMIT :most
""")

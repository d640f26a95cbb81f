"""Bills of providers for closed days: read, compared with what was stated, and used."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from monitor.pricing.meters import day_of
from monitor.storage import Database, bills, spend_rows
from monitor.worker import account_polling, daily_spend, digest_job
from monitor.worker.context import WorkerContext
from tests.contract.open_context import open_context, settings
from tests.contract.provider_api import ProviderRequest, provider, reply
from tests.e2e.worker_process import rows

TODAY = datetime.now(UTC).date()
VIEW = """SELECT stated_usd, billed_usd, gap_usd, lag_usd, probes_usd, traffic_usd,
    unknown_model_usd, unexplained_usd FROM report.reconciliation_daily ORDER BY day"""
TIMES = (timedelta(minutes=10), timedelta(minutes=40), timedelta(hours=12, minutes=1))


async def stated(
    database: Database, day: date, spent: str, *, account: str | None = None, margin: str = "0"
) -> None:
    """A day of spend as the worker stores it: a tenth are probes."""
    probes, traffic = Decimal(spent) / 10, Decimal(spent) * 9 / 10
    row = spend_rows.SpendDayRow(
        provider="openai", probes_usd=probes, traffic_usd=traffic, unpriced=0,
        account_usd=None if account is None else Decimal(account),
        spent_usd=Decimal(account or spent), at_least=False,
        meter="account" if account else "estimate", because="test",
        traffic_margin_usd=Decimal(margin), spent_margin_usd=Decimal(margin),
    )  # fmt: skip
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    async with database.begin() as connection:
        await spend_rows.keep(
            connection, day, starts_at=midnight, ends_at=midnight + timedelta(days=1),
            until=midnight + timedelta(days=1), hours=(), providers=[row], zone="UTC",
        )  # fmt: skip


async def billed(database: Database, day: date, **amounts: str) -> None:
    given: dict[str, Any] = {"usd": None, "running_usd": None}
    given |= {name: Decimal(usd) for name, usd in amounts.items()}
    async with database.begin() as connection:
        await bills.keep_bill(connection, "openai", day, at=datetime.now(UTC), **given)


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


async def test_the_parts_of_bill_and_gap_add_up(database: Database, database_url: str) -> None:
    await stated(database, ago(3), "2.00")
    await billed(database, ago(3), usd="2.50")
    await stated(database, ago(2), "2.00", margin="0.3")
    await billed(database, ago(2), usd="2.50")
    await stated(database, ago(1), "2.00", account="2.30")
    await billed(database, ago(1), usd="2.40")
    await stated(database, TODAY, "1.00")  # not closed
    await billed(database, TODAY, usd="1.00")
    found = rows(database_url, VIEW)
    exact = [tuple(map(str, (usd.normalize() for usd in row))) for row in found]
    assert exact == [
        ("2", "2.5", "0.5", "0", "0.2", "1.8", "0", "0.5"),
        ("2", "2.5", "0.5", "0", "0.2", "1.8", "0.3", "0.2"),
        ("2.3", "2.4", "0.1", "0.1", "0.2", "1.8", "0", "0.4"),
    ]
    for stated_usd, billed_usd, gap, _, *parts in found:
        assert sum(parts) == billed_usd
        assert gap == billed_usd - stated_usd


async def test_running_totals_give_the_day_between_them(
    database: Database, database_url: str
) -> None:
    for day, total in ((3, "10"), (2, "12.25"), (1, "1")):  # the key was replaced yesterday
        await stated(database, ago(day), "2.00")
        await billed(database, ago(day), running_usd=total)
    assert [row[1] for row in rows(database_url, VIEW)] == [Decimal("2.25")]


@pytest.mark.parametrize(
    ("hour", "minute", "asked"), [(0, 10, 0), (0, 40, 1), (11, 0, 1), (12, 1, 2), (23, 0, 2)]
)
async def test_a_bill_is_read_early_and_again_at_noon(
    database: Database,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hour: int,
    minute: int,
    asked: int,
) -> None:
    bill_requests: list[ProviderRequest] = []
    midnight = day_of(datetime.now(UTC))[1]

    def costs(request: ProviderRequest) -> bytes:
        if "end_time" in request.path:
            bill_requests.append(request)
        results = [{"amount": {"value": 1.5, "currency": "usd"}}]
        page = {"data": [{"results": results}], "has_more": False, "next_page": None}
        return reply(200, page)

    async with provider(costs) as served:
        given = {"OPENAI_ADMIN_KEY": "canary-0815", "OPENAI_BASE_URL": served.address}
        async with open_context(settings(tmp_path, **given), database) as context:
            for at in TIMES:
                now = midnight + at
                if now > midnight + timedelta(hours=hour, minutes=minute):
                    break
                monkeypatch.setattr(WorkerContext, "now", staticmethod(lambda at=now: at))
                for account in account_polling.configured(context.settings.environment):
                    await account_polling._read_bill(context, account)
                    await account_polling._read_bill(context, account)  # the next poll
    assert len(bill_requests) == asked
    stored = rows(database_url, "SELECT day, usd::float FROM provider_bills")
    assert stored == ([(midnight.date() - timedelta(days=1), 1.5)] if asked else [])


async def test_spend_and_digest_carry_the_interval(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    for day in range(1, 31):
        await stated(database, ago(day), "2.00")
        await billed(database, ago(day), usd="2.10" if day % 2 else "1.96")
    await stated(database, ago(1), "2.00")
    async with (
        open_context(settings(tmp_path), database) as context,
        database.begin() as connection,
    ):
        yesterday, today = await daily_spend.days(connection, context, UTC, context.now())
        figures = await digest_job._figures(connection, context, context.now())
    assert today.reconciled_days == 30
    assert yesterday.bill_within_usd == 0, "nothing was observed, so nothing was spent"
    assert figures.yesterday is not None
    assert (figures.yesterday.bill_within_usd, figures.yesterday.reconciled_days) == (
        Decimal("0.1"), 30,
    )  # fmt: skip

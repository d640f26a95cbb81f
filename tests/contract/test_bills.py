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
                    await account_polling._read_bills(context, account)
                    await account_polling._read_bills(context, account)  # the next poll
    assert len(bill_requests) == asked
    stored = rows(database_url, "SELECT day, usd::float FROM provider_bills")
    assert stored == ([(midnight.date() - timedelta(days=1), 1.5)] if asked else [])


async def test_a_bill_that_is_corrected_later_is_read_again_and_a_missed_one_is_read(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in (
        9,
        5,
        3,
        2,
    ):  # of the day before yesterday and earlier; that of 4 days ago is missing
        await stated(database, ago(day), "2.00")
        await billed(database, ago(day), usd="1.00")
    await stated(database, ago(4), "2.00")
    rows(database_url, "UPDATE provider_bills SET read_at = now() - interval '25 h' RETURNING 1")
    page = {"data": [{"results": [{"amount": {"value": 2.5, "currency": "usd"}}]}],
            "has_more": False, "next_page": None}  # fmt: skip
    noon = day_of(datetime.now(UTC))[1] + timedelta(hours=12, minutes=1)
    async with provider(lambda request: reply(200, page)) as served:
        given = {"OPENAI_ADMIN_KEY": "canary-0815", "OPENAI_BASE_URL": served.address}
        async with open_context(settings(tmp_path, **given), database) as context:
            monkeypatch.setattr(WorkerContext, "now", staticmethod(lambda: noon))
            [account] = account_polling.configured(context.settings.environment)
            for _ in range(2):
                await account_polling._read_bills(context, account)
    assert len(served.asked) == 7, "each of the last seven days once"
    found = "SELECT day, gap_usd FROM report.reconciliation_daily ORDER BY day"
    compared = [(day, gap and gap.normalize()) for day, gap in rows(database_url, found)]
    half, corrected = Decimal("0.5"), [(ago(day), Decimal("0.5")) for day in (5, 4, 3, 2)]
    assert compared[0] == (ago(9), Decimal(-1)), "older than seven days"
    assert [one for one in compared if one[1] == half] == corrected


async def test_a_day_of_which_a_part_is_missing_is_marked_and_is_no_gap(
    database: Database, database_url: str
) -> None:
    for day in range(1, 6):
        await billed(database, ago(day), usd="9.00")
    await stated(database, ago(5), "2.00")
    await stated(database, ago(4), "2.00")
    await stated(database, ago(3), "2.00", account="2.30")
    await stated(database, ago(2), "2.00", account="2.30")
    lower = "UPDATE spend_days SET at_least = true WHERE day = '{}' RETURNING 1"
    rows(database_url, lower.format(ago(2)))  # the account was last read hours before midnight
    for day in (4, 3):  # no answers for some hours, so that nobody knows who bills for them
        rows(
            database_url,
            "INSERT INTO spend_days (day, provider, probes_usd, traffic_usd, unpriced, spent_usd, "
            "at_least, meter, because, reckoned_at, zone) VALUES "
            f"('{ago(day)}', NULL, 0, 0, 0, 0, true, 'estimate', 'test', now(), 'UTC') RETURNING 1",
        )
    found = "SELECT day, stated_usd::float, gap_usd::float, lower_bound, unexplained_usd IS NULL "
    assert rows(database_url, found + "FROM report.reconciliation_daily ORDER BY day") == [
        (ago(5), 2.0, 7.0, False, False),
        (ago(4), 2.0, None, True, True),
        (ago(3), 2.3, 6.7, False, False),  # the account knows the whole day
        (ago(2), 2.3, None, True, True),
        (ago(1), None, None, True, True),  # the worker was down all day
    ]
    async with database.begin() as connection:
        days = await bills.closed_days(connection, most=30)
    assert [day.stated_usd for day in days] == [Decimal(2), Decimal("2.3")]


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

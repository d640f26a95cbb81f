"""A provider's account counts in the spend of a day while its key is ours."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from monitor.domain import AccountReading, AccountState
from monitor.pricing.meters import day_of
from monitor.storage import Database, account_readings
from monitor.worker import daily_spend
from tests.contract.open_context import open_context, settings
from tests.e2e.worker_process import rows

SPENT = Decimal("7.25")
KEYS = [({"OPENROUTER_API_KEY": "canary-key-4712"}, SPENT), ({}, Decimal(0))]


async def read(database: Database, at: datetime) -> None:
    reported = AccountReading(
        provider="openrouter", at=at, state=AccountState.OK, spent_today_usd=SPENT
    )
    async with database.begin() as connection:
        await account_readings.add(connection, reported)


@pytest.mark.parametrize(("environ", "counted"), KEYS, ids=["our key", "a key that was removed"])
async def test_of_the_running_day_only_accounts_count_whose_keys_we_hold(
    database: Database, database_url: str, tmp_path: Path, environ: dict[str, str],
    counted: Decimal,
) -> None:  # fmt: skip
    now = datetime.now(UTC)
    await read(database, now)
    configured = settings(tmp_path, **environ)
    async with open_context(configured, database) as context:
        async with database.begin() as connection:
            _, today = await daily_spend.days(connection, context, UTC, now)
        await daily_spend.compute_recent_days(database, configured, context.book, now=now)
    assert today.total_usd == counted
    assert today.of_probes is (not environ), "without an account only the probes are counted"
    shown = "SELECT coalesce(sum(account_usd), 0) FROM spend_days WHERE day = :day".replace(
        ":day", f"'{now:%Y-%m-%d}'"
    )
    assert rows(database_url, shown) == [(counted,)]


async def test_a_day_that_is_over_keeps_what_an_account_said_of_it(
    database: Database, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    _, midnight, _ = day_of(now)
    await read(database, midnight - timedelta(minutes=2))
    async with (
        open_context(settings(tmp_path), database) as context,
        database.begin() as connection,
    ):
        yesterday, _ = await daily_spend.days(connection, context, UTC, now)
    assert yesterday.total_usd == SPENT

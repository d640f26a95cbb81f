"""Today's spend: of now, whoever reckons it, and of one mind."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from monitor.storage import Database, leases
from monitor.worker import daily_spend
from monitor.worker.rollups import compute_today
from tests.contract.past_day import one, roll_up_database, rollup_context, row_at, sql, store

TODAY = "SELECT sum(probes_usd), max(known_until) FROM report.spend_daily WHERE day = :day"


async def test_today_is_computed_without_a_roll_up(database: Database) -> None:
    now = datetime.now(UTC)
    await store(database, row_at(now, cost_usd=Decimal("0.3")))
    await compute_today(rollup_context(database))
    spent, until = await one(database, TODAY, day=now.date())
    assert (spent, until >= now) == (Decimal("0.3"), True)
    assert await sql(database, "SELECT * FROM rollups_hourly") == []


async def test_reckoning_again_replaces_and_never_adds(database: Database) -> None:
    now = datetime.now(UTC)
    await store(database, row_at(now, cost_usd=Decimal("0.3")))
    standing_in = rollup_context(database)
    for _ in range(3):
        await daily_spend.compute_recent_days(
            database, standing_in.settings, standing_in.book, now=now
        )
    assert (await one(database, TODAY, day=now.date()))[0] == Decimal("0.3")


async def test_reports_and_workers_reckon_at_once_without_harm(database: Database) -> None:
    now = datetime.now(UTC)
    await store(database, row_at(now, cost_usd=Decimal("0.3")))
    standing_in = rollup_context(database)

    async def page() -> bool:
        return await daily_spend.compute_recent_days(
            database, standing_in.settings, standing_in.book, now=now
        )

    await asyncio.gather(
        page(), roll_up_database(database), page(), compute_today(standing_in), page()
    )
    assert (await one(database, TODAY, day=now.date()))[0] == Decimal("0.3")


async def test_another_worker_that_rolls_up_reckons_too(database: Database) -> None:
    await store(database, row_at(datetime.now(UTC)))
    async with database.begin() as connection:
        await leases.hold(connection, "roll_up", holder="w2", span=timedelta(minutes=1))
    await compute_today(rollup_context(database))
    assert await sql(database, "SELECT * FROM spend_days") == []


async def test_every_day_is_computed_before_its_raw_rows_go(database: Database) -> None:
    days = [datetime.now(UTC) - n * timedelta(days=1) for n in range(35)]
    await store(database, *(row_at(at, cost_usd=Decimal("0.3")) for at in days))
    await roll_up_database(database, keep_raw=timedelta(days=2))
    kept, spent = await one(
        database,
        "SELECT (SELECT count(*) FROM observations), count(*) FILTER (WHERE probes_usd = 0.3) "
        "FROM report.spend_daily WHERE provider IS NOT NULL",
    )
    assert (kept <= 3, spent) == (True, len(days))


async def test_a_report_configured_for_another_zone_leaves_the_days_alone(
    database: Database,
) -> None:
    now = datetime.now(UTC)
    await store(database, row_at(now))
    await roll_up_database(database, "Europe/Rome")
    before = await sql(database, "SELECT * FROM spend_days ORDER BY day, provider")
    here = rollup_context(database)  # UTC
    assert not await daily_spend.compute_recent_days(database, here.settings, here.book, now=now)
    assert await sql(database, "SELECT * FROM spend_days ORDER BY day, provider") == before

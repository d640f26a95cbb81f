"""Retention: raw rows go once they are rolled up and old, excerpts sooner, rollups never."""

from datetime import date, timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from monitor.storage import Database, observations, rollup_rows
from tests.contract.past_day import TODAY, failed, one, roll_up_database, row_at, run, sql, store

DAY = timedelta(days=1)
RAW = "SELECT count(*) FROM observations WHERE slot < now() - interval '8 days'"
LAST_WEEK = row_at(TODAY - 3 * DAY, "recent")  # without rows of the last week nothing is deleted


async def test_excerpts_of_failed_probes_stay_longer_than_the_others(
    database: Database,
) -> None:
    await store(database, *(one_of(TODAY - days * DAY, query=name) for days, name, one_of in (
        (6, "fresh", row_at), (8, "old", row_at), (8, "failed", failed), (11, "forgotten", failed),
    )))  # fmt: skip
    await roll_up_database(database, keep_failed_excerpts=10 * DAY)
    found = await sql(database, "SELECT query FROM observations WHERE answer_excerpt IS NOT NULL "
                                "ORDER BY query")  # fmt: skip
    assert found == [("failed",), ("fresh",)]


async def test_raw_rows_go_when_they_are_old_and_rollups_stay(database: Database) -> None:
    await store(database, row_at(TODAY - 13 * DAY), row_at(TODAY - 11 * DAY), LAST_WEEK)
    await roll_up_database(database, keep_raw=12 * DAY)
    assert await one(database, RAW) == (1,)
    assert await one(database, "SELECT sum(probes) FROM report.ttft_daily") == (3,)
    await roll_up_database(database, keep_raw=12 * DAY)
    assert await one(database, "SELECT sum(probes) FROM report.ttft_daily") == (3,)


async def test_what_is_not_rolled_up_is_not_deleted(database: Database) -> None:
    await store(database, row_at(TODAY - 200 * DAY))
    async with database.begin() as connection:
        await rollup_rows.set_limit(connection, 90 * DAY)
        assert await rollup_rows.drop_months(connection) == []
        assert await rollup_rows.forget_observations(connection) == 0
    assert await one(database, RAW) == (1,)


async def test_nothing_younger_than_a_day_is_deleted_whatever_is_asked(database: Database) -> None:
    await store(database, row_at(TODAY - 2 * DAY))
    await roll_up_database(database)
    async with database.begin() as connection:
        await run(connection, "UPDATE report_state SET raw_since = hours_until")
        assert await rollup_rows.forget_observations(connection) == 0
    with pytest.raises(DBAPIError):
        async with database.begin() as connection:
            await run(connection, "UPDATE report_state SET raw_since = 'infinity'")


async def test_months_that_are_wholly_old_are_dropped_and_others_thinned_out(
    database: Database,
) -> None:
    limit = TODAY - 40 * DAY
    this_month = limit.replace(day=1)
    month_before = (this_month - DAY).replace(day=1)
    async with database.begin() as connection:
        for month in (month_before, this_month):
            await run(connection, "SELECT make_month(:day)", day=month.date())
    await store(database, row_at(month_before), row_at(limit + DAY), LAST_WEEK,
              *([row_at(limit - timedelta(hours=1))] if limit > this_month else []))  # fmt: skip
    await roll_up_database(database, keep_raw=40 * DAY)
    names = await sql(database, "SELECT inhrelid::regclass::text FROM pg_inherits "
                                "WHERE inhparent = 'observations'::regclass")  # fmt: skip
    assert (f"observations_{month_before:%Y_%m}",) not in names
    assert (f"observations_{this_month:%Y_%m}",) in names
    assert await sql(database, "SELECT slot FROM observations WHERE query <> 'recent'") == [
        (limit + DAY,)
    ]


async def test_batches_are_no_larger_than_asked(database: Database) -> None:
    await store(database, *(row_at(TODAY - 11 * DAY, f"q{n}") for n in range(5)))
    await roll_up_database(database, keep_raw=3650 * DAY)
    async with database.begin() as connection:
        await rollup_rows.set_limit(connection, 10 * DAY)
        gone = [await rollup_rows.forget_observations(connection, 2) for _ in range(4)]
    assert gone == [2, 2, 1, 0]


async def test_rounds_and_account_readings_go_with_the_raw_rows(database: Database) -> None:
    async with database.begin() as connection:
        for days in (11, 1):
            at = TODAY - days * DAY
            await run(connection, "INSERT INTO slots (target, region, slot, worker) "
                                  "VALUES ('rag', 'local', :at, 'w1')", at=at)  # fmt: skip
            await run(connection, "INSERT INTO account_readings (provider, at, state) "
                                  "VALUES ('openrouter', :at, 'ok')", at=at)  # fmt: skip
    await store(database, row_at(TODAY - 11 * DAY), LAST_WEEK)
    await roll_up_database(database, keep_raw=10 * DAY)
    for table in ("slots", "account_readings"):
        assert await one(database, f"SELECT count(*) FROM {table}") == (1,)


async def test_rows_that_came_before_their_month_move_into_it(database: Database) -> None:
    await store(database, row_at(TODAY), row_at(TODAY - 400 * DAY))
    where = "SELECT tableoid::regclass::text, ttft_ms, fallback FROM observations ORDER BY slot"
    assert {name for name, _, _ in await sql(database, where)} == {"observations_default"}
    async with database.begin() as connection:
        assert len(await observations.ensure(connection, TODAY.date())) == 4
    assert await sql(database, where) == [("observations_default", 600, False),
                                          (f"observations_{TODAY:%Y_%m}", 600, False)]  # fmt: skip
    async with database.begin() as connection:
        assert await observations.ensure(connection, TODAY.date()) == []


def test_a_month_is_followed_by_the_next_over_the_new_year() -> None:
    firsts = [first for first, _ in observations.months(date(2026, 12, 31))]
    assert firsts == [date(2026, 11, 1), date(2026, 12, 1), date(2027, 1, 1), date(2027, 2, 1)]

"""Rollups: computed whole, from raw rows, as often as needed, and killed wherever it may be."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.storage import Database, leases, observations, rollup_rows
from monitor.worker import rollups
from tests.contract.open_context import open_context
from tests.contract.past_day import (
    EIGHT,
    TODAY,
    YESTERDAY,
    day_rows,
    failed,
    fell_at,
    one,
    roll_up_database,
    row_at,
    run,
    sql,
    store,
)
from tests.contract.test_incremental_evaluation import fleet
from tests.contract.test_probe_transactions import counted
from tests.example_data import HAIKU, LLAMA

EVERYTHING = (
    "rollups_hourly", "rollups_daily", "answers_hourly", "answers_daily", "models_hourly",
    "models_daily",
)  # fmt: skip


async def kept(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every rollup, in an order of its own."""
    return {
        table: sorted(await sql(database, f"SELECT * FROM {table}"), key=str)
        for table in EVERYTHING
    }


async def steps(database: Database) -> int:
    count = 0
    while True:
        async with database.begin() as connection:
            if await rollup_rows.advance(connection) is None:
                return count
        count += 1


async def test_computing_again_changes_nothing(database: Database) -> None:
    await store(database, *day_rows())
    await roll_up_database(database)
    before = await kept(database)
    async with database.begin() as connection:
        await run(connection, "INSERT INTO rollups_due SELECT DISTINCT hour FROM rollups_hourly")
    assert await steps(database) > 4
    assert await kept(database) == before
    assert all(before.values())


async def test_a_late_row_makes_its_hour_and_its_day_again(database: Database) -> None:
    await store(database, *day_rows())
    await roll_up_database(database)
    late = "SELECT probes, ttft_max_ms FROM report.{} WHERE query = 'hi' AND {} = :at"
    hourly, daily = late.format("ttft_hourly", "hour"), late.format("ttft_daily", "day")
    assert await one(database, hourly, at=EIGHT) == (2, 600)
    assert await one(database, daily, at=YESTERDAY.date()) == (7, 2000)
    [spent] = await one(database, "SELECT sum(probes_usd) FROM report.spend_daily")

    async with database.begin() as connection:
        await observations.add(connection, [row_at(EIGHT + timedelta(minutes=10), ttft_ms=5000.0)])
    assert await one(database, hourly, at=EIGHT) == (2, 600), "not before the job ran"
    await roll_up_database(database)
    assert await one(database, hourly, at=EIGHT) == (3, 5000)
    assert await one(database, daily, at=YESTERDAY.date()) == (8, 5000)
    again = await one(database, "SELECT sum(probes_usd) FROM report.spend_daily")
    assert again == (spent + Decimal("0.0002"),)


@pytest.fixture
def histograms(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection that many examples share."""
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


class Killed(Exception):
    """The end of a process between its work and its commit."""


async def killed(database: Database) -> None:
    async with database.begin() as connection:
        await rollup_rows.advance(connection)
        raise Killed


async def test_killed_in_any_step_it_goes_on_and_ends_the_same(database: Database) -> None:
    await store(database, *day_rows())
    step: rollup_rows.Step | None = "hour"
    while step is not None:
        with pytest.raises(Killed):
            await killed(database)
        async with database.begin() as connection:
            step = await rollup_rows.advance(connection)
    reached = await kept(database)
    async with database.begin() as connection:
        for table in EVERYTHING:
            await run(connection, f"DELETE FROM {table}")
        await run(connection, "UPDATE report_state SET hours_until = '-infinity', "
                              "days_until = '-infinity'")  # fmt: skip
    await steps(database)
    assert await kept(database) == reached


async def test_halfway_views_say_what_they_say_at_the_end(database: Database) -> None:
    await store(database, *day_rows(), row_at(YESTERDAY - timedelta(days=1)))
    question = "SELECT day, query, probes, judged, rounds_missed, ttft_max_ms, ttft_histogram " \
               "FROM report.ttft_daily ORDER BY day, query"  # fmt: skip
    reported = set()
    while True:
        reported.add(str(await sql(database, question)))
        async with database.begin() as connection:
            if await rollup_rows.advance(connection) is None:
                break
    assert len(reported) == 1


async def test_two_workers_at_once_are_as_good_as_one(database: Database) -> None:
    await store(database, *day_rows())
    await asyncio.gather(roll_up_database(database), roll_up_database(database))
    await roll_up_database(database)
    found = await one(database, "SELECT sum(probes) FROM report.ttft_daily")
    assert found == (13,)


async def test_another_worker_rolling_up_is_left_alone(database: Database) -> None:
    await store(database, *day_rows())
    async with database.begin() as connection:
        await leases.hold(connection, "roll_up", holder="w2", span=timedelta(minutes=1))
    await roll_up_database(database)
    assert await sql(database, "SELECT * FROM rollups_hourly") == []


async def test_hours_whose_raw_rows_may_be_gone_stay_as_they_are(database: Database) -> None:
    await store(database, *day_rows())
    await roll_up_database(database)
    async with database.begin() as connection:
        await run(connection, "UPDATE report_state SET raw_since = :today", today=TODAY)
        await run(connection, "DELETE FROM observations")
    await store(database, row_at(EIGHT + timedelta(minutes=1)))
    async with database.begin() as connection:
        await run(connection, "UPDATE observations SET recorded_at = now()")
        assert await rollup_rows.notice_late(connection) == 0
    await steps(database)
    assert await one(database, "SELECT sum(probes) FROM report.ttft_daily") == (13,)


async def test_a_new_zone_makes_days_again_from_hours_alone(database: Database) -> None:
    at = YESTERDAY - timedelta(minutes=30)  # the day after in Rome
    await store(database, row_at(at))
    await roll_up_database(database)
    days = "SELECT day::text FROM report.ttft_daily WHERE probes > 0"
    assert await one(database, days) == (f"{at:%Y-%m-%d}",)
    async with database.begin() as connection:
        await run(connection, "DELETE FROM observations")
        await rollup_rows.configure(connection, "Europe/Rome", [])
    assert await one(database, days) == (f"{YESTERDAY:%Y-%m-%d}",), "at once"
    await steps(database)
    assert await one(database, days) == (f"{YESTERDAY:%Y-%m-%d}",), "and when rolled up"


async def test_a_zone_half_an_hour_off_makes_hours_again(database: Database) -> None:
    at = YESTERDAY - timedelta(hours=5, minutes=40)  # 23:50 in Kolkata, the same day
    await store(database, row_at(at), row_at(at + timedelta(minutes=20)))  # and 00:10 of the next
    await roll_up_database(database)
    await roll_up_database(database, "Asia/Kolkata")
    found = await sql(database, "SELECT day::text, probes FROM report.ttft_daily "
                                "WHERE probes > 0 ORDER BY day")  # fmt: skip
    assert found == [(f"{at:%Y-%m-%d}", 1), (f"{YESTERDAY:%Y-%m-%d}", 1)]


async def test_its_statements_do_not_grow_with_the_targets(
    database: Database, tmp_path: Path
) -> None:
    """Two for each of 5,000 targets exceeded the deadline of a transaction on a busy machine."""
    counts = []
    for targets in (1, 40, 40):
        async with open_context(fleet(tmp_path, targets), database) as context:
            found = counted(database)
            await rollups.roll_up(context)
            counts.append(found["statements"])
    assert counts[1] <= counts[0], counts
    every = "SELECT target, every_s, daily_queries, expected_model, fallback_usd > expected_usd"
    known = await sql(database, f"{every} FROM report_targets ORDER BY target")
    assert len(known) == 40
    assert known[0] == ("t0", 600.0, 500, "meta-llama/llama-4-scout", True)


async def test_nothing_at_all_is_rolled_up_quietly(database: Database) -> None:
    await roll_up_database(database)
    assert await sql(database, "SELECT * FROM report.ttft_hourly") == []


# Any mixture of latencies from a hundredth of a millisecond to a day, ties and outliers included.
MIXTURES = st.lists(
    st.tuples(st.floats(0.01, 8.64e7), st.integers(1, 40)), min_size=1, max_size=60
)  # fmt: skip
SHARES = [0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0]


@given(mixture=MIXTURES)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_percentiles_of_merged_histograms_are_within_one_percent(
    histograms: psycopg.Connection[Any], mixture: list[tuple[float, int]]
) -> None:
    values = [ms for ms, times in mixture for _ in range(times)]
    found = histograms.execute(
        """
        WITH sample AS (
            SELECT ms, mod(place, 7) AS part
            FROM unnest(%(values)s::float8[]) WITH ORDINALITY AS s (ms, place)
        ), bucket AS (
            SELECT part, report.bucket(ms) AS bucket, count(*)::int AS n FROM sample GROUP BY 1, 2
        ), parts AS (
            SELECT part, array_agg(ARRAY[bucket, n] ORDER BY bucket) AS histogram
            FROM bucket GROUP BY 1
        )
        SELECT share, report.percentile((SELECT report.merge(histogram) FROM parts), share),
            (SELECT percentile_cont(share) WITHIN GROUP (ORDER BY ms) FROM sample)
        FROM unnest(%(shares)s::float8[]) AS share
        """,
        {"values": values, "shares": SHARES},
    ).fetchall()  # fmt: skip
    for share, estimate, exact in found:
        assert estimate == pytest.approx(exact, rel=0.01), share


async def test_what_failed_and_what_fell_is_distinguished_in_rollups(database: Database) -> None:
    await store(database, row_at(EIGHT), fell_at(EIGHT, "kbli"), failed(EIGHT, "who"))
    await roll_up_database(database)
    found = await sql(
        database, "SELECT query, model, heard, answered FROM answers_hourly ORDER BY query"
    )
    assert found == [("hi", LLAMA, 1, 1), ("kbli", HAIKU, 1, 1), ("who", None, 0, 0)]

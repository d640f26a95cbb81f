"""Costs per token, by region, target and hour; and the zone that a day of spend belongs to."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from monitor.domain import CostSource
from monitor.storage import Database, observations, rollup_rows
from tests.contract.past_day import (
    EIGHT,
    HALF_HOUR,
    YESTERDAY,
    day_rows,
    one,
    roll_up_database,
    roll_up_three_days,
    row_at,
    run,
    sql,
    store,
)
from tests.example_data import HAIKU, LLAMA

HOUR = timedelta(hours=1)
RATES = {"input": "0.20", "output": "0.60"}
COSTS = "SELECT {} FROM report.{} WHERE target = 'rag' AND model = :model"
PER_TOKEN = ("priced_with_tokens, priced_with_tokens_usd, priced_prompt_tokens, "
             "priced_answer_tokens, cost_per_1k_tokens_usd, listed_tokens, list_usd, "
             "list_cost_per_1k_tokens_usd")  # fmt: skip


def charged(at: datetime, **changes: Any) -> Any:
    """1,000 tokens in, 500 out: $0.0005 by the rates, $0.0006 as the provider charged it."""
    ordinary: dict[str, Any] = {"prompt_tokens": 1000, "answer_tokens": 500, "rates": RATES,
                "cost_usd": Decimal("0.0006"), "cost_source": CostSource.PROVIDER}  # fmt: skip
    return row_at(at, **ordinary | changes)


async def test_one_answer_has_its_cost_per_token_beside_the_list_price(database: Database) -> None:
    await store(database, charged(EIGHT))
    found = await one(
        database,
        "SELECT cost_per_1k_tokens_usd, list_cost_per_1k_tokens_usd, list_cost_usd, "
        "list_input_per_1k_tokens_usd, list_output_per_1k_tokens_usd FROM report.observations",
    )
    assert found == tuple(map(Decimal, ("0.0004", "0.000333333333", "0.0005", "0.0002", "0.0006")))


@pytest.mark.parametrize(
    ("tokens", "rates", "list_usd"),
    [
        ({"cached_tokens": 400}, {"cached": "0.05"}, "0.000440"),
        ({"cached_tokens": 400}, {}, "0.0005"),
        ({"cache_write_tokens": 100}, {"cache_write": "0.30"}, "0.00051"),
        ({"reasoning_tokens": 100}, {"reasoning": "1.60"}, "0.0006"),
        ({}, {"request": "0.001"}, "0.0015"),
        ({}, {"input": "2E-1"}, "0.0005"),
        ({}, {"input": "free"}, None),
        ({"prompt_tokens": None}, {}, None),
    ],
)
async def test_the_list_price_takes_each_token_at_its_own_rate(
    database: Database, tokens: Any, rates: dict[str, str], list_usd: str | None
) -> None:
    await store(database, charged(EIGHT, rates=RATES | rates, **tokens))
    [found] = await one(database, "SELECT list_cost_usd FROM report.observations")
    assert found == (None if list_usd is None else Decimal(list_usd))


async def test_no_tokens_or_no_cost_is_no_cost_per_token(database: Database) -> None:
    nothing = {"cost_usd": None, "cost_source": None}
    await store(database, charged(EIGHT, answer_tokens=None), charged(EIGHT + HALF_HOUR, **nothing),
              charged(EIGHT + HOUR, prompt_tokens=0, answer_tokens=0))  # fmt: skip
    found = await sql(database, "SELECT cost_per_1k_tokens_usd FROM report.observations")
    assert found == [(None,)] * 3


@pytest.mark.parametrize("rolled", [False, True])
@pytest.mark.parametrize("view", ["cost_per_query_daily", "models_daily", "cost_by_region_daily"])
async def test_means_per_token_are_weighed_over_rows_that_have_both(
    database: Database, view: str, rolled: bool
) -> None:
    await store(
        database, charged(EIGHT), charged(EIGHT + HOUR, prompt_tokens=8000, answer_tokens=500),
        charged(EIGHT + 2 * HOUR, answer_tokens=None),
        charged(EIGHT + 3 * HOUR, rates={}),
        charged(EIGHT + 4 * HOUR, cost_usd=None, cost_source=None),
    )  # fmt: skip
    if rolled:
        await roll_up_database(database)
    found = await one(database, COSTS.format(PER_TOKEN, view), model=LLAMA)
    assert found == (
        3, Decimal("0.0018"), 10000, 1500, Decimal("0.000156521739"),
        10000, Decimal("0.0024"), Decimal("0.00024"),
    )  # fmt: skip


@pytest.mark.parametrize("rolled", [False, True])
async def test_regions_stand_apart_in_their_own_view_and_together_in_the_others(
    database: Database, rolled: bool
) -> None:
    await store(database, charged(EIGHT), charged(EIGHT, region="sin"),
              charged(EIGHT + HOUR, region="sin"))  # fmt: skip
    if rolled:
        await roll_up_database(database)
    split = "SELECT region, probes, total_usd FROM report.cost_by_region_daily ORDER BY region"
    assert await sql(database, split) == [
        ("local", 1, Decimal("0.0006")), ("sin", 2, Decimal("0.0012")),
    ]  # fmt: skip
    together = "SELECT answered, total_usd FROM report.cost_per_query_daily"
    assert await sql(database, together) == [(3, Decimal("0.0018"))]


async def test_spend_by_target_has_models_and_traffic_and_adds_up_to_the_day(
    database: Database,
) -> None:
    await store(database, *day_rows())
    await roll_up_database(database)
    found = await sql(
        database, "SELECT model, provider, probes_usd, traffic_usd > 0, known_until, zone "
        "FROM report.spend_by_target_daily WHERE day = :day AND target = 'rag' "
        "ORDER BY model", day=YESTERDAY.date(),
    )  # fmt: skip
    ends = YESTERDAY + timedelta(days=1)
    assert found == [
        (HAIKU, "anthropic", Decimal("0.004"), True, ends, "UTC"),
        (LLAMA, "openrouter", Decimal("0.0016"), True, ends, "UTC"),
        (None, None, 0, False, ends, "UTC"),
    ]
    sums = "SELECT sum({0}probes_usd), sum({0}traffic_usd) FROM report.{1} WHERE {2}"
    day = {"day": YESTERDAY.date()}
    by_day = await one(database, sums.format("", "spend_daily", "day = :day"), **day)
    by_target = sums.format("", "spend_by_target_daily", "day = :day")
    by_hour = sums.format("", "spend_hourly", "hour >= :day AND hour < :day + 1")
    assert await one(database, by_target, **day) == by_day
    assert await one(database, by_hour.replace(":day", "CAST(:day AS date)"), **day) == by_day


SPLIT = ("SELECT provider, probes_usd FROM report.spend_daily WHERE day = :day AND probes_usd > 0 "
         "ORDER BY provider")  # fmt: skip


async def test_the_split_by_provider_follows_when_rows_are_derived_again(
    database: Database,
) -> None:
    """The day's sum stays the same: only who is paid changes, three days ago."""
    at = EIGHT - timedelta(days=2)
    await store(database, charged(at), charged(at + HOUR))
    await roll_up_database(database)
    assert await sql(database, SPLIT, day=at.date()) == [("openrouter", Decimal("0.0012"))]
    async with database.begin() as connection:
        await run(connection, "UPDATE observations SET model_detected = :model WHERE slot = :at",
                  model=HAIKU, at=at)  # fmt: skip
        await run(connection, "INSERT INTO rollups_due VALUES (:at)", at=at)
    await roll_up_database(database)
    assert await sql(database, SPLIT, day=at.date()) == [
        ("anthropic", Decimal("0.0006")), ("openrouter", Decimal("0.0006")),
    ]  # fmt: skip
    [models] = await one(database, "SELECT array_agg(model ORDER BY model) FROM "
                         "report.spend_by_target_daily WHERE day = :day AND probes_usd > 0",
                         day=at.date())  # fmt: skip
    assert models == [HAIKU, LLAMA]


@pytest.mark.parametrize("zone", ["Europe/Rome", "America/New_York", "Asia/Kolkata"])
async def test_a_new_zone_leaves_old_days_as_they_were_counts_nothing_twice_and_says_so(
    database: Database, zone: str
) -> None:
    await store(database, *(charged(YESTERDAY - n * HOUR) for n in range(24 * 6)))
    await roll_up_database(database, keep_raw=timedelta(days=3))
    total = "SELECT sum(probes_usd) FROM report.spend_daily"
    before = await one(database, total)
    # Kept longer from here on: the last midnight of the new zone may lie after that of UTC.
    kept = timedelta(days=5)
    await roll_up_database(database, zone, keep_raw=kept)
    assert await one(database, total) == before
    zones = await sql(database, "SELECT day, zone, known_since, max(known_until) AS ends_at "
                      "FROM report.spend_daily GROUP BY day, zone, known_since "
                      "ORDER BY day")  # fmt: skip
    assert {zone for _, zone, _, _ in zones} == {"UTC", zone}
    assert [row[1] for row in zones] == sorted((row[1] for row in zones), key=lambda z: z == zone)
    for (_, _, _, ends_at), (_, _, known_since, _) in pairwise(zones):
        assert known_since == ends_at
    first = next(known_since for _, of, known_since, _ in zones if of == zone)
    async with database.begin() as connection:
        await observations.add(connection, [charged(first + timedelta(minutes=10))])
    await roll_up_database(database, zone, keep_raw=kept)
    assert await one(database, total) == (before[0] + Decimal("0.0006"),), "a late row in its hour"
    hours = "SELECT sum(probes_usd) FROM report.spend_hourly"
    assert await one(database, hours) == await one(database, total)


ROWS = "2026-04-04T13:00:00+00:00", "2026-10-03T13:30:00+00:00"
HOURS = {  # on Lord Howe Island the clock went back, then forth, by half an hour
    ROWS[0]: {"13:00": 6, "14:00": 9, "15:30": 6, "16:30": 3},
    ROWS[1]: {"13:30": 6, "14:30": 6, "15:30": 3, "16:00": 6},
}


@pytest.mark.parametrize("rolled", [False, True])
@pytest.mark.parametrize("since", ROWS)
async def test_hours_are_right_where_the_clock_steps_by_half_an_hour(
    database: Database, since: str, rolled: bool
) -> None:
    zone, first = "Australia/Lord_Howe", datetime.fromisoformat(since)
    slots = [first + n * timedelta(minutes=10) for n in range(sum(HOURS[since].values()))]
    await store(database, *(charged(at, ttft_ms=100.0 + n) for n, at in enumerate(slots)))
    if rolled:
        await roll_up_three_days(database, zone)
    else:
        async with database.begin() as connection:
            await rollup_rows.configure(connection, zone, [])
    for view, count in (("ttft_hourly", "probes"), ("fallback_hourly", "heard")):
        found = await sql(database, f"SELECT hour, {count} FROM report.{view} WHERE {count} > 0 "
                          "ORDER BY hour")  # fmt: skip
        assert {f"{hour:%H:%M}": probes for hour, probes in found} == HOURS[since]
    [sampled] = await one(database, "SELECT sum(h[2]) FROM report.ttft_daily, LATERAL (SELECT "
                          "ARRAY[ttft_histogram[i][1], ttft_histogram[i][2]] AS h FROM "
                          "generate_subscripts(ttft_histogram, 1) AS i) AS s")  # fmt: skip
    assert sampled == len(slots)
    [gaps] = await one(database, "SELECT count(*) FROM report.ttft_hourly WHERE probes = 0 "
                       "AND hour >= :since AND hour < :until", since=first,
                       until=slots[-1])  # fmt: skip
    assert gaps == 0
    if rolled:
        spent = await sql(database, "SELECT hour, probes_usd FROM report.spend_hourly "
                          "WHERE probes_usd > 0 ORDER BY hour")  # fmt: skip
        assert {f"{hour:%H:%M}": usd / Decimal("0.0006") for hour, usd in spent} == HOURS[since]


async def test_missed_rounds_say_why(database: Database) -> None:
    async with database.begin() as connection:
        await run(
            connection, "INSERT INTO slots (target, region, slot, worker, finished_at, missed) "
            "VALUES ('rag', 'local', :at, 'w1', :at, 'the probe budget is spent'), "
            "('rag', 'local', :next, 'w2', NULL, NULL), "
            "('rag', 'local', :last, 'w1', :last, NULL)",
            at=EIGHT, next=EIGHT + HALF_HOUR, last=EIGHT + HOUR,
        )  # fmt: skip
    found = await sql(database, "SELECT slot, worker, reason FROM report.missed_rounds "
                                "ORDER BY slot")  # fmt: skip
    assert found == [
        (EIGHT, "w1", "the probe budget is spent"),
        (EIGHT + HALF_HOUR, "w2", "the worker stopped before the round was finished"),
    ]


async def test_a_key_keeps_what_was_known_while_its_provider_fails(database: Database) -> None:
    now = datetime.now(UTC)
    async with database.begin() as connection:
        await run(
            connection, "INSERT INTO account_readings (provider, at, state, detail, expires_at, "
            "remaining_usd) VALUES ('openrouter', :one, 'ok', NULL, :ends, 3.5), "
            "('openrouter', :two, 'failing', 'HTTP 502', NULL, NULL)",
            one=now - HOUR, two=now, ends=now + HOUR,
        )  # fmt: skip
    found = await one(database, "SELECT state, reason, checked_at, known_at, expires_at, "
                      "remaining_usd, expires_in_s FROM report.provider_keys")  # fmt: skip
    assert found[:-1] == ("failing", "HTTP 502", now, now - HOUR, now + HOUR, Decimal("3.5"))
    assert 0 < found[-1] <= 3600

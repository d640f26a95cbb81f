"""The views people query: right before anything is rolled up, and the same afterwards."""

import re
from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

import pytest

from monitor.domain import AccountReading, AccountState, Identity, Outcome, StampSource
from monitor.storage import Database, account_readings
from tests.contract.past_day import (
    EIGHT,
    HALF_HOUR,
    TODAY,
    YESTERDAY,
    day_rows,
    failed,
    fell_at,
    one,
    open_incident,
    roll_up_database,
    roll_up_three_days,
    row_at,
    run,
    sql,
    store,
)
from tests.example_data import HAIKU, LLAMA

HOUR = timedelta(hours=1)


async def raw(_: Database) -> None:
    """Everything from raw rows."""


@pytest.fixture(params=[raw, roll_up_database], ids=["raw", "rolled up"])
async def settle(
    request: pytest.FixtureRequest, database: Database
) -> Callable[[], Awaitable[None]]:
    """Views must say the same whether the day was rolled up or not."""

    async def prepare() -> None:
        await request.param(database)

    return prepare


Settle = Callable[[], Awaitable[None]]


async def test_hourly_percentiles_are_those_of_the_raw_rows(
    database: Database, settle: Settle
) -> None:
    await store(database, *(row_at(EIGHT + n * timedelta(minutes=10), ttft_ms=ms)
                          for n, ms in enumerate([200.0, 900.0, 1100.0])))  # fmt: skip
    await settle()
    figures = "ttft_min_ms, ttft_mean_ms, ttft_p50_ms, ttft_p90_ms, ttft_max_ms"
    found = await one(database, f"SELECT {figures} FROM report.ttft_hourly WHERE hour = :at",
                      at=EIGHT)  # fmt: skip
    assert found == pytest.approx((200, 2200 / 3, 900, 1060, 1100))


async def test_hours_without_samples_are_rows_with_nulls(
    database: Database, settle: Settle
) -> None:
    await store(database, row_at(EIGHT), row_at(EIGHT + 2 * HOUR))
    await settle()
    found = await sql(database, "SELECT hour, probes, judged, ttft_p50_ms FROM report.ttft_hourly "
                      "WHERE hour BETWEEN :at AND :at + interval '2 hours' ORDER BY hour",
                      at=EIGHT)  # fmt: skip
    assert found == [(EIGHT, 1, 1, 600), (EIGHT + HOUR, 0, 0, None), (EIGHT + 2 * HOUR, 1, 1, 600)]


async def test_a_gap_ends_after_a_week(database: Database, settle: Settle) -> None:
    long_ago = EIGHT - timedelta(days=10)
    await store(database, row_at(long_ago))
    await settle()
    [last] = await one(database, "SELECT max(hour) FROM report.ttft_hourly")
    assert last == long_ago + timedelta(days=7)


async def test_rounds_that_were_due_and_not_asked_are_counted(
    database: Database, settle: Settle
) -> None:
    async with database.begin() as connection:
        await run(connection, "INSERT INTO report_targets (target, every_s, daily_queries, since) "
                              "VALUES ('rag', 1800, 0, :at)", at=EIGHT - timedelta(days=1)
        )  # fmt: skip
        await run(connection, "INSERT INTO slots (target, region, slot, worker, finished_at, "
                              "missed) VALUES ('rag', 'local', :at, 'w1', :at, 'no patience')",
                  at=EIGHT + 2 * HOUR)  # fmt: skip
    await store(database, row_at(EIGHT), row_at(EIGHT + HALF_HOUR), row_at(EIGHT + 2 * HOUR),
              row_at(EIGHT + 2 * HOUR + HALF_HOUR))  # fmt: skip
    await settle()
    found = await sql(database, "SELECT rounds_expected, rounds_missed FROM report.ttft_hourly "
                      "WHERE hour BETWEEN :at AND :at + interval '2 hours' ORDER BY hour",
                      at=EIGHT)  # fmt: skip
    assert found == [(2, 0), (2, 2), (2, 1)]


async def test_savings_have_no_noise_of_rounded_means(database: Database, settle: Settle) -> None:
    """Three answers of $0.0001 and $0.0002: their mean is no decimal, but nothing was saved."""
    costs = ("0.0001", "0.0002", "0.0001")
    await store(database, *(row_at(EIGHT + nth * HALF_HOUR, cost_usd=Decimal(usd))
                            for nth, usd in enumerate(costs)))  # fmt: skip
    await settle()
    columns = "spent_usd, all_expected_usd, fallback_extra_usd, traffic_fallback_extra_usd"
    found = await one(database, f"SELECT {columns} FROM report.savings_daily")
    assert tuple(found)[:3] == (Decimal("0.0004"), Decimal("0.0004"), 0)
    assert not found[3]


async def test_latencies_leave_out_probes_by_hand_and_degraded_stamps(
    database: Database, settle: Settle
) -> None:
    await store(database, row_at(EIGHT), row_at(EIGHT, origin="manual", ttft_ms=9000.0),
              row_at(EIGHT + HALF_HOUR, stamp=StampSource.DEGRADED, ttft_ms=8000.0),
              row_at(EIGHT, "kbli", outcome=Outcome.RATE_LIMITED, ttft_ms=None),
              failed(EIGHT, "who"))  # fmt: skip
    await settle()
    found = await sql(database, "SELECT query, probes, good, bad, judged, degraded, ttft_max_ms "
                      "FROM report.ttft_hourly WHERE hour = :at ORDER BY query", at=EIGHT
    )  # fmt: skip
    assert found == [("hi", 2, 2, 0, 1, 1, 600), ("kbli", 1, 0, 0, 0, 0, None),
                     ("who", 1, 0, 1, 0, 0, None)]  # fmt: skip


async def test_daily_percentiles_are_within_one_percent_of_the_raw_rows(
    database: Database, settle: Settle
) -> None:
    chance = Random(7)
    await store(database, *(row_at(YESTERDAY + n * timedelta(seconds=86), ttft_ms=ms) for n, ms in
                          enumerate(chance.lognormvariate(6.8, 0.5) for _ in range(1000)))
    )  # fmt: skip
    await settle()
    exact = await one(
        database,
        """
        SELECT percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY ttft_ms)
        FROM report.observations
    """,
    )
    found = await one(database, "SELECT ARRAY[ttft_p50_ms, ttft_p90_ms, ttft_p95_ms, ttft_p99_ms] "
                                "FROM report.ttft_daily WHERE day = :day", day=YESTERDAY.date()
    )  # fmt: skip
    assert found[0] == pytest.approx(exact[0], rel=0.01)
    assert found[0] != exact[0]


async def test_histograms_of_many_hours_and_queries_add_up(
    database: Database, settle: Settle
) -> None:
    await store(database, *(row_at(EIGHT + n * HOUR, query, ttft_ms=100.0 * (n + 1))
                          for n in range(5) for query in ("hi", "kbli")))  # fmt: skip
    await settle()
    merged = "report.merge(ttft_histogram)"
    found = await one(
        database,
        f"""
        SELECT report.percentile({merged}, 0), report.percentile({merged}, 0.5),
            report.percentile({merged}, 1), report.share_above({merged}, 350)
        FROM report.ttft_hourly
    """,
    )
    assert found == pytest.approx((100, 300, 500, 0.4), rel=0.01)


async def test_shares_of_models_are_of_all_that_was_received(
    database: Database, settle: Settle
) -> None:
    nobody_knows = {"identity": Identity.UNKNOWN, "model_detected": None}
    await store(database, row_at(EIGHT), row_at(EIGHT + HOUR), fell_at(EIGHT + 2 * HOUR),
              row_at(EIGHT + 3 * HOUR, **nobody_knows), failed(EIGHT + 4 * HOUR))  # fmt: skip
    await settle()
    found = await sql(database, "SELECT model, identity, heard, share, ttft_p50_ms, mean_usd "
                                "FROM report.models_daily ORDER BY model")  # fmt: skip
    assert found == [
        (HAIKU, "fallback", 1, 0.25, pytest.approx(2000, rel=0.01), Decimal("0.001")),
        (LLAMA, "expected", 2, 0.5, pytest.approx(600, rel=0.01), Decimal("0.0002")),
        (None, "unknown", 1, 0.25, pytest.approx(600, rel=0.01), Decimal("0.0002")),
    ]


async def test_the_fallback_share_is_of_known_identities_and_gaps_are_null(
    database: Database, settle: Settle
) -> None:
    await store(database, fell_at(EIGHT), row_at(EIGHT + HALF_HOUR), row_at(EIGHT, "kbli"),
              row_at(EIGHT, "who", identity=Identity.DISPUTED), failed(EIGHT + 2 * HOUR)
    )  # fmt: skip
    await settle()
    found = await sql(database, "SELECT heard, known, fallback, share, disputed "
                      "FROM report.fallback_hourly "
                      "WHERE hour BETWEEN :at AND :at + interval '2 hours' ORDER BY hour",
                      at=EIGHT)  # fmt: skip
    assert found == [(4, 3, 1, pytest.approx(1 / 3), 1), (None, None, None, None, None),
                     (0, 0, 0, None, 0)]  # fmt: skip


async def test_a_query_costs_what_its_whole_answers_cost_on_each_model(
    database: Database, settle: Settle
) -> None:
    await store(database, *day_rows(), row_at(EIGHT, origin="manual", cost_usd=Decimal("0.0005")))
    await settle()
    found = await sql(database, "SELECT query, model, answered, mean_usd, total_usd, at_least "
                                "FROM report.cost_per_query_daily ORDER BY query, model"
    )  # fmt: skip
    assert found == [
        ("hi", HAIKU, 2, Decimal("0.001"), Decimal("0.002"), False),
        ("hi", LLAMA, 5, Decimal("0.00026"), Decimal("0.0013"), False),
        ("hi", None, 0, None, Decimal(0), False),
        ("kbli", HAIKU, 2, Decimal("0.001"), Decimal("0.002"), False),
        ("kbli", LLAMA, 4, Decimal("0.0002"), Decimal("0.0008"), False),
    ]


async def test_savings_compare_the_day_with_either_model_alone(
    database: Database, settle: Settle
) -> None:
    await store(database, *day_rows())
    await settle()
    found = await one(database, "SELECT answered, spent_usd, all_expected_usd, all_fallback_usd, "
                      "saved_usd, fallback_extra_usd, expected_is, fallback_is "
                      "FROM report.savings_daily")  # fmt: skip
    assert found == (12, Decimal("0.0056"), Decimal("0.0024"), Decimal("0.012"), Decimal("0.0064"),
                     Decimal("0.0032"), "observed", "observed")  # fmt: skip


async def test_savings_of_a_day_without_fallback_are_projected(database: Database) -> None:
    await store(database, row_at(EIGHT, answer_tokens=200, prompt_tokens=30))
    await roll_up_database(database)
    await roll_up_database(database)  # the second time, the length of answers is known
    found = await one(database, "SELECT fallback_is, fallback_query_usd > 5 * expected_query_usd, "
                      "daily_queries, traffic_saved_usd > 0 FROM report.savings_daily")  # fmt: skip
    assert found == ("projected", True, 48, True)


async def test_spend_keeps_three_meters_apart(database: Database) -> None:
    await store(database, *day_rows())
    async with database.begin() as connection:
        for hours, usd in ((9, "0.10"), (23.9, "0.25")):
            await account_readings.add(connection, AccountReading(
                provider="openrouter", at=YESTERDAY + timedelta(hours=hours),
                state=AccountState.OK, spent_today_usd=Decimal(usd)))  # fmt: skip
    await roll_up_database(database)
    found = await sql(database, "SELECT provider, probes_usd, account_usd, spent_usd, meter, "
                      "known_until FROM report.spend_daily WHERE day = :day AND provider IS NOT "
                      "NULL ORDER BY provider", day=YESTERDAY.date())  # fmt: skip
    [(anthropic, probes, account, spent, meter, until), openrouter] = found
    assert (anthropic, probes, account, meter) == ("anthropic", Decimal("0.004"), None, "estimate")
    # Haiku served from 10 to 11, when nobody was heard it still did: two queries an hour.
    assert float(spent) == pytest.approx(0.004 + 2 * 0.001)
    assert until == TODAY
    assert openrouter[:5] == ("openrouter", Decimal("0.0016"), Decimal("0.25"), Decimal("0.25"),
                              "account")  # fmt: skip


async def test_incidents_show_how_soon_they_were_found_reported_and_over_and_what_ran_up(
    database: Database,
) -> None:
    await store(database, *day_rows())
    await open_incident(database)
    await roll_up_database(database)
    found = await one(database, "SELECT number, is_open, duration_s, detected_after_s, "
                      "told_after_s, peak, cost_usd FROM report.incidents")  # fmt: skip
    # 10:30-11:30: half of each hour's probes ($0.004, $0.0008) and of its two queries' traffic.
    assert found[:-1] == (1, False, 3600, 1800, 1860, 1)  # both from the first bad row, at 10:00
    assert float(found[-1]) == pytest.approx(0.002 + 0.0004 + 0.001 + 0.0002)


async def test_an_incident_of_a_part_of_an_hour_costs_what_its_own_rows_cost(
    database: Database,
) -> None:
    at = EIGHT + timedelta(minutes=45)
    await store(
        database, row_at(EIGHT), row_at(EIGHT + HALF_HOUR), fell_at(EIGHT + timedelta(minutes=50))
    )
    await open_incident(database)
    async with database.begin() as connection:
        await run(connection, "UPDATE incidents SET opened_at = :at, resolved_at = :until",
                  at=at, until=EIGHT + HOUR)  # fmt: skip
    await roll_up_database(database)
    [found] = await one(database, "SELECT cost_usd FROM report.incidents")
    # Haiku's probe, and its traffic of ten minutes at two queries an hour; a quarter of the hour's
    # sum would be half of that.
    assert float(found) == pytest.approx(0.001 + 0.001 / 3)


async def test_a_health_page_that_contradicts_the_probes_is_pointed_out(
    database: Database,
) -> None:
    now = datetime.now(tz=TODAY.tzinfo)
    await store(database, fell_at(now - timedelta(minutes=1)), failed(now, "kbli"))
    before = await one(database, "SELECT page_healthy, contradiction FROM report.health")
    assert before == (None, None)
    async with database.begin() as connection:
        await run(connection, "INSERT INTO health_readings (target, url, at, checked_at, "
                              "http_status, healthy, unmet, facts) "
                              "VALUES ('rag', '/health', now(), now(), 200, true, '{}', '{}')"
        )  # fmt: skip
    found = await one(database, "SELECT last_outcome, probes_1h, bad_1h, known_1h, fallback_1h, "
                                "ttft_p50_1h_ms, contradiction FROM report.health")  # fmt: skip
    assert found == (
        "timeout_first_token", 2, 1, 1, 1, 2000,
        "its health page says healthy while 1 of 2 probes failed and 1 of 1 answers fell back "
        "within the hour",
    )  # fmt: skip


async def test_the_last_hour_counts_each_identity_and_a_page_is_held_to_changes(
    database: Database,
) -> None:
    now = datetime.now(tz=TODAY.tzinfo)
    ago = [now - timedelta(minutes=minute) for minute in range(1, 6)]
    await store(
        database, row_at(ago[0]), row_at(ago[1], identity=Identity.CHANGED, model_detected=None),
        row_at(ago[2], identity=Identity.CHANGED, model_detected=LLAMA),
        row_at(ago[3], identity=Identity.DISPUTED),
        row_at(ago[4], identity=Identity.UNKNOWN, model_detected=None),
        failed(now, "kbli", outcome=Outcome.ABORTED),
    )  # fmt: skip
    async with database.begin() as connection:
        await run(connection, "INSERT INTO health_readings (target, url, at, checked_at, "
                              "http_status, healthy, unmet, facts) "
                              "VALUES ('rag', '/health', now(), now(), 200, true, '{}', '{}')"
        )  # fmt: skip
    found = await one(database, "SELECT known_1h, fallback_1h, disputed_1h, changed_1h, "
                                "unknown_1h, contradiction FROM report.health")  # fmt: skip
    assert found == (
        1, 0, 1, 2, 1,
        "its health page says healthy while 2 of 5 answers no longer match the expected model "
        "within the hour",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("zone", "last_of_day", "hours"),
    [
        ("UTC", "2026-10-25T23:59:59+00:00", 24),
        ("Asia/Kolkata", "2026-10-25T18:29:59+00:00", 24),  # half an hour off
        ("Europe/Rome", "2026-10-25T22:59:59+00:00", 25),  # the clock went back that night
        ("Europe/Rome", "2026-03-29T21:59:59+00:00", 23),  # and forth that one
        ("America/St_Johns", "2026-11-02T03:29:59+00:00", 25),  # and half an hour off besides
    ],
)
async def test_days_are_those_of_the_configured_zone(
    database: Database, zone: str, last_of_day: str, hours: int
) -> None:
    last = datetime.fromisoformat(last_of_day)
    first = last - timedelta(hours=hours) + timedelta(seconds=1)
    await store(database, *(row_at(at) for at in (first - timedelta(seconds=1), first, last,
                                               last + timedelta(seconds=1))))  # fmt: skip
    await roll_up_three_days(database, zone)
    day = first.astimezone(ZoneInfo(zone)).date()
    found = await sql(database, "SELECT day - CAST(:day AS date), probes FROM report.ttft_daily "
                      "WHERE day BETWEEN :day - 1 AND :day + 1 ORDER BY day", day=day)  # fmt: skip
    assert found == [(-1, 1), (0, 2), (1, 1)]
    [spanned] = await one(database, "SELECT count(DISTINCT hour) FROM report.ttft_hourly "
                          "WHERE (hour AT TIME ZONE :zone)::date = :day", zone=zone, day=day
    )  # fmt: skip
    assert spanned == hours


async def test_months_outside_the_range_are_not_read(database: Database) -> None:
    async with database.begin() as connection:
        for month in range(1, 7):
            await run(connection, "SELECT make_month(:day)", day=date(2026, month, 1))
    async with database.begin() as connection:
        plan = await run(connection, "EXPLAIN SELECT * FROM report.observations "
                                     "WHERE slot >= '2026-05-03' AND slot < '2026-05-04'"
        )  # fmt: skip
        text = " ".join(line for (line,) in plan)
    assert "observations_2026_05" in text
    assert "observations_2026_04" not in text
    assert "observations_default" not in text


async def test_a_range_of_hours_reads_no_more_of_the_rollups(database: Database) -> None:
    await store(database, *day_rows())
    await roll_up_database(database)
    async with database.begin() as connection:
        await run(connection, "SET LOCAL enable_seqscan = off")
        plan = await run(connection, "EXPLAIN SELECT * FROM report.ttft_hourly "
                                     "WHERE hour >= now() - interval '24 hours'")  # fmt: skip
        text = " ".join(line for (line,) in plan)
    assert "pk_rollups_hourly" in text
    assert re.search(r"Index Cond: .*hour >= \(now", text)

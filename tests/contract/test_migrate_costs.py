"""Costs per token come to what is there: old rollups keep their sums, up and down."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import create_engine, text

from monitor.storage import schema
from tests.e2e.worker_process import rows

COLUMNS = ("target, query, model, identity, heard, answered, priced, answered_usd, probes, usd, "
           "unpriced, counted, prompt_tokens, answer_tokens")  # fmt: skip
ANSWER = "'rag', 'hi', 'm', 'expected', 2, 2, 2, 0.3, 2, 0.3, 0, 2, 200, 20"
OLD = (
    "UPDATE report_state SET hours_until = '2026-11-03', days_until = '2026-11-03', "
    "raw_since = '2026-11-02'",
    f"INSERT INTO answers_hourly (hour, {COLUMNS}) VALUES ('2026-11-01 08:00Z', {ANSWER})",
    f"INSERT INTO answers_daily (day, {COLUMNS}) VALUES ('2026-11-01', {ANSWER})",
    *(f"INSERT INTO models_hourly (hour, target, model, identity, heard, answered, priced, "
      f"answered_usd) VALUES ('{at}', 'rag', 'm', 'expected', 2, 2, 2, 0.3)"
      for at in ("2026-11-01 08:00Z", "2026-11-02 08:00Z")),
    *(f"INSERT INTO spend_hourly (hour, until, target, provider, meter, usd, at_least) VALUES "
      f"('2026-11-01 08:00Z', '2026-11-01 09:00Z', 'rag', 'p', '{meter}', {usd}, false)"
      for meter, usd in (("probes", 0.3), ("traffic", 0.7))),
    "INSERT INTO spend_days (day, provider, probes_usd, traffic_usd, unpriced, spent_usd, "
    "at_least, meter, because, reckoned_at) VALUES "
    "('2026-11-01', 'p', 0.3, 0.7, 0, 1, false, 'estimate', '', '2026-11-02 00:00Z'), "
    "('2026-10-31', 'p', 0, 0, 0, 0, false, 'estimate', '', '2026-10-31 23:00Z')",
)  # fmt: skip


def run(url: str, *statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def found(url: str, statement: str) -> Sequence[Any]:
    return [tuple(row) for row in rows(url, statement)]


def test_old_rollups_keep_their_sums_and_say_what_they_do_not_know(empty_url: str) -> None:
    schema.migrate(empty_url, to="r1_0021")
    run(empty_url, *OLD)
    schema.migrate(empty_url, to="r1_0022")
    day = "FROM report.{} WHERE day = '2026-11-01'"
    costs = "SELECT total_usd, priced_with_tokens, cost_per_1k_tokens_usd "
    assert found(empty_url, costs + day.format("cost_per_query_daily")) == [
        (Decimal("0.3"), 0, None),
    ]  # fmt: skip
    regions = "SELECT region, total_usd " + day.format("cost_by_region_daily")
    assert found(empty_url, regions) == [(None, Decimal("0.3"))]
    spent = "SELECT target, model, probes_usd, traffic_usd " + day.format("spend_by_target_daily")
    assert found(empty_url, spent) == [("rag", None, Decimal("0.3"), Decimal("0.7"))]
    zones = "SELECT day::text, zone FROM report.spend_daily ORDER BY day"
    assert found(empty_url, zones) == [("2026-10-31", None), ("2026-11-01", "UTC")]
    due = "SELECT (hour AT TIME ZONE 'UTC')::date::text FROM rollups_due"
    assert found(empty_url, due) == [("2026-11-02",)], "only what raw rows still tell"


def test_a_downgrade_adds_regions_and_models_up(empty_url: str) -> None:
    schema.migrate(empty_url, to="r1_0021")
    run(empty_url, *OLD)
    schema.migrate(empty_url, to="r1_0022")
    regions = ("fra", "sin")
    run(
        empty_url,
        *(f"INSERT INTO answers_{name} ({at}, {COLUMNS}, region) VALUES ('{value}', {ANSWER}, "
          f"'{region}')"
          for name, at, value in (("hourly", "hour", "2026-11-01 08:00Z"),
                                  ("daily", "day", "2026-11-01"))
          for region in regions),
        "INSERT INTO spend_hourly (hour, until, target, provider, meter, usd, at_least, model) "
        "VALUES ('2026-11-01 08:00Z', '2026-11-01 09:00Z', 'rag', 'p', 'probes', 0.1, true, 'm')",
    )  # fmt: skip
    schema.migrate(empty_url, to="-1")
    sums = [(6, Decimal("0.9"), 600)]
    for table in ("answers_hourly", "answers_daily"):
        assert found(empty_url, f"SELECT answered, usd, prompt_tokens FROM {table}") == sums
    spent = "SELECT usd, at_least FROM spend_hourly WHERE meter = 'probes'"
    assert found(empty_url, spent) == [(Decimal("0.4"), True)]
    assert found(empty_url, "SELECT count(*) FROM report.cost_per_query_daily") == [(1,)]
    schema.migrate(empty_url, to="r1_0022")
    total = "SELECT sum(total_usd) FROM report.cost_per_query_daily"
    assert found(empty_url, total) == [(Decimal("0.9"),)]

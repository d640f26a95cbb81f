"""The backtest: rows in, events out, in the rows' own time and by the worker's own rules."""

import json
from collections.abc import Iterable
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from monitor.backtest.input_rows import BadBacktestRow
from monitor.backtest.replay import SpendLedger, as_json, judged_by_name, replay
from monitor.domain import Identity
from monitor.incidents.silences import MaintenanceWindow
from monitor.rules import RULES, FallbackRule, NoDataRule, TtftRule
from tests.case_tables import each
from tests.probe_notation import EVERY, HAIKU, LLAMA, NOON

IDENTITY = judged_by_name([LLAMA])
MIDNIGHT = NOON - timedelta(hours=12)


def probe(at: datetime, **changes: Any) -> str:
    row = {"ts": at.isoformat(), "kind": "probe", "sweep": 1, "query": "q0", "ok": True,
           "error": None, "ttft_ms": 1000, "model": LLAMA, "cost_usd": "0.000007"}  # fmt: skip
    return json.dumps(row | changes)


def usage(at: datetime, usd: str) -> str:
    return json.dumps({"ts": at.isoformat(), "kind": "usage", "cost_usd": usd})


def rounds(count: int, *, start: datetime = NOON, first: int = 0, **changes: Any) -> list[str]:
    return [
        probe(start + n * EVERY + query * timedelta(seconds=2), sweep=first + n,
              query=f"q{query}", **changes)
        for n in range(count)
        for query in range(3)
    ]  # fmt: skip


def events(lines: Iterable[str], **options: Any) -> list[tuple[str, str]]:
    rules = options.pop("rules", {name: rule() for name, rule in RULES.items()})
    return [(e.rule, e.event) for e in replay(lines, rules, identity=IDENTITY, **options)]


def lines_of(lines: Iterable[str]) -> list[dict[str, Any]]:
    rules = {name: rule() for name, rule in RULES.items()}
    return [json.loads(as_json(e)) for e in replay(lines, rules, identity=IDENTITY)]


def test_a_healthy_stream_is_quiet() -> None:
    assert events(rounds(300)) == []


def test_a_full_fallback_fires_with_its_fourth_answer_and_resolves() -> None:
    lines = [
        *rounds(20),
        *rounds(6, start=NOON + 20 * EVERY, first=20, model=HAIKU, ttft_ms=2200),
        *rounds(20, start=NOON + 26 * EVERY, first=26),
    ]
    found = lines_of(lines)
    assert [(e["rule"], e["event"]) for e in found] == [
        ("fallback", "fire"),
        ("ttft", "fire"),
        ("ttft", "resolve"),
        ("fallback", "resolve"),
    ]
    assert found[0] == {
        "ts": "2026-11-23T13:45:00.000Z",
        "rule": "fallback",
        "target": "backtest",
        "event": "fire",
        "value": 1.0,
        "limit": 0.1,
        "because": "4 of the last 4 answers (100%) came from Claude Haiku 4.5; limit 10%.",
    }


def test_an_outage_fires_down_and_a_hang_is_slow_as_well() -> None:
    refused = rounds(3, first=20, start=NOON + 20 * EVERY, ok=False, error="refused",
                     ttft_ms=None, model=None)  # fmt: skip
    assert events([*rounds(20), *refused]) == [("down", "fire")]
    hanging = rounds(3, first=20, start=NOON + 20 * EVERY, ok=False, error="timeout",
                     ttft_ms=None, model=None)  # fmt: skip
    assert events([*rounds(20), *hanging]) == [("down", "fire"), ("ttft", "fire")]


def test_usage_rows_are_money_and_no_probes() -> None:
    lines = [usage(NOON, "1.50"), usage(NOON + EVERY, "0.50"), usage(NOON + 2 * EVERY, "0.01")]
    (fired,) = lines_of(lines)
    assert (fired["rule"], fired["event"], fired["target"]) == ("spend", "fire", "all")
    assert fired["ts"] == "2026-11-23T12:10:00.000Z"  # the very row that crossed it
    assert (fired["value"], fired["limit"]) == (2.01, 2.0)


def test_spend_is_said_again_at_a_doubling_and_ends_with_the_day() -> None:
    lines = [
        usage(NOON, "2.10"),
        usage(NOON + EVERY, "2.10"),
        usage(NOON + timedelta(hours=13), "0.01"),
    ]
    assert events(lines) == [("spend", "fire"), ("spend", "remind"), ("spend", "resolve")]


def test_a_steady_rate_warns_once() -> None:
    lines = [usage(MIDNIGHT + n * EVERY, "0.01") for n in range(60)]
    assert events(lines) == [("spend", "warn")]


def test_silence_is_reported_while_it_lasts_and_only_the_first_sample_ends_it() -> None:
    late = NOON + timedelta(hours=3)
    found = lines_of([*rounds(20), *rounds(2, start=late, first=50)])
    assert [(e["rule"], e["event"], e["ts"][11:16]) for e in found] == [
        ("no_data", "fire", "13:55"),  # 13:35 was the last round
        ("no_data", "resolve", "15:00"),
    ]


def test_reminders_come_in_the_time_of_the_rows() -> None:
    slow = rounds(60, ttft_ms=2200)
    assert events(slow) == [("ttft", "fire"), ("ttft", "remind")]


def test_targets_are_judged_apart() -> None:
    lines = []
    for n in range(30):
        at = NOON + n * EVERY
        lines.append(probe(at, target="good", sweep=n))
        lines.append(probe(at, target="bad", sweep=n, model=HAIKU))
    rules = {"fallback": FallbackRule()}
    found = list(replay(lines, rules, identity=IDENTITY))
    assert [(e.target, e.event) for e in found] == [("bad", "fire")]


def test_a_target_that_falls_silent_is_missed_while_another_goes_on() -> None:
    lines = []
    for n in range(20):
        at = NOON + n * EVERY
        lines.append(probe(at, target="steady", sweep=n))
        lines += [probe(at, target="gone", sweep=n)] if n < 5 else []
    found = list(replay(lines, {"no_data": NoDataRule()}, identity=IDENTITY))
    assert [(e.target, e.event, e.at) for e in found] == [
        ("gone", "fire", NOON + 8 * EVERY)  # 12:20 was its last, 12:40 the first past 12:35
    ]


def test_other_limits_can_be_tried() -> None:
    lines = [probe(NOON, ttft_ms=1300), probe(NOON + EVERY, sweep=2, ttft_ms=1100)]
    literal = {"ttft": TtftRule(mode="immediate")}
    assert events(lines, rules=literal) == [("ttft", "fire"), ("ttft", "resolve")]
    assert events(lines, rules={"ttft": TtftRule(mode="immediate", limit_ms=1400)}) == []


def test_under_maintenance_the_state_is_kept_and_nothing_is_reported() -> None:
    window = MaintenanceWindow(days=("mon",), start=time(0), end=time(23))
    rules = {"fallback": FallbackRule()}
    (fired,) = replay(rounds(4, model=HAIKU), rules, identity=IDENTITY, silence=[window])
    assert (fired.event, fired.notice) == ("fire", None)


def test_the_same_rows_make_the_same_events() -> None:
    lines = rounds(40, model=HAIKU, ttft_ms=2200)
    assert lines_of(lines) == lines_of(lines)


# ------------------------------------------------------------ rows

GOOD = json.loads(probe(NOON))


def without(key: str) -> str:
    return json.dumps({k: v for k, v in GOOD.items() if k != key})


@each(
    ("line", "reported"),
    [
        ("{", "not a JSON object: '{'; write one object per line"),
        ("[1]", "not a JSON object: '[1]'; write one object per line"),
        ("[" * 100_000, "not a JSON object: "),
        (without("ts"), "ts: None; write an instant such as 2026-03-02T12:00:00.000Z"),
        (probe(NOON, ts="yesterday"), "ts: 'yesterday'; write an instant"),
        (probe(NOON, ts="2026-03-02T12:00:00"), "ts: '2026-03-02T12:00:00'; write an instant"),
        (probe(NOON, ts=1772452800), "ts: 1772452800; write an instant"),
        (probe(NOON, identity="haiku"), "identity: 'haiku'; write one of \"expected\", \"fall"),
        (probe(NOON, identity=1), "identity: 1; write a text or null"),
        (probe(NOON, ts="0001-01-01T00:00:00+14:00"), "ts: '0001-01-01T00:00:00+14:00'; write"),
        (probe(NOON, ttft_ms=10**400), "ttft_ms: 1000000000000"),
        (probe(NOON, cost_usd="1e999999"), "cost_usd: '1e999999'; write dollars"),
        (probe(NOON, kind="prob"), "kind: 'prob'; write \"probe\" or \"usage\""),
        (without("query"), "query: missing; a probe names its canned query"),
        (without("sweep"), "sweep: None; write a value that all probes of a round share"),
        (probe(NOON, ok="yes"), "ok: 'yes'; write true or false"),
        (probe(NOON, error=500), "error: 500; write a text or null"),
        (probe(NOON, model=["m"]), "model: ['m']; write a text or null"),
        (probe(NOON, ttft_ms="1000"), "ttft_ms: '1000'; write milliseconds above 0, or null"),
        (probe(NOON, ttft_ms=0), "ttft_ms: 0; write milliseconds above 0, or null"),
        (probe(NOON, ttft_ms=float("nan")), "ttft_ms: nan; write milliseconds above 0, or null"),
        (probe(NOON, ttft_ms=True), "ttft_ms: True; write milliseconds above 0, or null"),
        (probe(NOON, cost_usd="-1"), "cost_usd: '-1'; write dollars such as \"0.000950\""),
        (probe(NOON, cost_usd="NaN"), "cost_usd: 'NaN'; write dollars"),
        (probe(NOON, cost_usd="free"), "cost_usd: 'free'; write dollars"),
        (probe(NOON - timedelta(minutes=6)), "ts: 2026-11-23 11:54:00+00:00 comes after"),
    ],
)  # fmt: skip
def test_a_bad_row_names_its_line_and_the_remedy(line: str, reported: str) -> None:
    with pytest.raises(BadBacktestRow) as raised:
        events([probe(NOON), "", line])
    assert str(raised.value).startswith(f"line 3: {reported}")


@pytest.mark.parametrize(
    "line",
    [
        probe(NOON, cost_usd=0.00095),  # a number is as good as a text
        probe(NOON, cost_usd=None, model=None, ttft_ms=None),
        probe(NOON, ts="2026-11-23T13:00:00+01:00"),
        probe(NOON, sweep="a name", extra="ignored"),
        probe(NOON, ok=False, error=None),
        probe(NOON, ok=False, error="http_418"),
        probe(NOON - timedelta(minutes=4)),  # a little disorder is usual
    ],
)
def test_an_unusual_row_is_taken(line: str) -> None:
    assert events([probe(NOON), line]) == []


def test_a_429_is_about_us_and_a_503_is_not() -> None:
    ok = rounds(20)
    for error, expected in (("http_429", []), ("http_503", [("down", "fire")])):
        refused = rounds(3, first=20, start=NOON + 20 * EVERY, ok=False, error=error,
                         ttft_ms=None, model=None)  # fmt: skip
        assert events([*ok, *refused]) == expected


# ------------------------------------------------------------ money and names


@pytest.mark.search
def test_the_ledger_sums_exactly_and_knows_two_days() -> None:
    ledger = SpendLedger("UTC", looked_back=timedelta(hours=3), start=NOON)
    for _ in range(300_000):
        ledger.add(NOON, Decimal("0.000007"))
    (today,) = ledger.days(sliced=True)
    assert today.total_usd == Decimal("2.100000")
    assert today.slices == ((NOON, Decimal("2.1")),)
    ledger.add(NOON + timedelta(hours=12), Decimal("0.5"))
    yesterday, today = ledger.days(sliced=False)
    assert (yesterday.total_usd, today.total_usd) == (Decimal("2.1"), Decimal("0.5"))


def test_an_unpriced_row_makes_the_sum_a_floor() -> None:
    ledger = SpendLedger("UTC", looked_back=timedelta(hours=3), start=NOON)
    ledger.add(NOON, None)
    assert ledger.days(sliced=False)[0].at_least


def test_the_day_is_that_of_the_zone() -> None:
    ledger = SpendLedger("Europe/Rome", looked_back=timedelta(hours=3), start=NOON)
    ledger.add(NOON, Decimal(1))
    ledger.add(MIDNIGHT + timedelta(hours=23), Decimal(2))  # midnight in Rome
    assert [day.total_usd for day in ledger.days(sliced=False)] == [Decimal(1), Decimal(2)]


@pytest.mark.parametrize(
    ("model", "identity"),
    [
        (LLAMA, Identity.EXPECTED),
        ("Llama-4-Scout-17B-16E-Instruct", Identity.EXPECTED),  # a spelling of the same
        (HAIKU, Identity.FALLBACK),
    ],
)
def test_models_are_compared_as_models_and_not_as_strings(model: str, identity: Identity) -> None:
    assert IDENTITY(model) is identity


# ------------------------------------------------------------ the command


# ------------------------------------------------------------ rows that say who answered


def turns(*parts: tuple[int, dict[str, Any]]) -> list[tuple[str, str]]:
    """Events of rounds in a row: so many, and what their rows say."""
    lines: list[str] = []
    first = 0
    for count, changes in parts:
        lines += rounds(count, start=NOON + first * EVERY, first=first, **changes)
        first += count
    return events(lines)


HEALTHY: dict[str, Any] = {"identity": "expected"}
CHANGED: dict[str, Any] = {"identity": "changed", "model": None}
NAMED: dict[str, Any] = {"identity": "fallback", "model": HAIKU}


def test_rows_that_say_changed_fire_model_changed_and_resolve() -> None:
    assert turns((20, HEALTHY), (6, CHANGED), (20, HEALTHY)) == [
        ("model_changed", "fire"),
        ("model_changed", "resolve"),
    ]


def test_changed_rows_that_get_a_name_become_fallback() -> None:
    assert turns((20, HEALTHY), (6, CHANGED), (6, NAMED), (20, HEALTHY)) == [
        ("model_changed", "fire"),
        ("fallback", "fire"),
        ("model_changed", "resolve"),
        ("fallback", "resolve"),
    ]


def test_one_changed_row_among_good_ones_fires_nothing() -> None:
    lines = rounds(60)
    lines[90] = lines[90].replace('"cost_usd"', '"identity": "changed", "cost_usd"')
    assert events(lines) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"identity": "disputed"}, [("model_changed", "fire")]),  # names the expected model
        ({"identity": "unknown", "model": HAIKU}, []),  # what the row says counts, not the name
        ({"identity": "expected", "model": HAIKU}, []),
        ({"identity": "fallback", "model": None}, [("fallback", "fire")]),
        ({"identity": None, "model": HAIKU}, [("fallback", "fire")]),  # by the name, as ever
    ],
)
def test_identity_of_a_row_goes_before_its_model(
    changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert turns((20, {}), (6, changes)) == expected

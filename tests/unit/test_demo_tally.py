"""Probes shared among the acts of the story, and the sentence for a story that breaks off."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from monitor.demo.live_rounds import LiveProbe, finished, round_line
from monitor.demo.scenario import ACTS
from monitor.demo.story import ActSummary, act_summaries, missed

HAIKU, LLAMA = "anthropic/claude-3-5-haiku-20241022", "meta-llama/llama-4-scout"
NOON = datetime(2025, 11, 6, 12, tzinfo=UTC)


def at(second):
    return NOON + timedelta(seconds=second)


def test_a_probe_belongs_to_the_act_it_was_started_in():
    begun = [(ACTS[0], at(10)), (ACTS[1], at(20)), (ACTS[2], at(30))]
    rows = [
        (at(25), 2000.0, "fallback", Decimal("0.003")),
        (at(9), 900.0, "expected", Decimal("0.001")),  # before the first act: its own
        (at(10), 1100.0, "expected", Decimal("0.002")),
        (at(20), None, "unknown", None),
    ]
    assert act_summaries(begun, rows) == [
        ActSummary("healthy", 2, 1000.0, Counter(expected=2), Decimal("0.0015")),
        ActSummary("key rejected", 2, 2000.0, Counter(fallback=1, unknown=1), Decimal("0.003")),
        ActSummary("key replaced", 0, None, Counter(), None),
    ]


def test_what_did_not_come_is_named():
    assert missed(ACTS[1], [("FIRING", "ttft")]) == (
        "The demo failed: FIRING ttft did not arrive within 90 s after "
        "“OpenRouter rejects the key (401)”."
    )
    assert missed(ACTS[0], []) == (
        "The demo failed: the worker sent fewer than 6 probes within 90 s after “Normal operation”."
    )


def live(slot, query, **changes):
    known = {"ttft_ms": 519.0, "model": LLAMA, "identity": "expected", "usd": Decimal("0.0002")}
    return LiveProbe(**{"slot": slot, "query": query, "high_usd": None, **known, **changes})


def test_a_round_is_shown_when_it_is_whole_or_a_later_one_began():
    whole = [live(at(0), query) for query in ("hi", "kbli", "who")]
    cut = [live(at(4), "hi")]
    assert finished([*whole, *cut]) == {at(0): whole}
    later = live(at(8), "hi")
    assert finished([*whole, *cut, later]) == {at(0): whole, at(4): cut}
    assert finished([]) == {}


def test_the_line_of_a_round_names_ttft_cost_and_who_answered():
    told = round_line([live(at(0), "hi"), live(at(0), "kbli", ttft_ms=None)])
    assert told.plain == "  12:00:00  hi 0.52 s  kbli –  $0.0004  Llama 4 Scout"
    unsure = live(at(0), "who", model=None, identity="unknown", usd=None, high_usd=Decimal("0.002"))
    fell = live(at(0), "hi", model=HAIKU, identity="fallback", ttft_ms=1139.0)
    assert round_line([fell, unsure]).plain == (
        "  12:00:00  hi 1.14 s  who 0.52 s  ≤ $0.0022  Claude 3.5 Haiku, not identified"
    )

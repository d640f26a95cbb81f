"""Probes shared among the acts of the story, and the sentence for a story that breaks off."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from monitor.demo.scenario import ACTS
from monitor.demo.story import ActSummary, act_summaries, missed

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
        "The demo failed: the worker sent fewer than 9 probes within 90 s after “Normal operation”."
    )

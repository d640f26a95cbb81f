"""`unpriced`: answers nobody can price."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from monitor.domain import Sample, VerdictState
from monitor.rules import UnpricedRule
from tests.probe_notation import NOON, marked, window


def answers(marks: str, *, start: datetime = NOON) -> Iterator[Sample]:
    """`.` has a price; `u` and `v`, two models, have none, nor has `?`, of nobody knows whom."""
    samples = list(marked(marks.replace("u", "F").replace("v", "F"), start=start))
    for sample, mark in zip(samples, marks.replace("|", ""), strict=True):
        model = "acme/new" if mark == "v" else sample.model
        yield sample if mark == "." else replace(sample, model=model, cost_usd=None)


@pytest.mark.parametrize(
    ("marks", "state"),
    [
        ("...|...", VerdictState.OK),
        ("uu.|...", VerdictState.OK),  # two may be an accident
        ("uuu|...", VerdictState.NOTICE),
        ("uuv|v..", VerdictState.OK),  # two of each
        ("???|???", VerdictState.OK),  # that nobody can tell the model is said elsewhere
        ("??u|u?.", VerdictState.OK),
        ("xxx|xxx", VerdictState.NO_DATA),  # no answer, no price
    ],
)
def test_three_answers_without_a_price_are_a_notice(marks: str, state: VerdictState) -> None:
    seen = window(answers(marks))
    assert UnpricedRule().judge(seen, None, NOON + timedelta(minutes=6)).state is state


def test_nobody_is_notified_seconds_after_the_first_start() -> None:
    seen = window(answers("uuu"))
    rule, first = UnpricedRule(), seen.samples[0].at
    assert rule.judge(seen, None, first + timedelta(seconds=179)).state is VerdictState.OK
    assert rule.judge(seen, None, first + timedelta(minutes=3)).state is VerdictState.NOTICE


def test_it_is_said_once_a_day_and_model() -> None:
    seen = window(answers("...|uuu"))
    verdict = UnpricedRule().judge(seen, None, NOON + timedelta(minutes=6))
    assert verdict.once == "2026-11-23 anthropic/claude-haiku-4-5"
    assert verdict.because == (
        "3 of 6 answers of the last 24 h have no price: anthropic/claude-haiku-4-5."
    )
    assert [row.int for row in verdict.rows] == [6, 5, 4]


def test_a_second_model_is_said_once_and_the_first_not_again() -> None:
    rounds = ["uuu", "u.v", "vu.", "v..", "uvv", "...", "vvv", "u??"]
    windows = [window(answers("|".join(rounds[:count]))) for count in range(1, 9)]
    notified = [UnpricedRule().judge(seen, None, seen.samples[-1].at) for seen in windows]
    first, second = "2026-11-23 anthropic/claude-haiku-4-5", "2026-11-23 acme/new"
    assert [verdict.once for verdict in notified] == [None, *[first] * 2, *[second] * 5]
    assert notified[3].because == (
        "8 of 12 answers of the last 24 h have no price: acme/new, anthropic/claude-haiku-4-5."
    )


def test_what_was_said_yesterday_is_not_said_again_for_yesterdays_rows() -> None:
    late = NOON + timedelta(hours=11, minutes=50)
    seen = window(answers("uuu", start=late))
    assert (
        UnpricedRule().judge(seen, None, late + timedelta(minutes=5)).state is VerdictState.NOTICE
    )
    assert UnpricedRule().judge(seen, None, late + timedelta(minutes=15)).state is VerdictState.OK


def test_a_share_may_be_allowed() -> None:
    seen = window(answers("uuu|...|...|..."))
    for limit, state in ((0.25, VerdictState.OK), (0.24, VerdictState.NOTICE)):
        verdict = UnpricedRule(limit=limit).judge(seen, None, NOON + timedelta(minutes=16))
        assert verdict.state is state


def test_a_senseless_limit_is_refused_with_its_remedy() -> None:
    with pytest.raises(ValueError, match="answers = 0: write a number of at least 1"):
        UnpricedRule(answers=0)


def test_answers_priced_as_a_range_are_not_without_a_price() -> None:
    ends = {"cost_low_usd": Decimal(1), "cost_high_usd": Decimal(2)}
    samples = [
        replace(s, **ends) if s.model in (None, "acme/new") else s for s in answers("uuuv|v??")
    ]
    verdict = UnpricedRule().judge(window(iter(samples)), None, NOON + timedelta(minutes=6))
    assert verdict.because.startswith("3 of 7 answers of the last 24 h have no price: ")
    assert verdict.because.endswith(" 4 answers of unknown model are priced as a range.")

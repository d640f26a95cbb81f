"""`unpriced`: answers nobody can price."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from monitor.domain import Sample, State
from monitor.rules import Unpriced
from tests.marks import NOON, marked, window


def answers(marks: str, *, start: datetime = NOON) -> Iterator[Sample]:
    """`.` has a price, `u` has none."""
    samples = marked(marks.replace("u", "F"), start=start)
    return (replace(s, cost_usd=None) if s.identity.fallback else s for s in samples)


@pytest.mark.parametrize(
    ("marks", "state"),
    [
        ("...|...", State.OK),
        ("uu.|...", State.OK),  # two may be an accident
        ("uuu|...", State.NOTICE),
        ("xxx|xxx", State.NO_DATA),  # no answer, no price
    ],
)
def test_three_answers_without_a_price_are_a_notice(marks: str, state: State) -> None:
    seen = window(answers(marks))
    assert Unpriced().judge(seen, None, NOON + timedelta(minutes=6)).state is state


def test_it_is_said_once_a_day_and_set_of_models() -> None:
    seen = window(answers("...|uuu"))
    verdict = Unpriced().judge(seen, None, NOON + timedelta(minutes=6))
    assert verdict.once == "2026-11-23 anthropic/claude-haiku-4-5"
    assert verdict.because == (
        "3 of 6 answers of the last day have no price: anthropic/claude-haiku-4-5."
    )
    assert [row.int for row in verdict.rows] == [6, 5, 4]


def test_what_was_said_yesterday_is_not_said_again_for_yesterdays_rows() -> None:
    late = NOON + timedelta(hours=11, minutes=50)
    seen = window(answers("uuu", start=late))
    assert Unpriced().judge(seen, None, late + timedelta(minutes=5)).state is State.NOTICE
    assert Unpriced().judge(seen, None, late + timedelta(minutes=15)).state is State.OK


def test_a_share_may_be_allowed() -> None:
    seen = window(answers("uuu|...|...|..."))
    for limit, state in ((0.25, State.OK), (0.24, State.NOTICE)):
        verdict = Unpriced(limit=limit).judge(seen, None, NOON + timedelta(minutes=16))
        assert verdict.state is state


def test_a_senseless_limit_is_refused_with_its_remedy() -> None:
    with pytest.raises(ValueError, match="answers = 0: write a number of at least 1"):
        Unpriced(answers=0)

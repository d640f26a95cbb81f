"""`down`: failed probes over rounds."""

from datetime import timedelta

import pytest

from monitor.domain import State
from monitor.rules import Down
from tests.marks import NOON, after, incident, marked, window


@pytest.mark.parametrize(
    ("marks", "state"),
    [
        ("...|...", State.OK),
        ("...|xxx", State.OK),  # one lost round of our own network
        ("...|xxx|x", State.OK),
        ("...|xxx|xx", State.BREACH),
        (".xx|xxx", State.BREACH),  # 5 of 6
        ("x.x|xx.", State.OK),  # 4 of 6
        ("xxx|xx.", State.BREACH),  # the last was good, and five of six were not
        ("xxxxxx", State.OK),  # one round only
        ("xxx|rrr|xx", State.BREACH),  # 429 is about us: on neither side
        ("xxx|---|x..", State.OK),
        ("TTT|TT", State.BREACH),
        ("...|FFF", State.OK),  # somebody answered
        ("---", State.NO_DATA),
    ],
)
def test_five_of_six_failed_over_two_rounds(marks: str, state: State) -> None:
    seen = window(marked(marks))
    assert Down().judge(seen, None, after(seen)).state is state


@pytest.mark.parametrize(
    ("marks", "state"), [("x|x", State.OK), ("x|x|x", State.BREACH), ("x|x|.|x", State.OK)]
)
def test_a_target_of_one_query_is_down_after_three_rounds(marks: str, state: State) -> None:
    seen = window(marked(marks), queries=1)
    assert Down().judge(seen, None, after(seen)).state is state


@pytest.mark.parametrize(
    ("marks", "queries", "value", "limit"),
    [("x|x|x", 1, 3, 3), ("x|x|x|x|x|x", 1, 6, 5), ("xxx|xx", 3, 5, 5), (".|x|x", 1, 2, 5)],
)
def test_the_limit_shown_is_the_one_that_was_reached(
    marks: str, queries: int, value: int, limit: int
) -> None:
    seen = window(marked(marks), queries=queries)
    verdict = Down().judge(seen, None, after(seen))
    assert (verdict.value, verdict.limit) == (value, limit)


@pytest.mark.parametrize(
    ("later", "state"),
    [
        ("", State.NO_DATA),
        ("x", State.BREACH),
        (".", State.HOLD),
        ("...|.", State.HOLD),
        ("...|..", State.OK),
        ("...|.x", State.BREACH),
        ("x..|...", State.OK),
        ("..x|..", State.HOLD),
        ("rrr|---", State.NO_DATA),  # nothing was heard that speaks for an end
    ],
)
def test_it_is_up_again_after_five_good_probes(later: str, state: State) -> None:
    opening = list(marked("xxx|xx"))
    later_samples = marked(later, start=NOON + timedelta(minutes=10)) if later else ()
    seen = window(iter([*opening, *later_samples]))
    standing = incident("down", opened_at=opening[-1].at)
    assert Down().judge(seen, standing, after(seen)).state is state


def test_a_target_of_one_query_is_up_again_after_three_rounds() -> None:
    standing = incident("down", opened_at=NOON - timedelta(minutes=1))
    for marks, state in ((".|.", State.HOLD), (".|.|.", State.OK)):
        seen = window(marked(marks), queries=1)
        assert Down().judge(seen, standing, after(seen)).state is state


def test_after_a_gap_only_fresh_probes_count() -> None:
    seen = window(iter([*marked("xxx"), *marked("xx", start=NOON + timedelta(hours=1))]))
    assert Down().judge(seen, None, after(seen)).state is State.OK


def test_the_sentence_counts_the_ways_it_failed() -> None:
    seen = window(marked("xxx|xT"))
    verdict = Down().judge(seen, None, after(seen))
    assert verdict.because == "5 of the last 5 probes failed: 4 refused, 1 timeout_first_token."
    assert verdict.facts == {"First failure": "12:00:01 UTC"}
    assert [row.int for row in verdict.rows] == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"failed": 7}, "failed = 7: write at most of, which is 6"),
        ({"of": 0}, "of = 0: write a number between 1 and 50"),
        ({"rounds": 1}, "rounds = 1: write a number of at least 2"),
    ],
)
def test_a_senseless_limit_is_refused_with_its_remedy(limits: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        Down(**limits)

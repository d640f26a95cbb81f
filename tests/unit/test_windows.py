"""Windows: the last day of a target, bounded, and the same however it was built."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain import Subject
from monitor.rules import RULES, SAMPLES, SPAN, Window
from monitor.rules.window import KNOWN, ROUNDS
from tests.probe_notation import EVERY, NOON, after, incident, marked, sample, window

OF_TARGETS = [rule() for rule in RULES.values() if rule.subject is Subject.TARGET]
MARKS = st.lists(st.text(".F?CDxT-r", min_size=1, max_size=3), min_size=1, max_size=60)


@given(rounds=MARKS, latest_incident=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_rebuilt_window_judges_as_one_that_grew(rounds: list[str], latest_incident: bool) -> None:
    """A restart changes nothing: every rule sees the same rows in the same light."""
    samples = list(marked("|".join(rounds)))
    grown = Window("rag", every=EVERY, queries=3)
    for each in samples:
        grown.add(each)
        for rule in OF_TARGETS:  # judging leaves no trace
            rule.judge(grown, None, each.at)
    anew = window(iter(samples))
    for rule in OF_TARGETS:
        open_ = (
            incident(rule.name, opened_at=NOON + timedelta(minutes=12)) if latest_incident else None
        )
        now = after(grown)
        assert rule.judge(anew, open_, now) == rule.judge(grown, open_, now)


def test_a_window_holds_a_day_and_no_more_than_its_bounds() -> None:
    seen = Window("rag")
    for each in marked("|".join([".F?"] * 900), every=timedelta(minutes=2)):
        seen.add(each)
    newest = seen.samples[-1].at
    assert all(newest - each.at <= SPAN for each in seen.samples)
    assert len(seen.samples) <= SAMPLES
    assert len(seen.rounds) == ROUNDS
    assert len(seen.known) == KNOWN
    assert seen.known.hits(KNOWN) == KNOWN // 2
    untold = [each for each in seen.samples if each.model is None]
    assert (seen.answered, seen.unknown) == (len(seen.samples), len(untold))


@pytest.mark.parametrize(
    ("spacing", "then", "gap"),
    [
        (timedelta(minutes=5), timedelta(minutes=15), False),
        (timedelta(minutes=5), timedelta(minutes=16), True),
        (timedelta(seconds=1), timedelta(minutes=2), False),  # one probe may take that long
        (timedelta(seconds=1), timedelta(minutes=3), True),
        (timedelta(minutes=40), timedelta(minutes=40), False),  # slower than asked, but steady
    ],
)
def test_three_missing_intervals_are_a_gap(spacing: timedelta, then: timedelta, gap: bool) -> None:
    before = list(marked("|".join("." * 12), every=spacing))
    late = sample(at=before[-1].round + then, round=before[-1].round + then)
    seen = Window.of([*before, late], scope="rag", every=min(spacing, EVERY), queries=1)
    assert (len(seen.known) == 1) is gap


def test_a_target_slower_than_it_is_asked_is_not_taken_for_one_gap_after_the_other() -> None:
    """Rounds that take seven seconds at an interval of one: the pace is learnt."""
    seven = timedelta(minutes=7)
    seen = Window.of(
        marked("|".join("." * 30), every=seven), scope="rag", every=timedelta(minutes=1), queries=1
    )
    assert seen.pace == seven
    assert len(seen.known) >= 20


def test_pace_and_queries_are_learnt_where_no_one_says_them() -> None:
    seen = Window("rag")
    closed = [seen.add(each) for each in marked("...|...|...")]
    assert (seen.pace, seen.queries) == (EVERY, 3)
    # The first round is known to be whole when the second begins; later ones at once.
    assert closed == [False, False, False, True, False, True, False, False, True]


def test_a_round_closes_when_it_is_whole_or_when_the_next_begins() -> None:
    seen = Window("rag", every=EVERY, queries=3)
    assert [seen.add(each) for each in marked("...|..|...")] == [
        False, False, True,
        False, False,
        True, False, True,
    ]  # fmt: skip


def test_a_late_sample_joins_its_own_round() -> None:
    first, second, third = marked("..|.")
    seen = window(iter([first, third, second]), queries=2)
    assert [len(each.samples) for each in seen.rounds] == [2, 1]


def test_a_late_round_takes_its_place_in_time() -> None:
    first, second, third = marked(".|.|.")
    seen = window(iter([first, third, second]), queries=1)
    assert [each.slot for each in seen.rounds] == [first.round, second.round, third.round]

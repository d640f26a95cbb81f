"""`down`: failed probes over rounds."""

from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.domain import Outcome, VerdictState
from monitor.rules import DownRule
from monitor.rules.explanations import failure_words
from tests.case_tables import each
from tests.probe_notation import EVERY, NOON, after, incident, marked, window


@each(
    ("marks", "state"),
    [
        ("...|...", VerdictState.OK),
        ("...|xxx", VerdictState.OK),  # one lost round of our own network
        ("...|xxx|x", VerdictState.OK),
        ("...|xxx|xx", VerdictState.BREACH),
        (".xx|xxx", VerdictState.BREACH),  # 5 of 6
        ("x.x|xx.", VerdictState.OK),  # 4 of 6
        ("xxx|xx.", VerdictState.BREACH),  # the last was good, and five of six were not
        ("xxxxxx", VerdictState.OK),  # one round only
        ("xxx|rrr|xx", VerdictState.BREACH),  # 429 is about us: on neither side
        ("xxx|---|x..", VerdictState.OK),
        ("TTT|TT", VerdictState.BREACH),
        ("...|FFF", VerdictState.OK),  # somebody answered
        ("---", VerdictState.NO_DATA),
    ],
)
def test_five_of_six_failed_over_two_rounds(marks: str, state: VerdictState) -> None:
    seen = window(marked(marks))
    assert DownRule().judge(seen, None, after(seen)).state is state


@pytest.mark.parametrize(
    ("marks", "state"),
    [("x|x", VerdictState.OK), ("x|x|x", VerdictState.BREACH), ("x|x|.|x", VerdictState.OK)],
)
def test_a_target_of_one_query_is_down_after_three_rounds(marks: str, state: VerdictState) -> None:
    seen = window(marked(marks), queries=1)
    assert DownRule().judge(seen, None, after(seen)).state is state


@pytest.mark.parametrize(
    ("marks", "queries", "value", "limit"),
    [("x|x|x", 1, 3, 3), ("x|x|x|x|x|x", 1, 6, 5), ("xxx|xx", 3, 5, 5), (".|x|x", 1, 2, 5)],
)
def test_the_limit_shown_is_the_one_that_was_reached(
    marks: str, queries: int, value: int, limit: int
) -> None:
    seen = window(marked(marks), queries=queries)
    verdict = DownRule().judge(seen, None, after(seen))
    assert (verdict.value, verdict.limit) == (value, limit)


@each(
    ("later", "state"),
    [
        ("", VerdictState.NO_DATA),
        ("x", VerdictState.BREACH),
        (".", VerdictState.HOLD),
        ("...|.", VerdictState.HOLD),
        ("...|..", VerdictState.OK),
        ("...|.x", VerdictState.BREACH),
        ("x..|...", VerdictState.OK),
        ("..x|..", VerdictState.HOLD),
        ("rrr|---", VerdictState.NO_DATA),  # nothing was heard that speaks for an end
    ],
)
def test_it_is_up_again_after_five_good_probes(later: str, state: VerdictState) -> None:
    opening = list(marked("xxx|xx"))
    later_samples = marked(later, start=NOON + timedelta(minutes=10)) if later else ()
    seen = window(iter([*opening, *later_samples]))
    latest_incident = incident("down", opened_at=opening[-1].at)
    assert DownRule().judge(seen, latest_incident, after(seen)).state is state


def test_a_target_of_one_query_is_up_again_after_three_rounds() -> None:
    latest_incident = incident("down", opened_at=NOON - timedelta(minutes=1))
    for marks, state in ((".|.", VerdictState.HOLD), (".|.|.", VerdictState.OK)):
        seen = window(marked(marks), queries=1)
        assert DownRule().judge(seen, latest_incident, after(seen)).state is state


def test_after_a_gap_only_fresh_probes_count() -> None:
    seen = window(iter([*marked("xxx"), *marked("xx", start=NOON + timedelta(hours=1))]))
    assert DownRule().judge(seen, None, after(seen)).state is VerdictState.OK


def test_the_sentence_counts_the_ways_it_failed() -> None:
    seen = window(marked("xxx|xT"))
    verdict = DownRule().judge(seen, None, after(seen))
    assert verdict.because == "5 of the last 5 probes failed: 4 refused, 1 timeout_first_token."
    assert verdict.facts == {"First failure": "12:00:01 UTC"}
    assert [row.int for row in verdict.rows] == [5, 4, 3, 2, 1]


def test_the_end_of_several_breaches_names_the_kinds_of_all() -> None:
    first = [*marked("xxx|xxx|xxx|...|...|..."), *marked("TTT|TTT", start=NOON + 6 * EVERY)]
    seen = window(iter(first))
    opened = incident("down", opened_at=first[5].at, since=NOON + timedelta(seconds=1))
    returned = DownRule().judge(seen, opened, after(seen)).finding
    assert returned.what == "does not answer: no first token in time on 6 of 6 probes"
    assert returned.was == (
        "no answer {when} (connection refused and no first token in time on 15 probes)"
    )
    again = replace(
        opened, since=first[-6].at, earlier_breaches=((opened.breach_since, first[8].at),)
    )
    assert DownRule().judge(seen, again, after(seen)).finding.was == returned.was
    whole = window(marked("xxx|xxx|xxx|xxx"))
    alone = DownRule().judge(whole, opened, after(whole)).finding
    assert alone.was == "no answer {when} (connection refused on 12 of 12 probes)"


def test_more_than_two_kinds_are_others() -> None:
    failed = list(marked("xxT|xxT|xxT"))
    failed[0] = replace(failed[0], outcome=Outcome.STALLED)
    assert failure_words(failed) == "connection refused, no first token in time and others"
    assert failure_words(failed[1:]) == "connection refused and no first token in time"


@pytest.mark.parametrize(
    ("limits", "reported"),
    [
        ({"failed": 7}, "failed = 7: write at most of, which is 6"),
        ({"of": 0}, "of = 0: write a number between 1 and 50"),
        ({"rounds": 1}, "rounds = 1: write a number of at least 2"),
    ],
)
def test_a_senseless_limit_is_refused_with_its_remedy(
    limits: dict[str, int], reported: str
) -> None:
    with pytest.raises(ValueError, match=f"^{reported}$"):
        DownRule(**limits)

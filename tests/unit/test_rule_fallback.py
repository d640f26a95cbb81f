"""`fallback`: k of n known answers, against the limit and against chance."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from monitor.domain import Incident, VerdictState
from monitor.rules import FallbackRule, Window
from tests.case_tables import each
from tests.probe_notation import EVERY, HAIKU, LLAMA, NOON, after, incident, marked, sample, window


def judged(marks: str, latest_incident: Incident | None = None, **limits: object) -> VerdictState:
    seen = window(marked(marks))
    return FallbackRule(**limits).judge(seen, latest_incident, after(seen)).state  # type: ignore[arg-type]


def rounds(marks: str) -> str:
    """Marks in rounds of three."""
    return "|".join(marks[i : i + 3] for i in range(0, len(marks), 3))


@each(
    ("marks", "state"),
    [
        ("FFF", VerdictState.OK),
        ("FFFF", VerdictState.BREACH),
        ("?F?F?F?F", VerdictState.BREACH),  # nobody can tell: on neither side
        ("xFxFxFxF", VerdictState.BREACH),  # and so do probes without an answer
        (".FFF", VerdictState.OK),
        (".FFFF", VerdictState.BREACH),
        ("FFF.FF", VerdictState.BREACH),  # 5 of 6
        ("FF.FF.", VerdictState.OK),  # 4 of 6
        ("FF..FF.F.F", VerdictState.BREACH),  # 6 of 10
        ("FF..FF.F..", VerdictState.OK),  # 5 of 10
        ("." * 30, VerdictState.OK),
        ("???", VerdictState.NO_DATA),
        ("xxx", VerdictState.NO_DATA),
    ],
)
def test_a_breach_is_a_share_over_the_limit_that_chance_does_not_explain(
    marks: str, state: VerdictState
) -> None:
    assert judged(rounds(marks)) is state


def test_a_larger_stretch_needs_a_smaller_share() -> None:
    every_fifth = rounds("F...." * 20)
    assert judged(every_fifth) is VerdictState.BREACH
    assert judged(rounds("F........." * 20)) is VerdictState.OK  # 10 % is the limit, not over it


STRAYS = ("F" + "." * 39) * 10  # one answer in forty is taken for the fallback's


@pytest.mark.parametrize(
    ("marks", "state"),
    [
        ("." * 400 + "FFFF", VerdictState.BREACH),
        (STRAYS + "FFFF", VerdictState.OK),  # once in months this is chance
        (STRAYS + "FFFFF", VerdictState.BREACH),
        (STRAYS + "FFF.FF", VerdictState.OK),
        (STRAYS + "FFF.FFF", VerdictState.BREACH),  # 6 of 8
    ],
)
def test_where_strays_are_usual_a_short_stretch_must_be_stronger(
    marks: str, state: VerdictState
) -> None:
    assert judged(rounds(marks)) is state


def test_the_sentence_says_how_many_of_how_many_and_who_answered() -> None:
    seen = window(marked(rounds("." * 12 + "FFFF")))
    verdict = FallbackRule().judge(seen, None, after(seen))
    assert (
        verdict.because == "4 of the last 4 answers (100%) came from Claude Haiku 4.5; limit 10%."
    )
    assert verdict.value == 1.0
    assert verdict.facts["Answers"] == HAIKU
    assert verdict.facts["Instead of"] == LLAMA
    assert [row.int for row in verdict.rows] == [16, 15, 14, 13]  # the proof, newest first


def test_the_facts_say_how_it_is_known_and_what_a_day_costs() -> None:
    marks: dict[str, dict[str, Any]] = {
        "F": {"why": "A header names it.", "cost_usd": Decimal("0.002")},
        ".": {"cost_usd": Decimal("0.0005")},
    }
    samples = [
        sample(mark, id=UUID(int=n), at=NOON + timedelta(seconds=n), **marks[mark])
        for n, mark in enumerate("....FFFF")
    ]
    seen = Window.of(samples, scope="rag", every=EVERY, queries=8, a_day=1_000)
    facts = FallbackRule().judge(seen, None, after(seen)).facts
    assert facts["Evidence"] == "A header names it."
    assert facts["Cost a day"] == "$2.00, before $0.50, for 1,000 queries"


def test_the_facts_compare_what_a_query_costs() -> None:
    seen = window(marked(rounds("...FFFF")))
    assert FallbackRule().judge(seen, None, after(seen)).facts["Cost a query"] == (
        "$0.000007, before $0.000007"
    )


# ------------------------------------------------------------ resolution

FULL = "FFFF"


@each(
    ("later", "state"),
    [
        ("FFF", VerdictState.BREACH),
        ("...", VerdictState.BREACH),  # 4 of the last 7
        ("." * 14, VerdictState.BREACH),
        ("." * 15, VerdictState.OK),
        ("." * 14 + "F", VerdictState.BREACH),
        ("F" + "." * 15, VerdictState.OK),
        ("?" * 30, VerdictState.NO_DATA),  # nothing was heard that speaks for an end
        ("x" * 30, VerdictState.NO_DATA),
    ],
)
def test_a_full_fallback_is_over_after_fifteen_good_answers(
    later: str, state: VerdictState
) -> None:
    opening = list(marked(rounds(FULL)))
    opened_at = opening[-1].at
    samples = [*opening, *marked(rounds(later), start=NOON + timedelta(minutes=10))]
    seen = window(iter(samples))
    latest_incident = incident("fallback", opened_at=opened_at, opening_value=1.0)
    assert FallbackRule().judge(seen, latest_incident, after(seen)).state is state


def test_a_partial_fallback_needs_more_to_be_over() -> None:
    """Fifteen good answers in a row are nothing unusual where one in seven fell back."""
    before = rounds("F......" * 12)
    opened_at = NOON + timedelta(minutes=5 * 27, seconds=4)
    latest_incident = incident("fallback", opened_at=opened_at, opening_value=12 / 64)
    assert judged(before + "|" + rounds("." * 15), latest_incident) is not VerdictState.OK
    assert judged(before + "|" + rounds("." * 48), latest_incident) is VerdictState.OK


def test_after_its_end_only_later_answers_count() -> None:
    latest_incident = incident("fallback", resolved_at=NOON + timedelta(minutes=10, seconds=30))
    assert judged(rounds("FFFFFFFFF"), latest_incident) is VerdictState.NO_DATA
    assert judged(rounds("FFFFFFFFF" + "FFF"), latest_incident) is VerdictState.OK
    assert judged(rounds("FFFFFFFFF" + "FFFF"), latest_incident) is VerdictState.BREACH


def test_after_a_gap_only_fresh_answers_count() -> None:
    early = list(marked("FFF"))
    late = list(marked("F..", start=NOON + timedelta(hours=3)))
    seen = window(iter([*early, *late]))
    assert FallbackRule().judge(seen, None, after(seen)).state is VerdictState.OK


def test_silence_resolves_nothing() -> None:
    seen = window(marked(rounds("." * 30)))
    latest_incident = incident("fallback", opened_at=NOON - timedelta(hours=1))
    assert FallbackRule().judge(seen, latest_incident, after(seen)).state is VerdictState.OK
    later = after(seen) + timedelta(minutes=16)
    assert FallbackRule().judge(seen, latest_incident, later).state is VerdictState.NO_DATA


# ------------------------------------------------------------ other readings


@pytest.mark.parametrize(
    ("marks", "state"),
    [
        ("...", VerdictState.OK),
        ("..F", VerdictState.BREACH),
        (".F.", VerdictState.BREACH),  # judged by nobody before the good one came
        ("F..|...|...|...|...", VerdictState.OK),  # too long ago to be news
        ("..?", VerdictState.OK),
    ],
)
def test_immediate_takes_each_answer_literally(marks: str, state: VerdictState) -> None:
    assert judged(marks, mode="immediate") is state


def test_immediate_is_over_with_the_next_answer_and_reports_nothing_twice() -> None:
    fired = incident("fallback", opened_at=NOON + timedelta(seconds=4))
    over = replace(fired, resolved_at=NOON + timedelta(seconds=6))
    assert judged(".F", fired, mode="immediate") is VerdictState.NO_DATA  # nothing new
    assert judged(".F.", fired, mode="immediate") is VerdictState.OK
    assert judged(".F.", over, mode="immediate") is VerdictState.NO_DATA
    assert judged(".F.|F..", over, mode="immediate") is VerdictState.BREACH


@pytest.mark.parametrize(
    ("marks", "state"),
    [
        ("." * 18 + "FF", VerdictState.OK),  # 2 of 20 is the limit
        ("." * 17 + "FFF", VerdictState.BREACH),
        ("FFF" + "." * 20, VerdictState.OK),  # they left the last 20
        ("FF", VerdictState.OK),  # three at least
    ],
)
def test_share_is_more_than_the_limit_of_the_last_twenty(marks: str, state: VerdictState) -> None:
    assert judged(rounds(marks), mode="share") is state


def test_share_is_over_once_twenty_later_answers_are_within_the_limit() -> None:
    latest_incident = incident("fallback", opened_at=NOON - timedelta(minutes=1))
    assert judged(rounds("." * 19), latest_incident, mode="share") is VerdictState.HOLD
    assert judged(rounds("." * 18 + "FF"), latest_incident, mode="share") is VerdictState.OK
    assert judged(rounds("." * 17 + "FFF"), latest_incident, mode="share") is VerdictState.BREACH


@pytest.mark.parametrize(
    ("limits", "reported"),
    [
        ({"limit": 0}, "limit = 0: write a number between 0.001 and 0.9"),
        ({"hits": 0}, "hits = 0: write a number of at least 1"),
        ({"evidence": -1}, "evidence = -1: write a number above 0"),
        ({"answers_to_resolve": 500}, "answers_to_resolve = 500: write a number between 1 and 200"),
    ],
)
def test_a_senseless_limit_is_refused_with_its_remedy(
    limits: dict[str, float], reported: str
) -> None:
    with pytest.raises(ValueError, match=f"^{reported}$"):
        FallbackRule(**limits)  # type: ignore[arg-type]

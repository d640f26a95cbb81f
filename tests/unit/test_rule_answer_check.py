"""`answer_check`: each query is judged over rounds; one failed answer never fires."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.domain import Sample, VerdictState
from monitor.rules import AnswerCheckRule
from tests.case_tables import each
from tests.probe_notation import EVERY, NOON, after, incident, sample, window

FAILED = "contains: “KBLI” is missing"
OK, HOLD, BREACH, NO_DATA = (
    VerdictState.OK,
    VerdictState.HOLD,
    VerdictState.BREACH,
    VerdictState.NO_DATA,
)


def checked(marks: str, *, start: int = 0) -> Iterator[Sample]:
    """Rounds of queries: `.` passed, `w` failed its check, `-` not checked, `x` no answer."""
    number = 0
    for order, requested in enumerate(marks.split("|")):
        slot = NOON + (start + order) * EVERY
        for query, mark in enumerate(requested):
            number += 1
            passed = {".": True, "w": False}.get(mark)
            yield replace(
                sample("x" if mark == "x" else "."),
                id=sample().id.__class__(int=1000 * start + number),
                at=slot + timedelta(seconds=2 * query + 1),
                round=slot,
                query=f"q{query}",
                check_passed=passed,
                check_failed=FAILED if passed is False else None,
            )


@each(("marks", "state"), [
    ("..|..|..", OK),
    ("..|..|w.", OK),  # one bad sample
    ("..|w.|w.", OK),
    ("..|w.|w.|w.", BREACH),  # the limit: three in a row
    ("w.|w.|w.", BREACH),
    ("w.|.w|w.|.w", OK),  # two queries, neither three in a row
    ("w.|x.|w.|x.|w.", BREACH),  # no answer is no passed check
    ("w.|-.|w.|-.|w.", BREACH),
    ("w|w|.|w|w|w", BREACH),  # 5 of 6
    ("--|--", NO_DATA),
    ("xx|xx", NO_DATA),
    ("www", OK),  # three queries, one sample each
])  # fmt: skip
def test_three_failures_in_a_row_of_one_query(marks: str, state: VerdictState) -> None:
    seen = window(checked(marks))
    assert AnswerCheckRule().judge(seen, None, after(seen)).state is state


@each(("usual", "in_a_row", "state"), [
    ("w...." * 20, 3, OK),  # one in five failed anyway
    ("w...." * 20, 4, OK),
    ("w...." * 20, 5, BREACH),
    ("." * 99 + "w" + "." * 50, 3, BREACH),  # one in 150
    ("." * 100, 3, BREACH),
])  # fmt: skip
def test_a_query_that_fails_now_and_then_needs_more(
    usual: str, in_a_row: int, state: VerdictState
) -> None:
    seen = window(checked("|".join(usual + "." + "w" * in_a_row)), queries=1)
    assert AnswerCheckRule().judge(seen, None, after(seen)).state is state


@each(("usual", "latest", "state"), [
    ("ww..." * 20, "wwww.w", OK),  # two in five failed anyway: 5 of 6 happen by chance
    ("....." * 20, "www.ww", BREACH),
    ("ww..." * 20, "wwwwwwww", BREACH),
])  # fmt: skip
def test_five_of_six_respect_how_often_a_query_fails_anyway(
    usual: str, latest: str, state: VerdictState
) -> None:
    seen = window(checked("|".join(usual + latest)), queries=1)
    assert AnswerCheckRule().judge(seen, None, after(seen)).state is state


@each(("later", "state"), [
    (".w", HOLD),  # one failure of another query is no part of the incident
    (".w|..|..", OK),
    (".w|.w|.w", BREACH),
])  # fmt: skip
def test_a_failure_of_another_query_does_not_join_at_once(later: str, state: VerdictState) -> None:
    opening = list(checked("w.|w.|w."))
    seen = window(iter([*opening, *checked(later, start=3)]))
    opened = incident("answer_check", opened_at=opening[-1].at, since=opening[0].at)
    assert AnswerCheckRule().judge(seen, opened, after(seen)).state is state


def test_a_query_that_is_no_longer_sent_ends_its_incident() -> None:
    opening = list(checked("w.|w.|w."))
    later = [one for one in checked("|".join([".."] * 24), start=3) if one.query == "q1"]
    seen = window(iter([*opening, *later]))
    opened = incident("answer_check", opened_at=opening[-1].at, since=opening[0].at)
    assert AnswerCheckRule().judge(seen, opened, after(seen)).state is OK


@each(("asked", "later", "state", "because"), [
    (("q0", "q1"), "w.", BREACH, "8 of 8 answers to q0 failed their check."),
    (("q1", "renamed"), "..", OK, "Query q0 removed from the configuration; closed without a final "
     "check."),
    (("other",), "", OK, "Query q0 removed from the configuration; closed without a final check."),
    (("q0",), ".w|.w|.w", OK, "The latest answers pass their checks."),  # q0 recovered
])  # fmt: skip
def test_a_query_that_is_no_longer_configured_ends_its_part_at_once(
    asked: tuple[str, ...], later: str, state: VerdictState, because: str
) -> None:
    opening = list(checked("w.|" * 6 + "w."))
    more = [one for one in checked(later, start=7) if one.query in asked]
    seen = window(iter([*opening, *more]), asked=asked)
    opened = incident("answer_check", opened_at=opening[5].at, since=opening[0].at)
    verdict = AnswerCheckRule().judge(seen, opened, after(seen))
    assert verdict.state is state
    assert verdict.because.startswith(because)


def test_the_verdict_names_query_check_and_rows() -> None:
    seen = window(checked("..|w.|w.|w."))
    verdict = AnswerCheckRule().judge(seen, None, after(seen))
    assert (verdict.value, verdict.limit) == (3.0, 3.0)
    assert verdict.because == f"3 of 3 answers to q0 failed their check. q0: {FAILED}."
    assert verdict.since == NOON + EVERY + timedelta(seconds=1)
    assert len(verdict.rows) == 3
    assert verdict.finding.what == f"wrong answers to query q0: {FAILED}"


def test_several_queries_are_one_breach() -> None:
    seen = window(checked("..|ww|ww|ww"))
    verdict = AnswerCheckRule().judge(seen, None, after(seen))
    assert verdict.finding.what.startswith("wrong answers to 2 queries: ")
    assert verdict.because.startswith("6 of 6 answers to q0, q1 failed their check. ")


@each(("later", "state"), [
    ("w.", BREACH),
    ("..", HOLD),
    ("..|..", HOLD),
    ("..|..|..", OK),
    ("..|..|w.", BREACH),
    ("x.|x.", BREACH),  # nothing was heard that speaks for an end
])  # fmt: skip
def test_it_ends_after_three_passed_checks(later: str, state: VerdictState) -> None:
    opening = list(checked("w.|w.|w."))
    seen = window(iter([*opening, *checked(later, start=3)]))
    opened = incident("answer_check", opened_at=opening[-1].at, since=opening[0].at)
    verdict = AnswerCheckRule().judge(seen, opened, after(seen))
    assert verdict.state is state
    assert bool(verdict.recovered) is (state is HOLD)


@each("later", [".w", "..|.w", "..|..|.w", ".w|.w|.w|.w"])  # fmt: skip
def test_a_query_that_passes_first_stays_a_part_of_the_incident(later: str) -> None:
    opening = list(checked("ww|ww|ww"))
    seen = window(iter([*opening, *checked(later, start=3)]))
    opened = incident("answer_check", opened_at=opening[-1].at, since=opening[0].at)
    verdict = AnswerCheckRule().judge(seen, opened, after(seen))
    assert verdict.state is BREACH
    assert " answers to q0, q1 failed their check. " in verdict.because


def test_after_its_end_what_it_saw_does_not_open_it_again() -> None:
    opening = list(checked("w.|w.|w."))
    ended = incident("answer_check", opened_at=opening[-1].at, since=opening[0].at)
    ended = replace(ended, resolved_at=opening[-1].at + timedelta(seconds=1))
    seen = window(iter([*opening, *checked("w.|w.", start=3)]))
    assert AnswerCheckRule().judge(seen, ended, after(seen)).state is OK


@pytest.mark.parametrize("limits", [{"rounds": 1}, {"failed": 7}, {"good": 1}, {"of": 51}])
def test_limits_that_one_sample_could_reach_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="write"):
        AnswerCheckRule(**limits)

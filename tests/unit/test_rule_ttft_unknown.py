"""`ttft_unknown`: measurements of the TTFT were disturbed, and the rule ttft sees nothing."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.cli.alerting import _lines, _whole
from monitor.domain import UNJUDGED, Incident, Notice, NoticeStatus, VerdictState
from monitor.incidents.planner import plan
from monitor.incidents.silences import abandoned
from monitor.incidents.state_machine import ReminderPolicy
from monitor.rules import (
    RULES,
    DownRule,
    FallbackRule,
    ModelChangedRule,
    Rule,
    TtftRule,
    TtftUnknownRule,
    Window,
)
from tests.case_tables import each
from tests.probe_notation import EVERY, INHIBITIONS, NOON, after, incident, marked, timed, window

BREACH, OK, HOLD, NO_DATA = (
    VerdictState.BREACH, VerdictState.OK, VerdictState.HOLD, VerdictState.NO_DATA,
)  # fmt: skip
EXACT, DISTURBED, PARTLY = (900.0,) * 3, (None,) * 3, (900.0, None, None)
SLOW = (3000.0,) * 3


@each(
    ("rounds", "state", "open_state"),
    [
        ([DISTURBED] * 3, NO_DATA, NO_DATA),  # fewer than 12 measurements
        ([DISTURBED] * 4, BREACH, BREACH),
        ([EXACT] * 12, OK, OK),
        ([EXACT] * 6 + [DISTURBED] * 6, OK, HOLD),  # half of an hour
        ([EXACT] * 5 + [DISTURBED] * 7, BREACH, BREACH),
        ([DISTURBED] * 20 + [EXACT] * 8, OK, HOLD),
        ([DISTURBED] * 20 + [EXACT] * 9, OK, OK),  # a quarter of the last hour
        ([PARTLY] * 12, BREACH, BREACH),
        ([EXACT] * 20 + [DISTURBED], OK, OK),  # one round under load
    ],
)
def test_most_of_the_last_hour_was_disturbed(
    rounds: Sequence[Sequence[float | None]], state: VerdictState, open_state: VerdictState
) -> None:
    seen = window(timed(rounds))
    rule = TtftUnknownRule()
    assert rule.judge(seen, None, after(seen)).state is state
    assert rule.judge(seen, incident(rule.name), after(seen)).state is open_state


def test_the_sentence_counts_and_names_both_causes() -> None:
    seen = window(timed([EXACT] * 4 + [DISTURBED] * 12))
    verdict = TtftUnknownRule().judge(seen, None, after(seen))
    assert verdict.because == (
        "TTFT cannot be judged: 36 of 36 measurements in the last hour could not be used. "
        "They were disturbed on the monitor's side (an overloaded machine) or arrived in one piece "
        "(a proxy that buffers)."
    )
    assert verdict.since == next(s.at for s in seen.samples if s.degraded)


def test_a_slow_schedule_is_judged_by_its_latest_answers() -> None:
    hourly = [
        replace(sample, at=sample.at + 11 * (sample.round - NOON),
                round=NOON + 12 * (sample.round - NOON))
        for sample in timed([EXACT] * 2 + [DISTURBED] * 4)
    ]  # fmt: skip
    seen = Window.of(hourly, scope="rag", every=12 * EVERY, queries=3)
    verdict = TtftUnknownRule().judge(seen, None, after(seen))
    assert verdict.state is BREACH
    assert "12 of 12 measurements since 14:00 UTC" in verdict.because


def test_nothing_is_said_of_a_silent_target() -> None:
    seen = window(timed([DISTURBED] * 6))
    assert TtftUnknownRule().judge(seen, None, after(seen) + timedelta(hours=1)).state is NO_DATA


class Story:
    """Two rules followed over rounds; every notice that makes a sound or an edit."""

    def __init__(self, *rules: Rule, looked_at: int = 900) -> None:
        self.looked_at = looked_at  # samples; a day has 864
        self.rules, self.incidents = rules, dict[tuple[str, str], Incident]()
        self.notices: list[Notice] = []
        self.sounds: list[str] = []

    def follow(self, rounds: Sequence[Sequence[float | None]]) -> None:
        samples = list(timed(rounds))
        for end in range(3, len(samples) + 1, 3):
            seen = window(iter(samples[max(0, end - self.looked_at) : end]))
            now = after(seen)
            verdicts = [
                rule.judge(seen, self.incidents.get((rule.name, "rag")), now) for rule in self.rules
            ]
            for step in plan(self.incidents.values(), verdicts, inhibitions=INHIBITIONS,
                             policy=ReminderPolicy(), now=now):  # fmt: skip
                assert step.incident is not None
                number = step.incident.number or len(self.incidents) + 1
                self.incidents[step.incident.key] = replace(step.incident, number=number)
                if step.notice is not None:
                    self.notices.append(step.notice)
                    if not step.notice.quiet:
                        self.sounds.append(f"{step.notice.status} {step.notice.rule}")


def test_it_is_a_notice_once_then_daily_and_its_end_is_said_once() -> None:
    group = Story(TtftUnknownRule(), looked_at=60)
    group.follow([EXACT] * 12 + [DISTURBED] * (12 * 50) + [EXACT] * 36)
    assert group.sounds == ["NOTICE ttft_unknown"] * 4
    first, again, once_more, end = group.notices
    assert (first.at - again.at, again.at - once_more.at) == (timedelta(days=-1),) * 2
    assert {notice.number for notice in group.notices} == {None}
    assert end.sentence.startswith("Over after 2 d 2 h.")
    assert end.until is not None


def test_an_open_ttft_says_that_it_cannot_be_judged_and_what_was_slow_is_no_news() -> None:
    group = Story(TtftRule(), TtftUnknownRule())
    group.follow([EXACT] * 30 + [SLOW] * 6 + [DISTURBED] * 60)
    open_ = group.incidents["ttft", "rag"]
    assert open_.unjudged
    assert open_.recovering_reason is not None
    assert open_.recovering_reason == (
        f"{UNJUDGED} since 15:00 UTC: 180 of 180 measurements could not be used."
    )
    assert f"  latest: {open_.recovering_reason}" in _whole(open_)
    (line,) = _lines([open_], [])
    assert f"Now: {UNJUDGED} since 15:00 UTC" in line
    # One notice of its own; the incident's message is edited at once, and reminders say so.
    assert group.sounds == ["FIRING ttft", "NOTICE ttft_unknown", "STILL FIRING ttft"]
    edited = next(notice for notice in group.notices if notice.quiet)
    assert edited.sentence.startswith(f"{UNJUDGED} since 15:00 UTC: ")
    assert edited.sentence.endswith(" The incident stays open until it can be judged.")
    assert "Do first" not in edited.facts
    assert group.notices[-1].sentence.startswith(f"{UNJUDGED} since 15:00 UTC: ")


@pytest.mark.parametrize(("then", "open_"), [(SLOW, True), (EXACT, False)])
def test_ttft_is_judged_again_when_measurements_are_exact(
    then: Sequence[float], open_: bool
) -> None:
    group = Story(TtftRule())
    group.follow([EXACT] * 30 + [SLOW] * 6 + [DISTURBED] * 24 + [then] * 12)
    incident_ = group.incidents["ttft", "rag"]
    assert (incident_.open, incident_.unjudged) == (open_, False)
    if open_:  # the same breach: nothing between proves that it was over
        assert incident_.breach_since == incident_.began_at


def test_ttft_opens_on_nothing_that_was_measured_before_the_disturbance() -> None:
    seen = window(timed([EXACT] * 30 + [SLOW] * 6 + [DISTURBED] * 3))
    assert TtftRule().judge(seen, None, after(seen)).state is NO_DATA


def test_it_closes_when_the_target_is_removed() -> None:
    group = Story(TtftRule(), TtftUnknownRule())
    group.follow([EXACT] * 30 + [SLOW] * 6 + [DISTURBED] * 60)
    later = group.notices[-1].at + timedelta(hours=6)
    scopes = {rule.name: ["other"] for rule in group.rules}
    gone = list(abandoned(group.incidents.values(), rules=RULES, scopes=scopes, now=later))
    steps = plan(group.incidents.values(), gone, inhibitions=INHIBITIONS, policy=ReminderPolicy(),
                 now=later)  # fmt: skip
    ends = {step.notice.rule: step.notice for step in steps if step.notice is not None}
    assert {rule: notice.status for rule, notice in ends.items()} == {
        "ttft": NoticeStatus.RESOLVED,
        "ttft_unknown": NoticeStatus.NOTICE,
    }
    assert all("Target removed from the configuration" in end.sentence for end in ends.values())


@pytest.mark.parametrize(
    ("rule", "marks"),
    [(DownRule(), "xxx|xxx"), (FallbackRule(), "FFF|FFF"), (ModelChangedRule(), "CCC|CCC")],
)
def test_what_needs_no_timing_is_judged_on_disturbed_answers_too(rule: Rule, marks: str) -> None:
    samples = [
        replace(s, ttft_ms=None, degraded=s.ttft_ms is not None) for s in marked("...|" + marks)
    ]
    seen = window(iter(samples))
    assert rule.judge(seen, None, after(seen)).state is BREACH

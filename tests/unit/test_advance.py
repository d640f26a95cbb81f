"""The life of one incident: every cell of the table, and the calm that bounds its returns."""

from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.domain import Incident, NoticeStatus, Verdict, VerdictState
from monitor.incidents.state_machine import IncidentChange, ReminderPolicy, advance
from tests.case_tables import each
from tests.probe_notation import NOON, incident

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
POLICY = ReminderPolicy()


def verdict(state: VerdictState, *, value: float = 2.0, **changes: object) -> Verdict:
    ordinary = Verdict(
        rule="ttft", scope="rag", state=state, value=value, limit=1.2, because=f"It is {value:g}."
    )
    return replace(ordinary, **changes)  # type: ignore[arg-type]


def over(ago: timedelta, *, notified: NoticeStatus = NoticeStatus.RESOLVED) -> Incident:
    """An incident that was resolved some time before noon, and told so."""
    ended = incident("ttft", opened_at=NOON - ago - HOUR, resolved_at=NOON - ago)
    return replace(ended, told=notified)


ABSENT, OPEN = None, incident("ttft", opened_at=NOON - HOUR)


@each(
    ("current", "state", "change"),
    [
        (ABSENT, VerdictState.BREACH, IncidentChange.OPENED),
        (ABSENT, VerdictState.OK, IncidentChange.NONE),
        (ABSENT, VerdictState.HOLD, IncidentChange.NONE),
        (ABSENT, VerdictState.NO_DATA, IncidentChange.NONE),
        (ABSENT, VerdictState.NOTICE, IncidentChange.NONE),
        (OPEN, VerdictState.BREACH, IncidentChange.SEEN),
        (OPEN, VerdictState.OK, IncidentChange.RESOLVED),
        (OPEN, VerdictState.HOLD, IncidentChange.NONE),
        (OPEN, VerdictState.NO_DATA, IncidentChange.NONE),  # missing data resolve nothing
        (OPEN, VerdictState.NOTICE, IncidentChange.NONE),
        (over(59 * MINUTE), VerdictState.BREACH, IncidentChange.REOPENED),
        (over(HOUR), VerdictState.BREACH, IncidentChange.REOPENED),
        (over(61 * MINUTE), VerdictState.BREACH, IncidentChange.OPENED),
        (
            over(61 * MINUTE, notified=NoticeStatus.FIRING),
            VerdictState.BREACH,
            IncidentChange.REOPENED,
        ),  # end never told
        (over(MINUTE), VerdictState.OK, IncidentChange.NONE),
        (over(MINUTE), VerdictState.HOLD, IncidentChange.NONE),
        (over(MINUTE), VerdictState.NO_DATA, IncidentChange.NONE),
        (over(MINUTE), VerdictState.NOTICE, IncidentChange.NONE),
    ],
)
def test_every_cell(current: Incident | None, state: VerdictState, change: IncidentChange) -> None:
    after, changed = advance(current, verdict(state), policy=POLICY, now=NOON)
    assert changed is change
    if change is IncidentChange.NONE:
        assert after is current


def test_an_opened_incident_is_not_reported_yet() -> None:
    opened, _ = advance(None, verdict(VerdictState.BREACH), policy=POLICY, now=NOON)
    assert opened is not None
    assert opened.open
    assert opened.told is None
    assert opened.number is None
    assert (opened.opened_at, opened.last_breach_at) == (NOON, NOON)
    assert (opened.value, opened.peak, opened.opening_value) == (2.0, 2.0, 2.0)


def test_seeing_a_breach_again_keeps_its_peak_and_its_beginning() -> None:
    seen, _ = advance(
        replace(OPEN, peak=3.0), verdict(VerdictState.BREACH, value=2.5), policy=POLICY, now=NOON
    )
    assert seen is not None
    assert (seen.value, seen.peak, seen.because) == (2.5, 3.0, "It is 2.5.")
    assert (seen.opened_at, seen.last_breach_at) == (NOON - HOUR, NOON)


def test_the_end_keeps_what_broke_and_says_what_ended_it() -> None:
    ended, _ = advance(OPEN, verdict(VerdictState.OK, value=1.0), policy=POLICY, now=NOON)
    assert ended is not None
    assert (ended.because, ended.ended) == ("It broke.", "It is 1.")
    assert (ended.value, ended.peak, ended.resolved_at) == (1.0, 1.0, NOON)


def test_taken_up_again_it_is_the_same_incident() -> None:
    before = replace(over(MINUTE), last_breach_at=NOON - 20 * MINUTE)
    again, _ = advance(before, verdict(VerdictState.BREACH), policy=POLICY, now=NOON)
    assert again is not None
    assert (again.number, again.opened_at) == (41, NOON - HOUR - MINUTE)
    assert (again.reopenings, again.reopened_at, again.resolved_at) == (1, NOON, None)
    assert again.turned_at == NOON
    assert again.opening_value == 2.0
    [breach] = again.earlier_breaches
    assert breach == (before.breach_since, NOON - 20 * MINUTE), "without the recovery"


def test_what_fails_again_before_its_end_keeps_the_times_of_the_breach_before() -> None:
    recovered = replace(
        OPEN, last_breach_at=NOON - 50 * MINUTE, recovering_since=NOON - 40 * MINUTE
    )
    back = verdict(VerdictState.BREACH, since=NOON - MINUTE)
    again, _ = advance(recovered, back, policy=POLICY, now=NOON)
    assert again is not None
    assert again.breach_since == NOON - MINUTE
    assert again.earlier_breaches == ((NOON - HOUR, NOON - 50 * MINUTE),)


def test_the_times_of_many_breaches_are_bounded() -> None:
    times = tuple((NOON - k * HOUR, NOON - k * HOUR + MINUTE) for k in range(90, 0, -1))
    before = replace(over(MINUTE), earlier_breaches=times[:50])
    again, _ = advance(before, verdict(VerdictState.BREACH), policy=POLICY, now=NOON)
    assert again is not None
    assert len(again.earlier_breaches) == 50
    assert again.earlier_breaches[:49] == times[1:50]


# ------------------------------------------------------------ calm


@pytest.mark.parametrize(
    ("reopenings", "needed"),
    [
        (0, timedelta(0)),
        (1, 15 * MINUTE),
        (2, 30 * MINUTE),
        (3, HOUR),
        (5, 4 * HOUR),
        (100, 4 * HOUR),
    ],
)
def test_each_return_asks_for_twice_the_calm(reopenings: int, needed: timedelta) -> None:
    came_back = replace(OPEN, reopenings=reopenings)
    for calm, change in (
        (needed, IncidentChange.RESOLVED),
        (needed - MINUTE, IncidentChange.RECOVERING),
    ):
        if calm >= timedelta(0):
            current = replace(came_back, last_breach_at=NOON - calm)
            _, changed = advance(current, verdict(VerdictState.OK), policy=POLICY, now=NOON)
            assert changed is change


def test_coming_and_going_for_a_day_is_reported_some_twenty_times_at_worst() -> None:
    """The worst case: a breach whenever the last one is over, an end whenever it may be."""
    current: Incident | None = None
    notified = 0
    for minutes in range(24 * 60):
        now = NOON + minutes * MINUTE
        breach = current is None or not current.open or now - current.turned_at < MINUTE
        state = VerdictState.BREACH if breach else VerdictState.OK
        current, change = advance(current, verdict(state), policy=POLICY, now=now)
        if change is IncidentChange.RESOLVED:
            assert current is not None
            current = replace(current, told=NoticeStatus.RESOLVED)
        notified += change in (
            IncidentChange.OPENED,
            IncidentChange.REOPENED,
            IncidentChange.RESOLVED,
        )
    assert notified <= 24


def test_a_literal_reading_is_neither_calmed_nor_taken_up_again() -> None:
    literal = verdict(VerdictState.BREACH, literal=True)
    assert advance(over(MINUTE), literal, policy=POLICY, now=NOON)[1] is IncidentChange.OPENED
    calm = verdict(VerdictState.OK, literal=True)
    restless = replace(OPEN, reopenings=9, last_breach_at=NOON)
    assert advance(restless, calm, policy=POLICY, now=NOON)[1] is IncidentChange.RESOLVED


# ------------------------------------------------------------ once

DAY = replace(OPEN, once="2026-11-23 ×1")


@pytest.mark.parametrize(
    ("current", "once", "change"),
    [
        (DAY, "2026-11-23 ×1", IncidentChange.SEEN),
        (DAY, "2026-11-23 ×2", IncidentChange.GREW),
        (
            replace(DAY, resolved_at=NOON, told=NoticeStatus.RESOLVED),
            "2026-11-23 ×1",
            IncidentChange.NONE,
        ),
        (
            replace(DAY, resolved_at=NOON, told=NoticeStatus.RESOLVED),
            "2026-11-24 ×1",
            IncidentChange.OPENED,
        ),
        (
            replace(DAY, resolved_at=NOON, told=NoticeStatus.FIRING),
            "2026-11-24 ×1",
            IncidentChange.REOPENED,
        ),
    ],
)
def test_what_is_said_once_is_said_again_under_a_new_key_only(
    current: Incident, once: str, change: IncidentChange
) -> None:
    breach = verdict(VerdictState.BREACH, once=once)
    assert advance(current, breach, policy=POLICY, now=NOON)[1] is change

"""The life of one incident: every cell of the table, and the calm that bounds its returns."""

from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.domain import Incident, State, Status, Verdict
from monitor.incidents import Change, Policy, advance
from tests.marks import NOON, incident

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
POLICY = Policy()


def verdict(state: State, *, value: float = 2.0, **changes: object) -> Verdict:
    ordinary = Verdict(
        rule="ttft", scope="rag", state=state, value=value, limit=1.2, because=f"It is {value:g}."
    )
    return replace(ordinary, **changes)  # type: ignore[arg-type]


def over(ago: timedelta, *, told: Status = Status.RESOLVED) -> Incident:
    """An incident that was resolved some time before noon, and told so."""
    ended = incident("ttft", opened_at=NOON - ago - HOUR, resolved_at=NOON - ago)
    return replace(ended, told=told)


ABSENT, OPEN = None, incident("ttft", opened_at=NOON - HOUR)


@pytest.mark.parametrize(
    ("current", "state", "change"),
    [
        (ABSENT, State.BREACH, Change.OPENED),
        (ABSENT, State.OK, Change.NONE),
        (ABSENT, State.HOLD, Change.NONE),
        (ABSENT, State.NO_DATA, Change.NONE),
        (ABSENT, State.NOTICE, Change.NONE),
        (OPEN, State.BREACH, Change.SEEN),
        (OPEN, State.OK, Change.RESOLVED),
        (OPEN, State.HOLD, Change.NONE),
        (OPEN, State.NO_DATA, Change.NONE),  # missing data resolve nothing
        (OPEN, State.NOTICE, Change.NONE),
        (over(59 * MINUTE), State.BREACH, Change.REOPENED),
        (over(HOUR), State.BREACH, Change.REOPENED),
        (over(61 * MINUTE), State.BREACH, Change.OPENED),
        (over(61 * MINUTE, told=Status.FIRING), State.BREACH, Change.REOPENED),  # end never told
        (over(MINUTE), State.OK, Change.NONE),
        (over(MINUTE), State.HOLD, Change.NONE),
        (over(MINUTE), State.NO_DATA, Change.NONE),
        (over(MINUTE), State.NOTICE, Change.NONE),
    ],
)
def test_every_cell(current: Incident | None, state: State, change: Change) -> None:
    after, changed = advance(current, verdict(state), policy=POLICY, now=NOON)
    assert changed is change
    if change is Change.NONE:
        assert after is current


def test_an_opened_incident_is_not_told_yet() -> None:
    opened, _ = advance(None, verdict(State.BREACH), policy=POLICY, now=NOON)
    assert opened is not None
    assert opened.open
    assert opened.told is None
    assert opened.number is None
    assert (opened.opened_at, opened.last_breach_at) == (NOON, NOON)
    assert (opened.value, opened.peak, opened.opening_value) == (2.0, 2.0, 2.0)


def test_seeing_a_breach_again_keeps_its_peak_and_its_beginning() -> None:
    seen, _ = advance(
        replace(OPEN, peak=3.0), verdict(State.BREACH, value=2.5), policy=POLICY, now=NOON
    )
    assert seen is not None
    assert (seen.value, seen.peak, seen.because) == (2.5, 3.0, "It is 2.5.")
    assert (seen.opened_at, seen.last_breach_at) == (NOON - HOUR, NOON)


def test_the_end_keeps_what_broke_and_says_what_ended_it() -> None:
    ended, _ = advance(OPEN, verdict(State.OK, value=1.0), policy=POLICY, now=NOON)
    assert ended is not None
    assert (ended.because, ended.ended) == ("It broke.", "It is 1.")
    assert (ended.value, ended.peak, ended.resolved_at) == (1.0, 1.0, NOON)


def test_taken_up_again_it_is_the_same_incident() -> None:
    again, _ = advance(over(MINUTE), verdict(State.BREACH), policy=POLICY, now=NOON)
    assert again is not None
    assert (again.number, again.opened_at) == (41, NOON - HOUR - MINUTE)
    assert (again.reopenings, again.reopened_at, again.resolved_at) == (1, NOON, None)
    assert again.turned_at == NOON
    assert again.opening_value == 2.0


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
    for calm, change in ((needed, Change.RESOLVED), (needed - MINUTE, Change.RECOVERING)):
        if calm >= timedelta(0):
            current = replace(came_back, last_breach_at=NOON - calm)
            _, changed = advance(current, verdict(State.OK), policy=POLICY, now=NOON)
            assert changed is change


def test_coming_and_going_for_a_day_is_told_some_twenty_times_at_worst() -> None:
    """The worst case: a breach whenever the last one is over, an end whenever it may be."""
    current: Incident | None = None
    told = 0
    for minutes in range(24 * 60):
        now = NOON + minutes * MINUTE
        breach = current is None or not current.open or now - current.turned_at < MINUTE
        state = State.BREACH if breach else State.OK
        current, change = advance(current, verdict(state), policy=POLICY, now=now)
        if change is Change.RESOLVED:
            assert current is not None
            current = replace(current, told=Status.RESOLVED)
        told += change in (Change.OPENED, Change.REOPENED, Change.RESOLVED)
    assert told <= 24


def test_a_literal_reading_is_neither_calmed_nor_taken_up_again() -> None:
    literal = verdict(State.BREACH, literal=True)
    assert advance(over(MINUTE), literal, policy=POLICY, now=NOON)[1] is Change.OPENED
    calm = verdict(State.OK, literal=True)
    restless = replace(OPEN, reopenings=9, last_breach_at=NOON)
    assert advance(restless, calm, policy=POLICY, now=NOON)[1] is Change.RESOLVED


# ------------------------------------------------------------ once

DAY = replace(OPEN, once="2026-11-23 ×1")


@pytest.mark.parametrize(
    ("current", "once", "change"),
    [
        (DAY, "2026-11-23 ×1", Change.SEEN),
        (DAY, "2026-11-23 ×2", Change.GREW),
        (replace(DAY, resolved_at=NOON, told=Status.RESOLVED), "2026-11-23 ×1", Change.NONE),
        (replace(DAY, resolved_at=NOON, told=Status.RESOLVED), "2026-11-24 ×1", Change.OPENED),
        (replace(DAY, resolved_at=NOON, told=Status.FIRING), "2026-11-24 ×1", Change.REOPENED),
    ],
)
def test_what_is_said_once_is_said_again_under_a_new_key_only(
    current: Incident, once: str, change: Change
) -> None:
    breach = verdict(State.BREACH, once=once)
    assert advance(current, breach, policy=POLICY, now=NOON)[1] is change

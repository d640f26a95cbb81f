"""`delivery`: the outbox, judged by its oldest message and by what the channel said."""

from datetime import timedelta
from typing import Any

import pytest

from monitor.domain import VerdictState
from monitor.rules import DeliveryBacklog, DeliveryRule
from tests.probe_notation import NOON, incident

OPEN = incident("delivery", scope="webhook")


def backlog(**changes: Any) -> DeliveryBacklog:
    return DeliveryBacklog(channel="webhook", **changes)


@pytest.mark.parametrize(
    ("waited", "state"),
    [
        (timedelta(minutes=15), VerdictState.OK),
        (timedelta(minutes=15, seconds=1), VerdictState.BREACH),
    ],
)
def test_a_message_may_wait_a_quarter_of_an_hour(waited: timedelta, state: VerdictState) -> None:
    waiting = backlog(waiting=2, oldest_at=NOON - waited)
    assert DeliveryRule().judge(waiting, None, NOON).state is state


def test_a_refusal_for_good_is_a_breach_at_once() -> None:
    broken = backlog(broken_since=NOON - timedelta(minutes=1), broken_why="channel_not_found")
    verdict = DeliveryRule().judge(broken, None, NOON)
    assert verdict.state is VerdictState.BREACH
    assert verdict.scope == "webhook"
    assert verdict.because == (
        "Channel webhook has refused all messages since 2026-11-23 11:59 UTC: channel_not_found."
    )


@pytest.mark.parametrize(
    ("waiting", "state"),
    [(backlog(waiting=1, oldest_at=NOON), VerdictState.HOLD), (backlog(), VerdictState.OK)],
)
def test_it_is_over_when_nothing_waits_any_more(
    waiting: DeliveryBacklog, state: VerdictState
) -> None:
    assert DeliveryRule().judge(waiting, OPEN, NOON).state is state


def test_a_senseless_limit_is_refused_with_its_remedy() -> None:
    with pytest.raises(ValueError, match="late_minutes = 0: write a number above 0"):
        DeliveryRule(late_minutes=0)

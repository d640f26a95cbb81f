"""The heartbeat knows one reason to be sent, and every reason to be withheld."""

from datetime import UTC, datetime, timedelta

import pytest

from monitor.rules import DeliveryBacklog, DeliveryRule
from monitor.storage.leases import ClaimedRound
from monitor.worker.heartbeat import seeing, telling
from tests.case_tables import each

SLOT = datetime(2026, 11, 20, 12, tzinfo=UTC)
BEFORE = SLOT - timedelta(minutes=5)


def one(slot: datetime = SLOT, worker: str = "us", *, finished: bool = True,
        missed: str | None = None) -> ClaimedRound:  # fmt: skip
    return ClaimedRound(slot, worker, finished, missed)


@each(
    ("rounds", "evaluated", "spooled", "reason"),
    [
        ([one()], True, 0, None),
        ([], True, 0, "no worker claimed the round"),
        ([one(BEFORE)], True, 0, "no worker claimed the round"),
        ([one(finished=False)], True, 0, "the round did not finish"),
        ([one(missed="the service is rate limiting")], True, 0,
         "the round is incomplete: the service is rate limiting"),
        ([one()], True, 3, "3 observations are not stored yet"),
        ([one()], False, 0, "no worker evaluates the rules"),
        # Another worker asks: it may still be at it, then the round before counts.
        ([one(worker="them")], True, 0, None),
        ([one(BEFORE, "them"), one(worker="them", finished=False)], True, 0, None),
        ([one(worker="them", finished=False)], True, 0, "the round did not finish"),
        ([one(BEFORE, "them", missed="x"), one(worker="them", finished=False)], True, 0,
         "the round is incomplete: x"),
    ],
)  # fmt: skip
def test_a_cycle_is_whole_or_the_reason_is_named(
    rounds: list[ClaimedRound], evaluated: bool, spooled: int, reason: str | None
) -> None:
    own, before = (next((one for one in rounds if one.slot == at), None) for at in (SLOT, BEFORE))
    assert seeing(own, before, worker="us", evaluated=evaluated, spooled=spooled) == reason


@pytest.mark.parametrize(
    ("backlog", "silent"),
    [
        (DeliveryBacklog(channel="bot"), False),
        (DeliveryBacklog(channel="bot", waiting=1, oldest_at=SLOT - timedelta(minutes=15)), False),
        (DeliveryBacklog(channel="bot", waiting=1, oldest_at=SLOT - timedelta(minutes=16)), True),
        (DeliveryBacklog(channel="bot", broken_since=SLOT, broken_why="no_service"), True),
    ],
)
def test_a_channel_that_is_stuck_or_refuses_for_good_withholds_it(
    backlog: DeliveryBacklog, silent: bool
) -> None:
    assert (telling([backlog], DeliveryRule(), SLOT) is not None) is silent

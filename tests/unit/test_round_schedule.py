"""Which rounds are to be claimed when, and how several workers share them."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from monitor.domain import Query, Target
from monitor.storage.leases import RoundSlot
from monitor.worker.round_schedule import (
    AHEAD,
    ALL_PASSED,
    MOST_PASSED,
    RoundSchedule,
    phase,
    slot_of,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)


def target(name: str, every: timedelta = MINUTE) -> Target:
    return Target(name=name, url="http://x", dialect="bali_zero", every=every,
                  queries=(Query(id="hi", text="Hi"),))  # fmt: skip


def schedule(worker: str, *targets: Target, now: datetime = NOON) -> RoundSchedule:
    made = RoundSchedule(worker)
    for one in targets:
        made.follow(one, now=now)
    return made


def test_every_round_is_claimed_once_and_before_it_begins() -> None:
    for every in (SECOND, 10 * SECOND, MINUTE):
        one = target("rag", every)
        made, now, found = schedule("w1", one), NOON, list[datetime]()
        while now < NOON + 10 * every:
            for due in made.due(now):
                assert due.begins_at == due.of.slot + phase(one)
                assert now < due.begins_at
                found.append(due.of.slot)
            now += made.tick
        assert found == [found[0] + nth * every for nth in range(len(found))]
        assert found[0] == slot_of(NOON - phase(one), every) + every
        assert len(found) >= 9


def test_workers_that_know_nothing_of_each_other_share_the_rounds_evenly() -> None:
    targets = [target(f"t{n}") for n in range(1_000)]
    workers = [schedule(f"w{n}", *targets) for n in range(4)]
    first: Counter[int] = Counter()
    claimed: set[RoundSlot] = set()
    for tick in range(60 * 20):  # each looks twenty times a second
        now = NOON + tick * SECOND / 20
        for nth in sorted(range(4), key=lambda nth: (nth + tick) % 4):
            new = {due.of for due in workers[nth].due(now)} - claimed
            first[nth] += len(new)
            claimed |= new
    assert all(share > 200 for share in first.values()), first


def test_after_a_long_pause_of_a_fleet_the_slots_to_record_are_limited() -> None:
    made = schedule("w1", *(target(f"t{n}") for n in range(1_000)))
    found = made.due(NOON + DAY)
    assert len({due.of.target for due in found}) == 1_000
    assert len(found) <= ALL_PASSED + 2 * 1_000


def test_after_a_long_pause_the_latest_slots_are_due() -> None:
    made = schedule("w1", target("rag", SECOND))
    found = made.due(NOON + DAY)
    assert MOST_PASSED <= len(found) <= MOST_PASSED + 2
    assert NOON + DAY - found[-1].begins_at < SECOND + AHEAD[1]
    assert made.next_claim is not None
    assert made.next_claim > NOON + DAY


def test_a_target_that_is_dropped_is_due_no_more() -> None:
    made = schedule("w1", target("rag"), target("other"))
    made.drop({"rag"})
    assert {due.of.target for due in made.due(NOON + 5 * MINUTE)} == {"other"}

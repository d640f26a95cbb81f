"""When rounds begin, and when this worker tries to claim them. Time is an argument."""

import heapq
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from monitor.domain import Target
from monitor.storage.leases import RoundSlot

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WITHIN = timedelta(minutes=5)  # share of its slot within which every round begins
LATE_WITHIN = timedelta(seconds=15)  # share after the start within which all late rounds begin
MOST_PASSED = 500  # slots of a target that are recorded as missed after a long pause
ALL_PASSED = 10_000  # the same of all targets: more would block the worker for seconds
# Shares of the interval, each with the most it can be:
TICK = 0.125, timedelta(seconds=0.5)  # between two batches of claims
AHEAD = 0.25, timedelta(seconds=1.25)  # a round is claimed at most this long before it begins
TURNS = 0.1, timedelta(seconds=0.5)  # at the start of that, the workers take turns


def slot_of(now: datetime, every: timedelta) -> datetime:
    """The round of an instant: rounds are aligned to the wall clock."""
    return EPOCH + (now - EPOCH) // every * every


def phase(target: Target) -> timedelta:
    """How long after its slot a target's round begins.

    It is a share of the interval that depends only on the target's name. So targets on one backend
    do not begin together, and none moves when another is added or removed. Slots are unchanged:
    workers agree on them. Source: docs/configuration.md#phases
    """
    return min(target.every, WITHIN) * _share(target.name)


def start_delays(targets: Iterable[Target]) -> dict[str, timedelta]:
    """How long each target's round waits when a worker starts: evenly spread, the first at once."""
    order = sorted(targets, key=phase)
    return {
        target.name: min(target.every / 4, LATE_WITHIN) * place / len(order)
        for place, target in enumerate(order)
    }


def worth_probing_late(late: timedelta, every: timedelta) -> bool:
    """Whether a round that begins so late is far enough from the next: half an interval, or
    five minutes.
    """
    return every - late >= min(every / 2, WITHIN)


def share_of(every: timedelta, limit: tuple[float, timedelta]) -> timedelta:
    """A share of an interval, but not more than a fixed time."""
    return min(every * limit[0], limit[1])


def _share(name: str) -> float:
    return int.from_bytes(sha256(name.encode()).digest()[:4]) / 2**32


@dataclass(frozen=True, slots=True, order=True)
class ScheduledRound:
    """A round, when to claim it, and when it begins. `late`: it was due before we started."""

    claim_at: datetime
    begins_at: datetime
    of: RoundSlot
    late: bool = False


@dataclass(slots=True)
class RoundSchedule:
    """The next round of each target.

    Several workers share the rounds without knowing of each other: each tries to claim a round
    before it begins, at a moment that depends on the names of the worker and the target. So every
    worker is the first for its share, and the others take over if it is gone or has no capacity.
    """

    worker: str
    _next: list[ScheduledRound] = field(default_factory=list)
    _targets: dict[str, Target] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget everything: after a clock step the times are meaningless."""
        self._next.clear()
        self._targets.clear()

    @property
    def tick(self) -> timedelta:
        """The shortest time between two batches of claims."""
        shortest = min((target.every for target in self._targets.values()), default=WITHIN)
        return share_of(shortest, TICK)

    @property
    def next_claim(self) -> datetime | None:
        """When the next round is to be claimed; None: nothing is scheduled."""
        return self._next[0].claim_at if self._next else None

    def follow(self, target: Target, *, now: datetime) -> RoundSlot:
        """Schedule a target's rounds from the next one on; returns the slot of the current one."""
        current = slot_of(now - phase(target), target.every)
        self._targets[target.name] = target
        self._push(target, current + target.every)
        return RoundSlot(target.name, current)

    def add(self, one: RoundSlot, *, begins_at: datetime, late: bool = False) -> None:
        """Schedule one round, besides those that follow."""
        claim_at = begins_at - AHEAD[1]
        heapq.heappush(self._next, ScheduledRound(claim_at, begins_at, one, late))

    def drop(self, names: Collection[str]) -> None:
        """Remove targets."""
        for name in names:
            self._targets.pop(name, None)
        self._next = [one for one in self._next if one.of.target not in names]
        heapq.heapify(self._next)

    def due(self, now: datetime) -> list[ScheduledRound]:
        """The rounds to claim now, in the order in which they begin; the next ones are scheduled.

        Slots that passed while this worker did not look are among them, the latest `MOST_PASSED` of
        a target, and at most `ALL_PASSED` of all targets.
        """
        found = []
        most = max(1, min(MOST_PASSED, ALL_PASSED // max(len(self._targets), 1)))
        while self._next and self._next[0].claim_at <= now:
            one = heapq.heappop(self._next)
            found.append(one)
            target = self._targets.get(one.of.target)
            if target is not None and not one.late:
                following = one.of.slot + target.every
                passed = (now - following) // target.every
                self._push(target, following + target.every * max(0, passed - most))
        return sorted(found, key=lambda one: one.begins_at)

    def _push(self, target: Target, slot: datetime) -> None:
        begins_at = slot + phase(target)
        turn = share_of(target.every, TURNS) * _share(f"{self.worker} {target.name}")
        claim_at = begins_at - share_of(target.every, AHEAD) + turn
        heapq.heappush(
            self._next, ScheduledRound(claim_at, begins_at, RoundSlot(target.name, slot))
        )

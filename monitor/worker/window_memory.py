"""The windows of all targets in the memory of the worker that evaluates.

A window is read whole once and then grows by new rows, whichever worker stored them. It is read
whole again after a row came late, was derived again or restored, after the target's configuration
changed, and every few hours in any case. So it always judges as one that was just read.
Source: docs/adr/0025-incremental-evaluation.md
"""

import asyncio
import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sized
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from math import inf
from uuid import UUID

from monitor.domain import Incident, Sample, Target
from monitor.rules import SAMPLES, SPAN, Window
from monitor.rules.likely_cause import KnownCauses
from monitor.rules.window import RUN_IN
from monitor.storage import Connection, observations, stored_rows
from monitor.storage.observations import PARTITIONS_AHEAD
from monitor.storage.row_feed import RowFeed

READ_AGAIN_S, AGAIN = 6 * 3600.0, 2  # in case a change was missed; so many at a time
JUDGED_AGAIN_S = 600.0  # a new day, or a share that falls as answers grow old
log = logging.getLogger(__name__)

LATEST_SLOT = timedelta(days=1)  # a probe may begin that long after its slot

OPEN_AGAIN_S = 30.0  # with an open incident: a reminder
LATE_AGAIN_S = 10.0  # without a sample when one was due
# Spend and other system-wide subjects are judged with a pause of a second for each 200 targets, but
# of at most 5 s.
TARGETS_A_SECOND, OVERALL_AGAIN_S = 200, 5.0
TURNS, A_TURN = 10, 50  # see `due`
MOST_BEFORE = 240  # samples read before a window
PIECE = 100  # samples added in one turn of the event loop


@dataclass(slots=True)
class TargetWindows:
    """The window of a target, under an empty name; with one of each query for a literal rule.

    `read_s`, `judged_s`: on the steady clock. `later`: when rows of the future are to be read.
    """

    target: Target
    by_query: Mapping[str, Window]
    read_s: float
    judged_s: float = 0.0
    later: list[datetime] = field(default_factory=list)

    @property
    def whole(self) -> Window:
        return self.by_query[""]

    def latest_at(self) -> datetime | None:
        log = self.whole.log
        return log.at(log.end - 1) if len(log) else None

    def take(self, sample: Sample) -> bool:
        """Take in a new sample; False if it came late, so that all must be read again."""
        if self.whole.log.find(sample) is not None:
            return True  # it was there when the window was read
        latest_at = self.latest_at()
        if latest_at is not None and sample.at <= latest_at:
            return False
        self.add(sample)
        return True

    def add(self, sample: Sample) -> None:
        """Add a sample that is later than all others."""
        for window in self._of(sample):
            window.add(sample)

    def reprice(self, sample: Sample) -> bool:
        """Take in the new cost of a sample; False if more of it has changed."""
        return all(window.reprice(sample) for window in self._of(sample))

    def _of(self, sample: Sample) -> list[Window]:
        return [self.by_query[name] for name in ("", sample.query) if name in self.by_query]

    def stale(self, now: datetime) -> bool:
        """Whether it must be read again, because of a clock that is or was wrong.

        Samples of the future are not judged.
        """
        latest_at = self.latest_at()
        if latest_at is not None and latest_at > now + PARTITIONS_AHEAD:
            return True
        return any(at <= now + PARTITIONS_AHEAD for at in self.later)

    def overdue(self, now: datetime, *, open_: bool) -> bool:
        """Whether time alone may have changed a verdict: no sample came when it was due."""
        ago_s = time.monotonic() - self.judged_s
        if ago_s > (OPEN_AGAIN_S if open_ else JUDGED_AGAIN_S):
            return True
        if ago_s < LATE_AGAIN_S:
            return False
        ended_at, pace = self.whole.ended_at, self.whole.pace
        return ended_at is None or pace is None or now - ended_at > pace or self.stale(now)


@dataclass(slots=True)
class WindowMemory:
    """What the worker remembers. `changed`: the targets with rows that are not judged yet."""

    changed: set[str] = field(default_factory=set)
    causes: KnownCauses = field(default_factory=dict)  # of open incidents
    _kept: dict[str, TargetWindows] = field(default_factory=dict)
    _later: dict[str, list[datetime]] = field(default_factory=dict)  # of windows to be read again
    _stored: RowFeed[UUID] | None = None
    _derived: RowFeed[datetime] | None = None
    _turn: int = 0  # see `due`
    _targets: Mapping[str, Target] | None = None  # as they were configured at the last look
    _judged_s: float = -inf
    _overall_s: float = -inf  # when system-wide subjects were last judged

    def clear(self) -> None:
        """Forget everything: another worker evaluates."""
        self._kept.clear()
        self._stored = self._derived = None

    async def follow(
        self, connection: Connection, targets: Mapping[str, Target], now: datetime
    ) -> None:
        """Take in what any worker has stored, derived again or restored."""
        if targets is not self._targets:
            self._configure(targets)
        if self._stored is None or self._derived is None:
            # Whatever was stored before is read with the windows.
            self._stored, self._derived = RowFeed(now), RowFeed(now, by_row=False)
            self.changed.update(targets)
        since = now - SPAN - LATEST_SLOT
        found = await stored_rows.stored_samples(connection, self._stored.look(), since=since)
        for name, sample, _ in self._stored.take(found, lambda row: (row.sample.id, row.stored_at)):
            if name in targets and sample.at >= now - SPAN:
                self.changed.add(name)
                self._take(name, sample, now)
        derived = await stored_rows.derived_samples(connection, self._derived.look(), since=since)
        for name, sample, _ in self._derived.take(derived, lambda row: (row.stored_at,) * 2):
            if name in targets:
                self.changed.add(name)
                self._change(name, sample)
        self._stored.forget(now)
        self._derived.forget(now)
        self._renew()

    def _renew(self) -> None:
        """Have a few windows read again that were read long ago, the oldest of all first.

        A target is not judged until its window is read, so that not all are read again at once.
        """
        old_s = time.monotonic() - READ_AGAIN_S
        oldest = islice(self._kept.items(), AGAIN)  # in the order in which they were read
        for name in [name for name, kept in oldest if kept.read_s < old_s]:
            self._drop(name)
            self.changed.add(name)

    def _configure(self, targets: Mapping[str, Target]) -> None:
        """Forget the targets that are configured otherwise, or no longer."""
        for name, kept in list(self._kept.items()):
            target = targets.get(name)
            if target is not kept.target and target != kept.target:
                self._drop(name)
        for name in self._later.keys() - targets.keys():
            del self._later[name]
        self.changed &= targets.keys()
        self._targets = targets

    def _take(self, name: str, sample: Sample, now: datetime) -> None:
        kept = self._kept.get(name)
        if kept is None:
            return
        if sample.at > now + PARTITIONS_AHEAD:
            kept.later.append(sample.at)
            return
        try:
            taken = kept.take(sample)
        except Exception:  # of one target; it is read whole when it is judged
            log.exception("evaluation failed", extra={"subject": f"target {name}"})
            taken = False
        if not taken:
            self._drop(name)

    def _drop(self, name: str) -> None:
        """Have a window read again, and again when the time of its later rows comes."""
        kept = self._kept.pop(name)
        latest_at = kept.latest_at()
        self._later[name] = kept.later if latest_at is None else [*kept.later, latest_at]

    def drop(self, names: Iterable[str]) -> None:
        """Have the windows of these targets read, before the next evaluation of a large fleet."""
        for name in names:
            if name in self._kept:
                self._drop(name)

    def _change(self, name: str, sample: Sample) -> None:
        kept = self._kept.get(name)
        if kept is not None and not kept.reprice(sample):
            self._drop(name)

    def due(self, names: Collection[str], open_: Collection[str], now: datetime) -> list[str]:
        """The targets to judge now: changed ones first, then those that time may have changed.

        `names`: in an order that lasts. `open_`: those with an open incident. Of many targets, a
        tenth is looked at in each of ten calls.
        """
        changed = [name for name in names if name in self.changed]
        self._turn = (self._turn + 1) % TURNS if len(names) > TURNS * A_TURN else 0
        step = TURNS if len(names) > TURNS * A_TURN else 1
        late = [
            name
            for name in islice(names, self._turn, None, step)
            if name not in self.changed
            and ((kept := self._kept.get(name)) is None or kept.overdue(now, open_=name in open_))
        ]
        return [*changed, *late]

    def ask(self) -> None:
        """Have the next evaluation judge the system-wide subjects, changed or not."""
        self._judged_s = self._overall_s = -inf

    def overall_due(self, targets: int) -> bool:
        """Whether to judge the system-wide subjects; True starts their pause.

        Their cost grows with the number of targets: with many of them, they are judged less often.
        """
        pause_s = min(targets / TARGETS_A_SECOND, OVERALL_AGAIN_S)
        now = time.monotonic()
        if pause_s > 1 and now - self._overall_s < pause_s:
            return False
        self._overall_s = now
        return True

    def idle(self, for_s: float) -> bool:
        """Whether nothing has changed, and something was judged within so many seconds."""
        return not self.changed and time.monotonic() - self._judged_s < for_s

    def missing(self, targets: Sized) -> int:
        """How many windows are not here."""
        return len(targets) - len(self._kept)

    def to_read(self, targets: Iterable[str]) -> list[str]:
        """The targets whose windows are not here."""
        return [name for name in targets if name not in self._kept]

    def fresh(self, target: Target, now: datetime, *, literal: bool) -> bool:
        """Whether the windows of a target need not be read."""
        kept = self._kept.get(target.name)
        if kept is None or kept.stale(now):
            return False
        return (len(kept.by_query) > 1) is literal

    def judged(self, names: Iterable[str], incidents: Iterable[Incident]) -> None:
        """Note that these targets were judged by all that is known.

        Of the incidents, the open ones are remembered.
        """
        begun = {(one.scope.partition("/")[0], one.breach_since) for one in incidents if one.open}
        for key in [key for key in self.causes if (key.target, key.since) not in begun]:
            del self.causes[key]
        self._judged_s = time.monotonic()
        for name in names:
            self.changed.discard(name)
            if (kept := self._kept.get(name)) is not None:
                kept.judged_s = time.monotonic()

    async def windows(
        self, connection: Connection, target: Target, *, literal: bool, now: datetime
    ) -> Mapping[str, Window]:
        """The windows of a target up to now; read from the database unless they are here."""
        kept = self._kept.get(target.name)
        if kept is not None and not self.fresh(target, now, literal=literal):
            self._drop(target.name)
            kept = None
        if kept is None:
            kept = await _read(connection, target, literal=literal, now=now)
            later = self._later.pop(target.name, ())
            kept.later += {at for at in later if at > now + PARTITIONS_AHEAD}
            self._kept[target.name] = kept
        for window in kept.by_query.values():
            window.forget(now - SPAN)
        return kept.by_query


async def _read(
    connection: Connection, target: Target, *, literal: bool, now: datetime
) -> TargetWindows:
    samples = await observations.samples(
        connection,
        target.name,
        since=now - SPAN,
        until=now,
        most=SAMPLES,
        before=min(RUN_IN * len(target.queries), MOST_BEFORE),
    )
    asked = [query.id for query in target.queries]
    by_query = {
        query: Window(
            target.name,
            every=target.every,
            queries=1 if query else len(target.queries),
            asked=asked,
            deadline=target.deadline,
            a_day=target.daily_queries or SPAN // target.every * len(target.queries),
            of_probes=not target.daily_queries,
        )
        for query in ("", *(asked if literal else ()))
    }
    kept = TargetWindows(target=target, read_s=time.monotonic(), by_query=by_query)
    for nth, sample in enumerate(samples, 1):
        kept.add(sample)
        if nth % PIECE == 0:  # let probes be read
            await asyncio.sleep(0)
    return kept

"""The rounds of a worker: claims what is due, one batch a tick, and begins each round on time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from monitor.domain import Target
from monitor.storage import DatabaseBusy, DatabaseUnavailable, leases, short_waits
from monitor.storage.leases import RoundEnd, RoundSlot
from monitor.worker import admission, outage
from monitor.worker.admission import AdmittedRound
from monitor.worker.context import WorkerContext
from monitor.worker.round_schedule import (
    RoundSchedule,
    ScheduledRound,
    phase,
    start_delays,
    worth_probing_late,
)

log = logging.getLogger(__name__)

NOT_RUNNING = "no worker was running when it was due"
STILL_ASKING = "the previous round took too long"
OVERLOADED = "the worker was at its limit of concurrent rounds"
REMOVED = "its target was removed from the configuration"
IDLE_S = 1.0  # between two ticks while nothing is due
# Longer than a claimed round waits, also after a clock step that is too small to be noticed.
LONGEST_WAIT = timedelta(seconds=4)
MOST_MISSED, MISSED_AT_ONCE = 10_000, 500  # missed rounds that wait to be recorded; in one go


@dataclass(slots=True)
class RoundQueue:
    """The rounds that this worker has claimed, and those that it is to claim.

    `context`: the current one. `run`: runs a piece of work and logs its failure. `probe`: probes an
    admitted round. `beat`: reports the cycle of rounds that others probe, or nobody. At most
    `probes.max_concurrent` rounds are claimed and not ended: what is due beyond that waits, and is
    recorded as missed if its next round is due before there is capacity.
    """

    context: Callable[[], WorkerContext]
    run: Callable[[Awaitable[object]], Coroutine[Any, Any, object]]
    probe: Callable[[AdmittedRound], Awaitable[object]]
    beat: Callable[[Sequence[RoundSlot]], None]
    schedule: RoundSchedule
    skipped: int = 0  # rounds that could not begin because the one before took too long
    running: dict[str, asyncio.Task[object]] = field(default_factory=dict)  # by target
    _waiting: dict[str, tuple[AdmittedRound, asyncio.TimerHandle]] = field(default_factory=dict)
    _due: list[ScheduledRound] = field(default_factory=list)
    _delayed: set[RoundSlot] = field(default_factory=set)  # due, but without capacity
    _unsure: set[RoundSlot] = field(default_factory=set)  # due, and perhaps claimed
    _passed: dict[str, list[RoundEnd]] = field(default_factory=dict)  # during a round, by target
    _missed: list[RoundEnd] = field(default_factory=list)  # to be recorded

    def arm(self) -> None:
        """Schedule every target from now on. After a clock step the old times are meaningless."""
        self.schedule.clear()
        self._due.clear()
        self.follow(self.context().settings.targets.values(), catch_up=True)

    def follow(self, targets: Iterable[Target], *, catch_up: bool = False) -> None:
        """Schedule targets that are not scheduled.

        `catch_up`: take over the current slot, which a restart may have left without a worker.
        """
        context = self.context()
        now, waits = context.now(), start_delays(context.settings.targets.values())
        for target in targets:
            current = self.schedule.follow(target, now=now)
            if catch_up:
                self.schedule.add(current, begins_at=now + waits[target.name], late=True)

    def forget(self, names: Iterable[str]) -> None:
        """Stop scheduling targets; a round in progress ends by itself."""
        gone = set(names)
        self.schedule.drop(gone)
        self._due = [one for one in self._due if one.of.target not in gone]

    async def live(self) -> None:
        """Tick until the worker stops."""
        leaving = self.context().state.leaving
        while not leaving.is_set():
            await self.run(self.tick())
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await leaving.wait()

    def _pause_s(self) -> float:
        tick_s, following = self.schedule.tick.total_seconds(), self.schedule.next_claim
        if self._due or following is None:
            return tick_s if self._due else IDLE_S
        until_s = (following - self.context().now()).total_seconds()
        return min(max(until_s, tick_s), IDLE_S)

    def stop(self) -> None:
        """Let the claimed rounds end that have not begun."""
        for _, (admitted, timer) in list(self._waiting.items()):
            timer.cancel()
            self._begin(admitted)

    async def tick(self) -> None:
        """Claim the rounds that are due, as many as there is capacity for, and let them begin."""
        context, loop = self.context(), asyncio.get_running_loop()
        now, now_s = context.now(), loop.time()
        due = [*self._due, *self.schedule.due(now)]
        chosen = self._chosen(context, sorted(due, key=lambda one: one.begins_at), now)
        if chosen:
            targets = context.settings.targets
            rounds = [(targets[one.of.target], one.of.slot) for one in chosen]
            try:
                again = [one.of for one in chosen if one.of in self._unsure]
                admitted = await admission.admit(context, rounds, unsure=again)
            except DatabaseBusy as busy:
                log.warning("claims delayed", extra={"count": len(chosen), "reason": str(busy)})
                self._due = [*chosen, *self._due]
                self._unsure &= {one.of for one in self._due}
                self._unsure |= {one.of for one in chosen}
            else:
                # Not by the wall clock, which may have stepped meanwhile.
                now += timedelta(seconds=loop.time() - now_s)
                begins_at = {one.of: one.begins_at for one in chosen}
                for one in admitted:
                    self._wait(one, begins_at[one.key] - now)
                ours = {one.key for one in admitted}
                others = [one.of for one in chosen if not one.late and one.of not in ours]
                if others:
                    self.beat(others)
        await self.record_missed()

    def _chosen(
        self, context: WorkerContext, due: Iterable[ScheduledRound], now: datetime
    ) -> Sequence[ScheduledRound]:
        """The rounds to claim now. The others stay due, or their slots have passed."""
        targets = context.settings.targets
        free = context.settings.file.probes.max_concurrent - len(self.running) - len(self._waiting)
        chosen: dict[str, ScheduledRound] = {}
        self._due, delayed = [], set()
        for one in due:
            name, target = one.of.target, targets.get(one.of.target)
            if target is None or one.begins_at - now > LONGEST_WAIT:  # due before the clock stepped
                continue
            regular = one.of.slot + phase(target)
            if name in self.running or name in self._waiting or name in chosen:
                if one.begins_at > now:
                    self._due.append(one)
                else:
                    self._skip(context, one)
            elif now - regular >= target.every or (
                one.late and not worth_probing_late(one.begins_at - regular, target.every)
            ):
                reason = OVERLOADED if one.of in self._delayed else NOT_RUNNING
                self._missed.append(RoundEnd(*one.of, reason))
            elif len(chosen) < free:
                chosen[name] = one
            else:
                self._due.append(one)
                delayed.add(one.of)
        if delayed and not self._delayed:
            log.warning("rounds delayed", extra={"count": len(delayed), "reason": OVERLOADED})
        self._delayed = delayed
        return list(chosen.values())

    def _skip(self, context: WorkerContext, one: ScheduledRound) -> None:
        """The round before is still in progress. Another worker may take this one until then."""
        self.skipped += 1
        context.metrics.skipped()
        if not one.late:
            self._passed.setdefault(one.of.target, []).append(RoundEnd(*one.of, STILL_ASKING))

    def _wait(self, admitted: AdmittedRound, wait: timedelta) -> None:
        if wait <= timedelta(0) or self.context().state.leaving.is_set():
            self._begin(admitted)
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(wait.total_seconds(), self._begin, admitted)
        self._waiting[admitted.target.name] = (admitted, timer)

    def _begin(self, admitted: AdmittedRound) -> None:
        name = admitted.target.name
        self._waiting.pop(name, None)
        target = self.context().settings.targets.get(name)
        if target is not None and target is not admitted.target:  # it was changed meanwhile
            admitted = replace(admitted, target=target, queries=target.queries, known=None)
        work = self.probe(admitted) if target else self._removed(admitted)
        task = asyncio.create_task(self.run(work))
        self.running[name] = task
        task.add_done_callback(lambda _: self._ended(name))

    async def _removed(self, admitted: AdmittedRound) -> None:
        await outage.keep(self.context(), [], ends=[admitted.end(REMOVED)])

    def _ended(self, name: str) -> None:
        del self.running[name]
        self._missed += self._passed.pop(name, [])

    async def record_missed(self) -> None:
        """Record the slots that passed, if no other worker took them."""
        self._missed = self._missed[-MOST_MISSED:]
        while self._missed:
            context, missed = self.context(), self._missed[:MISSED_AT_ONCE]
            try:
                # A tick also claims what is due: a frozen server must not keep it.
                recorded = await context.database.answered(_recorded(context, missed))
            except DatabaseUnavailable as unavailable:
                log.debug("missed rounds not recorded", extra={"reason": str(unavailable)})
                break
            del self._missed[: len(missed)]
            for one in recorded:
                facts = {"target": one.target, "slot": one.slot, "reason": one.missed}
                log.warning("round missed", extra=facts)


async def _recorded(context: WorkerContext, missed: Sequence[RoundEnd]) -> Sequence[RoundEnd]:
    with short_waits():
        async with context.database.begin() as connection:
            return await leases.miss(
                connection, missed, region=context.region, worker=context.worker
            )

"""The worker: schedule, signals, drain. The schedule is configuration; state is Postgres."""

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from monitor import identity
from monitor.domain import Observation, Target
from monitor.notifications import Channel
from monitor.storage import DatabaseBusy, DatabaseUnavailable, leases
from monitor.storage.leases import RoundSlot
from monitor.worker import (
    account_polling,
    burst,
    calendar_job,
    clock_check,
    delivery_job,
    digest_job,
    evaluation,
    heartbeat,
    lease_keeper,
    model_polling,
    outage,
    probe_round,
    reaction_polling,
    reload,
    rollups,
    round_log,
    service_manager,
)
from monitor.worker.admission import AdmittedRound
from monitor.worker.context import WorkerContext
from monitor.worker.round_schedule import RoundSchedule
from monitor.worker.rounds import RoundQueue
from monitor.worker.skipping_trigger import SkippingTrigger

log = logging.getLogger(__name__)

DRAIN_S = 20  # for jobs in flight and the spool; shorter than the 30 s the platform allows
LEAST_DRAIN_S, LAST_WORD_S = 3, 5  # for the spool after slow jobs, and for notices after it
CLOCK_STEP_S = 2.0
# From an evaluation that failed to the next one; how long a round waits for one.
FAILED_S, WAITING_S = 5.0, 10.0
BATCH_S = 0.5  # how long a finished probe may wait for others to be stored with it


def _at_terminal() -> bool:
    """Whether a person started it at a terminal that is still open; `monitor run <&-` has none."""
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


def _job_of(lease: str) -> str:
    """The scheduled job that works under a lease."""
    if lease.startswith("reactions "):
        return "reactions"
    if lease.startswith("health "):
        return " ".join(lease.split(" ")[:2])
    return lease.replace("_", " ")


class Worker:
    """One worker: schedules jobs, handles signals, finishes what is in progress."""

    def __init__(
        self,
        context: WorkerContext,
        *,
        configured: Callable[[WorkerContext], object] = lambda context: None,
    ) -> None:
        """`configured` is called with the new edges after the configuration was applied again."""
        self.context = context
        self._configured = configured
        self._hangup = asyncio.Event()  # SIGHUP: read the configuration again
        # By channel: there is something to send.
        self.news = {name: asyncio.Event() for name in context.channels}
        self.missed = 0
        self._reactions = [
            reaction_polling.ReactionPolling(context, channel)
            for channel in context.channels.values()
            if channel.notifier.reacts
        ]
        self._evaluated = asyncio.Event()  # the evaluation that begins next is over
        self._due_s = time.monotonic()  # when it is to begin
        self._watchdog: asyncio.Task[None] | None = None
        self._bursts: dict[str, asyncio.Task[None]] = {}
        self._flight: set[asyncio.Task[object]] = set()
        self._following: set[asyncio.Task[bool]] = set()
        self.rounds = RoundQueue(
            lambda: self.context,
            self._run,
            self._probe_round,
            self._beat,
            RoundSchedule(context.worker),
        )
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.add_listener(
            self._note, EVENT_JOB_ERROR | EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES
        )

    async def live(self) -> None:
        """Run until stopped, then drain. Never raises for a job's failure."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.context.state.leaving.set)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up, _at_terminal())
        identity.prepare()
        for target in self.context.settings.targets.values():
            declared = (*target.expected_models, *target.fallback_models)
            # Without declared models, answers name any.
            models = declared or (target.model or "unknown",)
            self.context.book.prepare(models, at=self.context.now())
        if self.context.database.closed is None:
            await self.use_database()
        self.context.state.batch_s = BATCH_S
        self._arm()
        self._scheduler.start()
        sides = (
            self.rounds.live(),
            self._keep_leases(),
            self._keep_evaluating(),
            self._watch_clock(),
            self._watch_configuration(),
            outage.watch_database(self.context),
            *(self._deliver(channel) for channel in self.context.channels.values()),
            *(
                delivery_job.attach(lambda: self.context, channel)
                for channel in self.context.channels.values()
                if channel.notifier.attaches
            ),
        )
        side = [asyncio.create_task(work) for work in sides]
        self._begin_configured()
        targets = sorted(self.context.settings.targets)
        log.info("worker started", extra={"worker": self.context.worker, "targets": targets})
        service_manager.notify(
            self.context, service_manager.READY, f"STATUS=watching {', '.join(targets)}"
        )
        await self.context.state.leaving.wait()
        log.info("worker stopping")
        service_manager.notify(self.context, service_manager.STOPPING)
        stopping = time.monotonic()
        self._scheduler.pause()
        self.context.client.abort()
        for task in self._bursts.values():
            task.cancel()
        self.rounds.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while self._flight:  # a tick in progress may begin rounds, which end at once
                    await asyncio.wait(self._flight)
        side += filter(None, [self._watchdog])
        for task in side:
            task.cancel()
        await asyncio.gather(*side, return_exceptions=True)
        left_s = max(DRAIN_S - (time.monotonic() - stopping), LEAST_DRAIN_S)
        await outage.drain(self.context, within_s=left_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_S):
                await asyncio.gather(
                    *(
                        self._run(delivery_job.deliver(self.context, channel))
                        for channel in self.context.channels.values()
                    )
                )
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_S):
                await self._run(lease_keeper.release(self.context))
        self._scheduler.shutdown(wait=False)
        log.info("worker stopped")

    async def use_database(self) -> None:
        """What a worker does first once its database can be used."""
        await self._run(outage.prepare(self.context))
        await self._run(outage.adopt(self.context))
        if len(self.context.state.spool):
            await self._run(outage.keep(self.context, []))
        await self._run(delivery_job.recheck(self.context))
        await self._run(self._check_clock(correct=True))

    def _begin_configured(self) -> None:
        """Let what runs all the time use the current settings."""
        for polling in self._reactions:
            polling.context = self.context
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._watchdog = asyncio.create_task(service_manager.keep_watchdog(self.context))

    def _arm(self) -> None:
        """(Re)schedule every job from now on. After a clock step the old times are meaningless."""
        self._scheduler.remove_all_jobs()
        self.rounds.arm()
        self._arm_others()

    def _arm_others(self) -> None:
        """Schedule everything but the rounds."""
        now = datetime.now(UTC)
        every = self.context.settings.file.accounts.every
        self._every(every, self._accounts, "accounts", now)
        for name, page in self.context.settings.health.items():
            job = partial(
                account_polling.read_health_page,
                self.context,
                self.context.settings.targets[name],
                page,
            )
            self._every(page.every, job, f"health {name}", now)
        gauge = partial(heartbeat.update_metrics, self.context)
        self._every(timedelta(seconds=15), gauge, "gauge", now)
        if self._reactions:
            self._every(reaction_polling.EVERY, self._answers, "reactions", now)
        self._every(timedelta(minutes=1), self._digest, "digest", now)
        minute, context = timedelta(minutes=1), self.context
        self._every(minute, partial(delivery_job.close_removed, context), "channels", now)
        self._every(minute, partial(outage.adopt, context), "spool", now)
        self._every(5 * minute, partial(calendar_job.update, context), "calendar", now + minute / 2)
        look = partial(self._check_clock, correct=False)
        self._every(minute, look, "clock", now + timedelta(seconds=20))
        self._every(minute / 2, partial(account_polling.fetch_receipts, context), "receipts", now)
        self._every(minute, partial(model_polling.poll, context), "models", now)
        self._every(5 * minute, partial(rollups.roll_up, context), "roll up", now)
        reckon = partial(rollups.compute_today, context)
        self._every(minute / 2, reckon, "reckon", now + timedelta(seconds=15))
        self._every(timedelta(hours=1), partial(outage.prepare, self.context), "keep", now)

    def _every(
        self, span: timedelta, job: Callable[[], Awaitable[object]], name: str, first: datetime
    ) -> None:
        self._scheduler.add_job(
            self._run_job,
            SkippingTrigger(seconds=int(span.total_seconds()), start_date=first, timezone=UTC),
            args=[job],
            id=name,
            name=name,
            replace_existing=True,
            next_run_time=first,
            misfire_grace_time=max(1, int(span.total_seconds())),
            coalesce=True,
            max_instances=1,
        )

    def _hung_up(self, at_terminal: bool) -> None:
        """SIGHUP reloads the configuration, unless the terminal was closed."""
        if at_terminal and not _at_terminal():
            self.context.state.leaving.set()
        else:
            self._hangup.set()

    async def _watch_configuration(self) -> None:
        """Reload the configuration after SIGHUP, or after its file has changed and is stable."""
        path = Path(self.context.settings.source)
        applied_state = last = reload.file_state(path)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(reload.LOOK_S):
                    await self._hangup.wait()
            now = reload.file_state(path)
            if self._hangup.is_set() or (now != applied_state and now == last):
                self._hangup.clear()
                applied_state = now
                await self._run(self._reload())
            if await reload.announce(self.context):
                self._announce(self.context.channels)
            last = now

    async def _reload(self) -> None:
        """Apply the current configuration; rounds in progress end with the old one."""
        before = self.context.settings
        settings = await reload.reread(self.context)
        if settings is None:
            return
        changed = reload.changes(before, settings)
        self.context = reload.applied(self.context, settings)
        self.rounds.forget(
            name for name, target in before.targets.items() if settings.targets.get(name) != target
        )
        for name, target in before.targets.items():
            running = self._bursts.get(name)
            if settings.targets.get(name) != target and running is not None:
                del self._bursts[name]
                running.cancel()  # it would ask the old address with the old key
        every = {name: target.every for name, target in before.targets.items()}
        new = [one for name, one in settings.targets.items() if before.targets.get(name) != one]
        self.rounds.follow([one for one in new if every.get(one.name) == one.every])
        self.rounds.follow([one for one in new if every.get(one.name) != one.every], catch_up=True)
        for name in before.health.keys() - settings.health.keys():
            self._forget(f"health {name}")
        self._arm_others()
        self._begin_configured()
        self._configured(self.context)
        facts = {"config_hash": settings.config_hash, "changes": changed or ["nothing"]}
        log.info("configuration applied", extra=facts)

    def _forget(self, job: str) -> None:
        if self._scheduler.get_job(job):
            self._scheduler.remove_job(job)

    async def _run_job(self, job: Callable[[], Awaitable[object]]) -> None:
        with suppress(asyncio.CancelledError):  # when the process ends: the scheduler would log it
            await self._run(job())

    async def _run(self, work: Awaitable[object]) -> bool:
        """One independent piece of work: its failure is logged and stops no other.

        True if it did not fail.
        """
        task = asyncio.ensure_future(work)
        self._flight.add(task)
        try:
            await asyncio.shield(task)
        except DatabaseBusy as busy:
            log.warning("database busy", extra={"reason": str(busy)})
        except DatabaseUnavailable as unavailable:
            log.warning("database unavailable", extra={"reason": str(unavailable)})
        except Exception:
            log.exception("job failed")
        else:
            return True
        finally:
            self._flight.discard(task)
        return False

    async def _probe_round(self, admitted: AdmittedRound) -> None:
        target, slot = admitted.target, admitted.slot
        between = partial(self._glance, target)
        seen = await probe_round.probe_admitted(self.context, admitted, between=between)
        self.context.state.round_ended_s = time.monotonic()
        self._afterwards(self._conclude(target, slot, seen))

    async def _conclude(self, target: Target, slot: datetime, seen: Sequence[Observation]) -> None:
        if seen:
            await self._evaluate(target)
            round_log.log_round(self.context, target, slot, seen)
            self._look_closer(target, seen)
        self._beat([RoundSlot(target.name, slot)])

    def _beat(self, rounds: Sequence[RoundSlot]) -> None:
        """Report the cycle of rounds."""
        within_s = 2 * self.context.state.batch_s
        self._afterwards(heartbeat.beat(self.context, rounds, within_s=within_s))

    def _afterwards(self, work: Awaitable[object]) -> None:
        """What follows a round; the next round of its target does not wait for it."""
        task = asyncio.create_task(self._run(work))
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    def _look_closer(self, target: Target, seen: Sequence[Observation]) -> None:
        """Start a burst if something is suspected, one at a time for each target.

        A target that was changed or removed during its round is not probed again.
        """
        if self.context.settings.targets.get(target.name) != target:
            return
        if target.name not in self._bursts:
            task = asyncio.create_task(self._burst(target, seen))
            self._bursts[target.name] = task
            task.add_done_callback(partial(self._burst_ended, target.name))

    def _burst_ended(self, name: str, task: asyncio.Task[None]) -> None:
        if self._bursts.get(name) is task:  # not the next one, after a reload
            del self._bursts[name]

    async def _burst(self, target: Target, seen: Sequence[Observation]) -> None:
        context = self.context

        async def ask(extra: burst.ExtraProbe) -> bool:
            more = await probe_round.probe_again(context, target, *extra)
            await self._evaluate(target)
            return more

        try:
            rules, memory = context.settings.rules, context.state.sourceless
            await burst.burst(context.database, target, ask, rules=rules, seen=seen, memory=memory)
        except Exception:
            log.exception("burst failed", extra={"target": target.name})

    async def _glance(self, target: Target) -> None:
        """Wait for an evaluation that is due, while nothing of the target is measured."""
        if time.monotonic() >= self._due_s:
            await self._evaluate(target)

    async def _evaluate(self, _: Target) -> None:
        """Wait until a target is evaluated with all that is stored, if this worker evaluates."""
        if lease_keeper.held(self.context, "evaluate"):
            with suppress(TimeoutError, DatabaseUnavailable):
                async with asyncio.timeout(WAITING_S):
                    await self.context.database.answered(self._evaluated.wait())

    async def _keep_evaluating(self) -> None:
        """Evaluate once a second what any worker has stored, while this one holds the lease."""
        leaving = self.context.state.leaving  # then only as long as a round waits for it
        while not leaving.is_set() or self._following or self.rounds.running:
            over, self._evaluated = self._evaluated, asyncio.Event()
            self._due_s = time.monotonic() + evaluation.pause_s(self.context)
            done = await self._run(self._evaluate_changed())
            over.set()
            await asyncio.sleep(self._due_s - time.monotonic() if done else FAILED_S)

    async def _evaluate_changed(self) -> None:
        if await evaluation.evaluate_changed(self.context):
            self._announce(self.context.channels)

    async def _accounts(self) -> None:
        if await account_polling.poll(self.context):
            self.context.state.windows.ask()

    async def _check_clock(self, *, correct: bool) -> None:
        if await clock_check.check(self.context, correct=correct):
            self._announce(self.context.channels)

    async def _digest(self) -> None:
        if await digest_job.digest(self.context):
            self._announce(self.context.channels)

    async def _answers(self) -> None:
        """Every channel concurrently: a slow one delays no other, nor the end.

        A failure is raised when all have ended, so that no poll runs on beside the next.
        """
        polls = asyncio.gather(
            *(polling.poll() for polling in self._reactions), return_exceptions=True
        )
        # A cancelled gathering is logged as an error, unless somebody looks at its exception.
        polls.add_done_callback(lambda done: done.cancelled() or done.exception())
        leaving = asyncio.ensure_future(self.context.state.leaving.wait())
        try:
            await asyncio.wait((polls, leaving), return_when=asyncio.FIRST_COMPLETED)
            if polls.done():
                results = polls.result()
                if any(news is True for news in results):
                    self._announce(self.context.channels)
                for failure in results:
                    if isinstance(failure, BaseException):
                        raise failure
        finally:
            leaving.cancel()
            polls.cancel()

    def _announce(self, channels: Iterable[str]) -> None:
        """Wake the delivery of these channels that belong to this worker."""
        for name in self.news.keys() & set(channels):
            self.news[name].set()

    async def _deliver(self, channel: Channel) -> None:
        """Deliver when something is due: at once after news, else at the outbox's times."""
        news = self.news[channel.name]
        while True:
            news.clear()
            await self._run(delivery_job.deliver(self.context, channel))
            with suppress(TimeoutError):  # not wait_for: before 3.12 it may swallow a cancellation
                async with asyncio.timeout(30):  # the lease keeper looks more often
                    await news.wait()

    async def _keep_leases(self) -> None:
        """Renew our leases; run at once the jobs whose lease another worker left."""
        seen: set[leases.LapsedLease] = set()
        while True:
            try:
                lapsed, due = await lease_keeper.renew(self.context)
            except DatabaseUnavailable as unavailable:
                log.debug("lease renewal failed", extra={"reason": str(unavailable)})
            except Exception:
                log.exception("job failed")
            else:
                for job in sorted({_job_of(lease.name) for lease in lapsed - seen}):
                    if self._scheduler.get_job(job):
                        self._scheduler.modify_job(job, next_run_time=datetime.now(UTC))
                seen = lapsed
                self._announce(due)
            await asyncio.sleep(leases.RENEWED_EVERY.total_seconds())

    async def _watch_clock(self) -> None:
        """Detect a stepped clock or a suspended machine, which the scheduler would not notice."""
        while True:
            wall, steady = time.time(), time.monotonic()
            await asyncio.sleep(1)
            step = (time.time() - wall) - (time.monotonic() - steady)
            if abs(step) > CLOCK_STEP_S:
                log.warning("clock stepped", extra={"by_s": round(step, 1)})
                self.context.client.abort()
                self.context.state.backoff_until.clear()
                self.context.state.account_backoff_until.clear()
                self._arm()
                await self._run(self._check_clock(correct=True))

    def _note(self, event: JobEvent) -> None:
        self.missed += 1
        self.context.metrics.skipped()
        log.debug("job skipped", extra={"job": event.job_id, "event_code": event.code})

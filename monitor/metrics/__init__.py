"""Metrics of the worker: counted in memory, scraped over HTTP, summarised by `/healthz`.

Jobs call one method after each fact. Nothing here can fail a job or block.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import cast

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from monitor.domain import Observation, Outcome, StampSource, Target
from monitor.identity import same
from monitor.metrics.http_endpoint import EndpointReply, listening, measure_lag
from monitor.metrics.series import OTHER, UNKNOWN, begin_at_zero, models, series
from monitor.rules import DeliveryBacklog

__all__ = ["EndpointReply", "EvaluationTime", "Metrics", "WorkerHealth"]

StatusPages = Callable[[str], Awaitable[EndpointReply | None]]  # by path

MOST_TARGETS = 200  # with series of their own: some 20 KB of a page each
PAUSE_AFTER, PAUSE_S = 50, 0.0005  # samples of a page, and the pause after them
PATIENCE_S, LOOK_S = 1.0, 0.005  # how long a page waits for an evaluation, and how often it looks
FRESH_S = 1.0  # how long a page is served again
INTERVALS = 3  # one cycle may be missed and the next be late before `/healthz` fails


@dataclass(frozen=True, slots=True)
class WorkerHealth:
    """The answer of `/healthz`.

    Broken delivery is shown but does not fail it: otherwise it would block the deployment that
    corrects the address.
    """

    good: bool
    says: str


class PausingCollector(Collector):
    """The metrics of a registry for a page that a thread writes beside the event loop.

    After some samples the thread sleeps, because the loop cannot run while it works. While `busy`,
    it waits, but for `PATIENCE_S` in all.
    """

    def __init__(self, registry: CollectorRegistry, busy: Callable[[], bool]) -> None:
        self._registry, self._busy = registry, busy
        self._left_s = PATIENCE_S

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = cast("list[Sample]", self._with_pauses(metric.samples))
            yield metric

    def _with_pauses(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        for number, sample in enumerate(samples):
            if number % PAUSE_AFTER == PAUSE_AFTER - 1:
                time.sleep(PAUSE_S)
                while self._left_s > 0 and self._busy():
                    time.sleep(LOOK_S)
                    self._left_s -= LOOK_S
            yield sample


@dataclass(slots=True)
class EvaluationTime:
    """`counts`: this worker did evaluate, and no other one."""

    counts: bool = True


class Metrics:
    """One worker's metrics. `began_at` counts as the first cycle until there is one."""

    def __init__(
        self,
        targets: Iterable[Target],
        *,
        rules: Iterable[str] = (),
        channels: Iterable[str] = (),
        began_at: datetime | None = None,
        most_targets: int = MOST_TARGETS,
        **build: str,
    ) -> None:
        self._targets = {target.name: target for target in targets}
        self._most = most_targets
        self._own = {target.name for target in self._named()}  # with series of their own
        self._registry = CollectorRegistry()
        self._held = series(self._registry)
        self._rules = tuple(rules)
        begin_at_zero(self._held, self._named(), rules=self._rules, channels=channels)
        self._build = build
        self._held.build.info(build)
        self._cycle_at = began_at or datetime.now(UTC)
        self._cycled = False
        self._rendering: asyncio.Task[None] | None = None
        self._rendered: dict[str, tuple[float, bytes]] = {}  # when, and the page, by content type
        self._evaluating = False
        self._broken: Mapping[str, str] = {}  # by channel
        self._dropped = 0

    def configure(
        self, targets: Iterable[Target], *, rules: Iterable[str], config_hash: str
    ) -> None:
        """Change targets and rules; the series of removed targets are deleted."""
        before = self._own
        self._targets = {target.name: target for target in targets}
        self._own = {target.name for target in self._named()}
        self._rules = tuple(rules)
        for name in before - self._own:
            for metric in self._held:
                if "target" in metric._labelnames:
                    metric.remove_by_labels({"target": name})
        begin_at_zero(self._held, self._named(), rules=self._rules, channels=())
        self._build = {**self._build, "config_hash": config_hash}
        self._held.build.info(self._build)

    def observed(self, observation: Observation) -> None:
        """Count one probe of a target that is watched."""
        if observation.target not in self._targets:
            return  # it was removed during the probe
        held, outcome = self._held, observation.outcome
        target = self._label(observation.target)
        received = (target, OTHER, "chat", OTHER)
        if target == observation.target:
            received = (target, observation.query, "chat", self._model(observation))
        held.probes.labels(target, outcome.value).inc()
        held.success.labels("probed").set(observation.started_at.timestamp())
        if observation.ttft_ms is not None:
            held.stamps.labels(target, observation.stamp.value).inc()
            if observation.stamp is not StampSource.DEGRADED:
                held.first_chunk.labels(*received).observe(observation.ttft_ms / 1000)
        if observation.total_ms is not None:
            held.answer.labels(*received).observe(observation.total_ms / 1000)
        if outcome is Outcome.ANSWERED:
            held.answers.labels(target, observation.identity.value).inc()
        low, high = observation.cost_ends
        held.cost.labels(target).inc(float(low))
        held.cost_high.labels(target).inc(float(high))
        if observation.pieces and observation.cost_usd is None:
            ranged = observation.cost_high_usd is not None
            (held.ranged if ranged else held.unpriced).labels(target).inc()

    def round(self, target: str, *, whole: bool) -> None:
        """Count a round; not whole: it was refused, incomplete, or could not be claimed."""
        if target not in self._targets:
            return
        self._held.rounds.labels(self._label(target)).inc()
        if not whole:
            self._held.missed.labels(self._label(target)).inc()

    def skipped(self) -> None:
        """Count a run the scheduler could not start in time."""
        self._held.skipped.inc()

    def cycle(self, target: str, at: datetime) -> None:
        """A round was probed, stored and evaluated completely."""
        self._cycle_at, self._cycled = at, True
        if target in self._targets:
            self._held.cycle.labels(self._label(target)).set(at.timestamp())
        self.succeeded("cycle", at)

    def succeeded(self, stage: str, at: datetime) -> None:
        """Note the last success of a stage."""
        self._held.success.labels(stage).set(at.timestamp())

    def delivery(self, backlogs: Iterable[DeliveryBacklog]) -> None:
        """What waits for each channel, and whether it accepts messages.

        The age of what waits is computed at read time.
        """
        broken = {}
        for backlog in backlogs:
            channel = backlog.channel
            self._held.waiting.labels(channel).set(backlog.waiting)
            self._held.oldest.labels(channel).set_function(partial(_waited_s, backlog.oldest_at))
            self._held.broken.labels(channel).set(backlog.broken_since is not None)
            if backlog.last_sent_at is not None:
                self._held.sent.labels(channel).set(backlog.last_sent_at.timestamp())
            if backlog.broken_since is not None:
                broken[channel] = backlog.broken_why or ""
        self._broken = broken

    def budget(self, left_usd: Decimal, left_probes: int) -> None:
        """The rest of the day's probe budget; never below zero."""
        self._held.budget_usd.set(max(float(left_usd), 0.0))
        self._held.budget_probes.set(max(left_probes, 0))

    def incidents(self, by_rule: Mapping[str, int]) -> None:
        """How many incidents stand open."""
        counts = Counter(dict.fromkeys(self._rules, 0)) + Counter(by_rule)
        for rule in {*self._rules, *by_rule}:
            self._held.incidents.labels(rule).set(counts[rule])

    def spool(self, waiting: int, dropped: int, *, on_disk: bool) -> None:
        """Waiting and dropped observations, and whether the waiting ones are on disk."""
        self._held.spool.set(waiting)
        self._held.spool_disk.set(on_disk)
        self._held.dropped.inc(dropped - self._dropped)
        self._dropped = dropped

    @asynccontextmanager
    async def evaluation(self) -> AsyncIterator[EvaluationTime]:
        """Note how long the body takes, which evaluates the rules."""
        self._evaluating, time_ = True, EvaluationTime()
        began_s = time.monotonic()
        try:
            yield time_
        finally:
            self._evaluating = False
            if time_.counts:
                self._held.evaluation.observe(time.monotonic() - began_s)

    @contextmanager
    def read_ahead(self) -> Iterator[None]:
        """Note how long the body takes, which reads what an evaluation needs."""
        with self._held.read_ahead.time():
            yield

    def rejected(self) -> None:
        """Count an observation the database refused for good."""
        self._held.rejected.inc()

    def interpretation_stopped(self, target: str) -> None:
        """Count an answer whose interpretation exceeded its CPU time."""
        self._held.stopped.labels(self._label(target)).inc()

    def database(self, at: datetime | None) -> None:
        """Whether the state could be read, and when; None: the database is unavailable."""
        self._held.database.set(at is not None)
        if at is not None:
            self.succeeded("read_out", at)

    def health(self, now: datetime) -> WorkerHealth:
        """Good while the last good cycle is younger than three of the shortest intervals."""
        shortest = min((t.every for t in self._targets.values()), default=timedelta(minutes=5))
        age = abs(now - self._cycle_at)  # the clock may have been ahead when it was noted
        good = age <= INTERVALS * shortest
        last = "last good cycle" if self._cycled else "no cycle yet; the worker started"
        says = (
            f"{last} {age.total_seconds():.0f} s ago, "
            f"at most {(INTERVALS * shortest).total_seconds():.0f} s are allowed"
        )
        for channel, why in self._broken.items():
            says += f"\ndelivery to channel {channel} is broken: {why}"
        return WorkerHealth(good, says)

    def page(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and body for a scraper with this `Accept` header."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(PausingCollector(self._registry, lambda: self._evaluating))

    async def _page(self, accept: str) -> tuple[str, bytes]:
        """The same, made in a thread, one page at a time, and at most once in `FRESH_S`."""
        _, content_type = choose_encoder(accept)
        while True:
            made_s, body = self._rendered.get(content_type, (-FRESH_S, b""))
            if time.monotonic() - made_s < FRESH_S:
                return content_type, body
            if self._rendering is None:
                self._rendering = asyncio.create_task(self._render(accept))
            await asyncio.shield(self._rendering)

    async def _render(self, accept: str) -> None:
        try:
            content_type, body = await asyncio.to_thread(self.page, accept)
            self._rendered = {content_type: (time.monotonic(), body)}
        finally:
            self._rendering = None

    def _named(self) -> list[Target]:
        """The targets that have series of their own."""
        return list(islice(self._targets.values(), self._most))

    def _label(self, target: str) -> str:
        """The target's name, or `other` if it has no series of its own."""
        return target if target in self._own else OTHER

    @asynccontextmanager
    async def serving(
        self, host: str, port: int | None, pages: StatusPages | None = None
    ) -> AsyncIterator[int | None]:
        """Serve `/metrics`, `/healthz` and `pages` while the body runs, and measure the loop's lag.

        Yields the port. `pages` gives the reply for any other path, None if there is none. Without
        a port nothing is served. Raises OSError if the port is in use.
        """
        async with measure_lag(self._held.lag.observe):
            if port is None:
                yield None
                return
            try:
                async with listening(host, port, partial(self._answer, pages)) as bound:
                    yield bound
            finally:
                if self._rendering is not None:
                    await asyncio.gather(self._rendering, return_exceptions=True)

    async def _answer(self, pages: StatusPages | None, path: str, accept: str) -> EndpointReply:
        if path == "/metrics":
            content_type, body = await self._page(accept)
            return EndpointReply(200, content_type, body)
        if path == "/healthz":
            health = self.health(datetime.now(UTC))
            body = f"{'ok' if health.good else 'failing'}: {health.says}\n".encode()
            return EndpointReply(200 if health.good else 503, "text/plain; charset=utf-8", body)
        if pages is not None and (reply := await pages(path)):
            return reply
        listed = b"/, /status.json, /badge/TARGET.svg, /metrics and /healthz are here\n"
        return EndpointReply(404, "text/plain; charset=utf-8", listed)

    def _model(self, observation: Observation) -> str:
        """The configured name of the answering model, however the service spells it."""
        known, model = models(self._targets[observation.target]), observation.model_detected
        if model is None or model in known:
            return model or UNKNOWN
        return next((name for name in known if same(model, name)), OTHER)


def _waited_s(oldest_at: datetime | None) -> float:
    if oldest_at is None:
        return 0.0
    return max((datetime.now(UTC) - oldest_at).total_seconds(), 0.0)

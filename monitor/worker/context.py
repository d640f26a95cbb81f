"""What every job needs: the connections of a worker, which never change, and its shared state."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from monitor.config import Settings
from monitor.domain import Notice, Target
from monitor.identity import IdentityContext, IdentityLearning
from monitor.identity.token_counts.counts import Counter
from monitor.incidents.inhibitions import Inhibitions, TargetPlace
from monitor.metrics import Metrics
from monitor.notifications import Channel
from monitor.notifications.channel import Key
from monitor.pricing.book import PriceBook
from monitor.pricing.reconciliation import ReconciledDay
from monitor.probing.client import ProbeClient
from monitor.rules import DEFAULT_RULES, DownRule
from monitor.storage import Connection, Database
from monitor.storage.batch import Batch
from monitor.storage.leases import RoundEnd, RoundSlot
from monitor.storage.spend_rows import ProbesSpent
from monitor.storage.spool import Spool
from monitor.worker.burst import SourcelessQueries
from monitor.worker.identity_memory import IdentityCache
from monitor.worker.incident_memory import IncidentMemory
from monitor.worker.spend_memory import SpendMemory
from monitor.worker.spent_today import SpentToday
from monitor.worker.window_memory import WindowMemory


def midnight_of(now: datetime) -> datetime:
    """The start of the UTC day."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


# The database's clock as one machine saw it, so that a step of it is noticed.

# Continues while the machine is suspended, if there is such a clock.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
STEP = timedelta(seconds=10)  # a smaller difference is drift, or a slow answer


class ClockStep(NamedTuple):
    """The clock stepped by `by`. Before, it ran evenly from `since` to `until`.

    Both are instants of the clock before the step.
    """

    by: timedelta
    since: datetime
    until: datetime


def steady_s() -> float:
    """Seconds of the monotonic clock, since the machine started."""
    return time.clock_gettime(_STEADY)


def boot_id() -> str | None:
    """An id of this boot: processes with the same id share the steady clock. None: unknown."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return None
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/time').readlink()}"
    return None


@dataclass(frozen=True, slots=True)
class ListDoubt:
    """A model list that is too short to believe it, in so many successive readings."""

    lost: frozenset[str]  # declared models that it lacks
    readings: int


@dataclass(slots=True)
class ClockHistory:
    """`seen`: the database's clock and the steady one at the latest check.

    `since`: the database's clock ran evenly from here. `boot` None: nothing is kept for a restart.
    """

    seen: tuple[datetime, float] | None = None
    since: datetime | None = None
    boot: str | None = field(default_factory=boot_id)
    steady: Callable[[], float] = steady_s

    def look(self, now: datetime) -> ClockStep | None:
        """Record the database's clock; the step since the last check, or None."""
        steady = self.steady()
        before, since, self.seen = self.seen, self.since, (now, steady)
        if before is None or since is None or steady < before[1]:
            self.since = now
            return None
        by = now - before[0] - timedelta(seconds=steady - before[1])
        if abs(by) <= STEP:
            return None
        self.since = now
        return ClockStep(by, since, now - by)


@dataclass(slots=True, kw_only=True)
class WorkerState:
    """What changes while a worker runs. Jobs run on one event loop, so nothing needs a lock
    but the evaluation, which awaits the database.
    """

    spool: Spool = field(default_factory=Spool)
    leaving: asyncio.Event = field(default_factory=asyncio.Event)  # no further probe starts
    # Until when a target, or a provider account, asked us to wait, by its name.
    backoff_until: dict[str, datetime] = field(default_factory=dict)
    account_backoff_until: dict[str, datetime] = field(default_factory=dict)
    models_listed: int = 0  # entries of the provider's list when it was last read
    list_doubt: ListDoubt | None = None  # of this worker's latest reading of that list
    certificates_tried_at: dict[str, datetime] = field(default_factory=dict)  # in vain, by target
    identity: IdentityCache = field(default_factory=IdentityCache)
    # By observation: what was learned from its answer, until both are stored.
    learnings: dict[UUID, IdentityLearning] = field(default_factory=dict)
    spent: SpentToday = field(default_factory=SpentToday)  # the cost of today's probes
    # Transactions that rounds share: writes of finished probes, reads before probes, heartbeats.
    writes: Batch[RoundEnd, None] = field(default_factory=Batch)
    reads: Batch[Target, Mapping[str, IdentityContext]] = field(default_factory=Batch)
    beats: Batch[RoundSlot, Mapping[RoundSlot, bool]] = field(default_factory=Batch)
    batch_s: float = 0.0  # how long a transaction may wait for others to share it
    ends: list[RoundEnd] = field(default_factory=list)  # of rounds, not stored yet
    # The hour they were read in, and the latest days with a provider's bill.
    reconciled: tuple[datetime, Sequence[ReconciledDay]] | None = None
    leases: dict[str, float] = field(default_factory=dict)  # by name: renewed until (monotonic)
    evaluating: asyncio.Lock = field(default_factory=asyncio.Lock)
    windows: WindowMemory = field(default_factory=WindowMemory)
    incidents: IncidentMemory = field(default_factory=IncidentMemory)
    # As long as these are configured: which incidents explain which others.
    inhibitions: tuple[Settings, Mapping[str, Channel], Inhibitions] | None = None
    spend: SpendMemory = field(default_factory=SpendMemory)
    sourceless: SourcelessQueries = field(default_factory=SourcelessQueries)
    rolled_up: bool = False  # the time without a worker before this one is stored
    compute_again_s: float = 0.0  # when the spend of today may be computed again (monotonic)
    interpreting: asyncio.Lock = field(default_factory=asyncio.Lock)  # a large answer
    # By channel: notices just sent that should have a chart, each with its reference.
    charts: defaultdict[str, asyncio.Queue[tuple[Notice, str]]] = field(
        default_factory=lambda: defaultdict(lambda: asyncio.Queue(8))
    )
    clock: ClockHistory = field(default_factory=ClockHistory)
    refusal: Notice | None = None  # of a changed configuration, until it is queued
    refused: str | None = None  # the same as a sentence, until a valid one is applied
    breaches: dict[str, tuple[str, ...]] = field(default_factory=dict)  # open rules, by scope
    # By name: when a target was added or changed since the start (monotonic).
    configured_s: dict[str, float] = field(default_factory=dict)
    began_s: float = field(default_factory=time.monotonic)
    round_ended_s: float = field(default_factory=time.monotonic)  # of any target, however it went


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """The open edges of one worker, which never change while it runs. `state` is what does."""

    settings: Settings
    database: Database
    client: ProbeClient
    book: PriceBook
    channels: Mapping[str, Channel]  # by name; at least one
    region: str
    worker: str
    metrics: Metrics
    counters: Mapping[str, Counter] = field(default_factory=dict)  # tokenizers, by model
    state: WorkerState = field(default_factory=WorkerState)

    @property
    def began_at(self) -> datetime:
        """When this worker began, corrected by later clock steps."""
        return self.now() - timedelta(seconds=time.monotonic() - self.state.began_s)

    async def spent_today(self, connection: Connection) -> ProbesSpent | None:
        """Sum and count of every probe of the UTC day, from all workers: the running sum.

        None: the day is not completely summed.
        """
        return await self.state.spent.read(connection, midnight_of(self.now()))

    def watched_since(self, target: str) -> datetime:
        """When this worker began to watch a target as it is configured now."""
        since_s = self.state.configured_s.get(target)
        if since_s is None:
            return self.began_at
        return self.now() - timedelta(seconds=time.monotonic() - since_s)

    def takers(self, notice: Notice, reported: Iterable[Key] = ()) -> Mapping[str, bool]:
        """Every channel, and whether it takes this notice; `reported`: the incidents it reports."""
        about = tuple(reported)
        return {
            name: channel.accepts.takes(notice, about) for name, channel in self.channels.items()
        }

    def batch_s(self, every: timedelta) -> float:
        """How long a transaction of a round may wait to be shared, by the interval of the round."""
        return min(self.state.batch_s, every.total_seconds() / 120)

    @staticmethod
    def now() -> datetime:
        return datetime.now(UTC)


def inhibitions(context: WorkerContext) -> Inhibitions:
    """Which incidents explain which others, or share a fault, as it is configured now."""
    known = context.state.inhibitions
    if known is not None and known[0] is context.settings and known[1] is context.channels:
        return known[2]

    @cache
    def place(name: str) -> TargetPlace | None:
        target = context.settings.targets.get(name)
        if target is None:
            return None
        notified = (
            channel
            for channel, opened in context.channels.items()
            if opened.accepts.hears(DownRule.name, name)
        )
        return TargetPlace(urlsplit(target.url).hostname or "", frozenset(notified))

    @cache
    def targets_on(host: str) -> int:
        return sum(
            known is not None and known.host == host
            for known in map(place, context.settings.targets)
        )

    made = Inhibitions(
        {**DEFAULT_RULES, **context.settings.rules},
        place_of=place,
        targets_on=targets_on,
    )
    context.state.inhibitions = context.settings, context.channels, made
    return made

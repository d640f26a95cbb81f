"""What every job needs, in one frozen piece."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from monitor.config import Settings
from monitor.domain import Notice
from monitor.identity.token_counts.counts import Counter
from monitor.metrics import Metrics
from monitor.notifications import Notifier
from monitor.pricing import PriceBook
from monitor.probing import ProbeClient
from monitor.storage import Database
from monitor.storage.spend_rows import ProbesSpent
from monitor.storage.spool import Spool
from monitor.worker.clock_history import ClockHistory
from monitor.worker.fingerprinting import FingerprintCache
from monitor.worker.token_counting import ConfirmedCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """The open edges of one worker. `backoff_until`: until when a target asked us to stay away.

    `charts`: messages just told that should have a picture, each with its reference.
    """

    settings: Settings
    database: Database
    client: ProbeClient
    book: PriceBook
    notifier: Notifier
    region: str
    worker: str
    metrics: Metrics
    spool: Spool = field(default_factory=Spool)
    fingerprint_cache: FingerprintCache = field(default_factory=FingerprintCache)
    counters: Mapping[str, Counter] = field(default_factory=dict)  # tokenizers, by model
    confirmed_counts: dict[str, ConfirmedCounts] = field(
        default_factory=dict
    )  # token counts, by target
    spent: dict[datetime, ProbesSpent] = field(default_factory=dict)  # today, as last counted
    backoff_until: dict[str, datetime] = field(default_factory=dict)
    charts: asyncio.Queue[tuple[Notice, str]] = field(default_factory=lambda: asyncio.Queue(8))
    clock: ClockHistory = field(default_factory=ClockHistory)
    evaluating: asyncio.Lock = field(default_factory=asyncio.Lock)
    leaving: asyncio.Event = field(default_factory=asyncio.Event)  # no further probe begins
    began_s: float = field(default_factory=time.monotonic)

    @property
    def began_at(self) -> datetime:
        """When this worker began, by the clock as it is now: it may have been wrong then."""
        return self.now() - timedelta(seconds=time.monotonic() - self.began_s)

    @staticmethod
    def now() -> datetime:
        return datetime.now(UTC)

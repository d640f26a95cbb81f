"""What every job needs, in one frozen piece."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from monitor.domain import Notice
from monitor.identity.counting import Counter
from monitor.jobs.accounting import Confirmed
from monitor.jobs.clock_history import ClockHistory
from monitor.jobs.identifying import Gallery
from monitor.metrics import Metrics
from monitor.notifiers import Notifier
from monitor.pricing import Book
from monitor.settings import Settings
from monitor.spool import Spool
from monitor.store import Database
from monitor.store.budget import Probed
from monitor.wire import Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The open edges of one worker. `patience`: until when a target asked us to stay away.

    `charts`: messages just told that should have a picture, each with its reference.
    """

    settings: Settings
    database: Database
    wire: Wire
    book: Book
    notifier: Notifier
    region: str
    worker: str
    metrics: Metrics
    spool: Spool = field(default_factory=Spool)
    gallery: Gallery = field(default_factory=Gallery)
    counters: Mapping[str, Counter] = field(default_factory=dict)  # tokenizers, by model
    confirmed: dict[str, Confirmed] = field(default_factory=dict)  # token counts, by target
    spent: dict[datetime, Probed] = field(default_factory=dict)  # today, as last counted
    patience: dict[str, datetime] = field(default_factory=dict)
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

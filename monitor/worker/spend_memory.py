"""Spend as running sums in the memory of a worker, kept up to date by new rows.

A day is read once, an hour at a time, and then grows by the rows that any worker stores. Slices of
five minutes stay open for a quarter of an hour and are read again when a row of them arrives. After
a row of an earlier slice the day is summed again, as often as its cost allows.
Source: docs/adr/0025-incremental-evaluation.md
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from functools import cache
from typing import NamedTuple
from uuid import UUID

from monitor.pricing.book import PriceBook
from monitor.pricing.meters import day_of
from monitor.pricing.spend_day import SLICE, RunningDay, SpendSlice
from monitor.storage import Connection, spend_rows, stored_rows
from monitor.storage.row_feed import RowFeed

OPEN = 3 * SLICE  # a round begins up to five minutes after its slot, and takes a while
STEP = timedelta(hours=1)  # read in one statement
PIECE, MANY = timedelta(minutes=15), 2_000  # the same after so many slices in one statement
READING_S = 1.0  # how long one call may read
SHARE = 20  # a day is not summed again before so many times what it took
READ_AGAIN_S = 6 * 3600.0  # in case a change was missed


class SpendSettings(NamedTuple):
    """What a sum depends on besides rows."""

    zone: tzinfo
    daily_queries: Mapping[str, int]
    book: PriceBook

    def same(self, other: "SpendSettings | None") -> bool:
        return (
            other is not None
            and self.book is other.book
            and (self.zone, self.daily_queries) == (other.zone, other.daily_queries)
        )


@dataclass(slots=True)
class KnownDay:
    """A day as far as it is read. `late`: a closed slice has changed since."""

    running: RunningDay
    provider_of: Callable[[str], str | None]
    began_s: float = field(default_factory=time.monotonic)
    took_s: float = 0.0
    late: bool = False
    touched: set[str] = field(default_factory=set)  # targets whose open slices have changed
    read: bool = False  # as far as now, so that the rest comes by rows
    open: dict[str, list[SpendSlice]] = field(default_factory=dict)

    def note(self, target: str, slot: datetime) -> None:
        """A row was stored or changed."""
        day = self.running
        if not day.starts_at <= slot < day.ends_at:
            return
        if slice_of(slot) >= day.closed_until:
            self.touched.add(target)
        else:
            self.late = True

    def close_until(self, until: datetime) -> None:
        """Close the open slices before an instant."""
        if until <= self.running.closed_until:
            return
        over = []
        for target, items in list(self.open.items()):
            over += [item for item in items if item.starts_at < until]
            self.open[target] = [item for item in items if item.starts_at >= until]
            if not self.open[target]:
                del self.open[target]
        self.running.close(over, until)

    @property
    def due(self) -> bool:
        """Whether it should be summed again."""
        ago_s = time.monotonic() - self.began_s
        return ago_s > READ_AGAIN_S or (self.late and ago_s > SHARE * self.took_s)


def slice_of(at: datetime) -> datetime:
    """The start of the five minutes of an instant."""
    day, _, _ = day_of(at)
    midnight = datetime(day.year, day.month, day.day, tzinfo=at.tzinfo)
    return midnight + (at - midnight) // SLICE * SLICE


@dataclass(slots=True)
class SpendMemory:
    """Yesterday and today, as the spend rule counts them."""

    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _settings: SpendSettings | None = None
    _days: dict[date, KnownDay] = field(default_factory=dict)
    _again: dict[date, KnownDay] = field(default_factory=dict)  # being summed again
    _stored: RowFeed[UUID] | None = None
    _derived: RowFeed[datetime] | None = None

    def clear(self) -> None:
        """Forget everything: other workers evaluate and stand by."""
        self._settings, self._days, self._again = None, {}, {}

    async def advance(
        self, connection: Connection, settings: SpendSettings, now: datetime
    ) -> tuple[KnownDay, KnownDay] | None:
        """Yesterday and today up to now; None while they are not read as far.

        Then call again: each call reads for a second. Calls of different jobs take turns.
        """
        async with self._turn:
            return await self._advance(connection, settings, now)

    async def _advance(
        self, connection: Connection, settings: SpendSettings, now: datetime
    ) -> tuple[KnownDay, KnownDay] | None:
        if not settings.same(self._settings):
            self._settings, self._days, self._again = settings, {}, {}
            self._stored = None
        today, starts_at, _ = day_of(now, settings.zone)
        yesterday, _, _ = day_of(starts_at - timedelta(hours=1), settings.zone)
        for days in (self._days, self._again):
            for day in [day for day in days if day not in (yesterday, today)]:
                del days[day]
        await self._follow(connection, now, since=starts_at - timedelta(days=2))
        began_s = time.monotonic()
        found = []
        for day in (yesterday, today):
            known = self._days.get(day)
            if known is None or known.due:
                again = self._again.get(day) or _empty(settings, day)
                self._again[day] = again
                if await _read(connection, again, now, until_s=began_s + READING_S):
                    again.took_s = time.monotonic() - again.began_s
                    known = self._days[day] = again
                    del self._again[day]
            if known is not None:
                await _renew(connection, known, now)
                found.append(known)
        return (found[0], found[1]) if len(found) == 2 else None

    async def _follow(self, connection: Connection, now: datetime, *, since: datetime) -> None:
        """Note which slices have changed by what any worker stored or derived again."""
        if self._stored is None or self._derived is None:
            self._stored, self._derived = RowFeed(now), RowFeed(now, by_row=False)
        known = [*self._days.values(), *self._again.values()]
        rows = await stored_rows.stored_costs(connection, self._stored.look(), since=since)
        for row in self._stored.take(rows, lambda row: (row.id, row.stored_at)):
            for day in known:
                day.note(row.target, row.slot)
        changes = await stored_rows.derived_costs(connection, self._derived.look(), since=since)
        for change in self._derived.take(changes, lambda change: (change.at,) * 2):
            for day in known:
                day.note(change.target, change.slot)
        self._stored.forget(now)
        self._derived.forget(now)


def _empty(settings: SpendSettings, day: date) -> KnownDay:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=settings.zone)
    _, starts_at, ends_at = day_of(noon, settings.zone)

    @cache
    def provider_of(model: str) -> str | None:
        return settings.book.provider(model, at=starts_at)

    running = RunningDay(
        starts_at=starts_at,
        ends_at=ends_at,
        daily_queries=settings.daily_queries,
        provider_of=provider_of,
    )
    return KnownDay(running, provider_of)


async def _read(connection: Connection, day: KnownDay, now: datetime, *, until_s: float) -> bool:
    """Read the slices that are over, an hour at a time; True if all are read."""
    running = day.running
    until = min(running.ends_at, max(slice_of(now) - OPEN, running.starts_at))
    step = PIECE
    while running.closed_until < until:
        ends_at = min(running.closed_until + step, until)
        received = await spend_rows.by_five_minutes(
            connection, since=running.closed_until, until=ends_at
        )
        running.close(received, ends_at)
        step = PIECE if len(received) > MANY else STEP
        if time.monotonic() > until_s:
            break
    return running.closed_until >= until


async def _renew(connection: Connection, day: KnownDay, now: datetime) -> None:
    """Read the open slices that have changed, and close those that are over."""
    running = day.running
    if running.closed_until < running.ends_at and (day.touched or not day.read):
        targets = day.touched if day.read else None
        received = await spend_rows.by_five_minutes(
            connection, since=running.closed_until, until=running.ends_at, targets=targets
        )
        for name in targets if targets is not None else list(day.open):
            day.open.pop(name, None)
        for item in received:
            day.open.setdefault(item.target, []).append(item)
        day.touched, day.read = set(), True
    day.close_until(min(running.ends_at, slice_of(now) - OPEN))

"""The cost of today's probes, by all workers, as a running sum against which the budget is checked.

The UTC day is summed once, by slices of five minutes, and then grows by the rows that any worker
stores: each read counts what was committed before it. No probe is sent before the day is summed.
After a row was derived again, for example with the cost of a receipt, its slice is summed again, as
often as its cost allows.
Source: docs/adr/0022-batches.md
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from monitor.domain import Observation
from monitor.pricing.spend_day import SLICE
from monitor.storage import Connection, Database, short_waits, spend_rows, stored_rows
from monitor.storage.spend_rows import NOTHING_SPENT, ProbesSpent
from monitor.worker.spend_memory import READ_AGAIN_S, READING_S, slice_of
from monitor.worker.window_memory import forget_old

SHARE = 50  # no slice is summed again before so many times what it took: 2 % of a connection
SET_BACK = timedelta(seconds=5)  # transactions may read in another order than they began
MOST_HOURS = 6  # summed in one statement, after a short one; otherwise one hour
SHORT_S = 0.05
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@dataclass(slots=True)
class SpentToday:
    """The running sum of one worker. Several tasks may use it."""

    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _completing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _complete: bool = False  # every slice of the day was summed
    _counted_on: datetime | None = None  # the worker's midnight at the latest read
    _day: datetime | None = None  # the database's
    _read_at: datetime | None = None
    _slices: dict[datetime, ProbesSpent] = field(default_factory=dict)
    _changed: set[datetime] = field(default_factory=set)  # slices to be summed again
    _aside: ProbesSpent = NOTHING_SPENT
    _own: dict[UUID, tuple[datetime, ProbesSpent]] = field(default_factory=dict)
    _stored: dict[UUID, datetime] = field(default_factory=dict)  # when the latest were stored
    _derived: dict[datetime, datetime] = field(default_factory=dict)
    _stored_until: datetime = field(init=False)
    _derived_until: datetime = field(init=False)
    _whole_s: float | None = None  # when the whole day was last summed (monotonic)
    _again_s: float = 0.0  # when slices may be summed again (monotonic)

    def whole(self, midnight: datetime) -> bool:
        """Whether the day is summed; `midnight`: of the worker's UTC day."""
        return self._complete and self._counted_on == midnight

    def known(self, midnight: datetime) -> ProbesSpent:
        """The latest sum and what this worker stored since; `midnight`: of the worker's UTC day.

        Too low before it is `whole`.
        """
        own = (spent for slot, spent in self._own.values() if slot >= midnight)
        return sum(own, self._total() if self._counted_on == midnight else NOTHING_SPENT)

    def stored(self, new: Iterable[Observation]) -> None:
        """Count rows that this worker has stored, until they are read."""
        self._own |= {one.id: (one.slot, ProbesSpent.of([one.cost_ends])) for one in new}

    async def complete(self, database: Database, midnight: Callable[[], datetime]) -> None:
        """Wait until the day is summed. A long day takes several transactions of a second.

        Raises DatabaseUnavailable.
        """
        async with self._completing:
            while not self.whole(midnight()):
                with short_waits():
                    async with database.begin() as connection:
                        await self.read(connection, midnight())

    async def read(self, connection: Connection, midnight: datetime) -> ProbesSpent | None:
        """Sum and count of every probe of the database's UTC day that is stored now.

        None: the day is long, and is not completely summed; a further call goes on for a second.
        """
        async with self._turn:
            own = list(self._own)
            clock = await spend_rows.aside(connection)
            self._begin(clock)
            await self._follow(connection, clock)
            await self._sum_changed(connection, clock.now)
            self._counted_on, self._read_at = midnight, clock.now
            for id_ in own:
                self._own.pop(id_, None)
            return self._total() if self._complete else None

    def _total(self) -> ProbesSpent:
        return sum(self._slices.values(), self._aside)

    def _begin(self, clock: spend_rows.SpentAside) -> None:
        """Have the day summed if it is new, or if the feed of rows does not suffice."""
        if clock.midnight != self._day:
            self._slices, self._whole_s, self._complete = {}, None, False
        long_ago = self._whole_s is None or time.monotonic() - self._whole_s > READ_AGAIN_S
        # Rows that are set aside leave their slices. A feed of a clock set back repeats rows.
        back = self._read_at is not None and clock.now < self._read_at - SET_BACK
        again = back or clock.probes != self._aside
        if clock.midnight != self._day or again or (long_ago and not self._changed):
            self._changed = {clock.midnight + n * SLICE for n in range(DAY // SLICE)}
            self._whole_s = None
            self._stored, self._derived = {}, {}
            self._stored_until = self._derived_until = clock.now
        self._day, self._aside = clock.midnight, clock.probes

    async def _follow(self, connection: Connection, clock: spend_rows.SpentAside) -> None:
        """Add the rows that any worker stored, and note the slices of those derived again."""
        day, ends_at = clock.midnight, clock.midnight + DAY
        for row in await stored_rows.stored_costs(
            connection, after=self._stored_until, known=self._stored, since=day
        ):
            self._stored[row.id] = row.stored_at
            self._stored_until = max(self._stored_until, row.stored_at)
            if row.slot < ends_at:
                begins = slice_of(row.slot)
                spent = ProbesSpent(row.usd, 1, row.margin_usd)
                self._slices[begins] = self._slices.get(begins, NOTHING_SPENT) + spent
        for change in await stored_rows.derived_costs(
            connection, after=self._derived_until, known=self._derived, since=day
        ):
            self._derived[change.at] = change.at
            self._derived_until = max(self._derived_until, change.at)
            if change.slot < ends_at:
                self._changed.add(slice_of(change.slot))
        forget_old(self._stored, min(self._stored_until, clock.now))
        forget_old(self._derived, min(self._derived_until, clock.now))

    async def _sum_changed(self, connection: Connection, now: datetime) -> None:
        """Sum the changed slices, the latest first, as far as a second allows."""
        began_s = time.monotonic()
        if self._whole_s is not None and began_s < self._again_s:
            return
        recorded_since = min(self._stored_until, now) - 2 * stored_rows.COMMITTED
        hours = sorted({begins.replace(minute=0) for begins in self._changed})
        most = 1  # hours in one statement: more where they have few rows
        while hours:
            since, asked_s = hours.pop(), time.monotonic()
            until = since + HOUR
            while hours and hours[-1] == since - HOUR and until - since < most * HOUR:
                since = hours.pop()
            found = await spend_rows.by_slice(
                connection, since=since, until=until, recorded_since=recorded_since
            )
            sums = {one.starts_at: one for one in found}
            summed = {begins for begins in self._changed if since <= begins < until}
            for begins in summed:
                one = sums.get(begins)
                self._slices[begins] = one.probes if one else NOTHING_SPENT
                self._stored |= one.latest if one else {}  # the feed is not to add them again
            self._changed -= summed
            if time.monotonic() - began_s > READING_S:
                break
            most = MOST_HOURS if time.monotonic() - asked_s < SHORT_S else 1
        took_s = time.monotonic() - began_s
        self._again_s = time.monotonic() + SHARE * took_s
        if not self._changed and self._whole_s is None:
            self._whole_s, self._complete = time.monotonic(), True

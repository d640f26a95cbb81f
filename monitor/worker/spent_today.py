"""The cost of today's probes, by all workers, as a running sum against which the budget is checked.

The UTC day is summed once, by slices of five minutes, and then grows by the rows that any worker
stores: each read counts what was committed before it. No probe is sent before the day is summed,
unless the database is away, or too slow for two minutes.
After a row was derived again, for example with the cost of a receipt, its slice is summed again, as
often as its cost allows.
Source: docs/adr/0022-batches.md
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from monitor.domain import Observation
from monitor.pricing.spend_day import SLICE
from monitor.storage import (
    Connection,
    Database,
    DatabaseBusy,
    DatabaseUnavailable,
    limit_statements,
    short_waits,
    spend_rows,
    stored_rows,
)
from monitor.storage.row_feed import COMMITTED, RowFeed
from monitor.storage.spend_rows import NOTHING_SPENT, ProbesSpent
from monitor.worker.spend_memory import READ_AGAIN_S, READING_S, slice_of

SHARE = 50  # no slice is summed again before so many times what it took: 2 % of a connection
SET_BACK = timedelta(seconds=5)  # transactions may read in another order than they began
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MOST = 6 * HOUR  # summed in one statement, after a short one; otherwise an hour at most
SHORT_S = 0.05
ANSWER_S = 5  # a server that needs longer for nothing counts as away
STATEMENT_S, SUM_S = 30, 45  # for a statement and a transaction of the first sum
PATIENCE_S = 120.0  # how long probes wait for the first sum
AGAIN_S = 0.5  # after a busy database
TURN_S = 1.0  # how long a transaction waits for another task's read

log = logging.getLogger(__name__)


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
    _stored: RowFeed[UUID] = field(init=False)
    _derived: RowFeed[datetime] = field(init=False)
    _whole_s: float | None = None  # when the whole day was last summed (monotonic)
    _again_s: float = 0.0  # when slices may be summed again (monotonic)
    _most: timedelta = MOST  # in one statement: half, after one that did not end in time
    _waited_since_s: float | None = None  # since when probes wait for the first sum (monotonic)
    _no_wait_until_s: float = 0.0  # after they waited in vain (monotonic)

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

    async def complete(
        self, database: Database, midnight: Callable[[], datetime], leaving: asyncio.Event
    ) -> None:
        """Wait until the day is summed, or until `leaving` is set.

        A long day takes several transactions of a second. A busy database is asked again, for two
        minutes at most. Call it outside of a transaction. Raises DatabaseUnavailable: it is away.
        """
        if self.whole(midnight()):
            return
        summing = asyncio.create_task(self._sum_day(database, midnight))
        stopping = asyncio.create_task(leaving.wait())
        try:
            await asyncio.wait((summing, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (summing, stopping):
                task.cancel()
            await asyncio.wait((summing, stopping))
        if not summing.cancelled():
            summing.result()

    async def _sum_day(self, database: Database, midnight: Callable[[], datetime]) -> None:
        async with self._completing:
            while not self.whole(midnight()):
                began_s = time.monotonic()
                if began_s < self._no_wait_until_s:
                    return
                self._waited_since_s = self._waited_since_s or began_s
                reason = "it takes long"
                try:
                    await self._sum_more(database, midnight)
                except DatabaseBusy as busy:
                    reason = str(busy)
                    await asyncio.sleep(AGAIN_S)
                except DatabaseUnavailable:
                    self._waited_since_s = None
                    raise
                now_s = time.monotonic()
                if now_s - self._waited_since_s > PATIENCE_S and not self.whole(midnight()):
                    # Each further wait is for a single attempt.
                    self._no_wait_until_s = now_s + PATIENCE_S
                    log.warning("probes not summed", extra={"reason": reason})
                    return
            self._waited_since_s = None

    async def _sum_more(self, database: Database, midnight: Callable[[], datetime]) -> None:
        """Go on with the first sum of a day, with limits that suit a slow database."""
        with short_waits():
            async with database.begin(deadline_s=ANSWER_S):
                pass  # one that is away or frozen fails here, within seconds
        # No transaction is open while this waits for the turn.
        async with self._turn, database.begin(deadline_s=SUM_S) as connection:
            await limit_statements(connection, lock_s=1, statement_s=STATEMENT_S)
            await self._read(connection, midnight())

    async def read(self, connection: Connection, midnight: datetime) -> ProbesSpent | None:
        """Sum and count of every probe of the database's UTC day that is stored now.

        None: the day is long, and is not completely summed; a further call goes on for a second.
        A transaction does not wait for another task's long read: then it gets the sum before that.
        """
        if not await self._take_turn():
            return self.known(midnight) if self.whole(midnight) else None
        try:
            return await self._read(connection, midnight)
        finally:
            self._turn.release()

    async def _take_turn(self) -> bool:
        if self._turn.locked() and not self._complete:
            return False
        try:
            async with asyncio.timeout(TURN_S):
                return await self._turn.acquire()
        except TimeoutError:
            return False

    async def follow(self, connection: Connection, midnight: datetime) -> None:
        """Read what was stored since. The first sum, which takes long, is left to `complete`."""
        if self._complete:
            await self.read(connection, midnight)

    async def _read(self, connection: Connection, midnight: datetime) -> ProbesSpent | None:
        own = list(self._own)
        clock = await spend_rows.aside(connection)
        self._begin(clock)
        self._counted_on, self._read_at = midnight, clock.now
        await self._follow(connection, clock)
        await self._sum_changed(connection, clock.now)
        for id_ in own:
            self._own.pop(id_, None)
        return self._total() if self._complete else None

    def _total(self) -> ProbesSpent:
        return sum(self._slices.values(), self._aside)

    def _begin(self, clock: spend_rows.SpentAside) -> None:
        """Have the day summed if it is new, or if the feed of rows does not suffice."""
        if clock.midnight != self._day:
            self._slices, self._whole_s, self._complete = {}, None, False
            self._most = MOST
        long_ago = self._whole_s is None or time.monotonic() - self._whole_s > READ_AGAIN_S
        # Rows that are set aside leave their slices. A feed of a clock set back repeats rows.
        back = self._read_at is not None and clock.now < self._read_at - SET_BACK
        again = back or clock.probes != self._aside
        if clock.midnight != self._day or again or (long_ago and not self._changed):
            self._changed = {clock.midnight + n * SLICE for n in range(DAY // SLICE)}
            self._whole_s = None
            self._stored, self._derived = RowFeed(clock.now), RowFeed(clock.now, by_row=False)
        self._day, self._aside = clock.midnight, clock.probes

    async def _follow(self, connection: Connection, clock: spend_rows.SpentAside) -> None:
        """Add the rows that any worker stored, and note the slices of those derived again."""
        day, ends_at = clock.midnight, clock.midnight + DAY
        rows = await stored_rows.stored_costs(connection, self._stored.look(), since=day)
        for row in self._stored.take(rows, lambda row: (row.id, row.stored_at)):
            self._own.pop(row.id, None)
            if row.slot < ends_at:
                begins = slice_of(row.slot)
                spent = ProbesSpent(row.usd, 1, row.margin_usd)
                self._slices[begins] = self._slices.get(begins, NOTHING_SPENT) + spent
        changes = await stored_rows.derived_costs(connection, self._derived.look(), since=day)
        for change in self._derived.take(changes, lambda change: (change.at,) * 2):
            if change.slot < ends_at:
                self._changed.add(slice_of(change.slot))
        self._stored.forget(clock.now)
        self._derived.forget(clock.now)

    async def _sum_changed(self, connection: Connection, now: datetime) -> None:
        """Sum the changed slices, the latest first, as far as a second allows."""
        began_s = time.monotonic()
        if self._whole_s is not None and began_s < self._again_s:
            return
        recorded_since = min(self._stored.until, now) - 2 * COMMITTED
        span = min(HOUR, self._most)
        while self._changed:
            asked_s, until = time.monotonic(), max(self._changed) + SLICE
            summed = {begins for begins in self._changed if begins >= until - span}
            try:
                found = await spend_rows.by_slice(
                    connection, since=min(summed), until=until, recorded_since=recorded_since
                )
            except BaseException:  # a limit has ended it, perhaps: the next one asks for less
                self._most = max(SLICE, span / 2)
                raise
            sums = {one.starts_at: one for one in found}
            for begins in summed:
                one = sums.get(begins)
                self._slices[begins] = one.probes if one else NOTHING_SPENT
                self._stored.known |= one.latest if one else {}  # the feed is not to add them again
            self._changed -= summed
            if time.monotonic() - began_s > READING_S:
                break
            span = min(MOST if time.monotonic() - asked_s < SHORT_S else HOUR, self._most)
        took_s = time.monotonic() - began_s
        self._again_s = time.monotonic() + SHARE * took_s
        if not self._changed and self._whole_s is None:
            self._whole_s, self._complete = time.monotonic(), True

"""Observations that wait for Postgres: bounded, in order, oldest dropped first, and on disk.

While they wait in memory they are also in a file under MONITOR_HOME. After a kill the next worker
takes the file over. If the disk fails, they wait in memory only.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import partial
from itertools import takewhile
from pathlib import Path

from monitor.domain import Observation
from monitor.storage.batch import Batch
from monitor.storage.spend_rows import NOTHING_SPENT, ProbesSpent
from monitor.storage.spool_file import SpoolFile, leave

__all__ = ["Spool", "SpoolFile"]

log = logging.getLogger(__name__)

_ROW = 3_000  # approximate bytes of an observation without its texts and chunk lengths
_A_CHARACTER, _A_LENGTH = 2, 8
WRITE_S = 5.0  # a slower disk does not delay probes
RETRY_S = 30.0  # a disk that failed is tried again after this


class Spool:
    """At most `most` observations of about `most_bytes`; `dropped` counts those lost to the limit.

    Rounds of several targets add to it concurrently; one task at a time empties it. Without a file
    they wait in memory only. `disk_error`: why they do now, although there is one.
    """

    def __init__(
        self, most: int = 5_000, most_bytes: int = 16 << 20, *, file: SpoolFile | None = None
    ) -> None:
        self.dropped = 0
        self.disk_error: str | None = None
        self._kept: deque[tuple[int, Observation]] = deque()
        self._next = 0
        self._tried = -1
        self._bytes = 0
        self._spent: dict[date, ProbesSpent] = {}
        self._most, self._most_bytes = most, most_bytes
        self._file = file
        self._writes: Batch[bool, None] = Batch()
        self._hanging = False
        self._retry_at = 0.0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def refused(self) -> int:
        """How many of the waiting ones the database did not take when they were last tried."""
        return max(0, min(self._tried + 1 - self._kept[0][0], len(self))) if self._kept else 0

    def not_taken(self) -> None:
        """Note that the database did not take what waits now."""
        self._tried = self._next - 1

    @property
    def on_disk(self) -> bool:
        """Whether the waiting observations survive the process."""
        return self._file is not None and self.disk_error is None

    def keep(self, observations: Sequence[Observation]) -> int:
        """Append observations; returns how many of the oldest were dropped for them."""
        before = self.dropped
        for observation in observations:
            self._kept.append((self._next, observation))
            self._next += 1
            self._bytes += _weight(observation)
            day = observation.slot.astimezone(UTC).date()
            spent = self._spent.get(day, NOTHING_SPENT)
            self._spent[day] = spent + ProbesSpent.of([observation.cost_ends])
            while len(self._kept) > self._most or self._bytes > self._most_bytes:
                self._drop()
                self.dropped += 1
        return self.dropped - before

    def oldest(self, count: int) -> list[Observation]:
        return [self._kept[i][1] for i in range(min(count, len(self._kept)))]

    def spent(self, since: datetime) -> ProbesSpent:
        """How many probes of slots since that midnight wait, and what they cost, as far as known.

        `since`: the start of a UTC day.
        """
        days = (spent for day, spent in self._spent.items() if day >= since.date())
        return sum(days, NOTHING_SPENT)

    def forget(self, stored: Sequence[Observation]) -> None:
        """Remove what was stored; some of it may have been dropped in the meantime."""
        ids = {observation.id for observation in stored}
        while self._kept and self._kept[0][1].id in ids:
            self._drop()

    def _drop(self) -> None:
        _, dropped = self._kept.popleft()
        self._bytes -= _weight(dropped)
        day = dropped.slot.astimezone(UTC).date()
        self._spent[day] -= ProbesSpent.of([dropped.cost_ends])
        if not self._spent[day].count:
            del self._spent[day]

    async def save(self, *, sync: bool = False) -> None:
        """Update the file, in a thread. A disk that fails or hangs is not an error here.

        Afterwards the waiting observations survive the process; with `sync`, also the machine.
        """
        if self._file is None or time.monotonic() < self._retry_at:
            return
        if self._hanging:
            return
        writing = asyncio.ensure_future(
            self._writes.handled(partial(self._save, self._file), [sync])
        )
        await asyncio.wait({writing}, timeout=WRITE_S)  # a write that has begun is not cancelled
        if not writing.done():
            self._hanging = True
            self._failed(f"no answer within {WRITE_S:g} s")

    async def _save(self, file: SpoolFile, sync: Sequence[bool]) -> None:
        new = list(takewhile(lambda item: item[0] > file.newest, reversed(self._kept)))[::-1]
        done = (self._kept[0][0] if self._kept else self._next) - 1
        try:
            await asyncio.to_thread(file.write, new, done=done, sync=any(sync))
        except OSError as error:
            self._failed(error.strerror or str(error))
        except Exception:
            log.exception("spool write failed")
            self._failed("internal error")
        else:
            self._works()
        finally:
            self._hanging = False

    async def adopt(self) -> int:
        """Take over the files of processes that ended; returns the number of observations."""
        if self._file is None:
            return 0
        before = self._next
        for path in await asyncio.to_thread(self._file.others):
            await self._adopt(self._file, path)
        return self._next - before

    async def _adopt(self, file: SpoolFile, path: Path) -> None:
        """Take over one file. It is deleted only once its contents are in our own file."""
        try:
            taken = await asyncio.to_thread(file.take, path)
        except OSError as error:
            log.warning("spool read failed", extra={"file": path.name, "reason": str(error)})
            return
        if taken is None:
            return
        held, contents = taken
        known = {observation.id for _, observation in self._kept}
        dropped = self.keep([one for one in contents.waiting if one.id not in known])
        log.log(
            logging.ERROR if contents.damaged or dropped else logging.INFO,
            "spool file taken over",
            extra={
                "file": path.name,
                "count": len(contents.waiting),
                "dropped": dropped,
                "damaged": contents.damaged,
                "torn": contents.torn,
            },
        )
        await self.save(sync=True)
        await asyncio.to_thread(leave, held, delete=self.on_disk)

    def close(self) -> None:
        """Close the file; the next worker finds what waits in it."""
        if self._file is not None:
            self._file.close()

    def _failed(self, reason: str) -> None:
        self._retry_at = time.monotonic() + RETRY_S
        if self.disk_error is None:
            log.error("spool moved to memory", extra={"reason": reason})
        self.disk_error = reason

    def _works(self) -> None:
        if self.disk_error is not None:
            log.info("spool moved to disk")
        self.disk_error, self._retry_at = None, 0.0


def _weight(observation: Observation) -> int:
    """Its approximate size in bytes: long answers have thousands of chunks."""
    texts = [observation.answer_excerpt, observation.error, observation.identity_reason]
    texts += [claim.value for claim in observation.claims]
    texts += [item.detail for item in observation.evidence]
    characters = sum(len(text) for text in texts if text)
    return _ROW + _A_CHARACTER * characters + _A_LENGTH * len(observation.chunk_lengths)

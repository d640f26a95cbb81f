"""What was read of one stream and is not worked on yet, and whoever waits to work on it."""

import asyncio
from collections import deque
from typing import NamedTuple

from monitor.probing.connection_times import ConnectionTimes
from monitor.probing.resources import ProbeResources

HELD_BYTES = 64 * 1024  # beyond these the kernel holds the rest
HELD_READS = 64
GATHER_S = 0.1  # in a crowd, how long reads that nobody is in a hurry for wait for others


class SocketRead(NamedTuple):
    """Bytes with their arrival, and how much earlier some of them may have arrived."""

    data: bytes
    arrived_ns: int
    doubt_ns: int
    kernel: bool


class ReadQueue:
    """A queue of reads, stamped when they were made and handed out when their turn comes."""

    def __init__(self, stamps: ConnectionTimes, http: ProbeResources) -> None:
        self._stamps = stamps
        self._http = http
        self._held: deque[SocketRead] = deque()
        self._bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._in_line = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        return self._bytes > HELD_BYTES or len(self._held) > HELD_READS

    def hold(self, read: SocketRead) -> None:
        """Keep a read, and have it worked on: at once, or with others where nothing is urgent."""
        if not self._held:
            self._stamps.unheard_ns = read.arrived_ns
        self._held.append(read)
        self._bytes += len(read.data)
        if self._waiter is None or self._in_line:
            return
        if self.full or not (self._stamps.spoken and self._http.crowded):
            self.call()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self.call)

    def call(self) -> None:
        """Whoever waits gets in line."""
        if self._waiter is not None and not self._in_line:
            self._in_line = True
            self._http.turns.join(self._waiter)

    async def called(self) -> None:
        """Wait for a turn."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter, self._in_line = None, False
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def take(self) -> bytes | None:
        """The oldest read's bytes, of which the stamps then speak; None where none is held."""
        if not self._held:
            return None
        stamps = self._stamps
        data, stamps.arrived_ns, stamps.doubt_ns, stamps.kernel = self._held.popleft()
        stamps.read += 1
        stamps.unheard_ns = self._held[0].arrived_ns if self._held else None
        self._bytes -= len(data)
        return data

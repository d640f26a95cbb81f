"""How late the event loop runs, and since when it has certainly checked every socket.

Bytes that wait while the loop is busy are merged by the kernel, which keeps the later timestamp.
How wrong a timestamp can be follows from one fact: when the loop last polled and found the socket
empty.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from monitor.domain import Ending
from monitor.probing.limits import ProbeDeadline, StreamMemory

PERIOD_S = 0.002
PERIOD_NS = 2_000_000


class LoopLagMonitor:
    """Ticks every two milliseconds while probes run; costs nothing otherwise."""

    def __init__(self) -> None:
        # everything read from now on arrived after this instant
        self.polled_ns = time.monotonic_ns()
        self._probes = 0
        self._due_ns = 0
        # (at, late), in ascending time and descending lateness
        self._worst: deque[tuple[int, int]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Tick while the body runs. Bodies may overlap."""
        self._probes += 1
        if self._timer is None:
            self.polled_ns = time.monotonic_ns()
            self._again(self.polled_ns)
        try:
            yield
        finally:
            self._probes -= 1
            if not self._probes and self._timer is not None:
                self._timer.cancel()
                self._timer = None
                self._worst.clear()

    def worst_ns(self, since_ns: int) -> int:
        """The greatest lateness since an instant."""
        return next((late for at, late in self._worst if at >= since_ns), 0)

    def _again(self, now: int) -> None:
        self._due_ns = now + PERIOD_NS
        self._timer = asyncio.get_running_loop().call_later(PERIOD_S, self._beat)

    def _beat(self) -> None:
        now = time.monotonic_ns()
        late = now - self._due_ns
        while self._worst and self._worst[-1][1] <= late:
            self._worst.pop()
        self._worst.append((now, late))
        self._again(now)
        # Two iterations of the loop later, a poll that began after `now` has been processed.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._polled, now)

    def _polled(self, began_ns: int) -> None:
        self.polled_ns = began_ns


# The wall clock compared with the monotonic clock: the kernel's timestamps use the former.
#
# Between steps the two run in parallel (slewing changes both alike). So one carefully measured
# offset converts every timestamp to the monotonic clock, and a changed offset means that the clock
# was stepped.


STEP_NS = 500_000  # an offset that changed by more is a step, not noise
OLDEST_NS = 60_000_000_000  # no segment waits longer than a whole probe takes
CLOSE_NS = 20_000  # the scheduler did not interrupt between two readings this close together


class KernelClock:
    """Converts kernel timestamps to the monotonic clock, and counts the clock steps it sees."""

    def __init__(
        self,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.steps = 0
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._offset_ns = self._measured()[0]

    def compare(self) -> None:
        """Measure the offset again; count a step if it changed."""
        offset, torn = self._measured()
        if torn > CLOSE_NS:
            return  # the scheduler interrupted: this measurement is worthless
        if abs(offset - self._offset_ns) > STEP_NS:
            self.steps += 1
        self._offset_ns = offset

    def arrival(self, stamp_ns: int, now_ns: int) -> int | None:
        """A kernel timestamp as a monotonic instant, not after `now_ns`.

        None, and a step counted, if its age is impossible: negative or over a minute.
        """
        age = now_ns - (stamp_ns - self._offset_ns)
        if not -STEP_NS <= age <= OLDEST_NS:
            self.steps += 1
            return None
        return now_ns - max(age, 0)

    def _measured(self) -> tuple[int, int]:
        tries = []
        for _ in range(5):
            before = self._monotonic_ns()
            wall = self._wall_ns()
            after = self._monotonic_ns()
            tries.append((after - before, wall - (before + after) // 2))
            if after - before <= CLOSE_NS:
                break
        torn, offset = min(tries)
        return offset, torn


# The order of work: receiving bytes is cheap and never waits, processing them is expensive.
#
# In each iteration of the loop one stream is processed. Between two iterations the loop receives
# what has arrived on all streams, so no timestamp waits for more than one stream's processing.


class FairQueue:
    """A queue of streams that have something to process, each waiting on a future."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._serving = False

    def join(self, waiter: asyncio.Future[None]) -> None:
        """Resolve the future when its turn comes, in the order of joining."""
        self._waiting.append(waiter)
        if not self._serving:
            self._serving = True
            asyncio.get_running_loop().call_soon(self._next)

    async def wait_turn(self) -> None:
        """Wait for a turn."""
        waiter = asyncio.get_running_loop().create_future()
        self.join(waiter)
        await waiter

    def _next(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():  # it may have been cancelled while it waited
                waiter.set_result(None)
                break
        self._serving = bool(self._waiting)
        if self._serving:  # after the work just allowed, and after another check of the sockets
            asyncio.get_running_loop().call_soon(self._next)


# What exchanges share: user agent, clock, loop monitor, queue, and the exchanges in progress.


PROBE_CROWD = 100  # simultaneous probes from which processing is batched


class ProbeResources:
    """One set per process. `kernel`: request receive timestamps from the kernel."""

    def __init__(self, version: str, *, kernel: bool = True) -> None:
        self.version = version
        self.kernel = kernel
        self.clock = KernelClock()
        self.pulse = LoopLagMonitor()
        self.turns = FairQueue()
        self.memory = StreamMemory()
        self._running: set[ProbeDeadline] = set()

    @contextmanager
    def stoppable(self, limit: ProbeDeadline) -> Iterator[None]:
        """Let `abort` end this limit's exchange while the body runs."""
        self._running.add(limit)
        try:
            yield
        finally:
            self._running.discard(limit)

    @property
    def crowded(self) -> bool:
        """Whether so many probes are in progress that processing is better batched."""
        return len(self._running) > PROBE_CROWD

    def abort(self) -> None:
        """End every exchange in progress as ABORTED. Later ones are not affected."""
        for limit in self._running:
            limit.end(Ending.ABORTED)

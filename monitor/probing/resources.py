"""The loop's pulse: how late it runs, and since when it has surely looked at every socket.

Bytes that wait while the loop is busy are merged by the kernel, which keeps the later
stamp. How far a stamp may be off then follows from one fact: when the loop last polled and
found the socket empty.
"""

import asyncio
import gc
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from monitor.domain import Ending
from monitor.probing.limits import ProbeDeadline, StreamMemory

PERIOD_S = 0.002
PERIOD_NS = 2_000_000


class LoopLagMonitor:
    """Beats every two milliseconds while probes run; costs nothing otherwise."""

    def __init__(self) -> None:
        self.polled_ns = time.monotonic_ns()  # what is read from now on arrived after this
        self._probes = 0
        self._due_ns = 0
        self._worst: deque[tuple[int, int]] = deque()  # (at, late), ever later and ever smaller
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Beat while the body runs. Bodies may overlap."""
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
        """The greatest lateness felt since an instant."""
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
        # Two rounds of the loop from here, a poll that began after `now` has been served.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._polled, now)

    def _polled(self, began_ns: int) -> None:
        self.polled_ns = began_ns


# Garbage collection kept out of rounds: a full collection stalls the loop for tens of ms.


CROWD = 200_000  # containers born and alive since the last collection

_lock = threading.Lock()
_users = 0
_frozen = False
_was_enabled = False


@contextmanager
def gc_paused() -> Iterator[None]:
    """Collect nothing while the body runs; collect once the last of overlapping users leaves.

    What is alive at first use is frozen for good, so later collections stay short. Should
    users overlap without end, the young are collected when they become a crowd.
    """
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _users, _frozen, _was_enabled
    with _lock:
        _users += 1
        if _users > 1:
            return
        _was_enabled = gc.isenabled()
        gc.disable()
        if not _frozen:
            _frozen = True
            gc.collect()
            gc.freeze()


def _leave() -> None:
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            if _was_enabled:
                gc.enable()
            gc.collect()
        elif gc.get_count()[0] > CROWD:
            gc.collect(0)


# The wall clock held against the monotonic clock: the kernel stamps with the former.
#
# Between steps the two run exactly apart (slewing moves both alike), so one carefully
# measured offset turns every stamp into a reading of the monotonic clock, and a moved offset
# is a stepped clock.


STEP_NS = 500_000  # an offset that moved by more is a step, not noise
OLDEST_NS = 60_000_000_000  # no segment waits longer than a whole probe lasts
CLOSE_NS = 20_000  # two readings this close were not torn apart by the scheduler


class KernelClock:
    """Tells when a kernel stamp was by the monotonic clock, and counts the steps it sees."""

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
        """Measure the offset again; count a step if it moved."""
        offset, torn = self._measured()
        if torn > CLOSE_NS:
            return  # the scheduler came between: this says nothing
        if abs(offset - self._offset_ns) > STEP_NS:
            self.steps += 1
        self._offset_ns = offset

    def arrival(self, stamp_ns: int, now_ns: int) -> int | None:
        """A kernel stamp as a monotonic instant, not after `now_ns`.

        None, and a step counted, where the stamp's age cannot be: negative or over a minute.
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


# Whose turn it is: taking bytes in is cheap and never waits, working through them is dear.
#
# In every turn of the loop one stream is worked on. Between two turns the loop takes in what
# has arrived on all of them, so that no stamp waits for more than one stream's work.


class FairQueue:
    """A queue of streams that have something to work on, each waiting on a future."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._serving = False

    def join(self, waiter: asyncio.Future[None]) -> None:
        """Settle the future when its turn comes, in the order of joining."""
        self._waiting.append(waiter)
        if not self._serving:
            self._serving = True
            asyncio.get_running_loop().call_soon(self._next)

    async def wait_turn(self) -> None:
        """Wait in line."""
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
        if self._serving:  # after the work just allowed, and after another look at the sockets
            asyncio.get_running_loop().call_soon(self._next)


# What exchanges share: who we say we are, clock, pulse and turns, and who is under way.


PROBE_CROWD = 100  # probes at once, beyond which work is gathered


class ProbeResources:
    """One set per process. `kernel`: ask the kernel for receive stamps."""

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
        """Let `abort` reach this limit's exchange while the body runs."""
        self._running.add(limit)
        try:
            yield
        finally:
            self._running.discard(limit)

    @property
    def crowded(self) -> bool:
        """Whether so many probes are under way that work had better be gathered."""
        return len(self._running) > PROBE_CROWD

    def abort(self) -> None:
        """End every exchange under way as ABORTED. Later ones are not touched."""
        for limit in self._running:
            limit.end(Ending.ABORTED)

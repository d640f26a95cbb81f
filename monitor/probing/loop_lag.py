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
from collections.abc import Iterator
from contextlib import contextmanager

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

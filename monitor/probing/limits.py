"""Limits on what a server can make the monitor hold in memory, and on the time of an exchange."""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType

from monitor.domain import Ending

LINE_BYTES = 256 * 1024
EVENT_BYTES = 1024 * 1024
STREAM_BYTES = 4 * 1024 * 1024
STREAM_EVENTS = 50_000  # four MiB of the shortest events would fill the memory as well
SLICE_BYTES = 4 * 1024  # processed in one turn of the event loop
FREE_BYTES = 2 * 1024 * 1024  # memory that any stream may use: more than 5,000 tokens
HELD_BYTES = 20 * 1024 * 1024  # memory that all streams together may use beyond that
EVENT_OVERHEAD_BYTES = 300  # memory of an event besides its text
HEAD_BYTES = 64 * 1024
HEAD_FIELDS = 256
BODY_BYTES = 8_000
BODY_CHARS = 2_000  # kept of a body that is not a stream
MALFORMED_EVENTS = 20


class TooLarge(Exception):
    """A limit was reached. `events` were complete before it."""

    def __init__(self, what: str, events: list[tuple[str, str]]) -> None:
        super().__init__(what)
        self.events = events


# Expected failures, with a message for people.


class ProbeError(Exception):
    """How the exchange ends, and why."""

    def __init__(self, ending: Ending, detail: str) -> None:
        super().__init__(detail)
        self.ending = ending
        self.detail = detail


def reason(error: OSError) -> str:
    """Why it failed, without the addresses and source positions that libraries add."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)


# The memory of all streams in progress and of transcripts that are not interpreted yet.


@dataclass(slots=True)
class StreamMemory:
    """Bytes that all streams hold beyond the amount that each may hold in any case."""

    held: int = 0


# The next deadline of one exchange.


LATE_NS = 20_000_000  # a timer this late means that the monitor stalled, not the target
GRACE_S = 0.25  # time to process bytes that arrived before the deadline
GRACE_PERIODS = 4  # at most, for one deadline


class ProbeDeadline:
    """Ends its body with TimeoutError when a deadline passes; `ending` then tells which one.

    `due` returns the next deadline and its ending, from the current state. One timer calls it at
    least every `step_s`: no deadline may move closer than that in between. `unheard` tells whether
    bytes that arrived before an instant are still to be processed.
    """

    def __init__(
        self,
        due: Callable[[], tuple[int, Ending]],
        unheard: Callable[[int], bool],
        *,
        step: timedelta,
    ) -> None:
        self.ending = Ending.DEADLINE
        self._over = False
        self._due = due
        self._unheard = unheard
        self._step_s = step.total_seconds()
        self._pardoned_ns = 0
        self._pardons = 0  # extension granted for the deadline at that instant
        self._timeout = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> "ProbeDeadline":
        await self._timeout.__aenter__()
        self._expire()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    def end(self, ending: Ending) -> None:
        """End the body now."""
        if not self._over:
            self._over = True
            self.ending = ending
            self._timeout.reschedule(asyncio.get_running_loop().time())

    def _expire(self) -> None:
        due_ns, ending = self._due()
        left_ns = due_ns - time.monotonic_ns()
        if left_ns > 0:
            self._check_in(min(left_ns / 1e9, self._step_s))
        elif self._extended(due_ns, late=-left_ns > LATE_NS):
            self._check_in(GRACE_S)
        else:
            self.end(ending)

    def _extended(self, due_ns: int, *, late: bool) -> bool:
        """Whether to wait a little longer: the monitor stalled, or the answer may have arrived."""
        if self._pardoned_ns != due_ns:
            self._pardoned_ns, self._pardons = due_ns, 0
        if not (late and not self._pardons) and not self._unheard(due_ns):
            return False
        self._pardons += 1
        return self._pardons <= GRACE_PERIODS

    def _check_in(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

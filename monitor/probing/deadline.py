"""The deadline of one exchange, whichever of them is nearest."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType

from monitor.domain import Ending

LATE_NS = 20_000_000  # a timer this late speaks of our own stall, not of the target's
GRACE_S = 0.25  # what is given to hear bytes that came in time
GRACE_PERIODS = 4  # at most, for one deadline


class ProbeDeadline:
    """Ends its body with TimeoutError when `due` says so; `ending` then tells which deadline.

    `due` returns the nearest deadline and its ending, from the facts of the moment. One lazy
    timer asks it, at least every `step_s`: no due may come nearer than that between askings.
    `unheard` tells whether bytes that arrived by an instant are still to be heard.
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
        self._pardons = 0  # given to the due at that instant
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
        """Whether to wait a little longer: we are to blame, or the answer may be at hand."""
        if self._pardoned_ns != due_ns:
            self._pardoned_ns, self._pardons = due_ns, 0
        if not (late and not self._pardons) and not self._unheard(due_ns):
            return False
        self._pardons += 1
        return self._pardons <= GRACE_PERIODS

    def _check_in(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

"""A deadline that counts only the time in which this process runs.

A process can be stopped: by a signal, by a debugger, or because its machine is suspended or has no
CPU for it. When it continues, the answer that it waited for may be in the socket already. A timeout
by the clock would expire first, and a healthy server would count as unavailable.
"""

import asyncio
from types import TracebackType

TICK_S = 0.5  # between two looks at the clock
STILL_S = 2.0  # a look that comes later than this after the one before: the process stood still


class RunningTimeout:
    """Like `asyncio.timeout`: raises TimeoutError after `limit_s` seconds of running time.

    `limit_s` None: no limit. `stood_still`: whether the process was stopped meanwhile, in which
    case a failure says nothing about the other side.
    """

    def __init__(self, limit_s: float | None = None) -> None:
        self._left_s = limit_s
        self._timeout = asyncio.timeout(None)
        self._loop = asyncio.get_running_loop()
        self._looked_at = 0.0
        self._stood_still = False
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> "RunningTimeout":
        await self._timeout.__aenter__()
        self._looked_at = self._loop.time()
        self._wait()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._look()
        await self._timeout.__aexit__(kind, error, traceback)

    @property
    def expired(self) -> bool:
        return self._timeout.expired()

    @property
    def stood_still(self) -> bool:
        self._look()
        return self._stood_still

    def _wait(self) -> None:
        wait_s = TICK_S if self._left_s is None or self._left_s <= 0 else min(TICK_S, self._left_s)
        self._timer = self._loop.call_later(wait_s, self._tick)

    def _tick(self) -> None:
        self._look()
        if self._left_s is not None and self._left_s <= 0 and not self._timeout.expired():
            self._timeout.reschedule(self._loop.time())
        self._wait()  # also afterwards: to cancel a statement takes a while

    def _look(self) -> None:
        now = self._loop.time()
        ran_s, self._looked_at = now - self._looked_at, now
        if ran_s > STILL_S:
            self._stood_still = True
            ran_s = TICK_S
        if self._left_s is not None:
            self._left_s -= ran_s

"""Whose turn it is: taking bytes in is cheap and never waits, working through them is dear.

In every turn of the loop one stream is worked on. Between two turns the loop takes in what
has arrived on all of them, so that no stamp waits for more than one stream's work.
"""

import asyncio
from collections import deque


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

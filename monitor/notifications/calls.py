"""Calls of libraries that block, beside the event loop."""

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from monitor.domain import TryLater
from monitor.network_settings import in_thread

T = TypeVar("T")

MOST_CALLS = 8  # at once, those included that hang
FREE_WITHIN_S = 5.0  # a call waits for one of them to end


class Calls:
    """The exchanges of one channel, each in a thread of its own: a service that hangs costs at most
    `most`.

    A thread cannot be ended from outside, and a body that drips keeps one for as long as it drips.
    """

    def __init__(self, service: str, most: int = MOST_CALLS) -> None:
        self._service = service
        self._free = threading.BoundedSemaphore(most)

    async def run(self, call: Callable[[], T]) -> T | TryLater:
        """What `call` returns or raises; to be tried later where no thread becomes free soon."""
        soon = time.monotonic() + FREE_WITHIN_S
        while not self._free.acquire(blocking=False):
            if time.monotonic() >= soon:
                return TryLater(f"earlier calls to {self._service} are still waiting")
            await asyncio.sleep(0.05)
        try:
            called = in_thread(partial(self._freeing, call), name=self._service)
        except RuntimeError:  # the system gives no thread
            self._free.release()
            return TryLater(f"no free thread for a call to {self._service}")
        return await asyncio.wrap_future(called)

    def _freeing(self, call: Callable[[], T]) -> T:
        try:
            return call()
        finally:
            self._free.release()

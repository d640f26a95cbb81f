"""Calls of blocking libraries in threads beside the event loop."""

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from monitor.domain import TryLater
from monitor.network_settings import in_thread

T = TypeVar("T")

MOST_CALLS = 8  # at the same time, including those that hang
FREE_WITHIN_S = 5.0  # a call waits for one of them to end


class Calls:
    """The blocking calls of one channel in at most `most` threads, which bounds a slow service.

    A thread cannot be ended from outside, so a body that arrives slowly occupies one until it is
    complete.
    """

    def __init__(self, service: str, most: int = MOST_CALLS) -> None:
        self._service = service
        self._free = threading.BoundedSemaphore(most)

    async def run(self, call: Callable[[], T]) -> T | TryLater:
        """What `call` returns or raises; `TryLater` if no thread becomes free soon."""
        soon = time.monotonic() + FREE_WITHIN_S
        while not self._free.acquire(blocking=False):
            if time.monotonic() >= soon:
                return TryLater(f"earlier calls to {self._service} are still waiting")
            await asyncio.sleep(0.05)
        try:
            called = in_thread(partial(self._freeing, call), name=self._service)
        except RuntimeError:  # the system has no thread left
            self._free.release()
            return TryLater(f"no free thread for a call to {self._service}")
        return await asyncio.wrap_future(called)

    def _freeing(self, call: Callable[[], T]) -> T:
        try:
            return call()
        finally:
            self._free.release()

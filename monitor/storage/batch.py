"""Transactions that several rounds share: a batch is handled at once, and all wait for it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Collecting(Generic[Item, Result]):
    """A batch that has not begun. `due_s`: when it begins, by the clock of the event loop."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.due_s = float("inf")
        self.sooner = asyncio.Event()
        self.task: asyncio.Task[Result]


class Batch(Generic[Item, Result]):
    """Collects items and hands them over together, one batch at a time, in order.

    While a batch is handled the next one collects, so under load batches grow instead of queues.
    """

    def __init__(self) -> None:
        self._collecting: _Collecting[Item, Result] | None = None
        self._working = asyncio.Lock()

    async def handled(
        self,
        work: Callable[[list[Item]], Awaitable[Result]],
        items: Iterable[Item] = (),
        *,
        within_s: float = 0.0,
    ) -> Result:
        """The result of `work` for the batch with these items, which begins after `within_s`.

        An item that is in more of a hurry brings the whole batch forward. The first caller's `work`
        is used. If a caller is cancelled, the batch is handled nevertheless.
        """
        batch = self._collecting
        if batch is None:
            batch = self._collecting = _Collecting()
            batch.task = asyncio.create_task(self._run(batch, work))
        batch.items.extend(items)
        due_s = asyncio.get_running_loop().time() + within_s
        if due_s < batch.due_s:
            batch.due_s = due_s
            batch.sooner.set()
        return await asyncio.shield(batch.task)

    async def _run(
        self, batch: _Collecting[Item, Result], work: Callable[[list[Item]], Awaitable[Result]]
    ) -> Result:
        loop = asyncio.get_running_loop()
        while loop.time() < batch.due_s:
            batch.sooner.clear()
            handle = loop.call_at(batch.due_s, batch.sooner.set)
            await batch.sooner.wait()
            handle.cancel()
        async with self._working:
            self._collecting = None
            return await work(batch.items)

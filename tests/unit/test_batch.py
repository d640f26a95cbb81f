"""Shared transactions: items of several callers in one, which begins when the first is due."""

import asyncio
from collections.abc import Sequence

import pytest

from monitor.storage.batch import Batch


class Work:
    """Handles batches, and notes them."""

    def __init__(self) -> None:
        self.batches: list[Sequence[int]] = []
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def __call__(self, items: Sequence[int]) -> int:
        self.batches.append(list(items))
        await self.goes_on.wait()
        if 0 in items:
            raise ValueError("a bad item")
        return sum(items)


async def test_items_that_wait_together_are_handled_together() -> None:
    batch, work = Batch[int, int](), Work()
    found = await asyncio.gather(
        batch.handled(work, [1], within_s=3600), batch.handled(work, [2, 3], within_s=0)
    )
    assert (found, work.batches) == ([6, 6], [[1, 2, 3]])


async def test_what_comes_while_a_batch_is_handled_is_in_the_next() -> None:
    batch, work = Batch[int, int](), Work()
    work.goes_on.clear()
    first = asyncio.create_task(batch.handled(work, [1]))
    while not work.batches:  # noqa: ASYNC110
        await asyncio.sleep(0)
    later = [asyncio.create_task(batch.handled(work, [n])) for n in (2, 3)]
    await asyncio.sleep(0)
    work.goes_on.set()
    assert await asyncio.gather(first, *later) == [1, 5, 5]
    assert work.batches == [[1], [2, 3]]


async def test_a_failure_is_that_of_everybody_in_the_batch_and_of_no_other() -> None:
    batch, work = Batch[int, int](), Work()
    found = await asyncio.gather(
        batch.handled(work, [1]), batch.handled(work, [0]), return_exceptions=True
    )
    assert [type(one) for one in found] == [ValueError, ValueError]
    assert await batch.handled(work, [4]) == 4


async def test_a_cancelled_caller_takes_nothing_from_the_others() -> None:
    batch, work = Batch[int, int](), Work()
    gone = asyncio.create_task(batch.handled(work, [1], within_s=3600))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await batch.handled(work, [2]) == 3

"""A deadline that a stopped process does not miss."""

import asyncio
import time

import pytest

from monitor.storage import running_timeout
from monitor.storage.running_timeout import RunningTimeout


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_timeout, "TICK_S", 0.02)
    monkeypatch.setattr(running_timeout, "STILL_S", 0.2)


def stopped(seconds: float) -> None:
    """The whole loop stands still, as by SIGSTOP."""
    time.sleep(seconds)


async def test_it_ends_what_takes_too_long() -> None:
    limit = RunningTimeout(0.05)
    with pytest.raises(TimeoutError):
        async with limit:
            await asyncio.sleep(60)
    assert limit.expired


async def test_an_answer_that_came_while_the_process_was_stopped_is_in_time() -> None:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()
    limit = RunningTimeout(1.0)
    loop.call_later(0.01, stopped, 1.5)
    loop.call_later(1.2, answer.set_result, "there")
    async with limit:
        assert await answer == "there"
    assert limit.stood_still
    assert not limit.expired


async def test_work_that_is_slow_to_cancel_does_not_stand_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running_timeout, "STILL_S", 2.0)
    limit = RunningTimeout(0.05)

    async def slow_to_cancel() -> None:
        async with limit:
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(2.5)

    with pytest.raises(TimeoutError):
        await slow_to_cancel()
    assert not limit.stood_still


async def test_an_error_after_a_stop_is_known_as_such_at_once() -> None:
    limit = RunningTimeout(60)

    async def fails_after_a_stop() -> None:
        async with limit:
            stopped(0.3)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await fails_after_a_stop()
    assert limit.stood_still


async def test_without_a_limit_it_only_watches() -> None:
    limit = RunningTimeout()
    async with limit:
        await asyncio.sleep(0.05)
        stopped(0.3)
        await asyncio.sleep(0)
    assert limit.stood_still
    assert not limit.expired

"""A limit on CPU time that nothing within the work escapes."""

import asyncio
import gc
import hashlib
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from monitor import cpu_limit
from monitor.cpu_limit import CpuLimitExceeded, limited

EXPLODING = re.compile(r"(?:a|a)*b")  # doubles its steps with every letter
ENOUGH_S = 20  # CPU time; without a limit it would take years


def exploding() -> object:
    return EXPLODING.match("a" * 80)


def catching() -> object:
    while True:
        with suppress(Exception):
            exploding()


def looping() -> None:
    while True:
        pass


@pytest.mark.parametrize("work", [exploding, catching, looping])
def test_work_that_takes_too_long_is_interrupted(work: Callable[[], object]) -> None:
    began = time.process_time()
    with pytest.raises(CpuLimitExceeded):
        limited(work)
    assert time.process_time() - began < ENOUGH_S


def test_work_within_the_limit_returns_what_it_returns_and_raises_what_it_raises() -> None:
    assert limited(int, "7", base=8) == 7
    with pytest.raises(ValueError, match="invalid literal"):
        limited(int, "x")
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_a_signal_that_arrives_late_interrupts_no_one() -> None:
    assert limited(int, "7") == 7
    signal.raise_signal(signal.SIGPROF)
    assert limited(int, "8") == 8


@contextmanager
def busy_threads(work: Callable[[], object], count: int = 2) -> Iterator[None]:
    """Other threads that do this over and over, as fast as they can."""
    stopped = threading.Event()

    def works() -> None:
        while not stopped.is_set():
            work()

    threads = [threading.Thread(target=works) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


OTHERS = [
    pytest.param(lambda: sum(range(1_000)), id="with the interpreter lock"),
    pytest.param(lambda: hashlib.pbkdf2_hmac("sha256", b"x", b"y", 5_000), id="without it"),
]


@pytest.mark.parametrize("other", OTHERS)
def test_the_cpu_time_of_other_threads_does_not_count(other: Callable[[], object]) -> None:
    def honest() -> bool:
        until = time.thread_time() + 0.6 * cpu_limit.LIMIT_S
        while time.thread_time() < until:
            pass
        return True

    with busy_threads(other):
        assert [limited(honest) for _ in range(10)] == [True] * 10


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("work", [exploding, catching, looping])
def test_beside_other_threads_the_limit_holds_too(
    work: Callable[[], object], other: Callable[[], object]
) -> None:
    with busy_threads(other):
        began = time.thread_time()
        with pytest.raises(CpuLimitExceeded):
            limited(work)
        used = time.thread_time() - began
    assert cpu_limit.LIMIT_S <= used < ENOUGH_S


def test_within_limited_work_the_outer_limit_counts() -> None:
    with pytest.raises(CpuLimitExceeded):
        limited(lambda: (limited(int, "7"), looping()))


async def test_the_loop_goes_on_after_work_that_was_interrupted() -> None:
    for _ in range(3):
        with pytest.raises(CpuLimitExceeded):
            limited(exploding)
        await asyncio.sleep(0.001)
    assert await asyncio.to_thread(limited, int, "7") == 7


def test_the_limit_is_shorter_than_what_a_neighbour_may_wait() -> None:
    assert cpu_limit.LIMIT_S < 0.1


def test_garbage_of_the_process_is_not_collected_within_limited_work() -> None:
    started: list[str] = []

    def context(phase: str, info: dict[str, int]) -> None:
        started.append(phase)

    def work() -> int:
        return len([[] for _ in range(20_000)])

    gc.callbacks.append(context)
    try:
        assert limited(work) == 20_000
        assert started == []
        assert gc.isenabled()
        work()
        assert started
    finally:
        gc.callbacks.remove(context)

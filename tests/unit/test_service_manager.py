"""systemd hears that the worker is ready and stopping, and that it is alive while rounds go on."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from monitor.worker.service_manager import keep_watchdog, notify, rounds_go_on


def context(address: str | None = None, *, every: str = "5m", ended_s: float = 0.0) -> Any:
    minutes = {"1s": 1 / 60, "5m": 5, "1d": 1440}[every]
    targets = {"rag": SimpleNamespace(every=timedelta(minutes=minutes))}
    environment = SimpleNamespace(notify_socket=address, watchdog_usec=30_000)
    settings = SimpleNamespace(targets=targets, environment=environment)
    return SimpleNamespace(settings=settings, state=SimpleNamespace(round_ended_s=ended_s))


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.settimeout(60)
        end.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        yield end


@pytest.mark.parametrize("address", ["notify", "@rag-monitor-test"])
def test_states_arrive_at_a_path_and_at_an_abstract_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with manager(address) as end:
        notify(context(address), "READY=1", "STATUS=watching rag")
        assert end.recv(200) == b"READY=1\nSTATUS=watching rag"


@pytest.mark.parametrize("address", [None, "", "nowhere", "/" + "x" * 200, "a\0b"])
def test_without_a_manager_that_listens_the_worker_goes_on(
    address: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    notify(context(address), "READY=1")
    assert ("service manager unreachable" in caplog.text) is bool(address)


@pytest.mark.parametrize(
    ("every", "age_s", "good"),
    [
        ("5m", 899, True), ("5m", 901, False),
        ("1s", 599, True), ("1s", 601, False),  # one round may outlast many intervals
        ("1d", 80_000, True),
    ],
)  # fmt: skip
def test_rounds_go_on_while_one_ended_within_three_intervals(
    every: str, age_s: float, good: bool
) -> None:
    assert rounds_go_on(context(every=every, ended_s=1000.0), 1000.0 + age_s) is good


async def test_the_watchdog_is_fed_only_while_rounds_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = str(tmp_path / "notify")
    with manager(address) as end:
        now = time.monotonic()
        watched = context(address, ended_s=now)
        feeding = asyncio.create_task(keep_watchdog(watched))
        assert await asyncio.to_thread(end.recv, 200) == b"WATCHDOG=1"
        assert await asyncio.to_thread(end.recv, 200) == b"WATCHDOG=1"
        watched.state.round_ended_s = now - 100_000
        async with asyncio.timeout(60):
            while "watchdog withheld" not in caplog.text:  # noqa: ASYNC110  logs send no events
                await asyncio.sleep(0.01)
        end.setblocking(False)
        with suppress(BlockingIOError):
            while True:  # sent before
                end.recv(200)
        watched.state.round_ended_s = time.monotonic()
        end.settimeout(60)
        assert await asyncio.to_thread(end.recv, 200) == b"WATCHDOG=1"
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


async def test_without_a_watchdog_nothing_is_sent(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with manager(address) as end:
        unwatched = context(address)
        unwatched.settings.environment.watchdog_usec = None
        await keep_watchdog(unwatched)
        end.setblocking(False)
        with pytest.raises(BlockingIOError):
            end.recv(200)

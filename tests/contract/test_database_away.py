"""A worker whose database cannot be reached at the start probes all the same."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from monitor.cli import run as running
from monitor.config import Settings
from monitor.storage.spool_file import parse
from tests.contract.open_context import settings
from tests.contract.test_failover import STORED, Forwarder, forwarding
from tests.e2e.worker_process import rows
from tests.scripted_server import LAST, chunk, head, scripted_server
from tests.single_probe import DONE, HI, sse

NOWHERE = "postgresql://monitor@/monitor?host=/nonexistent"


@asynccontextmanager
async def away(home: Path, url: str) -> AsyncIterator[tuple[Forwarder, asyncio.Task[object]]]:
    """A worker whose server refuses connections, after its first two probes at least."""
    script = (head(), chunk(sse(HI, DONE)), LAST)
    async with forwarding(url) as (forwarder, address), scripted_server(*script) as service:
        forwarder.point_at(NOWHERE)
        given = {"MONITOR_HOME": str(home), "MONITOR_TARGETS__RAG__EVERY": "1s"}
        configured = settings(home, service.url, DATABASE_URL=address, **given)
        worker = asyncio.create_task(status(configured, address))
        await eventually(lambda: waiting(home) >= 2 or worker.done(), "two observations on disk")
        assert not worker.done(), worker.result()
        try:
            yield forwarder, worker
        finally:
            worker.cancel()
            await asyncio.wait({worker})


async def status(configured: Settings, url: str) -> object:
    """The exit status of a worker."""
    try:
        await running.work(configured, url)
    except SystemExit as end:
        return end.code
    return 0


def waiting(home: Path) -> int:
    """How many observations wait on disk."""
    return sum(len(parse(file.read_bytes()).waiting) for file in (home / "spool").glob("*"))


async def eventually(found: Callable[[], object], what: str) -> None:
    for _ in range(1_200):
        if found():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"did not come within a minute: {what}")


async def test_what_was_probed_without_the_database_is_stored_when_it_is_back(
    tmp_path: Path, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with away(tmp_path, database_url) as (forwarder, worker):
        assert "probing without the database: DATABASE_URL = postgresql" in caplog.text
        before = waiting(tmp_path)
        forwarder.point_at(database_url)
        await eventually(lambda: rows(database_url, STORED)[0][0] >= before, "what waited")
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(worker, 60) == 0
    assert waiting(tmp_path) == 0


@pytest.mark.parametrize("state", ["not migrated", "missing"])
async def test_a_database_that_comes_back_unusable_ends_the_worker_with_the_reason(
    tmp_path: Path,
    empty_url: str,
    state: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running, "SCHEMA_WAIT_S", 0)
    monkeypatch.setattr("monitor.worker.scheduler.DRAIN_S", 0)
    url = make_url(empty_url)
    wanted = url if state == "not migrated" else url.set(database="no_such")
    address = wanted.render_as_string(hide_password=False)
    async with away(tmp_path, address) as (forwarder, worker):
        forwarder.point_at(empty_url)
        assert await asyncio.wait_for(worker, 60) == 1
    reason = {"not migrated": "run `monitor migrate`", "missing": '"no_such" does not exist'}
    assert reason[state] in capsys.readouterr().err
    assert waiting(tmp_path) >= 2, "the next worker stores them"

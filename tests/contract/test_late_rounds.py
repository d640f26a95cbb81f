"""A slot that spans a restart: probed late, or recorded as missed with the reason."""

import asyncio
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from monitor.notifications import ConsoleNotifier
from monitor.storage import Database, engine, leases
from monitor.worker import probe_round
from monitor.worker.scheduler import Worker, slot_of
from tests.contract.open_context import open_context, settings
from tests.contract.test_workers import turning
from tests.e2e.worker_process import rows

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
EVERY = 6 * HOUR
SLOT = slot_of(datetime.now(UTC), EVERY)
ASKED = "SELECT DISTINCT slot FROM observations"
KNOWN = "SELECT slot, worker, missed FROM slots ORDER BY slot"


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


async def started(database: Database, home: Path, url: str, *, late: timedelta) -> None:
    """A worker begins so long after its slot was due, and sees to it."""
    configured = settings(home, url, MONITOR_TARGETS__RAG__EVERY="6h")
    async with open_context(configured, database, ConsoleNotifier(io.StringIO())) as context:
        one = Worker(context)
        one._catch_up(context.settings.targets["rag"], SLOT, late)
        await asyncio.gather(*one._late.values())


async def claimed(database: Database, slot: datetime) -> None:
    async with database.begin() as connection:
        assert await leases.claim(connection, "rag", "local", slot, "w9")
        await leases.finish(connection, "rag", "local", slot)


async def test_a_slot_no_one_claimed_is_probed_at_once(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with turning() as service:
        await started(database, tmp_path, service.url, late=5 * HOUR)
        assert service.asked == 2
    assert rows(database_url, ASKED) == [(SLOT,)]
    assert rows(database_url, KNOWN) == [(SLOT, "w1", None)]


async def test_a_slot_that_is_nearly_over_is_recorded_as_missed(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await claimed(database, SLOT - EVERY)
    async with turning() as service:
        await started(database, tmp_path, service.url, late=EVERY - MINUTE)
        await started(database, tmp_path, service.url, late=EVERY - MINUTE)
        assert service.asked == 0
    reason = "no worker was running when it was due"
    assert rows(database_url, KNOWN) == [(SLOT - EVERY, "w9", None), (SLOT, "w1", reason)]


async def test_before_a_target_was_watched_nothing_is_missed(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with turning() as service:
        await started(database, tmp_path, service.url, late=EVERY - MINUTE)
    assert rows(database_url, KNOWN) == []


async def test_a_slot_that_was_probed_before_the_restart_is_left_alone(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await claimed(database, SLOT)
    async with turning() as service:
        await started(database, tmp_path, service.url, late=HOUR)
        await started(database, tmp_path, service.url, late=EVERY - MINUTE)
        assert service.asked == 0
    assert rows(database_url, KNOWN) == [(SLOT, "w9", None)]


async def test_a_first_start_probes_at_once_however_long_the_interval(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with turning() as service:
        configured = settings(tmp_path, service.url, MONITOR_TARGETS__RAG__EVERY="30d")
        async with open_context(configured, database, ConsoleNotifier(io.StringIO())) as context:
            life = asyncio.create_task(Worker(context).live())
            async with asyncio.timeout(60):
                while service.asked < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            context.state.leaving.set()
            await life
    assert len(rows(database_url, ASKED)) == 1


async def test_slots_that_passed_during_a_round_are_recorded_as_missed(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with turning() as service:
        configured = settings(tmp_path, service.url, MONITOR_TARGETS__RAG__EVERY="6h")
        async with open_context(configured, database, ConsoleNotifier(io.StringIO())) as context:
            one = Worker(context)
            await claimed(database, SLOT - 3 * EVERY)
            one._last_slot["rag"] = SLOT - 3 * EVERY
            await one._round(context.settings.targets["rag"])
    reason = "the previous round took too long"
    assert rows(database_url, KNOWN) == [
        (SLOT - 3 * EVERY, "w9", None),
        (SLOT - 2 * EVERY, "w1", reason),
        (SLOT - EVERY, "w1", reason),
        (SLOT, "w1", None),
    ]


async def test_a_server_that_answers_nothing_keeps_no_round_from_being_probed(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SEAT_S", 0.2)
    free = asyncio.Event()

    async def hold() -> None:
        async with database.begin(deadline_s=600) as connection:
            await connection.execute(text("SELECT 1"))
            await free.wait()

    async with turning() as service:
        configured = settings(tmp_path, service.url)
        async with open_context(configured, database, ConsoleNotifier(io.StringIO())) as context:
            holders = [asyncio.create_task(hold()) for _ in range(engine.POOL_SIZE)]
            await asyncio.sleep(0.5)

            async def nothing() -> None:
                pass

            async with asyncio.timeout(60):
                target = context.settings.targets["rag"]
                assert len(await probe_round.run_round(context, target, SLOT, between=nothing)) == 2
            assert len(context.state.spool) == 2
            free.set()
            await asyncio.gather(*holders)

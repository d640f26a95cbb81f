"""A slot that spans a restart: probed late, or recorded as missed with the reason."""

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from monitor.domain import Target
from monitor.notifications import ConsoleNotifier
from monitor.storage import Database, DatabaseBusy, engine, leases, running_timeout
from monitor.storage.leases import RoundSlot
from monitor.worker import admission, evaluation, probe_round
from monitor.worker.admission import AdmittedRound
from monitor.worker.context import WorkerContext
from monitor.worker.round_schedule import phase
from monitor.worker.rounds import RoundQueue
from monitor.worker.scheduler import Worker
from tests.contract.open_context import open_context, settings
from tests.contract.test_workers import turning
from tests.e2e.worker_process import rows

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
EVERY = 6 * HOUR
ASKED = "SELECT DISTINCT slot FROM observations"
CLAIMED = "INSERT INTO slots (target, region, slot, worker) VALUES ('rag', 'local', %s, 'w2')"
KNOWN = "SELECT slot, worker, missed FROM slots ORDER BY slot"


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def slot_before(target: Target, late: timedelta) -> datetime:
    """The slot whose round would have begun so long ago."""
    return datetime.now(UTC) - phase(target) - late


async def started(
    database: Database, home: Path, url: str, *, late: timedelta, slot: datetime | None = None
) -> datetime:
    """A worker begins so long after a slot was due, and sees to it; returns the slot."""
    configured = settings(home, url, MONITOR_TARGETS__RAG__EVERY="6h")
    async with open_context(configured, database, ConsoleNotifier(io.StringIO())) as context:
        rounds, target = Worker(context).rounds, context.settings.targets["rag"]
        slot = slot or slot_before(target, late)
        rounds.schedule.add(RoundSlot("rag", slot), begins_at=datetime.now(UTC), late=True)
        await rounds.tick()
        await asyncio.gather(*rounds.running.values())
    return slot


async def claimed(database: Database, slot: datetime) -> None:
    ours = {"region": "local", "worker": "w9"}
    async with database.begin() as connection:
        assert await leases.claim(connection, [RoundSlot("rag", slot)], **ours)
        await leases.finish(connection, [leases.RoundEnd("rag", slot)], **ours)


async def test_a_slot_no_one_claimed_is_probed_at_once(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with turning() as service:
        slot = await started(database, tmp_path, service.url, late=5 * HOUR)
        assert service.asked == 2
    assert rows(database_url, ASKED) == [(slot,)]
    assert rows(database_url, KNOWN) == [(slot, "w1", None)]


async def test_a_slot_that_is_nearly_over_is_recorded_as_missed(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    earlier = datetime.now(UTC) - 3 * EVERY
    await claimed(database, earlier)
    late = EVERY - MINUTE
    async with turning() as service:
        slot = await started(database, tmp_path, service.url, late=late)
        await started(database, tmp_path, service.url, late=late, slot=slot)
        assert service.asked == 0
    reason = "no worker was running when it was due"
    assert rows(database_url, KNOWN) == [(earlier, "w9", None), (slot, "w1", reason)]


async def test_before_a_target_was_watched_nothing_is_missed(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with turning() as service:
        await started(database, tmp_path, service.url, late=EVERY - MINUTE)
    assert rows(database_url, KNOWN) == []


async def test_a_slot_that_was_probed_before_the_restart_is_left_alone(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    slot = datetime.now(UTC) - HOUR
    await claimed(database, slot)
    async with turning() as service:
        await started(database, tmp_path, service.url, late=HOUR, slot=slot)
        assert service.asked == 0
    assert rows(database_url, KNOWN) == [(slot, "w9", None)]


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


async def rounds_of(
    database: Database, home: Path, url: str, work: Callable[[RoundQueue, Target], Awaitable[None]],
    **given: str,
) -> None:  # fmt: skip
    configured = settings(home, url, MONITOR_TARGETS__RAG__EVERY="6h", **given)
    async with open_context(configured, database, ConsoleNotifier(io.StringIO())) as context:
        await work(Worker(context).rounds, context.settings.targets["rag"])


async def test_slots_that_passed_during_a_round_are_recorded_as_missed(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    before = datetime.now(UTC) - 3 * EVERY
    await claimed(database, before)
    slots: list[datetime] = []

    async def passed(rounds: RoundQueue, target: Target) -> None:
        slots.extend(slot_before(target, late) for late in (MINUTE, timedelta(0)))
        rounds.schedule.add(RoundSlot("rag", slots[0]), begins_at=datetime.now(UTC))
        await rounds.tick()
        rounds.schedule.add(RoundSlot("rag", slots[1]), begins_at=datetime.now(UTC))
        await rounds.tick()
        assert rows(database_url, KNOWN)[2:] == [], "until then another worker may take it"
        await asyncio.gather(*rounds.running.values())
        await rounds.tick()

    async with turning() as service:
        await rounds_of(database, tmp_path, service.url, passed)
        assert service.asked == 2
    reason = "the previous round took too long"
    assert rows(database_url, KNOWN) == [
        (before, "w9", None),
        (slots[0], "w1", None),
        (slots[1], "w1", reason),
    ]


async def test_without_capacity_a_round_waits_and_is_missed_when_the_next_is_due(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    before = datetime.now(UTC) - 3 * EVERY
    await claimed(database, before)
    slots: list[datetime] = []

    async def full(rounds: RoundQueue, target: Target) -> None:
        held = asyncio.create_task(asyncio.Event().wait())
        rounds.running["another"] = held  # type: ignore[assignment]
        slots.append(slot_before(target, MINUTE))
        rounds.schedule.add(RoundSlot("rag", slots[0]), begins_at=datetime.now(UTC))
        await rounds.tick()
        assert len(rows(database_url, KNOWN)) == 1, "it waits"
        del rounds.running["another"]
        held.cancel()
        await rounds.tick()
        await asyncio.gather(*rounds.running.values())

    async with turning() as service:
        limit = {"MONITOR_PROBES__MAX_CONCURRENT": "1"}
        await rounds_of(database, tmp_path, service.url, full, **limit)
        assert service.asked == 2
    assert rows(database_url, KNOWN) == [(before, "w9", None), (slots[0], "w1", None)]


class SteppingClock:
    """The clock of the worker, which is set back when it claims rounds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, by: timedelta, then: Exception | None):
        self.ahead, self._by, self._then = timedelta(0), by, then
        self._admit = admission.admit
        monkeypatch.setattr(WorkerContext, "now", staticmethod(self.now))
        monkeypatch.setattr(admission, "admit", self.admit)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    async def admit(
        self, context: WorkerContext, due: Sequence[tuple[Target, datetime]], **more: Any
    ) -> Sequence[AdmittedRound]:
        if self.ahead:
            return await self._admit(context, due, **more)
        self.ahead = -self._by
        if self._then is not None:
            raise self._then
        return await self._admit(context, due, **more)


@pytest.mark.parametrize("by", [MINUTE, timedelta(days=1), timedelta(days=730)])
async def test_a_clock_that_is_set_back_during_a_claim_delays_no_round(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: timedelta
) -> None:
    async def stepped(rounds: RoundQueue, target: Target) -> None:
        clock = SteppingClock(monkeypatch, by, None)
        begins_at = clock.now() + timedelta(seconds=0.5)
        rounds.schedule.add(RoundSlot("rag", slot_before(target, -MINUTE)), begins_at=begins_at)
        await rounds.tick()
        async with asyncio.timeout(60):
            while not rounds.running:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await asyncio.gather(*rounds.running.values())

    async with turning() as service:
        await rounds_of(database, tmp_path, service.url, stepped)
        assert service.asked == 2


async def test_a_claim_that_waits_when_the_clock_is_set_back_blocks_no_later_round(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its slot is in the future now, and is not claimed before its time has come."""

    async def stepped(rounds: RoundQueue, target: Target) -> None:
        clock = SteppingClock(monkeypatch, timedelta(days=1), DatabaseBusy("a lock"))
        rounds.schedule.add(RoundSlot("rag", slot_before(target, MINUTE)), begins_at=clock.now())
        await rounds.tick()
        rounds.schedule.clear()  # as after every step
        slots.append(slot_before(target, MINUTE) - timedelta(days=1))
        rounds.schedule.add(RoundSlot("rag", slots[0]), begins_at=clock.now())
        for _ in range(2):
            await rounds.tick()
            await asyncio.gather(*rounds.running.values())

    slots: list[datetime] = []
    async with turning() as service:
        await rounds_of(database, tmp_path, service.url, stepped)
        assert service.asked == 2
    assert rows(database_url, KNOWN) == [(slots[0], "w1", None)]


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
                target, now = context.settings.targets["rag"], datetime.now(UTC)
                assert len(await probe_round.run_round(context, target, now, between=nothing)) == 2
            assert len(context.state.spool) == 2
            free.set()
            await asyncio.gather(*holders)


async def test_tables_that_are_missing_for_a_while_keep_no_round_from_being_probed(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As during a restore, or without the rights of a role."""
    database = Database(database_url, writes=True)
    server = database_url.replace("+psycopg", "")
    async with turning() as service:
        configured = settings(tmp_path, service.url, MONITOR_TARGETS__RAG__EVERY="6h")
        async with open_context(configured, database, ConsoleNotifier(io.StringIO())) as context:
            worker, target = Worker(context), context.settings.targets["rag"]
            with psycopg.connect(server, autocommit=True) as person:
                for table in ("slots", "observations", "leases"):
                    person.execute(f"ALTER TABLE {table} RENAME TO {table}_elsewhere")
                slot = slot_before(target, HOUR)
                round_ = RoundSlot("rag", slot)
                worker.rounds.schedule.add(round_, begins_at=datetime.now(UTC), late=True)
                await worker.rounds.tick()
                await asyncio.gather(*worker.rounds.running.values())
                assert len(context.state.spool) == 2
                assert not await worker._run(evaluation.evaluate(context))
                for table in ("slots", "observations", "leases"):
                    person.execute(f"ALTER TABLE {table}_elsewhere RENAME TO {table}")
            await probe_round.keep(context, [])
    await database.close()
    assert rows(database_url, ASKED) == [(slot,)]
    refusal = next(r for r in caplog.records if r.message == "database unavailable")
    assert "Run `monitor migrate`" in vars(refusal)["reason"]
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_worker_that_was_stopped_during_a_claim_claims_again(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker took the slot meanwhile: it is not probed twice."""
    monkeypatch.setattr(admission, "BEFORE_S", 0.5)
    monkeypatch.setattr(running_timeout, "STILL_S", 0.3)
    server, loop = database_url.replace("+psycopg", ""), asyncio.get_running_loop()
    async with turning() as service:
        configured = settings(tmp_path, service.url, MONITOR_TARGETS__RAG__EVERY="6h")
        async with open_context(configured, database, ConsoleNotifier(io.StringIO())) as context:
            rounds, target = Worker(context).rounds, context.settings.targets["rag"]
            slot = slot_before(target, HOUR)
            with psycopg.connect(server) as other:
                other.execute(CLAIMED, (slot,))  # our own claim waits for this transaction's end

                def stopped() -> None:
                    time.sleep(1.5)
                    other.commit()

                loop.call_later(0.3, stopped)
                rounds.schedule.add(RoundSlot("rag", slot), begins_at=datetime.now(UTC), late=True)
                for _ in range(2):  # stopped during the first
                    await rounds.tick()
            await asyncio.gather(*rounds.running.values())
        assert service.asked == 0
    assert rows(database_url, KNOWN) == [(slot, "w2", None)]


async def test_a_worker_that_is_stopped_again_and_again_probes_without_a_claim(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen database on a machine without CPU: what it probes waits in the spool."""
    monkeypatch.setattr(admission, "BEFORE_S", 0.3)
    monkeypatch.setattr(running_timeout, "STILL_S", 0.0)  # each pause counts
    server = database_url.replace("+psycopg", "")
    async with turning() as service:
        configured = settings(tmp_path, service.url, MONITOR_TARGETS__RAG__EVERY="6h")
        async with open_context(configured, database, ConsoleNotifier(io.StringIO())) as context:
            rounds, target = Worker(context).rounds, context.settings.targets["rag"]
            slot = slot_before(target, HOUR)
            with psycopg.connect(server) as other:
                other.execute("LOCK TABLE slots")
                rounds.schedule.add(RoundSlot("rag", slot), begins_at=datetime.now(UTC), late=True)
                await rounds.tick()
                assert not rounds.running
                await rounds.tick()
                assert list(rounds.running) == ["rag"]
            await asyncio.gather(*rounds.running.values())
        assert service.asked == 2
    assert rows(database_url, ASKED) == [(slot,)]


async def test_a_claim_that_another_worker_has_not_committed_is_waited_for(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """That worker was stopped within its claim: the database is well."""
    server = database_url.replace("+psycopg", "")
    async with turning() as service:
        configured = settings(tmp_path, service.url, MONITOR_TARGETS__RAG__EVERY="6h")
        async with open_context(configured, database, ConsoleNotifier(io.StringIO())) as context:
            rounds, target = Worker(context).rounds, context.settings.targets["rag"]
            slot = slot_before(target, HOUR)
            with psycopg.connect(server) as other:
                other.execute(CLAIMED, (slot,))
                rounds.schedule.add(RoundSlot("rag", slot), begins_at=datetime.now(UTC), late=True)
                await rounds.tick()
                assert not rounds.running
            await rounds.tick()
            await asyncio.gather(*rounds.running.values())
        assert service.asked == 0
    assert rows(database_url, KNOWN) == [(slot, "w2", None)]

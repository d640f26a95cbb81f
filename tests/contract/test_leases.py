"""Leases: kept while their holder lives, taken over soon after it does not, never awaited."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from monitor.storage import Database, leases
from monitor.worker import evaluation, lease_keeper
from tests.contract.open_context import open_context, settings
from tests.e2e.worker_process import configuration, eventually, rows, service, worker

HOLDER = "SELECT holder, fence FROM leases WHERE name = 'evaluate' AND until > now()"


async def hold(database: Database, holder: str, name: str = "evaluate") -> int | None:
    async with database.begin() as connection:
        return await leases.hold(connection, name, holder=holder)


async def available(database: Database, holder: str) -> int | None:
    async with database.begin() as connection:
        return await leases.available(connection, "evaluate", holder=holder)


def test_a_dead_holder_is_replaced_within_twenty_seconds() -> None:
    """Its lease ends, and the keeper of another worker looks."""
    assert timedelta(seconds=18) >= leases.SPAN + leases.RENEWED_EVERY
    assert leases.SPAN > 2 * leases.RENEWED_EVERY, "one renewal may fail"


async def test_what_is_available_is_what_one_would_hold(database: Database) -> None:
    assert await available(database, "w1") == 1
    assert await hold(database, "w1") == 1
    assert await available(database, "w1") == 1
    assert await available(database, "w2") is None
    async with database.begin() as connection:
        await leases.release(connection, ["evaluate"], holder="w1")
    assert await available(database, "w1") == 1
    assert await available(database, "w2") == 2
    assert await hold(database, "w2") == 2
    assert await available(database, "w1") is None


@pytest.mark.parametrize("unavailable", ["13 seconds", "5 minutes", "1 hour", "730 days"])
async def test_a_lease_further_in_the_future_than_its_span_is_expired(
    database: Database, unavailable: str
) -> None:
    assert await hold(database, "dead") == 1
    async with database.begin() as connection:
        await connection.execute(
            text(f"UPDATE leases SET until = now() + interval '{unavailable}'")
        )
    assert await available(database, "w2") == 2
    assert await hold(database, "w2") == 2
    assert await hold(database, "dead") is None


async def test_it_is_renewed_and_released_by_its_holder_alone(database: Database) -> None:
    await hold(database, "w1")

    async def left_s() -> float:
        async with database.begin() as connection:
            left = text("SELECT extract(epoch FROM until - clock_timestamp())::float FROM leases")
            return float(await connection.scalar(left))

    async with database.begin() as connection:
        await connection.execute(text("UPDATE leases SET until = now() + interval '1 second'"))
        await leases.renew(connection, ["evaluate"], holder="w2")
        await leases.release(connection, ["evaluate"], holder="w2")
    assert 0 < await left_s() <= 1
    async with database.begin() as connection:
        await leases.renew(connection, ["evaluate"], holder="w1")
    assert await left_s() > 1
    async with database.begin() as connection:
        await leases.release(connection, ["evaluate"], holder="w1")
        assert [lease.name for lease in await leases.lapsed(connection)] == ["evaluate"]
    assert await hold(database, "w2") == 2


async def test_a_row_somebody_has_locked_is_passed_over(database: Database) -> None:
    await hold(database, "w1")
    async with database.begin() as locking:
        await locking.execute(text("SELECT FROM leases FOR UPDATE"))
        async with database.begin() as connection:
            await connection.execute(text("SET LOCAL lock_timeout = '1ms'"))  # to wait would fail
            assert await leases.hold(connection, "evaluate", holder="w1") is None
            await leases.renew(connection, ["evaluate"], holder="w1")
            await leases.release(connection, ["evaluate"], holder="w1")
    assert await hold(database, "w1") == 1


async def test_a_lease_that_another_worker_is_just_making_is_not_waited_for(
    database: Database,
) -> None:
    """At the first start of several workers: the transaction that makes it may last seconds."""
    async with database.begin() as making:
        assert await leases.hold(making, "roll_up", holder="w1") == 1
        async with database.begin() as connection:
            await connection.execute(text("SET LOCAL lock_timeout = '1ms'"))  # to wait would fail
            assert await leases.hold(connection, "roll_up", holder="w2") is None
            assert await leases.hold(connection, "evaluate", holder="w2") == 1
    assert await hold(database, "w2", "roll_up") is None
    assert await hold(database, "w1", "roll_up") == 1


async def test_the_keeper_renews_what_jobs_took_until_they_no_longer_succeed(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    left = "SELECT until > now() + interval '5 seconds' FROM leases"
    async with open_context(settings(tmp_path), database) as context:
        async with database.begin() as connection:
            assert (
                await lease_keeper.hold(context, connection, "roll_up", keep=timedelta(hours=1))
                == 1
            )
        for renewed in (True, False):
            async with database.begin() as connection:
                await connection.execute(text("UPDATE leases SET until = now() + interval '2 s'"))
            lapsed, due = await lease_keeper.renew(context)
            assert (lapsed, due) == (set(), set())
            assert rows(database_url, left) == [(renewed,)]
            context.state.leases["roll_up"] = time.monotonic() - 1
        await lease_keeper.release(context)
        lapsed, _ = await lease_keeper.renew(context)
        assert [lease.name for lease in lapsed] == ["roll_up"]


async def test_an_evaluation_that_fails_does_not_keep_the_lease(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(evaluation, "plan", fails)
    async with open_context(settings(tmp_path), database) as context:
        with pytest.raises(TypeError):
            await evaluation.evaluate(context)
        assert not lease_keeper.held(context, "evaluate")
    assert rows(database_url, "SELECT count(*) FROM leases") == [(0,)]


async def test_another_that_took_over_meanwhile_stops_what_was_read_before(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = evaluation._verdicts

    async def while_it_reads(*given: object) -> object:
        await hold(database, "w2")
        return await real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(evaluation, "_verdicts", while_it_reads)
    async with open_context(settings(tmp_path), database) as context:
        assert not await evaluation.evaluate(context)
        assert not lease_keeper.held(context, "evaluate")
    assert rows(database_url, HOLDER) == [("w2", 1)]


FROZEN = """
import asyncio, os, signal, sys
from dataclasses import replace
from pathlib import Path
from monitor.worker import evaluation as judging
from monitor.storage.engine import Database
from tests.contract.open_context import settings, open_context

async def main():
    database = Database(sys.argv[1])
    async with open_context(settings(Path(sys.argv[2])), database) as watch:
        watch = replace(watch, worker="frozen")
        await judging.evaluate(watch)
        real = judging.lease_keeper.hold
        async def and_freeze(*given, **named):
            held = await real(*given, **named)
            print("here", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
            return held
        judging.lease_keeper.hold = and_freeze
        try:
            await judging.evaluate(watch)
        except Exception as error:
            print(type(error).__name__, flush=True)
        judging.lease_keeper.hold = real
        print(await judging.evaluate(watch), watch.state.leases, flush=True)

asyncio.run(main())
"""


def frozen_worker(url: str, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FROZEN, url, str(home)],
        stdout=subprocess.PIPE, text=True, cwd=Path.cwd(),
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip


async def test_a_worker_frozen_within_its_evaluation_is_replaced(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """Its transaction is ended by the server, its lease by time; afterwards it does no harm."""
    frozen = frozen_worker(database_url, tmp_path)
    assert frozen.stdout is not None
    try:
        assert await asyncio.to_thread(frozen.stdout.readline) == "here\n"
        async with open_context(settings(tmp_path), database) as context:
            for _ in range(600):
                await evaluation.evaluate(context)  # waits for no lock, and so raises nothing
                if rows(database_url, HOLDER) == [("w1", 2)]:
                    break
                await asyncio.sleep(0.1)
            assert rows(database_url, HOLDER) == [("w1", 2)]
            frozen.send_signal(signal.SIGCONT)
            assert await asyncio.to_thread(frozen.stdout.readline) == "ProcessStopped\n"
            assert await asyncio.to_thread(frozen.stdout.readline) == "False {}\n"
    finally:
        frozen.kill()
        frozen.wait()
        frozen.stdout.close()


ALL = "SELECT name FROM leases WHERE until > now() AND holder LIKE '{}' ORDER BY 1"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_successor_of_another_name_takes_over_every_lease(
    database_url: str, tmp_path: Path, end: signal.Signals
) -> None:
    """After a clean stop nothing is held; after a kill the keeper takes over what lapses."""
    with service() as stage:
        configuration(tmp_path, stage.url, every="1h")
        given = {"DATABASE_URL": database_url}
        with worker(tmp_path, FLY_MACHINE_ID="first", **given) as first:
            both = [("evaluate",), ("roll_up",)]
            eventually(lambda: rows(database_url, ALL.format("first")) == both, 60, "leases")
            first.stop(end)
            if end is signal.SIGTERM:
                assert rows(database_url, ALL.format("%")) == []
        with worker(tmp_path, FLY_MACHINE_ID="second", **given) as second:
            eventually(lambda: rows(database_url, ALL.format("second")) == both, 60, "takeover")
            second.stop()
    named = "SELECT name, fence FROM leases WHERE name <> 'evaluate standby' ORDER BY 1"
    fences = rows(database_url, named)
    assert fences == [("evaluate", 2), ("roll_up", 2)]


async def test_a_claim_of_which_one_is_unsure_is_ones_own_until_its_round_ends(
    database: Database,
) -> None:
    slot = leases.RoundSlot("rag", datetime(2026, 3, 2, tzinfo=UTC))

    async def claimed(worker: str, *, unsure: bool) -> bool:
        async with database.begin() as connection:
            tried = [slot] if unsure else []
            found = await leases.claim(
                connection, [slot], region="local", worker=worker, unsure=tried
            )
        return found == {slot}

    assert await claimed("w1", unsure=True)
    assert not await claimed("w1", unsure=False)
    assert await claimed("w1", unsure=True)
    assert not await claimed("w2", unsure=True)
    async with database.begin() as connection:
        end = leases.RoundEnd(*slot)
        await leases.finish(connection, [end], region="local", worker="w1")
    assert not await claimed("w1", unsure=True)

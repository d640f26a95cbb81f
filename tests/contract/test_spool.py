"""The spool on disk, with a database that is unavailable: nothing that was probed is lost."""

import asyncio
import io
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from monitor.domain import Observation
from monitor.notifications import ConsoleNotifier
from monitor.storage import Database, DatabaseUnavailable, spool_file
from monitor.storage.spool import Spool, SpoolFile
from monitor.worker import admission, outage
from monitor.worker.context import WorkerContext, WorkerState
from monitor.worker.scheduler import Worker
from tests.contract.open_context import open_context, settings
from tests.contract.test_outage import Doors
from tests.contract.test_probe_budget import LIMITS, USED_UP, spending
from tests.e2e.worker_process import rows
from tests.example_data import observation

STORED = "SELECT id FROM observations WHERE origin = 'manual' ORDER BY id"

PROCESS = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from uuid import UUID
from monitor.worker import outage as spooling
from monitor.storage.engine import Database
from monitor.storage.spool import Spool
from monitor.storage.spool_file import SpoolFile
from monitor.worker.context import WorkerState
from tests.contract.open_context import settings, open_context
from tests.example_data import observation

async def main():
    database, home = Database(sys.argv[1]), Path(sys.argv[2])
    async with open_context(settings(home), database) as watch:
        watch = replace(watch, state=WorkerState(spool=Spool(file=SpoolFile(home / "spool"))))
        for number in range(1, 6):
            await spooling.keep(watch, [observation(id=UUID(int=number), origin="manual")])
        print("kept", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def on_disk(context: WorkerContext, folder: Path) -> WorkerContext:
    return replace(context, state=WorkerState(spool=Spool(file=SpoolFile(folder))))


def manual(number: int) -> Observation:
    return observation(id=UUID(int=number), origin="manual")


def waiting(folder: Path) -> list[int]:
    """What the files of a folder hold, whoever they belong to."""
    return [one.id.int for path in folder.glob("*.spool")
            for one in spool_file.parse(path.read_bytes()).waiting]  # fmt: skip


def killed(url: str, home: Path) -> None:
    """A worker that probes while the database is unavailable, and is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, url, str(home)], stdout=subprocess.PIPE, text=True,
        cwd=Path.cwd(), env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "kept\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


async def test_killed_with_the_database_unavailable_the_next_worker_stores_every_row_once(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    doors, folder = Doors(database_url), tmp_path / "spool"
    await asyncio.to_thread(doors.close)
    try:
        await asyncio.to_thread(killed, database_url, tmp_path)
        assert waiting(folder) == [1, 2, 3, 4, 5]
    finally:
        await asyncio.to_thread(doors.open)
    async with open_context(settings(tmp_path), database) as context:
        one = on_disk(context, folder)
        await outage.adopt(one)
        assert len(one.state.spool) == 0
        await outage.adopt(one)
        one.state.spool.close()
    assert [row[0].int for row in rows(database_url, STORED)] == [1, 2, 3, 4, 5]
    assert list(folder.iterdir()) == []


async def test_what_waits_after_a_restart_counts_for_the_budget(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    doors, folder = Doors(database_url), tmp_path / "spool"
    file = SpoolFile(folder)
    file.write([(0, spending("0.30")), (1, spending("0.20"))], done=-1, sync=True)
    file.close()
    async with open_context(settings(tmp_path, **LIMITS), database) as context:
        one = on_disk(context, folder)
        target = one.settings.targets["rag"]
        await asyncio.to_thread(doors.read_only, True)
        await outage.adopt(one)
        assert len(one.state.spool) == 2
        assert (await admission.before_probe(one, target))[0] == USED_UP
        await asyncio.to_thread(doors.read_only, False)


async def test_while_the_database_is_well_nothing_stays_in_the_file(
    database: Database, tmp_path: Path
) -> None:
    async with open_context(settings(tmp_path), database) as context:
        one = on_disk(context, tmp_path / "spool")
        for number in range(3):
            await outage.keep(one, [manual(number)])
            assert waiting(tmp_path / "spool") == []
        [path] = (tmp_path / "spool").iterdir()
        assert path.stat().st_size == 0


async def test_a_disk_that_refuses_leaves_memory_and_says_so_once(
    database: Database, database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "spool").write_text("a file where a folder should be")
    doors = Doors(database_url)
    async with open_context(settings(tmp_path), database) as context:
        one = on_disk(context, tmp_path / "spool")
        await asyncio.to_thread(doors.close)
        try:
            for number in range(3):
                await outage.keep(one, [manual(number)])
        finally:
            await asyncio.to_thread(doors.open)
        assert (len(one.state.spool), one.state.spool.on_disk) == (3, False)
        await outage.keep(one, [])
    reported = [record for record in caplog.records if record.message == "spool moved to memory"]
    assert len(reported) == 1
    assert len(rows(database_url, STORED)) == 3


async def test_a_disk_that_hangs_delays_no_one_for_long(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.storage.spool.WRITE_S", 0.05)
    goes_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Hanging(SpoolFile):
        def write(self, *given: object, **named: object) -> None:
            asyncio.run_coroutine_threadsafe(goes_on.wait(), loop).result(60)

    async with open_context(settings(tmp_path), database) as context:
        one = replace(context, state=WorkerState(spool=Spool(file=Hanging(tmp_path / "spool"))))
        await outage.keep(one, [manual(1)])
        assert not one.state.spool.on_disk
        goes_on.set()
    assert len(rows(database_url, STORED)) == 1


async def test_several_workers_share_a_folder_and_an_ended_ones_rows_are_stored_by_another(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    doors, folder = Doors(database_url), tmp_path / "spool"
    async with open_context(settings(tmp_path), database) as context:
        first, second = on_disk(context, folder), on_disk(context, folder)
        await asyncio.to_thread(doors.close)
        try:
            await outage.keep(first, [manual(1), manual(2)])
            await outage.keep(second, [manual(3)])
            await outage.adopt(second)
            assert len(second.state.spool) == 1, "the other worker lives"
            first.state.spool.close()
            await outage.adopt(second)
            assert [one.id.int for one in second.state.spool.oldest(9)] == [3, 1, 2]
            assert waiting(folder) == [3, 1, 2]
        finally:
            await asyncio.to_thread(doors.open)
        await outage.keep(second, [])
        second.state.spool.close()
    assert [row[0].int for row in rows(database_url, STORED)] == [1, 2, 3]


async def test_a_stop_stores_what_waits_although_the_database_was_unavailable_a_moment_ago(
    database: Database, database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    doors = Doors(database_url)
    async with open_context(
        settings(tmp_path), database, ConsoleNotifier(io.StringIO())
    ) as context:
        one = on_disk(context, tmp_path / "spool")
        life = asyncio.create_task(Worker(one).live())
        async with asyncio.timeout(60):
            while "worker started" not in caplog.messages:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await asyncio.to_thread(doors.close)
        await outage.keep(one, [manual(number) for number in range(1, 8)])
        one.database._resting = (float("inf"), DatabaseUnavailable("no answer a moment ago"))
        await asyncio.to_thread(doors.open)
        one.state.leaving.set()
        await life
    assert [row[0].int for row in rows(database_url, STORED)] == list(range(1, 8))


async def test_a_stop_says_what_could_not_be_stored_and_leaves_it_on_disk(
    database: Database,
    database_url: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    doors, folder = Doors(database_url), tmp_path / "spool"
    async with open_context(settings(tmp_path), database) as context:
        one = on_disk(context, folder)
        await asyncio.to_thread(doors.close)
        try:
            await outage.keep(one, [manual(1), manual(2)])
            await outage.drain(one, within_s=0.2)
        finally:
            await asyncio.to_thread(doors.open)
    [reported] = [record for record in caplog.records if "not stored" in record.message]
    assert (reported.message, reported.count) == ("observations not stored", 2)
    assert waiting(folder) == [1, 2]

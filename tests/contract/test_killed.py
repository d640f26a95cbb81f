"""The rolling job killed by the kernel, again and again: what is left in the end is what an
undisturbed run leaves.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from random import Random

from monitor.storage import Database
from monitor.worker import outage
from tests.contract.past_day import (
    EIGHT,
    TODAY,
    YESTERDAY,
    failed,
    fell_at,
    one,
    roll_up_database,
    rollup_context,
    row_at,
    run,
    sql,
    store,
)

DAY = timedelta(days=1)
KEPT = timedelta(days=8)
ROLLED = ("rollups_hourly", "rollups_daily", "answers_hourly", "answers_daily", "models_hourly",
          "models_daily", "spend_hourly", "spend_days", "rollups_due", "slots")  # fmt: skip

PROCESS = """
import asyncio, sys
from datetime import timedelta
from monitor.storage.engine import Database
from tests.contract.past_day import roll_up_database

async def main():
    database = Database(sys.argv[1])
    print("begun", flush=True)
    await roll_up_database(database, keep_raw=timedelta(days=8))
    print("done", flush=True)

asyncio.run(main())
"""


async def fill(database: Database) -> None:
    """Sixteen days, three hours of each, and rounds for retention to delete."""
    for days in range(16):
        noon = YESTERDAY - days * DAY + timedelta(hours=12)
        rows = [one_of(noon + hour * timedelta(hours=1), query, ttft_ms=ms)
                for hour, one_of, ms
                in ((0, row_at, 600.0), (2, fell_at, 2000.0), (5, row_at, 900.0))
                for query in ("hi", "kbli")]  # fmt: skip
        await store(database, *rows, failed(noon + timedelta(hours=1)))
        async with database.begin() as connection:
            await run(connection, "INSERT INTO slots (target, region, slot, worker, claimed_at, "
                      "finished_at) VALUES ('rag', 'local', :at, 'w1', :at, :at)", at=noon
            )  # fmt: skip


async def left(database: Database) -> dict[str, object]:
    """All that is kept, but for how far today has come."""
    found: dict[str, object] = {}
    for table in ROLLED:
        where = {"spend_hourly": "WHERE hour < :today", "spend_days": "WHERE day < :today"}
        statement = f"SELECT * FROM {table} {where.get(table, '')}"
        values = {"today": TODAY} if table in where else {}
        found[table] = sorted(map(str, await sql(database, statement, **values)))
    found["raw"] = sorted(map(str, await sql(
        database, "SELECT slot, query, ttft_ms, answer_excerpt FROM observations"
    )))  # fmt: skip
    found["state"] = await one(database, "SELECT hours_until > :at, days_until, raw_since "
                               "FROM report_state", at=TODAY - DAY)  # fmt: skip
    return found


def killed(url: str, *, after_s: float) -> bool:
    """Run the job in a process of its own and kill it; False when it was done before."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, url], stdout=subprocess.PIPE, text=True, cwd=Path.cwd(),
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    return process.returncode == -signal.SIGKILL


async def test_killed_anywhere_and_run_again_it_leaves_what_an_undisturbed_run_leaves(
    database: Database, database_url: str
) -> None:
    await fill(database)
    chance, kills = Random(11), 0
    for _ in range(6):
        if not killed(database_url, after_s=chance.uniform(0.02, 0.5)):
            break
        kills += 1
    await store(database, row_at(EIGHT + timedelta(minutes=7), ttft_ms=4000.0))
    async with database.begin() as connection:  # late: recorded after its hour was rolled up
        await run(connection, "UPDATE observations SET recorded_at = now() WHERE slot = :at",
                  at=EIGHT + timedelta(minutes=7))  # fmt: skip
    kills += killed(database_url, after_s=0.15)
    await roll_up_database(database, keep_raw=KEPT)
    disturbed = await left(database)

    assert kills > 2
    assert disturbed["rollups_due"] == []
    async with database.begin() as connection:
        for table in ROLLED[:-1]:
            await run(connection, f"DELETE FROM {table}")
        await run(connection, "DELETE FROM observations")
        await run(connection, "DELETE FROM slots")
        await run(connection, "DELETE FROM report_state")
        await run(connection, "INSERT INTO report_state DEFAULT VALUES")
        await run(connection, "DELETE FROM leases")
    await fill(database)
    await store(database, row_at(EIGHT + timedelta(minutes=7), ttft_ms=4000.0))
    await roll_up_database(database, keep_raw=KEPT)
    undisturbed = await left(database)
    for table, rows in undisturbed.items():
        assert disturbed[table] == rows, table


async def twice(prepare: Callable[[], Awaitable[None]]) -> None:
    await prepare()
    await prepare()


async def test_partitions_are_made_again_without_harm(database: Database) -> None:
    standing_in = rollup_context(database)
    await twice(lambda: outage.prepare(standing_in))
    names = await sql(database, "SELECT inhrelid::regclass::text FROM pg_inherits "
                                "WHERE inhparent = 'observations'::regclass")  # fmt: skip
    assert (f"observations_{TODAY:%Y_%m}",) in names

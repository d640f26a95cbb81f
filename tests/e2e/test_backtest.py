"""`monitor backtest` over what is stored, and over rows on standard input, at the same limits."""

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitor.storage import Database, observations
from tests.e2e.worker_process import configuration, environment, run_command
from tests.example_data import observation

BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=6)


async def slow_rounds(url: str) -> None:
    """Six hours of rounds every five minutes: 900 ms for three hours, then 1500 ms."""
    new = []
    for nth in range(72):
        slot = BEGIN + nth * timedelta(minutes=5)
        for query in ("hi", "who"):
            ttft = 900.0 if nth < 36 else 1500.0
            new.append(observation(query=query, slot=slot, started_at=slot, ttft_ms=ttft))
    database = Database(url)
    async with database.begin() as connection:
        assert await observations.add(connection, new) == 144
    await database.close()


def test_stored_observations_show_what_would_have_been_sent(
    tmp_path: Path, database_url: str
) -> None:
    asyncio.run(slow_rounds(database_url))
    configuration(tmp_path, "http://127.0.0.1:9", every="5m")
    lines = run_command(tmp_path, "backtest", "--since", "1d", DATABASE_URL=database_url)
    assert lines.returncode == 0, lines.stderr
    events = [json.loads(line) for line in lines.stdout.splitlines()]
    [fired] = [event for event in events if event["rule"] == "ttft"]
    assert fired["event"] == "fire"
    fired_at = datetime.fromisoformat(fired["ts"])
    begun_at = BEGIN + 36 * timedelta(minutes=5)
    assert begun_at < fired_at < begun_at + timedelta(hours=1)

    table = run_command(tmp_path, "backtest", "--since", "1d", "--table", DATABASE_URL=database_url)
    assert " ttft · rag: " in table.stdout

    calmer = run_command(tmp_path, "backtest", "--since", "1d", "--set", "ttft.limit_ms=2000",
                    DATABASE_URL=database_url)  # fmt: skip
    assert '"ttft"' not in calmer.stdout


def test_a_bad_row_is_named_by_its_line(tmp_path: Path) -> None:
    configuration(tmp_path, "http://127.0.0.1:9")
    ended = subprocess.run(
        [sys.executable, "-m", "monitor", "backtest"], input='\n{"ts": "yesterday"}\n',
        env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.startswith("monitor: line 2: ")

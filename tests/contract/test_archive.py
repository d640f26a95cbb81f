"""An archive of raw rows: every row once, whatever is killed, comes late or is derived again."""

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyarrow import parquet
from sqlalchemy import text

from monitor.cli import archiving
from monitor.cli.archiving import HourArchive, hour_file
from monitor.cli.exporting import ParquetColumns
from monitor.domain import Identity, IdentityJudgement, Unpriced
from monitor.storage import Database, observations, schema
from monitor.storage.rederive import DerivedJudgement, rewrite
from tests.contract.cli import run as command
from tests.contract.open_context import CONFIGURATION
from tests.contract.past_day import EIGHT, day_rows, fell_at, row_at, run, sql, store
from tests.contract.test_roles import plain

HALF = timedelta(minutes=30)
HOURS = {EIGHT + timedelta(hours=n): count for n, count in ((0, 4), (2, 4), (3, 4), (4, 1))}


def archive(url: str, folder: Path, **options: Any) -> HourArchive:
    folder.mkdir(exist_ok=True)
    return HourArchive(folder, url, ParquetColumns(), **options)


def updated(url: str, folder: Path) -> int:
    """Bring the archive up to date; how many files that wrote."""
    made = archive(url, folder)
    made.catch_up()
    return made.hours


def query(folder: Path, statement: str) -> list[tuple[Any, ...]]:
    """Ask DuckDB, as a user would; `rows` are all of the archive."""
    files = f"read_parquet('{folder}/**/*.parquet', hive_partitioning = true, union_by_name = true)"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(statement.replace("rows", files)).fetchall()


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*.parquet"))
    }


def names(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.rglob(pattern) if path.is_file())


async def test_duckdb_reads_every_row_of_past_hours_with_exact_money_and_instants(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, *day_rows())
    await store(database, row_at(datetime.now(UTC), "now"))
    assert updated(database_url, tmp_path) == len(HOURS)
    counted = query(tmp_path, "SELECT day, hour, count(*) FROM rows GROUP BY ALL ORDER BY ALL")
    assert [(str(day), int(hour), n) for day, hour, n in counted] == [
        (f"{hour:%Y-%m-%d}", hour.hour, n) for hour, n in HOURS.items()
    ]
    total = "SELECT sum(cost_usd), min(slot), max(slot), count(DISTINCT id) FROM rows"
    assert query(tmp_path, total) == [
        (Decimal("0.005600000000"), EIGHT, EIGHT + 4 * timedelta(hours=1), 13)
    ]
    served = (
        "SELECT model_detected, count(*) FROM rows WHERE day = DATE '{}' AND hour = 10 GROUP BY 1"
    )
    assert [n for _, n in query(tmp_path, served.format(f"{EIGHT:%Y-%m-%d}"))] == [4]
    assert query(tmp_path, "SELECT DISTINCT evidence->0->>'kind' FROM rows WHERE pieces > 0") == [
        ("field",)
    ]


async def test_pyarrow_reads_the_folder_and_no_excerpt_is_in_it(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, row_at(EIGHT, answer_excerpt="a secret of the user"))
    updated(database_url, tmp_path)
    found = parquet.read_table(tmp_path)
    assert found.num_rows == 1
    assert set(found.column_names) >= {"day", "hour", "slot", "cost_usd", "derived_at"}
    assert "answer_excerpt" not in found.column_names
    assert names(tmp_path, "*.parquet") == ["part-0.parquet"]
    assert hour_file(tmp_path, EIGHT).stat().st_mode & 0o777 == 0o600


async def test_a_second_look_writes_nothing_and_a_lost_state_is_found_again(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, *day_rows())
    updated(database_url, tmp_path)
    before = files(tmp_path)
    assert updated(database_url, tmp_path) == 0
    (tmp_path / "_archive.json").unlink()
    assert updated(database_url, tmp_path) == 0
    assert files(tmp_path) == before


async def test_a_late_row_writes_its_hour_again_as_a_whole(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, *day_rows())
    updated(database_url, tmp_path)
    before = files(tmp_path)
    late = row_at(EIGHT + timedelta(minutes=1), "late")
    earlier = row_at(EIGHT - timedelta(hours=3), "an hour without a file")
    async with database.begin() as connection:
        await observations.add(connection, [late, earlier])
    assert updated(database_url, tmp_path) == 2
    assert query(tmp_path, "SELECT count(*), count(DISTINCT id) FROM rows") == [(15, 15)]
    after = files(tmp_path)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {
        str(hour_file(tmp_path, at).relative_to(tmp_path)) for at in (late.slot, earlier.slot)
    }
    assert updated(database_url, tmp_path) == 0


async def test_rows_that_are_derived_again_are_written_again(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, *day_rows())
    updated(database_url, tmp_path)
    [(slot, id_)] = await sql(
        database, "SELECT slot, id FROM observations ORDER BY slot, id LIMIT 1"
    )
    judged = IdentityJudgement(Identity.UNKNOWN, None, 0.5, (), "nothing names it")
    async with database.begin() as connection:
        made = DerivedJudgement(judged, Unpriced("no price"))
        await rewrite(connection, "rag", [((slot, id_), made)])
    assert updated(database_url, tmp_path) == 1
    now = "SELECT identity, cost_usd, derived_at IS NOT NULL FROM rows WHERE id = '{}'"
    assert query(tmp_path, now.format(id_)) == [("unknown", None, True)]
    assert query(tmp_path, "SELECT count(*) FROM rows") == [(13,)]


async def test_rows_that_retention_deleted_stay_when_their_hour_is_written_again(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, *day_rows())
    updated(database_url, tmp_path)
    async with database.begin() as connection:
        await run(connection, "DELETE FROM observations WHERE query = 'kbli'")
        await run(connection, "UPDATE observations SET derived_at = now() WHERE slot < :at",
                  at=EIGHT + timedelta(hours=1))  # fmt: skip
    assert updated(database_url, tmp_path) == 1, "what is deleted is no change"
    assert query(tmp_path, "SELECT count(*), count(DISTINCT id), count(derived_at) FROM rows") == [
        (13, 13, 2)
    ]


async def test_an_archive_of_an_earlier_version_gets_new_columns_and_keeps_old_ones(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, *day_rows())
    updated(database_url, tmp_path)
    path = hour_file(tmp_path, EIGHT)
    before = parquet.ParquetFile(path).read()
    earlier = before.drop_columns(["finish", "derived_at"]).append_column(
        "dropped", [["kept"] * before.num_rows]
    )
    parquet.write_table(earlier, path)
    sums = "SELECT count(*), count(dropped), count(worker) FROM rows"
    assert query(tmp_path, sums) == [(13, 4, 13)]
    async with database.begin() as connection:
        await run(
            connection, "DELETE FROM observations WHERE query = 'kbli' AND slot = :at", at=EIGHT
        )
        await run(
            connection, "UPDATE observations SET derived_at = now() WHERE slot = :at", at=EIGHT
        )
    assert updated(database_url, tmp_path) == 1
    assert query(tmp_path, sums) == [(13, 1, 13)], "the row that only the file had keeps its value"


async def test_groups_of_rows_are_written_as_they_are_read(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "PAGES_A_GROUP", 1)
    await store(database, *(row_at(EIGHT, f"q{n}") for n in range(1_200)))
    updated(database_url, tmp_path)
    assert parquet.ParquetFile(hour_file(tmp_path, EIGHT)).num_row_groups == 2
    await store(database, row_at(EIGHT + HALF))
    async with database.begin() as connection:
        await run(
            connection, "UPDATE observations SET derived_at = now() WHERE slot = :at", at=EIGHT
        )
    assert updated(database_url, tmp_path) == 1
    assert query(tmp_path, "SELECT count(*), count(DISTINCT id) FROM rows") == [(1_201, 1_201)]


async def test_since_limits_a_new_archive(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, row_at(EIGHT), row_at(EIGHT - timedelta(days=9)))
    archive(database_url, tmp_path, since=timedelta(days=7)).catch_up()
    await store(database, row_at(EIGHT - timedelta(days=9), "late"))
    async with database.begin() as connection:
        await run(connection, "UPDATE observations SET recorded_at = now()")
    archive(database_url, tmp_path, since=timedelta(days=30)).catch_up()
    assert query(tmp_path, "SELECT count(*) FROM rows") == [(1,)]


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file[:100],
        lambda file: file[:4] + bytes(900) + file[904:],
        lambda file: file[:-900] + bytes(900 - 8) + file[-8:],
    ],
    ids=["cut short", "zeros in its pages", "zeros in its footer"],
)
async def test_a_damaged_file_is_kept_aside_and_written_again(
    database: Database,
    database_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[bytes], bytes],
) -> None:
    await store(database, *day_rows())
    updated(database_url, tmp_path)
    path = hour_file(tmp_path, EIGHT)
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    async with database.begin() as connection:
        await run(
            connection, "UPDATE observations SET derived_at = now() WHERE slot = :at", at=EIGHT
        )
    assert updated(database_url, tmp_path) == 1
    assert f"{path} is damaged" in capsys.readouterr().err
    assert path.with_name("part-0.parquet.damaged").read_bytes() == damaged
    assert query(tmp_path, "SELECT count(*) FROM rows") == [(13,)]


@contextmanager
def small_disk(most: int) -> Iterator[None]:
    """No file may become larger than so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_leaves_nothing_behind_and_is_tried_again(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, *day_rows())
    made = archive(database_url, tmp_path)
    with small_disk(2_000), pytest.raises(OSError, match="large"):
        made.catch_up()
    assert names(tmp_path, "*") == ["_archive.json"]
    made.catch_up()
    assert query(tmp_path, "SELECT count(*), count(DISTINCT id) FROM rows") == [(13, 13)]


DIES = """
import os, sys
from pathlib import Path
from monitor.cli import archiving
from monitor.cli.exporting import ParquetColumns

def dies(left):
    def trace(frame, event, argument):
        nonlocal left
        if not frame.f_code.co_filename.endswith("archiving.py"):
            return None
        left -= event == "line"
        if left == 0:
            os._exit(9)
        return trace
    archive = archiving.HourArchive(Path(sys.argv[2]), sys.argv[1], ParquetColumns())
    sys.settrace(trace)
    archive.catch_up()
    os._exit(0)

ParquetColumns()
for kills, lines in enumerate(range(1, 10_000, 17)):
    if not (child := os.fork()):
        try:
            dies(lines)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != 9:
        print(kills)
        sys.exit(status)
"""


async def test_a_kill_at_any_line_loses_nothing_and_writes_nothing_twice(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """Killed at one line after another; the next process continues in the same folder."""
    await store(database, *day_rows())
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", DIES, database_url, str(tmp_path)],
        capture_output=True, env=environment, timeout=300, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr.decode()
    assert int(ended.stdout) > 10, "it was not killed often"
    assert query(tmp_path, "SELECT count(*), count(DISTINCT id) FROM rows") == [(13, 13)]
    assert names(tmp_path, "*.part") == []


def settings_in(home: Path) -> None:
    (home / "monitor.toml").write_text(CONFIGURATION.format(url="http://127.0.0.1:1"))


async def test_the_reader_role_may_follow_once(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, *day_rows())
    schema.ensure(database_url)
    async with database.begin() as connection:
        await connection.execute(text("ALTER ROLE monitor_reader LOGIN"))
    settings_in(tmp_path)
    ended = command("export", "--follow", "--once", "--out", str(tmp_path / "archive"),
                    home=tmp_path, DATABASE_URL=plain(database_url, "monitor_reader"),
                    SERVICE_KEY="k")  # fmt: skip
    assert ended.status == 0, ended.err
    assert ended.out.startswith("13 observations in 4 hours written; the archive ends at ")
    assert query(tmp_path / "archive", "SELECT count(*) FROM rows") == [(13,)]


async def test_sigterm_ends_it_cleanly_and_only_one_process_writes(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, *day_rows())
    settings_in(tmp_path)
    await asyncio.to_thread(followed_until_sigterm, database_url, tmp_path, tmp_path / "archive")
    assert json.loads((tmp_path / "archive/_archive.json").read_text())["version"] == 1
    assert names(tmp_path, "*.part") == []


def followed_until_sigterm(url: str, home: Path, folder: Path) -> None:
    call = [sys.executable, "-m", "monitor", "export", "--follow", "--out", str(folder)]
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[2]), "DATABASE_URL": plain(url),
        "MONITOR_CONFIG": str(home / "monitor.toml"), "SERVICE_KEY": "k",
        "RAG_MONITOR_COMMAND": "monitor",
    }  # fmt: skip
    with (
        subprocess.Popen(call, env=environment, stderr=subprocess.PIPE, text=True) as process,
        ExitStack() as ended,
    ):
        ended.callback(process.kill)  # else a failure here would wait for it for ever
        assert process.stderr is not None
        for _ in HOURS:
            assert "wrote day=" in process.stderr.readline()
        second = subprocess.run(
            [*call, "--once"], env=environment, capture_output=True, text=True, check=False
        )
        assert second.returncode == 2
        assert "another `monitor export --follow` writes to" in second.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--follow",), "--follow writes Parquet into a folder: name it with --out"),
        (("--follow", "--out", "x", "--format", "csv"), "--follow writes Parquet into a folder"),
        (("--once",), "--once needs --follow"),
        (("--follow", "--out", "monitor.toml"), "is a file: --follow needs a folder"),
    ],
)
def test_a_wrong_call_says_what_is_missing(
    tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    settings_in(tmp_path)
    words = tuple(str(tmp_path / word) if word == "monitor.toml" else word for word in words)
    ended = command("export", *words, home=tmp_path, SERVICE_KEY="k")
    assert ended.status == 2
    assert message in " ".join(ended.err.replace("│", " ").split())


def test_without_a_database_the_command_says_so(tmp_path: Path) -> None:
    settings_in(tmp_path)
    ended = command("export", "--follow", "--once", "--out", str(tmp_path / "archive"),
                    home=tmp_path, SERVICE_KEY="k",
                    DATABASE_URL="postgresql://monitor@127.0.0.1:1/monitor")  # fmt: skip
    assert ended.status == 1
    assert "DATABASE_URL = " in ended.err
    assert "Traceback" not in ended.err


async def test_a_damaged_state_says_what_to_delete(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "_archive.json").write_text("{")
    with pytest.raises(SystemExit):
        archive(database_url, tmp_path)
    assert "_archive.json is damaged: delete it" in capsys.readouterr().err


async def test_an_hour_with_rows_by_haiku_and_llama_keeps_their_order(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, fell_at(EIGHT + HALF), row_at(EIGHT), row_at(EIGHT + HALF, "kbli"))
    updated(database_url, tmp_path)
    rows = parquet.ParquetFile(hour_file(tmp_path, EIGHT)).read().to_pylist()
    assert [(row["slot"], row["id"]) for row in rows] == sorted(
        (row["slot"], row["id"]) for row in rows
    )

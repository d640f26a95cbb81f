"""A Postgres server of the rig's own, which it can kill, freeze, fill up, copy and give a clock."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psycopg

from monitor.embedded_postgres.run_as import owner_of_data, programs
from monitor.embedded_postgres.server import ensure

SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "fsync": "off",  # a process that is killed loses nothing that it wrote
    "wal_level": "replica",
    "max_wal_size": "128MB",
    "jit": "off",
    "io_method": "sync",
    "log_checkpoints": "off",
}


class PostgresServer:
    """A server on `home/postgres`, reached by the Unix socket `place`.

    It runs as the user that the embedded server would run as, and ends with this process.
    `environment`: added to its own, e.g. to change its clock.
    """

    def __init__(self, home: Path, environment: Mapping[str, str] | None = None) -> None:
        self.data = (home / "postgres").resolve()
        self._sockets, self._log = home.resolve(), home.resolve() / "postgres.log"
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def place(self) -> Path:
        return self._sockets / ".s.PGSQL.5432"

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://monitor@/monitor?host={self._sockets}"

    def create(self) -> None:
        self._sockets.mkdir(parents=True, exist_ok=True)
        ensure(self.data, programs())

    def start(self, **settings: str) -> None:
        """Start it and wait until it accepts connections."""
        given = SETTINGS | {"unix_socket_directories": str(self._sockets)} | settings
        command = owner_of_data(self.data).command(
            self.data,
            Path("/usr/bin/env"),
            *(f"{name}={value}" for name, value in self._environment.items()),
            str(programs().postgres),
            "-D",
            str(self.data),
            *(f"--{name}={value}" for name, value in given.items()),
            stale=self._stale(),
        )
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.wait()

    def wait(self, timeout_s: float = 120) -> None:
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            with suppress(psycopg.OperationalError), self.connect() as connection:
                connection.execute("SELECT 1")
                return
            if self._process is None or self._process.poll() is not None:
                break
            time.sleep(0.05)
        words = self._log.read_text(errors="replace").splitlines()[-5:]
        sys.exit(f"kills: Postgres did not start in {self._sockets}: {' / '.join(words)}")

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            f"host={self._sockets} user=monitor dbname=monitor connect_timeout=3", autocommit=True
        )

    def stop(self, number: int = signal.SIGINT) -> None:
        """End it: SIGINT is a fast shutdown, SIGKILL a crash. Does nothing if it has ended."""
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self._process.send_signal(number)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self._process.wait(60)

    def freeze(self) -> None:
        """Stop every process of it, as a host that hangs."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def copy_to(self, other: "PostgresServer") -> None:
        """Make a streaming replica of this server; start it with `other.start()`."""
        backup = programs().postgres.with_name("pg_basebackup")
        other._sockets.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [str(backup), "-h", str(self._sockets), "-U", "monitor", "-D", str(other.data),
             "-R", "-X", "stream", "-c", "fast"],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"kills: pg_basebackup failed: {done.stderr.strip()}")

    def _signal(self, number: int) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        pids = [self._process.pid]
        with suppress(OSError):
            pids += map(int, children.read_text().split())
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _stale(self) -> int:
        with suppress(OSError, ValueError, IndexError):
            return int((self.data / "postmaster.pid").read_text().splitlines()[0])
        return 0

"""What `postmaster.pid` says about the server of a directory, and where its socket is.

Lines: process id, directory, start, port, socket directory, address, shared memory, status.
"""

import hashlib
import logging
import os
import signal
import socket
import stat
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Lock, Thread
from typing import BinaryIO, cast

from monitor.embedded_postgres.run_as import EmbeddedPostgresError, RunAs, last_words

_SOCKET = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 103  # bytes; macOS, and Linux takes four more


@dataclass(frozen=True, slots=True)
class LiveServer:
    """A server that accepts connections."""

    pid: int
    sockets: Path


def live(directory: Path) -> LiveServer | None:
    """The server of a directory, if it accepts connections now.

    The file may be left over from an earlier server, and its process id may belong to another
    process by now. So the socket must accept a connection (a server opens it after writing the
    file), and the file must be unchanged before and after that.
    """
    reported = _read(directory)
    if reported is None or len(reported) < 8 or reported[7] != "ready":
        return None
    sockets = Path(reported[4])
    # a server started by hand has its socket elsewhere, where another server may answer by now
    if sockets.name != socket_directory(directory).name or not _answers(sockets / _SOCKET):
        return None
    return LiveServer(int(reported[0]), sockets) if _read(directory) == reported else None


def stale_pid(directory: Path) -> int:
    """The process id that a dead server left behind, 0 if none. Only the owner may call it.

    A file without a process id, written when the disk was full, is only an obstacle.
    """
    reported = _read(directory)
    if reported is None:
        return 0
    signed = (
        reported[0].removeprefix("-") if reported else ""
    )  # a single-user server writes a minus
    if not signed.isdecimal() or not int(signed):
        (directory / "postmaster.pid").unlink()
        return 0
    return int(signed)


def socket_directory(directory: Path) -> Path:
    """The directory of this data directory's socket, always the same."""
    short = len(os.fsencode(directory / _SOCKET)) <= _LONGEST_SOCKET_PATH
    if short and "," not in str(directory):  # clients interpret a comma as two hosts
        return directory
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"monitor-{digest}"


def open_socket_directory(directory: Path, served_by: RunAs) -> Path:
    """Create the socket's directory, inaccessible to everybody else.

    TMPDIR is open to all, so somebody may have created it before.
    """
    place = socket_directory(directory)
    if place != directory:
        with suppress(FileExistsError):
            place.mkdir(mode=0o700)
            served_by.adopt(place)
        found = place.lstat()
        if (
            not stat.S_ISDIR(found.st_mode)
            or found.st_uid != served_by.files_uid
            or found.st_mode & 0o077
        ):
            raise EmbeddedPostgresError(
                f"{place}, the place for the socket of {directory}, is open to others or theirs: "
                "remove it, or give MONITOR_HOME a shorter path."
            )
    return place


def _read(directory: Path) -> list[str] | None:
    try:
        text = (directory / "postmaster.pid").read_text(errors="replace")
    except FileNotFoundError:
        return None
    return [line.strip() for line in text.splitlines()]


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as knock:
        knock.settimeout(1)
        try:
            knock.connect(str(path))
        except OSError:
            return False
    return True


# The server as our child process: a thread owns it, its output goes to a small log.


_LOG_LIMIT_BYTES = 1_000_000
_LONGEST_LINE_BYTES = 8192
_REMEMBERED_LINES = 50  # what remains of a log that became too long
_STOPPING = (  # the signal, and how long to wait for it
    (signal.SIGINT, 5.0),  # fast shutdown: transactions are rolled back, a checkpoint is written
    (signal.SIGQUIT, 10.0),  # immediate: the next start recovers; stubborn backends get 5 s
    (signal.SIGKILL, 5.0),
)


class PostgresProcess:
    """A running server.

    The thread that starts it lives until it has ended: the kernel treats the end of the forking
    *thread* as the end of the parent.
    """

    def __init__(self, command: Sequence[str], *, log: Path, inherits: Sequence[int]) -> None:
        self._lines: deque[bytes] = deque(maxlen=_REMEMBERED_LINES)
        born: Future[subprocess.Popen[bytes]] = Future()
        self._keeper = Thread(
            target=self._keep,
            args=(born, command, log, inherits),
            name="embedded-postgres",
            daemon=True,
        )
        self._keeper.start()
        self._process = born.result()

    @property
    def runs(self) -> bool:
        return self._keeper.is_alive()

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return self._process.returncode

    @property
    def last_words(self) -> str:
        return last_words(b"".join(self._lines).decode(errors="replace"))

    def wait(self) -> None:
        """Return once it has ended."""
        self._keeper.join()

    def stop(self) -> None:
        """End it, with stronger signals the longer it takes. Does nothing if it has ended."""
        for number, patience_s in _STOPPING:
            if self.runs:
                with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a zombie
                    os.killpg(self._process.pid, number)
                self._keeper.join(patience_s)

    def _keep(
        self,
        born: Future[subprocess.Popen[bytes]],
        command: Sequence[str],
        log: Path,
        inherits: Sequence[int],
    ) -> None:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=inherits,
                start_new_session=True,  # Ctrl-C in the terminal is meant for us
            )
        except OSError as error:
            born.set_exception(error)
            return
        born.set_result(process)
        with process:
            self._write_down(process, log)

    def _write_down(self, process: subprocess.Popen[bytes], log: Path) -> None:
        """Copy its output to its log until all of it has ended.

        Output that cannot be written is dropped: the server blocks while its output is not read.
        """
        reported = cast(BinaryIO, process.stdout)
        for line in iter(partial(reported.readline, _LONGEST_LINE_BYTES), b""):
            self._lines.append(line)
            with suppress(OSError):
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                with os.fdopen(os.open(log, flags, 0o600), "ab") as file:
                    file.write(line)
                    full = file.tell() > _LOG_LIMIT_BYTES
                if full:
                    log.write_bytes(b"".join(self._lines))


# Keeps the server running: if it dies, it is started again on the same data.


log = logging.getLogger(__name__)

# between two starts, so that a server that dies at once is not restarted in a tight loop
_PACE_S = 1.0


class Supervisor:
    """A server that `begin` starts, and starts again until `stop`. Raises what `begin` raises."""

    def __init__(self, begin: Callable[[], PostgresProcess]) -> None:
        self._begin = begin
        self._leaving = Event()
        self._turn = Lock()  # of starting and stopping
        self._child = begin()
        self._thread = Thread(target=self._mind, name="embedded-postgres-keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the server for good."""
        self._leaving.set()
        with self._turn:
            self._child.stop()
        self._thread.join(_PACE_S)  # frozen backends keep the server's output open, and so it waits

    def _mind(self) -> None:
        while True:
            self._child.wait()
            with self._turn:
                if self._leaving.is_set():
                    return
                reported = self._child.last_words
                log.error("embedded server restarted", extra={"reason": reported})
                try:
                    self._child = self._begin()
                except (EmbeddedPostgresError, OSError) as fault:
                    log.error("embedded server start failed", extra={"reason": str(fault)})
            if self._leaving.wait(_PACE_S):
                return

"""The server as our child: kept by a thread of its own, its words kept in a small log."""

import logging
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event, Lock, Thread
from typing import BinaryIO, cast

from monitor.embedded_postgres.binaries import EmbeddedPostgresError
from monitor.embedded_postgres.run_as import last_words

_LOG_LIMIT_BYTES = 1_000_000
_LONGEST_LINE_BYTES = 8192
_REMEMBERED_LINES = 50  # what remains of a log that grew too long
_STOPPING = (  # how to ask, and how long to wait for it
    (signal.SIGINT, 5.0),  # fast shutdown: transactions are rolled back, a checkpoint is written
    (signal.SIGQUIT, 10.0),  # immediate: the next start recovers; stubborn backends get 5 s
    (signal.SIGKILL, 5.0),
)


class PostgresProcess:
    """A running server.

    The thread that starts it stays until it has ended: the kernel takes the end of the forking
    *thread* for the end of the parent.
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
        """End it, the more firmly the longer it takes. Nothing happens if it has ended."""
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
                start_new_session=True,  # Ctrl-C in the terminal is for us
            )
        except OSError as error:
            born.set_exception(error)
            return
        born.set_result(process)
        with process:
            self._write_down(process, log)

    def _write_down(self, process: subprocess.Popen[bytes], log: Path) -> None:
        """Copy what it says to its log until all of it has ended.

        What cannot be written is dropped: a server waits while nobody reads.
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

_PACE_S = 1.0  # between two starts: one that dies at once must not be started in a whirl


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
        """End the server, for good."""
        self._leaving.set()
        with self._turn:
            self._child.stop()
        self._thread.join()

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

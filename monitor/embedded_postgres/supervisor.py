"""Keeps the server running: should it die under us, it is started anew on the same data."""

import logging
from collections.abc import Callable
from threading import Event, Lock, Thread

from monitor.embedded_postgres.embedded_server import EmbeddedPostgresError
from monitor.embedded_postgres.process import PostgresProcess

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
                log.error("embedded server ended, started anew", extra={"said": reported})
                try:
                    self._child = self._begin()
                except (EmbeddedPostgresError, OSError) as fault:
                    log.error("embedded server not started", extra={"why": str(fault)})
            if self._leaving.wait(_PACE_S):
                return

"""Where log lines go: standard error, as long as somebody reads it."""

import logging
import sys

from monitor import bounded_io

MOST_WAITING = 256 << 10  # bytes
FLUSH_S = 1.0
DROPPED = "log lines dropped"


class LogOutput(logging.Handler):
    """Writes lines while they are read: a reader that stalls, such as a full pipe, stops no work.

    At most `MOST_WAITING` bytes wait for it. Lines beyond that are dropped and counted. A full disk
    or a reader that is gone costs only the lines.
    """

    def __init__(self, descriptor: int, encoding: str) -> None:
        super().__init__()
        self._descriptor, self._encoding = descriptor, encoding
        self._waiting, self._dropped = bytearray(), 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._emit(record)
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Give the reader a moment, at the end of the process."""
        self._write(within_s=FLUSH_S)

    def _emit(self, record: logging.LogRecord) -> None:
        self._write()
        if self._dropped and not self._waiting:
            self._waiting += self._line(_dropped(self._dropped))
            self._dropped = 0
        line = self._line(record)
        if self._dropped or len(self._waiting) + len(line) > MOST_WAITING:
            self._dropped += 1
        else:
            self._waiting += line
            self._write()

    def _line(self, record: logging.LogRecord) -> bytes:
        return f"{self.format(record)}\n".encode(self._encoding, "backslashreplace")

    def _write(self, *, within_s: float = 0.0) -> None:
        try:
            done = bounded_io.write(self._descriptor, bytes(self._waiting), within_s=within_s)
        except OSError:
            done = len(self._waiting)
        del self._waiting[:done]


def _dropped(count: int) -> logging.LogRecord:
    level = {"levelno": logging.WARNING, "levelname": "WARNING"}
    return logging.makeLogRecord({"name": __name__, "msg": DROPPED, "count": count, **level})


def log_output() -> logging.Handler:
    """The handler for standard error."""
    try:
        return LogOutput(sys.stderr.fileno(), sys.stderr.encoding or "utf-8")
    except (AttributeError, OSError, ValueError):  # closed by the shell, or replaced by a test
        return logging.StreamHandler(sys.stderr)

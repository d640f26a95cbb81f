"""Logs: one JSON object a line on standard error, without secrets or control characters."""

import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from monitor.redaction import redact

_NOISY = (
    "httpx",
    "httpcore",
    "slack_sdk",
    "sqlalchemy.engine",
    "asyncio",
    "alembic.runtime.plugins",
)
_PLAIN = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class _Line(logging.Formatter):
    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__()
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= {k: v for k, v in record.__dict__.items() if k not in _PLAIN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return redact(json.dumps(line, default=str), self._secrets)


def begin(level: str, secrets: Sequence[str]) -> None:
    """Set up logging for the process. Libraries that print addresses stay at WARNING."""
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(_Line(secrets))
    root = logging.getLogger()
    root.handlers[:] = [out]
    root.setLevel(level)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    # A round that outlasts its interval is counted by the worker; its words add nothing.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def say(event: str, **facts: object) -> None:
    """One line from a place that has no logger of its own."""
    logging.getLogger("monitor").warning(event, extra=facts)

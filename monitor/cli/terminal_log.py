"""Log lines for a person at a terminal: one for each round, and other events."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from monitor.redaction import plain, redact

ROUND = "round probed"  # the event of monitor.worker.round_log
MOST_CHARS = 300
FACT_CHARS = 200
_PLAIN = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_MARKS = {"WARNING": "33", "ERROR": "31", "CRITICAL": "31"}  # colours of the terminal


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that were logged with the event."""
    return {name: value for name, value in record.__dict__.items() if name not in _PLAIN}


class TerminalLine(logging.Formatter):
    """The local time, the event and its fields on one line, harmless and without secrets."""

    def __init__(self, *secrets: Sequence[str], colour: bool) -> None:
        super().__init__()
        self._lists, self._colour = secrets, colour

    def format(self, record: logging.LogRecord) -> str:
        facts, secrets = facts_of(record), [one for held in self._lists for one in held]
        at = f"{datetime.fromtimestamp(record.created).astimezone():%H:%M:%S}"
        if record.getMessage() == ROUND and "ttft_ms" in facts:
            parts, alarming = self._round(facts), bool(facts["breaches"])
        else:
            named = [f"{name}={_value(value)}" for name, value in facts.items() if value]
            parts, alarming = [record.getMessage(), *named], False
        if record.levelname in _MARKS and not alarming:
            parts[0] = f"{record.levelname.lower()}: {parts[0]}"
        shown = (plain(redact(part, secrets), MOST_CHARS) for part in parts if part)
        line = "  ".join((at, *shown))
        if record.exc_info:
            line += f"\n{redact(self.formatException(record.exc_info), secrets)}"
        colour = "31" if alarming else _MARKS.get(record.levelname)
        return f"\x1b[{colour}m{line}\x1b[0m" if colour and self._colour else line

    def _round(self, facts: Mapping[str, Any]) -> list[str]:
        times = [f"{query} {_ms(ms)}" for query, ms in facts["ttft_ms"].items()]
        failed = [f"{query} ✗ {plain(why, 60)}" for query, why in facts["failed"].items()]
        parts = [
            str(facts["target"]),
            " · ".join((*times, *failed)),
            ", ".join(facts["answered_by"]),
            facts["cost_usd"] or "cost not known",
        ]
        if facts["breaches"]:
            parts.append(f"⚠ {', '.join(facts['breaches'])}")
        return parts


def _ms(value: float | None) -> str:
    if value is None:
        return "no TTFT"
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.2f} s"


def _value(value: object) -> str:
    whole = isinstance(value, Iterable) and not isinstance(value, str | Mapping)
    return plain(", ".join(map(str, value)) if whole else str(value), FACT_CHARS)  # type: ignore[call-overload]

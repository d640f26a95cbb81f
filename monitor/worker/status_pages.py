"""The status page: one reading of the database for all requests of a few seconds.

However many ask, the database is read once in `FRESH_S`, by one statement after another on one
connection, and each page is rendered once from it, in a thread.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import starmap

from monitor import __version__
from monitor.config import Settings
from monitor.domain.report import LastRound, StatusSnapshot
from monitor.metrics import EndpointReply
from monitor.rules import SpendRule, rule_of
from monitor.storage import (
    Database,
    DatabaseUnavailable,
    report_data,
    short_waits,
    stored_rows,
)
from monitor.worker.context import WorkerContext
from monitor.worker.probe_round import EXCEEDED

log = logging.getLogger(__name__)

FRESH_S = 5.0
RECENT = timedelta(hours=1)
PATIENCE_S = 3.0  # for a reading; then the one before is shown, and says so
_LATE = "The database did not answer in time. This is an earlier state."


class StatusPages:
    """Answers `/`, `/status.json` and `/badge/TARGET.svg`. The last state is kept in memory.

    `context` may be replaced when the configuration was read again.
    """

    def __init__(self, context: WorkerContext) -> None:
        self.context = context
        self._reading: asyncio.Task[None] | None = None
        self._rendering = asyncio.Lock()  # one page after another
        self._read_at = -FRESH_S  # on the steady clock
        self._snapshot: StatusSnapshot | None = None
        self._rendered: dict[str, EndpointReply | None] = {}  # of this snapshot, by path

    async def answer(self, path: str) -> EndpointReply | None:
        """The reply for a path; None if there is no such page."""
        page = self._page(path)
        if page is None:
            return None
        late = await self._renew()
        try:
            async with self._rendering:
                found, kept = (
                    self._snapshot or unread(self.context.settings, self.context.now(), _LATE),
                    self._rendered,
                )
                if late and not found.trouble:
                    return await asyncio.to_thread(page, replace(found, trouble=_LATE))
                if path not in kept:
                    kept[path] = await asyncio.to_thread(page, found)
                return kept[path]
        except Exception:
            log.exception("status page failed")
            return EndpointReply(500, "text/plain; charset=utf-8", b"see the worker's log\n")

    async def close(self) -> None:
        """End a reading that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading

    def _page(self, path: str) -> Callable[[StatusSnapshot], EndpointReply | None] | None:
        """What renders a path. Only paths of known targets are ever rendered and kept."""
        badges = {f"/badge/{name}.svg": name for name in self.context.settings.targets}
        if path == "/":
            return _html
        if path == "/status.json":
            return _json
        if target := badges.get(path):
            return lambda found: _badge(found, target)
        return None

    async def _renew(self) -> bool:
        """Read again if that is due; True if it takes too long."""
        if self._reading is None or self._reading.done():
            if time.monotonic() - self._read_at < FRESH_S:
                return False
            self._reading = asyncio.create_task(self._read())
        done, _ = await asyncio.wait((self._reading,), timeout=PATIENCE_S)
        return not done

    async def _read(self) -> None:
        try:
            with short_waits():
                found = await snapshot(
                    self.context.database, self.context.settings, self.context.now()
                )
            if refused := self.context.state.refused:
                found = replace(found, notes=(*found.notes, refused))
        except DatabaseUnavailable:
            trouble = "The database is unavailable."
            earlier = f"{trouble} This is an earlier state."
            last = self._snapshot
            found = (
                replace(last, trouble=earlier)
                if last
                else unread(self.context.settings, self.context.now(), trouble)
            )
        except Exception:
            log.exception("status page failed")
            found = unread(
                self.context.settings,
                self.context.now(),
                "The state could not be read; the worker's log says why.",
            )
        self._snapshot, self._rendered = found, {}
        self._read_at = time.monotonic()


async def snapshot(database: Database, settings: Settings, now: datetime) -> StatusSnapshot:
    """How things are now. Raises DatabaseUnavailable."""
    async with database.begin() as connection:
        zone = await report_data.zone(connection)
        span = report_data.ReportSpan(now, now, timedelta(hours=1), zone)
        rows = await report_data.found(
            connection, span, targets=settings.targets, queries=report_data.STATUS_QUERIES
        )
        stopped = await stored_rows.with_reason(connection, settings.targets, EXCEEDED, span=RECENT)
    probes, spend = rows.by_target(), rule_of(settings.rules, SpendRule)
    return replace(
        unread(settings, now, None),
        zone=zone,
        rounds=tuple(
            LastRound(
                target=name,
                every=target.every,
                probes=tuple(probes[name][report_data.LAST_ROUNDS]) if name in probes else (),
            )
            for name, target in settings.targets.items()
        ),
        incidents=tuple(rows[report_data.INCIDENTS]),
        spend=next(iter(rows[report_data.SPEND]), None),
        spend_limit_usd=spend.limit_usd if spend else None,
        notes=tuple(starmap(not_interpreted, sorted(stopped.items()))),
    )


def not_interpreted(target: str, count: int) -> str:
    """That answers exceeded the limit of CPU time, so that their model is not known."""
    answers = "1 answer was" if count == 1 else f"{count} answers were"
    return (
        f"{target}: {answers} not interpreted in the last hour, because that exceeded the limit of "
        "CPU time. Their model is not known; see `interpretation stopped` in the log."
    )


def unread(settings: Settings, now: datetime, trouble: str | None) -> StatusSnapshot:
    """A state of which nothing is known but the targets."""
    return StatusSnapshot(
        version=__version__,
        made_at=now,
        zone=report_data.UTC_ZONE,
        rounds=tuple(
            LastRound(target=name, every=target.every) for name, target in settings.targets.items()
        ),
        trouble=trouble,
    )


# The templates are loaded with the first request: an idle worker does without them.


def _html(found: StatusSnapshot) -> EndpointReply:
    from monitor.reports.status import status_page, status_policy

    body, fields = status_page(found).encode(), {"content-security-policy": status_policy()}
    return EndpointReply(_code(found), "text/html; charset=utf-8", body, fields)


def _json(found: StatusSnapshot) -> EndpointReply:
    from monitor.reports.status import status_json

    return EndpointReply(_code(found), "application/json", status_json(found).encode())


def _badge(found: StatusSnapshot, target: str) -> EndpointReply | None:
    from monitor.reports.status import status_badge

    drawn = status_badge(found, target)
    if drawn is None:
        return None
    return EndpointReply(200, "image/svg+xml; charset=utf-8", drawn.encode())


def _code(found: StatusSnapshot) -> int:
    return 503 if found.trouble else 200

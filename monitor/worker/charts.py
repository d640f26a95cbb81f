"""The charting job: the last hours as a picture, put into the thread of what was just told.

Best effort, beside delivery: a short queue lies between the two, so that no message waits for
its picture and none fails with it.
"""

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta

from monitor.domain import Delivery, GiveUp, Notice, NoticeStatus, Sent
from monitor.notifications import SlackBot
from monitor.reports import PillowMissing, ReportPage, png
from monitor.reports.page_data import TargetReport
from monitor.storage import DatabaseUnavailable
from monitor.worker import report_page
from monitor.worker.context import WorkerContext

log = logging.getLogger(__name__)

PICTURED = frozenset({"ttft", "fallback", "model_changed", "spend", "down"})
SPAN = timedelta(hours=6)


def request_chart(context: WorkerContext, notice: Notice, delivery: Delivery) -> None:
    """Note that a message should have its chart; forget it where too many wait already."""
    notified = isinstance(delivery, Sent) and delivery.reference
    aloud = notice.worse or (notice.status is NoticeStatus.FIRING and not notice.quiet)
    if notified and aloud and notice.rule in PICTURED and isinstance(context.notifier, SlackBot):
        with suppress(asyncio.QueueFull):
            context.charts.put_nowait((notice, notified))


async def attach(context: WorkerContext) -> None:
    """Draw and attach what is wished for, until cancelled. The same trouble is logged once."""
    known: set[str] = set()
    while True:
        notice, reference = await context.charts.get()
        reason = await _trouble(context, notice, reference)
        if reason is not None and reason not in known:
            known.add(reason)
            log.warning("chart not attached", extra={"notice": notice.id, "why": reason})


async def _trouble(context: WorkerContext, notice: Notice, reference: str) -> str | None:
    """Attach one chart; returns what kept it from its place, None if nothing did."""
    try:
        delivery = await _attached(context, notice, reference)
    except DatabaseUnavailable:
        return "the database is away"
    except PillowMissing as missing:
        return str(missing)
    except Exception as bug:
        log.debug("chart failed", exc_info=True)
        return f"it could not be drawn: {type(bug).__name__}"
    return None if isinstance(delivery, Sent) else delivery.reason


async def _attached(context: WorkerContext, notice: Notice, reference: str) -> Delivery:
    if not isinstance(context.notifier, SlackBot):
        return GiveUp("only a bot attaches pictures")
    page = await report_page.page(
        context.database, context.settings, length=SPAN, now=context.now()
    )
    shown = _target(page, notice.scope)
    picture = await asyncio.to_thread(png, page, shown)
    hours = SPAN // timedelta(hours=1)
    title = f"#{notice.number} {notice.rule} · {shown.name}, the last {hours} h"
    return await context.notifier.attach(reference, picture, title=title)


def _target(page: ReportPage, scope: str) -> TargetReport:
    """The target told of; for what is over all, the first that was asked."""
    named = [item for item in page.targets if item.name == scope]
    requested = [item for item in page.targets if item.ttft]
    return (named or requested or list(page.targets))[0]

"""The charting job: the last hours as a picture, put into the thread of what was just told.

Best effort, beside delivery: a short queue lies between the two, so that no message waits for
its picture and none fails with it.
"""

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta

from monitor.domain import Delivery, GiveUp, Notice, Sent, Status
from monitor.jobs import reporting
from monitor.jobs.watch import Watch
from monitor.notifiers import Bot
from monitor.reports import NoPillow, Page, png
from monitor.reports.data import Watched
from monitor.store import Away

log = logging.getLogger(__name__)

PICTURED = frozenset({"ttft", "fallback", "model_changed", "spend", "down"})
SPAN = timedelta(hours=6)


def wish(watch: Watch, notice: Notice, delivery: Delivery) -> None:
    """Note that a message should have its chart; forget it where too many wait already."""
    told = isinstance(delivery, Sent) and delivery.reference
    aloud = notice.worse or (notice.status is Status.FIRING and not notice.quiet)
    if told and aloud and notice.rule in PICTURED and isinstance(watch.notifier, Bot):
        with suppress(asyncio.QueueFull):
            watch.charts.put_nowait((notice, told))


async def attach(watch: Watch) -> None:
    """Draw and attach what is wished for, until cancelled. The same trouble is logged once."""
    known: set[str] = set()
    while True:
        notice, reference = await watch.charts.get()
        why = await _trouble(watch, notice, reference)
        if why is not None and why not in known:
            known.add(why)
            log.warning("chart not attached", extra={"notice": notice.id, "why": why})


async def _trouble(watch: Watch, notice: Notice, reference: str) -> str | None:
    """Attach one chart; returns what kept it from its place, None if nothing did."""
    try:
        delivery = await _attached(watch, notice, reference)
    except Away:
        return "the database is away"
    except NoPillow as missing:
        return str(missing)
    except Exception as bug:
        log.debug("chart failed", exc_info=True)
        return f"it could not be drawn: {type(bug).__name__}"
    return None if isinstance(delivery, Sent) else delivery.why


async def _attached(watch: Watch, notice: Notice, reference: str) -> Delivery:
    if not isinstance(watch.notifier, Bot):
        return GiveUp("only a bot attaches pictures")
    page = await reporting.page(watch.database, watch.settings, length=SPAN, now=watch.now())
    shown = _target(page, notice.scope)
    picture = await asyncio.to_thread(png, page, shown)
    hours = SPAN // timedelta(hours=1)
    title = f"#{notice.number} {notice.rule} · {shown.name}, the last {hours} h"
    return await watch.notifier.attach(reference, picture, title=title)


def _target(page: Page, scope: str) -> Watched:
    """The target told of; for what is over all, the first that was asked."""
    named = [item for item in page.targets if item.name == scope]
    asked = [item for item in page.targets if item.ttft]
    return (named or asked or list(page.targets))[0]

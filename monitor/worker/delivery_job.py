"""The chart job: the last hours as a picture, posted to the thread of a message just sent.

Best effort, beside delivery: a short queue separates the two, so no message waits for its picture
or fails with it.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from monitor.domain import Delivery, GiveUp, Notice, NoticeStatus, Sent, TryLater
from monitor.incidents.silences import MaintenanceWindow, Mute, Silence
from monitor.notifications import Channel
from monitor.redaction import redact
from monitor.rules import RULES
from monitor.storage import (
    Connection,
    DatabaseUnavailable,
    incident_details,
    incident_rows,
    outbox,
)
from monitor.worker.context import WorkerContext
from monitor.worker.target_verdicts import isolated

if TYPE_CHECKING:  # drawing is loaded with the first chart: it costs an idle worker 1 MiB
    from monitor.reports.page_data import ReportPage, TargetReport

log = logging.getLogger(__name__)

SPAN = timedelta(hours=6)


def request_chart(
    context: WorkerContext, channel: Channel, notice: Notice, delivery: Delivery
) -> None:
    """Request a chart for a message; ignored if too many wait already."""
    notified = isinstance(delivery, Sent) and delivery.reference
    aloud = notice.worse or (notice.status is NoticeStatus.FIRING and not notice.quiet)
    rule = RULES.get(notice.rule)
    helps = rule is not None and rule.chart
    if notified and aloud and helps and channel.notifier.attaches:
        with suppress(asyncio.QueueFull):
            context.state.charts[channel.name].put_nowait((notice, notified))


async def attach(context: Callable[[], WorkerContext], channel: Channel) -> None:
    """Draw and attach a channel's requested charts, until cancelled; logs an error once.

    `context`: the current one, read for each chart. A reload so interrupts none.
    """
    known: set[str] = set()
    charts = context().state.charts[channel.name]
    while True:
        notice, reference = await charts.get()
        delivery = await post_chart(context(), channel, notice, reference)
        if not isinstance(delivery, Sent) and delivery.reason not in known:
            known.add(delivery.reason)
            facts = {"channel": channel.name, "notice": notice.id, "reason": delivery.reason}
            log.warning("chart not attached", extra=facts)


async def post_chart(
    context: WorkerContext, channel: Channel, notice: Notice, reference: str
) -> Delivery:
    """Draw the chart of a notice and attach it. A failure is a value."""
    from monitor.reports.picture import PictureFailed

    try:
        return await _attached(context, channel, notice, reference)
    except DatabaseUnavailable:
        return TryLater("the database is unavailable")
    except PictureFailed as failed:
        return GiveUp(str(failed))
    except Exception as bug:
        log.debug("chart failed", exc_info=True)
        return GiveUp(f"the chart could not be drawn: {type(bug).__name__}")


async def _attached(
    context: WorkerContext, channel: Channel, notice: Notice, reference: str
) -> Delivery:
    from monitor.reports.picture import png
    from monitor.worker import report_page

    page = await report_page.page(
        context.database, context.settings, length=SPAN, now=context.now()
    )
    shown = _target(page, notice.scope)
    picture = await asyncio.to_thread(png, page, shown)
    hours = SPAN // timedelta(hours=1)
    title = f"#{notice.number} {notice.rule} · {shown.name}, the last {hours} h"
    if notice.repeated:
        title += " (may be a duplicate)"
    return await channel.notifier.attach(reference, picture, title=title)


def _target(page: "ReportPage", scope: str) -> "TargetReport":
    """The target of the notice; for a notice about all, the first target probed."""
    named = [item for item in page.targets if item.name == scope]
    requested = [item for item in page.targets if item.ttft]
    return (named or requested or list(page.targets))[0]


# What suppresses notices now: mutes by people, and maintenance windows of the configuration.


async def silence(connection: Connection, context: WorkerContext) -> Silence:
    """What suppresses notices. If mutes cannot be read, people are notified."""
    in_force = (
        await isolated(connection, "mutes", partial(incident_rows.in_force, connection)) or ()
    )
    by_people = [
        Mute(until=muted.until, reason=muted.reason, rule=muted.rule, scope=muted.target)
        for muted in in_force
    ]
    windows = [
        MaintenanceWindow(
            days=tuple(window.days),
            start=window.start,
            end=window.end,
            timezone=window.timezone,
            reason=window.reason,
            rule=window.rule,
            scope=window.target,
        )
        for window in context.settings.file.maintenance
    ]
    return [*by_people, *windows]


# The delivery job of one channel: lease due notices, send each, record the result.
#
# No transaction is open while a channel is called. A crash between send and settle repeats a
# message: loss would be worse. Channels run concurrently and do not wait for each other.


async def deliver(context: WorkerContext, channel: Channel) -> int:
    """Send everything due in a channel; returns how many were sent."""
    sent = 0
    try:
        while item := await _leased(context, channel):
            delivery = await _send(context, channel, item)
            async with context.database.begin() as connection:
                await outbox.settle(connection, item.notice.id, delivery, channel.name)
            _log(channel, item, delivery)
            request_chart(context, channel, item.notice, delivery)
            sent += isinstance(delivery, Sent) and delivery.posted
    except DatabaseUnavailable as unavailable:
        facts = {"channel": channel.name, "reason": str(unavailable)}
        log.warning("outbox delivery blocked", extra=facts)
    return sent


async def recheck(context: WorkerContext) -> None:
    """At start: channels that refused for good are tried again now, not within the hour."""
    try:
        async with context.database.begin() as connection:
            for name in context.channels:
                await outbox.recheck(connection, name)
    except DatabaseUnavailable as unavailable:
        log.warning("channel check failed", extra={"reason": str(unavailable)})


async def close_removed(context: WorkerContext) -> None:
    """Close what waits for channels that are no longer configured. Raises DatabaseUnavailable."""
    async with context.database.begin() as connection:
        closed = await outbox.close_removed(connection, context.channels)
    for name, count in closed.items():
        facts = {"channel": name, "count": count}
        facts["reason"] = "the channel was removed from the configuration"
        log.error("notifications closed", extra=facts)


async def _leased(context: WorkerContext, channel: Channel) -> outbox.LeasedNotice | None:
    async with context.database.begin() as connection:
        item = await outbox.lease(connection, channel.name)
        if item is None or not _shows_answers(item.notice):
            return item
        read = partial(_with_answers, connection, item.notice)
        notice = await isolated(connection, "excerpts of answers", read)
        return replace(item, notice=notice or item.notice)


def _shows_answers(notice: Notice) -> bool:
    """Whether example answers help: news of an incident about the model."""
    rule = RULES.get(notice.rule)
    aloud = notice.worse or (notice.status is NoticeStatus.FIRING and not notice.quiet)
    return rule is not None and rule.suspects_model and aloud and notice.since is not None


async def _with_answers(connection: Connection, notice: Notice) -> Notice:
    """The notice with the start of an answer now and of one before, if they are still stored."""
    found = None
    if notice.since is not None:
        found = await incident_details.excerpts(connection, notice.rows, since=notice.since)
    if found is None:
        return notice
    answers = found.facts(in_breach=not notice.recovering)
    return replace(notice, facts={**notice.facts, **answers})


async def _send(context: WorkerContext, channel: Channel, item: outbox.LeasedNotice) -> Delivery:
    delivery = await channel.notifier.send(
        item.notice,
        reference=item.reference,
        runbook_url=context.settings.file.slack.runbook_url,
    )
    if isinstance(delivery, Sent):
        return delivery
    return replace(delivery, reason=redact(delivery.reason, context.settings.secrets))


def _log(channel: Channel, item: outbox.LeasedNotice, delivery: Delivery) -> None:
    facts = {"channel": channel.name, "notice": item.notice.id, "incident": item.incident}
    facts["rule"] = item.notice.rule
    match delivery:
        case Sent(posted=False):
            log.info("notification skipped", extra=facts)
        case Sent():
            log.info("notification sent", extra=facts)
        case TryLater(reason):
            log.warning("notification deferred", extra=facts | {"reason": reason})
        case GiveUp(reason):
            facts |= {"help": channel.notifier.guide} if channel.notifier.guide else {}
            log.error("notification failed", extra=facts | {"reason": reason})

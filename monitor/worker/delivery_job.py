"""The delivery job: lease due notices, send each, write down how it went.

No transaction is open while Slack is spoken to. A crash between send and settle repeats a
message: loss would be worse.
"""

import logging
from dataclasses import replace

from monitor.domain import Delivery, GiveUp, Sent, TryLater
from monitor.notifications.slack.render import render, thread_reply
from monitor.redaction import redact
from monitor.storage import DatabaseUnavailable, outbox
from monitor.worker import charts
from monitor.worker.context import WorkerContext

log = logging.getLogger(__name__)


async def deliver(context: WorkerContext) -> int:
    """Send everything due; returns how many were sent."""
    sent = 0
    try:
        while item := await _leased(context):
            delivery = await _send(context, item)
            async with context.database.begin() as connection:
                await outbox.settle(connection, item.notice.id, delivery, context.notifier.channel)
            _log(item, delivery)
            charts.request_chart(context, item.notice, delivery)
            sent += isinstance(delivery, Sent)
    except DatabaseUnavailable as unavailable:
        log.warning("outbox delivery blocked", extra={"why": str(unavailable)})
    return sent


async def recheck(context: WorkerContext) -> None:
    """At start: a channel that refused for good is tried again now, not within the hour."""
    try:
        async with context.database.begin() as connection:
            await outbox.recheck(connection, context.notifier.channel)
    except DatabaseUnavailable as unavailable:
        log.warning("channel not rechecked", extra={"why": str(unavailable)})


async def _leased(context: WorkerContext) -> outbox.LeasedNotice | None:
    async with context.database.begin() as connection:
        return await outbox.lease(connection, context.notifier.channel)


async def _send(context: WorkerContext, item: outbox.LeasedNotice) -> Delivery:
    notice = item.notice
    message = render(notice, runbook_url=context.settings.file.slack.runbook_url)
    delivery = await context.notifier.send(
        message, reference=item.reference, reply=thread_reply(notice), quiet=notice.quiet
    )
    if isinstance(delivery, Sent):
        return delivery
    return replace(delivery, reason=redact(delivery.reason, context.settings.secrets))


def _log(item: outbox.LeasedNotice, delivery: Delivery) -> None:
    facts = {"notice": item.notice.id, "incident": item.incident, "rule": item.notice.rule}
    match delivery:
        case Sent():
            log.info("notification sent", extra=facts)
        case TryLater(reason):
            log.warning("notification deferred", extra=facts | {"why": reason})
        case GiveUp(reason):
            log.error("notification failed", extra=facts | {"why": reason})

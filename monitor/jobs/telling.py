"""The delivery job: lease due notices, send each, write down how it went.

No transaction is open while Slack is spoken to. A crash between send and settle repeats a
message: loss would be worse.
"""

import logging
from dataclasses import replace

from monitor.domain import Delivery, GiveUp, Sent, TryLater
from monitor.jobs import charting
from monitor.jobs.watch import Watch
from monitor.messages import render, thread_reply
from monitor.scrub import redact
from monitor.store import Away, outbox

log = logging.getLogger(__name__)


async def deliver(watch: Watch) -> int:
    """Send everything due; returns how many were sent."""
    sent = 0
    try:
        while item := await _leased(watch):
            delivery = await _send(watch, item)
            async with watch.database.begin() as connection:
                await outbox.settle(connection, item.notice.id, delivery, watch.notifier.channel)
            _log(item, delivery)
            charting.wish(watch, item.notice, delivery)
            sent += isinstance(delivery, Sent)
    except Away as away:
        log.warning("outbox waits", extra={"why": str(away)})
    return sent


async def recheck(watch: Watch) -> None:
    """At start: a channel that refused for good is tried again now, not within the hour."""
    try:
        async with watch.database.begin() as connection:
            await outbox.recheck(connection, watch.notifier.channel)
    except Away as away:
        log.warning("channel not rechecked", extra={"why": str(away)})


async def _leased(watch: Watch) -> outbox.Leased | None:
    async with watch.database.begin() as connection:
        return await outbox.lease(connection, watch.notifier.channel)


async def _send(watch: Watch, item: outbox.Leased) -> Delivery:
    notice = item.notice
    message = render(notice, runbook_url=watch.settings.file.slack.runbook_url)
    delivery = await watch.notifier.send(
        message, reference=item.reference, reply=thread_reply(notice), quiet=notice.quiet
    )
    if isinstance(delivery, Sent):
        return delivery
    return replace(delivery, why=redact(delivery.why, watch.settings.secrets))


def _log(item: outbox.Leased, delivery: Delivery) -> None:
    facts = {"notice": item.notice.id, "incident": item.incident, "rule": item.notice.rule}
    match delivery:
        case Sent():
            log.info("told", extra=facts)
        case TryLater(why):
            log.warning("not told yet", extra=facts | {"why": why})
        case GiveUp(why):
            log.error("not told", extra=facts | {"why": why})

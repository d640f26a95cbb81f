"""The outage job: a database that stays away is told of straight from memory.

Without the database nothing is judged and no notice can be written, so these two messages
alone do not go through the outbox: once an outage, and once when it is over. Each worker
speaks for itself.
"""

import asyncio
import logging
import time
from datetime import datetime, timedelta
from uuid import uuid4

from monitor.domain import ALL, GiveUp, Notice, NoticeStatus, Sent
from monitor.notifications.slack.render import render
from monitor.storage import DatabaseUnavailable
from monitor.worker.context import WorkerContext
from monitor.worker.spooling import keep

log = logging.getLogger(__name__)

GRACE = timedelta(minutes=3)  # a restart or failover is over by then
LOOK = timedelta(seconds=15)
RULE = "storage"


async def watch_database(
    context: WorkerContext, *, grace: timedelta = GRACE, look: timedelta = LOOK
) -> None:
    """Look at the database for ever; tell when it has been away for `grace`, and when it is back.

    What the channel does not take is said again at the next look.
    """
    began_s: float | None = None  # monotonic: the clock may step meanwhile
    notified = False
    while True:
        now_s, now = time.monotonic(), context.now()
        if await _unavailable(context):
            began_s = now_s if began_s is None else began_s
            lasted = timedelta(seconds=now_s - began_s)
            notified = notified or (
                lasted >= grace and await _notify(context, _gone(context, now - lasted, now))
            )
        elif (
            began_s is None
            or not notified
            or await _notify(context, _back(context, now - timedelta(seconds=now_s - began_s), now))
        ):
            began_s, notified = None, False
        await asyncio.sleep(look.total_seconds())


async def _unavailable(context: WorkerContext) -> bool:
    """Whether the database cannot be reached, or takes no rows: read-only, or its disk is full."""
    if len(context.spool):
        await keep(context, [])
    try:
        async with context.database.begin():  # begun: the server answered
            return len(context.spool) > 0
    except DatabaseUnavailable as unavailable:
        log.warning("database unavailable", extra={"why": str(unavailable)})
        return True


async def _notify(context: WorkerContext, notice: Notice) -> bool:
    """True when the channel took it, or never will."""
    delivery = await context.notifier.send(render(notice))
    if not isinstance(delivery, Sent):
        log.warning("outage not told", extra={"why": delivery.reason})
    return isinstance(delivery, Sent | GiveUp)


def _gone(context: WorkerContext, since: datetime, now: datetime) -> Notice:
    where = "on this machine's disk" if context.spool.on_disk else "in memory"
    sentence = (
        f"The database has been unavailable for {_minutes(now - since)}. "
        f"Probes go on and wait {where}; nothing is evaluated or sent until it is back."
    )
    step = "Look at the database's host. What the worker last heard of it stands in its log."
    return _notice(context, sentence, since=since, now=now, facts={"Do first": step})


def _back(context: WorkerContext, since: datetime, now: datetime) -> Notice:
    sentence = f"The database is back after {_minutes(now - since)}; what waited is stored."
    return _notice(context, sentence, since=since, now=now, facts={})


def _notice(
    context: WorkerContext, sentence: str, *, since: datetime, now: datetime, facts: dict[str, str]
) -> Notice:
    lost = {"Lost, no room": f"{context.spool.dropped}"} if context.spool.dropped else {}
    return Notice(
        id=uuid4(),
        status=NoticeStatus.NOTICE,
        rule=RULE,
        scope=ALL,
        sentence=sentence,
        at=now,
        since=since,
        facts={"Waiting": f"{len(context.spool)} observations", **lost, "Worker": context.worker}
        | facts,
    )


def _minutes(span: timedelta) -> str:
    whole = span // timedelta(minutes=1)
    return f"{whole} min" if whole else f"{span // timedelta(seconds=1)} s"

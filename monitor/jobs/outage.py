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

from monitor.domain import ALL, GiveUp, Notice, Sent, Status
from monitor.jobs.spooling import keep
from monitor.jobs.watch import Watch
from monitor.messages import render
from monitor.store import Away

log = logging.getLogger(__name__)

GRACE = timedelta(minutes=3)  # a restart or failover is over by then
LOOK = timedelta(seconds=15)
RULE = "storage"


async def mind(watch: Watch, *, grace: timedelta = GRACE, look: timedelta = LOOK) -> None:
    """Look at the database for ever; tell when it has been away for `grace`, and when it is back.

    What the channel does not take is said again at the next look.
    """
    began_s: float | None = None  # monotonic: the clock may step meanwhile
    told = False
    while True:
        now_s, now = time.monotonic(), watch.now()
        if await _away(watch):
            began_s = now_s if began_s is None else began_s
            lasted = timedelta(seconds=now_s - began_s)
            told = told or (lasted >= grace and await _tell(watch, _gone(watch, now - lasted, now)))
        elif (
            began_s is None
            or not told
            or await _tell(watch, _back(watch, now - timedelta(seconds=now_s - began_s), now))
        ):
            began_s, told = None, False
        await asyncio.sleep(look.total_seconds())


async def _away(watch: Watch) -> bool:
    """Whether the database cannot be reached, or takes no rows: read-only, or its disk is full."""
    if len(watch.spool):
        await keep(watch, [])
    try:
        async with watch.database.begin():  # begun: the server answered
            return len(watch.spool) > 0
    except Away as away:
        log.warning("database away", extra={"why": str(away)})
        return True


async def _tell(watch: Watch, notice: Notice) -> bool:
    """True when the channel took it, or never will."""
    delivery = await watch.notifier.send(render(notice))
    if not isinstance(delivery, Sent):
        log.warning("outage not told", extra={"why": delivery.why})
    return isinstance(delivery, Sent | GiveUp)


def _gone(watch: Watch, since: datetime, now: datetime) -> Notice:
    where = "on this machine's disk" if watch.spool.on_disk else "in memory"
    sentence = (
        f"The database has been unavailable for {_minutes(now - since)}. "
        f"Probes go on and wait {where}; nothing is evaluated or sent until it is back."
    )
    step = "Look at the database's host. What the worker last heard of it stands in its log."
    return _notice(watch, sentence, since=since, now=now, facts={"Do first": step})


def _back(watch: Watch, since: datetime, now: datetime) -> Notice:
    sentence = f"The database is back after {_minutes(now - since)}; what waited is stored."
    return _notice(watch, sentence, since=since, now=now, facts={})


def _notice(
    watch: Watch, sentence: str, *, since: datetime, now: datetime, facts: dict[str, str]
) -> Notice:
    lost = {"Lost, no room": f"{watch.spool.dropped}"} if watch.spool.dropped else {}
    return Notice(
        id=uuid4(),
        status=Status.NOTICE,
        rule=RULE,
        scope=ALL,
        sentence=sentence,
        at=now,
        since=since,
        facts={"Waiting": f"{len(watch.spool)} observations", **lost, "Worker": watch.worker}
        | facts,
    )


def _minutes(span: timedelta) -> str:
    whole = span // timedelta(minutes=1)
    return f"{whole} min" if whole else f"{span // timedelta(seconds=1)} s"

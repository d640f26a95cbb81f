"""The spool job: stores observations, oldest first; what cannot be stored waits on disk."""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

from monitor.domain import (
    ALL,
    CERTAIN,
    Finding,
    GiveUp,
    Notice,
    NoticeStatus,
    Observation,
    Sent,
    Severity,
    counted,
)
from monitor.identity import IdentityLearning
from monitor.notifications import Channel
from monitor.redaction import redact
from monitor.storage import (
    DatabaseBusy,
    DatabaseUnavailable,
    observations,
    probe_rows,
    short_waits,
)
from monitor.storage.leases import RoundEnd
from monitor.worker.context import WorkerContext

log = logging.getLogger(__name__)

DRAIN = 200  # observations a transaction, when the spool empties
MOST_ENDS = 10_000  # of rounds that wait in memory; older ones are left unfinished
AGAIN_S = 0.5  # between two tries while the worker stops


async def keep(
    context: WorkerContext,
    new: Sequence[Observation],
    *,
    ends: Sequence[RoundEnd] = (),
    within_s: float = 0.0,
) -> None:
    """Store observations and ends of rounds, together with those of other rounds.

    Returns when they are stored, or spooled because the database is unavailable or silent: a round
    does not wait for a transaction that a frozen server holds. The transaction begins within
    `within_s`. Observations are in the spool's file before that, so that a kill loses none; while
    the database takes none, they are on the disk before this returns. Source:
    docs/adr/0022-batches.md
    """
    dropped = context.state.spool.keep(new)
    if dropped:
        facts = {"count": dropped, "total": context.state.spool.dropped}
        log.error("observations dropped", extra=facts | {"reason": "the spool is full"})
    await context.state.spool.save()
    writing = context.state.writes.handled(partial(_write, context), ends, within_s=within_s)
    try:
        await context.database.answered(writing)
    except DatabaseUnavailable:
        await context.state.spool.save(sync=True)


async def _write(context: WorkerContext, ends: Sequence[RoundEnd]) -> None:
    """Write everything that waits; the batches that do not succeed wait for the next one."""
    state = context.state
    state.ends = [*state.ends, *ends][-MOST_ENDS:]
    try:
        with short_waits():
            while True:
                waiting, ended = state.spool.oldest(DRAIN), state.ends[:DRAIN]
                if not waiting and not ended:
                    break
                await _write_some(context, waiting, ended)
    except DatabaseUnavailable as unavailable:
        state.learnings.clear()
        state.spool.not_taken()
        facts = _waiting(context) | {"rounds": len(state.ends), "reason": str(unavailable)}
        log.warning("observations spooled", extra=facts)
    finally:
        await state.spool.save(sync=state.spool.refused > 0)


async def _write_some(
    context: WorkerContext, waiting: Sequence[Observation], ended: Sequence[RoundEnd]
) -> None:
    state, learnings = context.state, _taken(context, waiting)
    stored, rejected = await probe_rows.store(
        context.database,
        waiting,
        learnings,
        ends=ended,
        region=context.region,
        worker=context.worker,
    )
    state.spool.forget(waiting)
    del state.ends[: len(ended)]
    state.spent.stored(waiting)
    for learning in learnings.values():
        state.identity.stored(learning)
    _note(context, rejected, there=len(waiting) - stored - len(rejected))


def _taken(context: WorkerContext, waiting: Sequence[Observation]) -> dict[UUID, IdentityLearning]:
    """What was learned from these observations. Tried once: it does not wait in the spool."""
    held = context.state.learnings
    return {one.id: held.pop(one.id) for one in waiting if one.id in held}


def _note(context: WorkerContext, rejected: Sequence[probe_rows.Rejected], *, there: int) -> None:
    for observation, reason in rejected:
        context.metrics.rejected()
        log.error("observation rejected", extra={"id": observation.id, "reason": reason})
    if there:
        log.info("duplicate observations skipped", extra={"count": there})


async def adopt(context: WorkerContext) -> None:
    """Store what ended workers left on the disk."""
    if await context.state.spool.adopt():
        await keep(context, [])


async def drain(context: WorkerContext, *, within_s: float) -> None:
    """Store the spooled observations before the worker ends, without waiting for the next retry.

    Logs how many could not be stored, and whether they are on disk for the next worker.
    """
    try:
        async with asyncio.timeout(within_s):
            while len(context.state.spool):
                context.database.retry_now()
                await keep(context, [])
                if len(context.state.spool):
                    await asyncio.sleep(AGAIN_S)
    except TimeoutError:
        pass
    except Exception:
        log.exception("spool drain failed")
    await context.state.spool.save(sync=True)
    if len(context.state.spool):
        log.error("observations not stored", extra=_waiting(context))
    context.state.spool.close()


def _waiting(context: WorkerContext) -> dict[str, object]:
    return {"count": len(context.state.spool), "on_disk": context.state.spool.on_disk}


# The outage job: reports a lasting database outage directly, not through the outbox.
#
# Without the database nothing is judged and no notice can be written, so only these two messages
# are sent directly: one when an outage lasts, one when it is over. Each worker reports its own
# view.


GRACE = timedelta(minutes=3)  # a restart or failover is over by then
LOOK = timedelta(seconds=15)
RULE = "storage"


async def watch_database(
    context: WorkerContext, *, grace: timedelta = GRACE, look: timedelta = LOOK
) -> None:
    """Check the database forever; notify when it is unavailable for `grace`, and when it is back.

    A message that a channel does not accept is sent to it again at the next check.
    """
    began_s: float | None = None  # monotonic: the clock may step meanwhile
    notified: set[str] = set()  # channels that know of the outage
    while True:
        now_s, now = time.monotonic(), context.now()
        if await _unavailable(context):
            began_s = now_s if began_s is None else began_s
            lasted = timedelta(seconds=now_s - began_s)
            if lasted >= grace:
                notice = _gone(context, now - lasted, now)
                notified |= await _notify(context, notice, context.channels.keys() - notified)
        elif began_s is not None:
            notice = _back(context, now - timedelta(seconds=now_s - began_s), now)
            notified -= await _notify(context, notice, notified)
            began_s = began_s if notified else None
        await asyncio.sleep(look.total_seconds())


async def _unavailable(context: WorkerContext) -> bool:
    """Whether the database is unreachable or accepts no rows: read-only, or a full disk."""
    if len(context.state.spool):
        await keep(context, [])
    try:
        async with context.database.begin():  # begun: the server answered
            return context.state.spool.refused > 0
    except DatabaseBusy as busy:
        log.warning("database busy", extra={"reason": str(busy)})
        return context.state.spool.refused > 0
    except DatabaseUnavailable as unavailable:
        log.warning("database unavailable", extra={"reason": str(unavailable)})
        return True


async def _notify(context: WorkerContext, notice: Notice, names: Iterable[str]) -> set[str]:
    """The channels, of these, that accepted the notice, refused it permanently or do not take it.

    They are sent to at the same time: none waits for another.
    """

    async def settled(channel: Channel) -> bool:
        if not channel.accepts.takes(notice):
            return True
        delivery = await channel.notifier.send(notice)
        if not isinstance(delivery, Sent):
            reason = redact(delivery.reason, context.settings.secrets)
            facts = {"channel": channel.name, "reason": reason}
            log.warning("outage notification failed", extra=facts)
        return isinstance(delivery, Sent | GiveUp)

    wanted = [context.channels[name] for name in names]
    results = await asyncio.gather(*map(settled, wanted))
    return {channel.name for channel, done in zip(wanted, results, strict=True) if done}


def _gone(context: WorkerContext, since: datetime, now: datetime) -> Notice:
    where = "on this machine's disk" if context.state.spool.on_disk else "in memory"
    sentence = (
        f"The database has been unavailable for {_minutes(now - since)}. "
        f"Probing continues and results are kept {where}; "
        "nothing is evaluated or sent until the database is back."
    )
    finding = Finding(
        what=f"the database has been unavailable for {_minutes(now - since)}",
        extent=f"Probing continues and results are kept {where}. Nothing is evaluated or sent",
        first_step="Check the database host. The worker's log has the latest error.",
        certainty=f"{CERTAIN}, as the worker cannot connect or write",
    )
    return _notice(context, sentence, finding, since=since, now=now)


def _back(context: WorkerContext, since: datetime, now: datetime) -> Notice:
    sentence = (
        f"The database is back after {_minutes(now - since)}; the waiting observations are stored."
    )
    finding = Finding(
        what=f"the database is back after {_minutes(now - since)}",
        extent="The waiting observations are stored",
    )
    return _notice(context, sentence, finding, since=since, now=now)


def _notice(
    context: WorkerContext, sentence: str, finding: Finding, *, since: datetime, now: datetime
) -> Notice:
    spool = context.state.spool
    lost = {"Lost, spool full": f"{spool.dropped}"} if spool.dropped else {}
    return Notice(
        id=uuid4(),
        status=NoticeStatus.NOTICE,
        rule=RULE,
        scope=ALL,
        sentence=sentence,
        at=now,
        since=since,
        facts={
            "Waiting": counted(len(spool), "observation"),
            **lost,
            "Worker": context.worker,
        },
        severity=Severity.WARN,
        finding=finding,
    )


def _minutes(span: timedelta) -> str:
    whole = span // timedelta(minutes=1)
    return f"{whole} min" if whole else f"{span // timedelta(seconds=1)} s"


# The partitions job: creates partitions before rows need them.


async def prepare(context: WorkerContext) -> None:
    """Create the partitions of the coming months."""
    async with context.database.begin() as connection:
        made = await observations.ensure(connection, context.now().date())
    if made:
        log.info("partitions created", extra={"partitions": made})

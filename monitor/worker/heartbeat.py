"""The heartbeat job: after each complete round, pings an external dead-man's switch.

Without a ping for a while, the switch alerts a person. The facts come from the database, not from
the jobs' own view: the round was probed and stored completely, a worker evaluates, and every
channel accepts messages.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from monitor.domain import (
    VerdictState,
    counted,
)
from monitor.probing.fetch import fetch
from monitor.rules import DeliveryBacklog, DeliveryRule, rule_of
from monitor.storage import DatabaseBusy, DatabaseUnavailable, leases, outbox
from monitor.storage.leases import RoundSlot
from monitor.worker.context import WorkerContext
from monitor.worker.outage import keep
from monitor.worker.probe_throttling import THINNED

log = logging.getLogger(__name__)

PATIENCE_S = 10


@dataclass(frozen=True, slots=True)
class ChainHealth:
    """Problems of the chain; None: none. `seeing`: of each round; `telling`: of delivery."""

    seeing: Mapping[RoundSlot, str | None]
    telling: str | None


async def beat(
    context: WorkerContext, rounds: Sequence[RoundSlot], *, within_s: float = 0.0
) -> bool:
    """Record the cycle of rounds and ping the switch if all is well; True if it was pinged.

    Rounds that end within `within_s` share one look at the database and one ping. Never raises for
    failures and blocks no other job: it runs after the rounds.
    """
    work = partial(_beat, context)
    pinged = await context.state.beats.handled(work, rounds, within_s=within_s)
    return all(pinged[one] for one in rounds)


async def _beat(context: WorkerContext, ended: Sequence[RoundSlot]) -> Mapping[RoundSlot, bool]:
    """For each of these rounds, whether the switch was pinged for it."""
    chain = await _chain_health(context, ended)
    for one in ended:
        if chain.seeing[one] is None:
            context.metrics.cycle(one.target, context.now())
    url = context.settings.environment.heartbeat_url
    reasons = {one: chain.seeing[one] or chain.telling for one in ended}
    if url is None:
        return dict.fromkeys(ended, False)
    for one, reason in reasons.items():
        if reason is not None:
            log.warning("heartbeat withheld", extra={"target": one.target, "reason": reason})
    if all(reasons.values()):
        return dict.fromkeys(ended, False)
    reply = await fetch(url.get_secret_value(), headers={}, timeout_s=PATIENCE_S)
    taken = reply.error is None and reply.status is not None and 200 <= reply.status < 300
    if taken:
        context.metrics.succeeded("heartbeat", context.now())
    else:
        log.warning("heartbeat refused", extra={"status": reply.status, "reason": reply.error})
    return {one: taken and reason is None for one, reason in reasons.items()}


async def _chain_health(context: WorkerContext, ended: Sequence[RoundSlot]) -> ChainHealth:
    targets = context.settings.targets
    before = {
        one: RoundSlot(one.target, one.slot - targets[one.target].every)
        for one in ended
        if one.target in targets
    }
    try:
        async with context.database.begin() as connection:
            found = await leases.rounds(
                connection, [*ended, *before.values()], region=context.region
            )
            evaluated = await leases.evaluated(connection)
            backlogs = await outbox.backlogs(connection, context.channels)
    except DatabaseUnavailable as unavailable:
        reason = f"the database is {unavailable.state}: {unavailable}"
        return ChainHealth(dict.fromkeys(ended, reason), None)
    return ChainHealth(
        {
            one: seeing(
                found.get(one),
                found.get(before[one]) if one in before else None,
                worker=context.worker,
                evaluated=evaluated,
                spooled=context.state.spool.refused,
            )
            for one in ended
        },
        telling(backlogs, _rule(context), context.now()),
    )


def seeing(
    own: leases.ClaimedRound | None,
    before: leases.ClaimedRound | None,
    *,
    worker: str,
    evaluated: bool,
    spooled: int,
) -> str | None:
    """The problem between probe and verdict of a round; None if there is none.

    The round of another worker may still be running: then the round before it must be complete.
    """
    if own is None:
        return "no worker claimed the round"
    judged = own if own.worker == worker or own.finished else before
    if judged is None or not judged.finished:
        return "the round did not finish"
    if judged.missed not in (None, THINNED):
        return f"the round is incomplete: {judged.missed}"
    if spooled:
        return f"{counted(spooled, 'observation')} {'is' if spooled == 1 else 'are'} not stored yet"
    return None if evaluated else "no worker evaluates the rules"


def telling(backlogs: Iterable[DeliveryBacklog], rule: DeliveryRule, now: datetime) -> str | None:
    """The problem with delivery in any channel, as its rule states it; None if there is none."""
    verdicts = (rule.judge(backlog, None, now) for backlog in backlogs)
    broken = [verdict.because for verdict in verdicts if verdict.state is VerdictState.BREACH]
    return " ".join(broken) or None


def _rule(context: WorkerContext) -> DeliveryRule:
    return rule_of(context.settings.rules, DeliveryRule) or DeliveryRule()


# The metrics job: our own state, read from the database.


async def update_metrics(context: WorkerContext) -> None:
    """Read outbox, delivery, budget and open incidents once; record an unavailable database.

    It is up only while it accepts writes: observations that still wait after another try were
    refused, for example because of a full disk.
    """
    if len(context.state.spool):
        await keep(context, [])
    metrics, spool = context.metrics, context.state.spool
    metrics.spool(len(spool), spool.dropped, on_disk=spool.on_disk)
    try:
        async with context.database.begin() as connection:
            delivery = await outbox.backlogs(connection, context.channels)
            spent = await context.spent_today(connection)
            opened = await leases.opened(connection)
            writable = await leases.writable(connection)
    except DatabaseUnavailable as unavailable:
        if not isinstance(unavailable, DatabaseBusy):
            metrics.database(None)
        return
    probes = context.settings.file.probes
    metrics.delivery(delivery)
    if spent is not None:
        metrics.budget(probes.daily_budget_usd - spent.high_usd, probes.max_per_day - spent.count)
    metrics.incidents(opened)
    metrics.database(context.now() if writable and not spool.refused else None)

"""The heartbeat job: after each complete round, pings an external dead-man's switch.

Without a ping for a while, the switch alerts a person. The facts come from the database, not from
the jobs' own view: the round was probed and stored completely, a worker evaluates, and every
channel accepts messages.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitor.domain import Target, VerdictState
from monitor.probing.fetch import fetch
from monitor.rules import DeliveryBacklog, DeliveryRule, rule_of
from monitor.storage import DatabaseUnavailable, leases, outbox, spend_rows
from monitor.worker import daily_spend
from monitor.worker.context import WorkerContext
from monitor.worker.outage import keep
from monitor.worker.probe_throttling import THINNED

log = logging.getLogger(__name__)

PATIENCE_S = 10


@dataclass(frozen=True, slots=True)
class ChainHealth:
    """Problems of the chain; None: none. `seeing`: up to evaluation; `telling`: delivery."""

    seeing: str | None
    telling: str | None


async def beat(context: WorkerContext, target: Target, slot: datetime) -> bool:
    """Record the cycle of a round and ping the switch if all is well; True if it was pinged.

    Never raises for failures and blocks no other job: it runs after the round.
    """
    pulse = await _chain_health(context, target, slot)
    if pulse.seeing is None:
        context.metrics.cycle(target.name, context.now())
    url = context.settings.environment.heartbeat_url
    reason = pulse.seeing or pulse.telling
    if reason is not None:
        if url is not None:
            log.warning("heartbeat withheld", extra={"target": target.name, "reason": reason})
        return False
    if url is None:
        return False
    reply = await fetch(url.get_secret_value(), headers={}, timeout_s=PATIENCE_S)
    taken = reply.error is None and reply.status is not None and 200 <= reply.status < 300
    if taken:
        context.metrics.succeeded("heartbeat", context.now())
    else:
        log.warning("heartbeat refused", extra={"status": reply.status, "reason": reply.error})
    return taken


async def _chain_health(context: WorkerContext, target: Target, slot: datetime) -> ChainHealth:
    try:
        async with context.database.begin() as connection:
            found_rounds = await leases.rounds(
                connection, target.name, context.region, at=(slot - target.every, slot)
            )
            evaluated = await leases.evaluated(connection)
            found = await outbox.backlogs(connection, context.channels)
    except DatabaseUnavailable as unavailable:
        return ChainHealth(f"the database is unavailable: {unavailable}", None)
    return ChainHealth(
        seeing(
            found_rounds,
            slot=slot,
            worker=context.worker,
            evaluated=evaluated,
            spooled=len(context.state.spool),
        ),
        telling(found, _rule(context), context.now()),
    )


def seeing(
    rounds: Sequence[leases.ClaimedRound],
    *,
    slot: datetime,
    worker: str,
    evaluated: bool,
    spooled: int,
) -> str | None:
    """The problem between probe and verdict; None if there is none.

    The round of another worker may still be running: then the round before it must be complete.
    """
    own = next((item for item in rounds if item.slot == slot), None)
    if own is None:
        return "no worker claimed the round"
    judged = own if own.worker == worker or own.finished else _before(rounds, slot)
    if judged is None or not judged.finished:
        return "the round did not finish"
    if judged.missed not in (None, THINNED):
        return f"the round is incomplete: {judged.missed}"
    if spooled:
        return f"{spooled} observations are not stored yet"
    return None if evaluated else "no worker evaluates the rules"


def telling(backlogs: Iterable[DeliveryBacklog], rule: DeliveryRule, now: datetime) -> str | None:
    """The problem with delivery in any channel, as its rule states it; None if there is none."""
    verdicts = (rule.judge(backlog, None, now) for backlog in backlogs)
    broken = [verdict.because for verdict in verdicts if verdict.state is VerdictState.BREACH]
    return " ".join(broken) or None


def _before(rounds: Sequence[leases.ClaimedRound], slot: datetime) -> leases.ClaimedRound | None:
    return next((item for item in rounds if item.slot < slot), None)


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
            running = await daily_spend.spent_today(connection, context, context.now())
            spent = running or await spend_rows.today(connection)
            opened = await leases.opened(connection)
            writable = await leases.writable(connection)
    except DatabaseUnavailable:
        metrics.database(None)
        return
    probes = context.settings.file.probes
    metrics.delivery(delivery)
    metrics.budget(probes.daily_budget_usd - spent.high_usd, probes.max_per_day - spent.count)
    metrics.incidents(opened)
    metrics.database(context.now() if writable and not len(context.state.spool) else None)

"""The heartbeat job: after each round, is the whole chain alive? Only then an outside
dead-man's switch is told; when it hears nothing for a while, it calls somebody.

The facts come from the database, not from what jobs believe of themselves: the round was
probed and stored whole, somebody evaluates, and the channel takes what is to be told.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from monitor.domain import State, Target
from monitor.jobs.thinning import THINNED
from monitor.jobs.watch import Watch
from monitor.metrics import Metrics
from monitor.rules import Backlog, Delivering
from monitor.store import Away, cycles, outbox
from monitor.wire.fetch import fetch

log = logging.getLogger(__name__)

PATIENCE_S = 10


@dataclass(frozen=True, slots=True)
class Pulse:
    """How the chain stands; None is well. `seeing`: until evaluated; `telling`: delivery."""

    seeing: str | None
    telling: str | None


async def beat(watch: Watch, metrics: Metrics, target: Target, slot: datetime) -> bool:
    """Note the cycle of a round and tell the switch if all is well; True when it was told.

    Never raises for trouble and holds nobody up: it runs after the round and beside the rest.
    """
    pulse = await _felt(watch, target, slot)
    if pulse.seeing is None:
        metrics.cycle(target.name, watch.now())
    url = watch.settings.environment.heartbeat_url
    why = pulse.seeing or pulse.telling
    if why is not None:
        if url is not None:
            log.warning("heartbeat withheld", extra={"target": target.name, "why": why})
        return False
    if url is None:
        return False
    reply = await fetch(url.get_secret_value(), headers={}, timeout_s=PATIENCE_S)
    taken = reply.trouble is None and reply.status is not None and 200 <= reply.status < 300
    if taken:
        metrics.succeeded("heartbeat", watch.now())
    else:
        log.warning("heartbeat not taken", extra={"status": reply.status, "why": reply.trouble})
    return taken


async def _felt(watch: Watch, target: Target, slot: datetime) -> Pulse:
    try:
        async with watch.database.begin() as connection:
            rounds = await cycles.rounds(
                connection, target.name, watch.region, at=(slot - target.every, slot)
            )
            evaluated = await cycles.evaluated(connection)
            found = await outbox.backlog(connection, watch.notifier.channel)
    except Away as away:
        return Pulse(f"the database is away: {away}", None)
    backlog = Backlog(channel=watch.notifier.channel, **found._asdict())
    return Pulse(
        seeing(rounds, slot=slot, worker=watch.worker, evaluated=evaluated,
               spooled=len(watch.spool)),
        telling(backlog, _rule(watch), watch.now()),
    )  # fmt: skip


def seeing(
    rounds: Sequence[cycles.Round], *, slot: datetime, worker: str, evaluated: bool, spooled: int
) -> str | None:
    """What is wrong with the way from probe to verdict; None if nothing is.

    A round another worker asks may still run: the one before it has to be whole then.
    """
    own = next((item for item in rounds if item.slot == slot), None)
    if own is None:
        return "nobody claimed the round"
    judged = own if own.worker == worker or own.finished else _before(rounds, slot)
    if judged is None or not judged.finished:
        return "the round was not finished"
    if judged.missed not in (None, THINNED):
        return f"the round was not asked whole: {judged.missed}"
    if spooled:
        return f"{spooled} observations wait for the database"
    return None if evaluated else "nobody evaluates"


def telling(backlog: Backlog, rule: Delivering, now: datetime) -> str | None:
    """What is wrong with delivery, in the words of its rule; None if nothing is."""
    verdict = rule.judge(backlog, None, now)
    return verdict.because if verdict.state is State.BREACH else None


def _before(rounds: Sequence[cycles.Round], slot: datetime) -> cycles.Round | None:
    return next((item for item in rounds if item.slot < slot), None)


def _rule(watch: Watch) -> Delivering:
    rule = watch.settings.rules.get("delivery")
    return rule if isinstance(rule, Delivering) else Delivering()

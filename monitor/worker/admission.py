"""Which rounds this worker is to probe, and what it knows and may spend before each probe.

Everything is read and written for a batch of rounds. Source: docs/adr/0022-batches.md
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from monitor.domain import Query, Target
from monitor.identity import IdentityContext
from monitor.probing.http_message import LONGEST_WAIT_S
from monitor.storage import (
    DatabaseBusy,
    DatabaseUnavailable,
    ProcessStopped,
    leases,
    limit_statements,
    short_waits,
)
from monitor.storage.leases import RoundEnd, RoundSlot
from monitor.worker import identity_memory, probe_throttling
from monitor.worker.context import WorkerContext, midnight_of

TAKEN = "another worker runs it"
BACKING_OFF = "the service is rate limiting (HTTP 429): waiting as its Retry-After demands"
BEFORE_S = 5  # how long a database may take before a probe; after that the probe goes without it
PATIENCE_S = 3  # the same, when it has been silent: a slot is probed twice without need
LONGEST_BACK_OFF = timedelta(seconds=LONGEST_WAIT_S)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AdmittedRound:
    """A round that this worker probes: its queries, and what was known when it was claimed.

    `known` None: to be read before the first probe.
    """

    target: Target
    slot: datetime
    queries: Sequence[Query]
    known: IdentityContext | None = None

    @property
    def key(self) -> RoundSlot:
        return RoundSlot(self.target.name, self.slot)

    def end(self, missed: str | None = None) -> RoundEnd:
        """Its end, as it is stored."""
        return RoundEnd(self.target.name, self.slot, missed)


async def admit(
    context: WorkerContext,
    due: Sequence[tuple[Target, datetime]],
    *,
    unsure: Collection[RoundSlot] = (),
) -> Sequence[AdmittedRound]:
    """Claim the rounds that are due together; returns those that this worker is to probe.

    `unsure`: the rounds of which an earlier call failed. Of those, a worker that is stopped again
    and again probes without a claim.

    Before the claim it waits until today's cost of probes is summed, which takes a while only after
    a start: two minutes at most. A worker that is stopping meanwhile claims nothing.
    A worker that was stopped within its claim delays those of the others by some seconds. Without
    the database all are probed anyway: their observations wait in the spool, and the first
    row of a slot wins when the database is back. A frozen database delays them by seconds. Raises
    DatabaseBusy: nothing is known against the server, try again.
    """
    targets = {target.name: target for target, _ in due}
    wanted = [RoundSlot(target.name, slot) for target, slot in due]
    paused = {name for name, target in targets.items() if backing_off(context, target)}
    try:
        await _complete(context)
        spent, midnight = context.state.spent, midnight_of(context.now())
        if context.state.leaving.is_set() and not spent.whole(midnight):
            return []
        claiming = _claimed(context, targets, wanted, unsure)
        found = await context.database.answered(claiming, at_least_s=PATIENCE_S)
    except DatabaseUnavailable as unavailable:
        stopped = isinstance(unavailable, ProcessStopped) and set(wanted) <= set(unsure)
        if isinstance(unavailable, DatabaseBusy) and not stopped:
            raise
        log.warning("round claim failed", extra={"count": len(due), "reason": str(unavailable)})
        return [
            AdmittedRound(target, slot, target.queries)
            for target, slot in due
            if target.name not in paused
        ]
    missed = {RoundSlot(one.target, one.slot): one.missed for one in found.ends}
    for one in wanted:
        if (reason := missed.get(one, None if one in found.claimed else TAKEN)) is not None:
            facts = {"target": one.target, "slot": one.slot, "reason": reason}
            log.log(logging.DEBUG if reason == TAKEN else logging.INFO, "round missed", extra=facts)
            context.metrics.round(one.target, whole=reason in (TAKEN, probe_throttling.THINNED))
    known = await _known(context, [targets[one.target] for one in found.queries])
    return [
        AdmittedRound(targets[one.target], one.slot, queries, known.get(one.target))
        for one, queries in found.queries.items()
    ]


class ClaimedRounds(NamedTuple):
    """`queries`: of the claimed rounds that are probed. `ends`: of those that are not."""

    claimed: Collection[RoundSlot]
    queries: Mapping[RoundSlot, Sequence[Query]]
    ends: Sequence[RoundEnd]


async def _claimed(
    context: WorkerContext,
    targets: Mapping[str, Target],
    wanted: Sequence[RoundSlot],
    unsure: Collection[RoundSlot],
) -> ClaimedRounds:
    paused = {name for name, target in targets.items() if backing_off(context, target)}
    with short_waits():
        async with context.database.begin(deadline_s=BEFORE_S) as connection:
            await limit_statements(connection, lock_s=1, statement_s=4, idle_s=3)
            ours = {"region": context.region, "worker": context.worker}
            claimed = await leases.claim(connection, wanted, **ours, unsure=unsure)
            asked = [one for one in wanted if one in claimed and one.target not in paused]
            queries = await probe_throttling.queries_of_rounds(
                connection, context, [(targets[one.target], one.slot) for one in asked]
            )
            ends = [RoundEnd(*one, BACKING_OFF) for one in claimed if one.target in paused]
            ends += [RoundEnd(*one, probe_throttling.THINNED) for one in asked if not queries[one]]
            await leases.finish(connection, ends, **ours)
    return ClaimedRounds(claimed, {one: queries[one] for one in asked if queries[one]}, ends)


def backing_off(context: WorkerContext, target: Target) -> bool:
    """Whether an HTTP 429 asked us to wait. An end later than the longest wait is a clock error."""
    until = context.state.backoff_until.get(target.name)
    return until is not None and timedelta(0) < until - context.now() <= LONGEST_BACK_OFF


async def before_probe(
    context: WorkerContext, target: Target
) -> tuple[str | None, IdentityContext]:
    """Why no further probe may be paid for today, if so; and what is known about the target.

    The previous answer counts for this probe. While the database is away, nothing is known about
    the target.
    """
    with suppress(DatabaseUnavailable):  # a busy one is asked again: only one that is away is left
        await _complete(context)
    known = await _known(context, [target], within_s=context.batch_s(target.every) / 2)
    return budget_used_up(context), known.get(target.name, IdentityContext())


async def _known(
    context: WorkerContext, targets: Sequence[Target], *, within_s: float = 0.0
) -> Mapping[str, IdentityContext]:
    """What the database knows about these targets, by name, read together with other rounds'.

    Also reads today's cost of probes. Empty while the database is unavailable.
    """
    if not targets:
        return {}
    reading = context.state.reads.handled(partial(_read_known, context), targets, within_s=within_s)
    try:
        return await context.database.answered(reading)
    except DatabaseUnavailable as unavailable:
        return _unknown(targets, unavailable)


def _unknown(
    targets: Iterable[Target], unavailable: DatabaseUnavailable
) -> Mapping[str, IdentityContext]:
    facts = {"targets": sorted(target.name for target in targets), "reason": str(unavailable)}
    log.warning("identity history skipped", extra=facts)
    return {}


async def _read_known(
    context: WorkerContext, targets: Sequence[Target]
) -> Mapping[str, IdentityContext]:
    each = {target.name: target for target in targets}
    try:
        with short_waits():
            return await identity_memory.load(
                context.database,
                context.state.identity,
                each.values(),
                now=context.now(),
                deadline_s=BEFORE_S,
                first=lambda connection: context.state.spent.follow(
                    connection, midnight_of(context.now())
                ),
            )
    except DatabaseUnavailable as unavailable:
        return _unknown(each.values(), unavailable)


async def _complete(context: WorkerContext) -> None:
    """Wait until today's cost of probes is summed. Raises DatabaseUnavailable: it is away."""
    state = context.state
    await state.spent.complete(context.database, lambda: midnight_of(context.now()), state.leaving)


def budget_used_up(context: WorkerContext) -> str | None:
    """Why no further probe may be paid for today, if so.

    What all workers have stored is read with each batch of rounds and before each further probe, so
    that neither a restart nor a second worker evades the budget. What this worker has not stored
    yet is added. While the database is away, its last figures count.
    """
    probes, state = context.settings.file.probes, context.state
    midnight = midnight_of(context.now())
    spent = state.spool.spent(midnight) + state.spent.known(midnight)
    if spent.high_usd >= probes.daily_budget_usd or spent.count >= probes.max_per_day:
        return "the daily probe budget is used up"
    return None

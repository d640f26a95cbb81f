"""Thinning out: while a fallback is known, only as many probes as needed to see its end.

A fallback may cost many times as much as the expected model, and so may the probes that observe it.
Once it is announced, nothing is news until it ends. The rest of the day's budget is spread over the
rest of the day: rounds are left out, then rounds have a single query, until an answer comes from
the expected model again. No rule treats these gaps as missing data.

Source: docs/prices.md#thinning-out
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from monitor.domain import Identity, Query, Sample, Target
from monitor.rules import FallbackRule, ModelChangedRule, NoDataRule, rule_of
from monitor.rules.window import MISSED, PATIENCE
from monitor.storage import Connection, incident_rows, observations
from monitor.storage.leases import RoundSlot
from monitor.worker.context import WorkerContext, midnight_of

THINNED = "thinned out"
CHANGES = (FallbackRule.name, ModelChangedRule.name)  # another model answers, and may cost more
RECENT = timedelta(hours=1)  # the span whose answers count
SHORTEST = timedelta(minutes=1)  # a shorter interval means that news matters more than money
_LATEST = 200
_DAY = timedelta(days=1)
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00Z")


@dataclass(frozen=True, slots=True)
class ProbePace:
    """One round of `one_of` is asked; `lean`: with one query instead of all."""

    one_of: int = 1
    lean: bool = False


def pace(
    target: Target,
    latest: Sequence[Sample],
    *,
    wait_s: timedelta,
    left_usd: Decimal,
    left: timedelta,
) -> ProbePace:
    """The densest pace for which the rest of the day's budget is enough.

    `latest`: the samples of the last hour. `patience`: the silence that counts as missing data; one
    interval of it is kept free. If even the sparsest pace costs more, it is that one.
    """
    paid = [
        s.cost_ends[1]
        for s in latest
        if s.cost_ends is not None and (s.identity.fallback or s.cost_usd is None)
    ]
    if target.every < SHORTEST or not paid or not _fell(latest):
        return ProbePace()
    answer = sum(paid, Decimal(0)) / len(paid)
    whole = len(target.queries)
    sparsest = max(1, wait_s // target.every - 1)
    for queries in (whole, 1):
        for one_of in range(1, sparsest + 1):
            rounds = max(1, left // (target.every * one_of))
            if answer * rounds * queries <= left_usd:
                return ProbePace(one_of, lean=queries < whole)
    return ProbePace(sparsest, lean=whole > 1)


def _fell(latest: Sequence[Sample]) -> bool:
    """Whether the newest round fell back or changed. After any other round nothing is left out."""
    newest = max(sample.round for sample in latest)
    return any(
        sample.identity.fallback or sample.identity is Identity.CHANGED
        for sample in latest
        if sample.round == newest
    )


def allowed_silence(target: Target, rule: NoDataRule | None) -> timedelta:
    """The silence that rules accept: `no_data`'s, or a gap in the window."""
    gap = max(MISSED * target.every, PATIENCE)
    if rule is None:
        return gap
    return min(gap, max(rule.intervals * target.every, timedelta(seconds=rule.least_s)))


async def queries_of_rounds(
    connection: Connection, context: WorkerContext, rounds: Collection[tuple[Target, datetime]]
) -> Mapping[RoundSlot, Sequence[Query]]:
    """The queries of each round; none: it is left out.

    Every worker and region leaves out the same rounds.
    """
    chosen = {RoundSlot(target.name, slot): target.queries for target, slot in rounds}
    rules, probes = context.settings.rules, context.settings.file.probes
    if not chosen or not probes.thin_out or not rule_of(rules, FallbackRule):
        return chosen
    fallen = await incident_rows.open_scopes(connection, CHANGES)
    thinned = [
        (target, slot)
        for target, slot in rounds
        if target.name in fallen and target.every >= SHORTEST
    ]
    if not thinned:
        return chosen
    now = context.now()
    midnight, spent = midnight_of(now), context.state.spent
    # From memory: a claim does not wait for another task's read. Not summed: nothing may be left.
    left_usd = probes.daily_budget_usd - spent.known(midnight).high_usd
    if not spent.whole(midnight):
        left_usd = Decimal(0)
    for target, slot in thinned:
        latest = await observations.samples(
            connection, target.name, since=now - RECENT, until=now, most=_LATEST
        )
        at_pace = pace(
            target,
            latest,
            wait_s=allowed_silence(target, rule_of(rules, NoDataRule)),
            left_usd=max(Decimal(0), left_usd) / len(fallen),
            left=_DAY - (now - _EPOCH) % _DAY,
        )
        nth, rest = divmod((slot - _EPOCH) // target.every, at_pace.one_of)
        if rest:
            chosen[RoundSlot(target.name, slot)] = ()
        elif at_pace.lean:
            chosen[RoundSlot(target.name, slot)] = (turn(target, latest, nth),)
    return chosen


def turn(target: Target, latest: Sequence[Sample], nth: int) -> Query:
    """The query of a round with one query, among those whose answers identify the model."""
    notifying = {sample.query for sample in latest if sample.identity.fallback is not None}
    queries = [query for query in target.queries if query.id in notifying] or target.queries
    return queries[nth % len(queries)]

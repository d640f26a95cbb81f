"""Thinning out: fewer rounds while a fallback is known, as many as its end is to be seen by.

A fallback may cost many times what the expected model costs, and the probes that see it pay
for it. Once it was told nothing is news until it ends: rounds may be left out until one is
answered as expected, if the end is told within an hour all the same, and if no rule takes
their absence for silence.

Source: docs/prices.md#thinning-out
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil

from monitor.domain import Incident, Sample, Target
from monitor.jobs.watch import Watch
from monitor.rules import Fallback, NoData
from monitor.rules.evidence import credible_low, divergence
from monitor.rules.windows import MISSED, PATIENCE
from monitor.store import Connection, incidents, observations

THINNED = "thinned out"
RECOVERY = timedelta(hours=1)  # within it the end of a fallback is told
SHORTEST = timedelta(minutes=1)  # who asks more often wants news more than money
_LATEST = 200
_DAY = timedelta(days=1)
_NEARLY_ALL = 0.95  # no fallback is taken to be more certain
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00Z")


def one_of(
    target: Target, latest: Sequence[Sample], *, needed: int, patience: timedelta, budget: Decimal
) -> int:
    """Of how many rounds one is asked; 1: each.

    `latest`: the samples of the last hour. `needed`: known answers that prove the end.
    `patience`: the silence that is taken for blindness; one interval of it is kept free. Rounds
    thin out only where the fallback's answers, all day long, would cost more than `budget`.
    """
    rounds = len({sample.round for sample in latest})
    known = sum(sample.identity.fallback is not None for sample in latest)
    paid = [s.cost_usd for s in latest if s.identity.fallback and s.cost_usd is not None]
    if target.every < SHORTEST or not paid or not _fell(latest):
        return 1
    a_round = sum(paid, Decimal(0)) / len(paid) * len(target.queries)
    if a_round * (_DAY // target.every) <= budget:
        return 1
    by_recovery = RECOVERY // target.every - ceil(needed * rounds / known)
    by_silence = patience // target.every - 1
    return max(1, min(by_recovery, by_silence))


def _fell(latest: Sequence[Sample]) -> bool:
    """Whether the newest round fell back. One that did not, or says nothing, is no time to wait."""
    newest = max(sample.round for sample in latest)
    return any(sample.identity.fallback for sample in latest if sample.round == newest)


def needed(rule: Fallback, share: float) -> int:
    """Known answers of the expected model that prove a fallback of that share over."""
    if rule.mode == "immediate":
        return 1
    if rule.mode == "share":
        return rule.of
    low = min(max(credible_low(share * rule.of, rule.of), 1.5 * rule.limit), _NEARLY_ALL)
    return max(rule.answers_to_resolve, ceil(rule.evidence_to_resolve / divergence(0.0, low)))


def patience(target: Target, rule: NoData | None) -> timedelta:
    """The silence that rules take for blindness: `no_data`'s, or a gap in the window."""
    gap = max(MISSED * target.every, PATIENCE)
    if rule is None:
        return gap
    return min(gap, max(rule.intervals * target.every, timedelta(seconds=rule.least_s)))


async def thinned(connection: Connection, watch: Watch, target: Target, slot: datetime) -> bool:
    """Whether the round of this slot is left out. Every worker and region leaves out the same."""
    rule = watch.settings.rules.get("fallback")
    probes = watch.settings.file.probes
    if not probes.thin_out or not isinstance(rule, Fallback) or target.every < SHORTEST:
        return False
    fallen = await _open(connection, target)
    if fallen is None:
        return False
    latest = await observations.samples(
        connection, target.name, since=watch.now() - RECOVERY, most=_LATEST
    )
    silence = watch.settings.rules.get("no_data")
    asked = one_of(
        target,
        latest,
        needed=needed(rule, float(fallen.value or 1)),
        patience=patience(target, silence if isinstance(silence, NoData) else None),
        budget=probes.daily_budget_usd,
    )
    return (slot - _EPOCH) // target.every % asked != 0


async def _open(connection: Connection, target: Target) -> Incident | None:
    """The open incident of the target's fallback."""
    key = Fallback.name, target.name
    standing = await incidents.standing(connection)
    return next((item for item in standing if item.key == key and item.open), None)

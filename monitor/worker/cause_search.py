"""Gathers what is stored around the start of an incident, for its likely cause."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby, pairwise

from monitor.accounts.openrouter import OpenRouterAccount
from monitor.domain import CostSource, Incident, Target, Verdict
from monitor.pricing.price_change import changed_rates, changes_text
from monitor.rules import RULES, Unit, Window
from monitor.rules.cause_sources import BEFORE, DURING, CauseSources, PriceChange
from monitor.rules.likely_cause import (
    CauseKey,
    KnownCause,
    KnownCauses,
    LikelyCause,
    likely_cause,
)
from monitor.rules.likely_cause import explained as with_cause
from monitor.storage import (
    Connection,
    account_readings,
    answer_routes,
    provider_models,
)
from monitor.worker.model_polling import PROVIDER, declared_by, model_of

KEYS = (OpenRouterAccount.name,)  # the accounts whose key is the one that the service uses


SETTLED = timedelta(hours=2)  # after the start: records of its answers are complete
AGAIN = timedelta(minutes=5)  # until then it is searched again that often


def remembered(
    verdict: Verdict,
    target: Target,
    latest_incident: Incident | None,
    now: datetime,
    *,
    known: KnownCauses,
) -> Verdict | None:
    """A breach with the likely cause that is known, unless it is time to search; then None.

    Unchanged if its rule looks for no cause.
    """
    if not RULES[verdict.rule].likely_cause:
        return verdict
    if latest_incident is None or not latest_incident.open:
        return None
    begun = begun_at(verdict, latest_incident, now)
    before = known.get(CauseKey(target.name, verdict.rule, verdict.query, begun))
    if before is None or (now < begun + SETTLED and now - before.at >= AGAIN):
        return None
    return with_cause(verdict, before.found)


async def explained(
    connection: Connection,
    verdict: Verdict,
    window: Window,
    target: Target,
    latest_incident: Incident | None,
    now: datetime,
    *,
    known: KnownCauses,
) -> Verdict:
    """A breach with its likely cause, if its rule looks for one.

    `known`: the causes of open incidents. A cause once found stays until another one is found.
    """
    same = remembered(verdict, target, latest_incident, now, known=known)
    if same is not None:
        return same
    begun = begun_at(verdict, latest_incident, now)
    found = await _found(connection, verdict, window, target, begun)
    if latest_incident is None or not latest_incident.open:
        return with_cause(verdict, found)
    key = CauseKey(target.name, verdict.rule, verdict.query, begun)
    before = known.get(key)
    known[key] = KnownCause(found or (before.found if before else None), now)
    return with_cause(verdict, known[key].found)


async def _found(
    connection: Connection, verdict: Verdict, window: Window, target: Target, begun: datetime
) -> LikelyCause | None:
    since, until = begun - BEFORE, begun + DURING
    model = model_of(target)
    limit = verdict.limit if RULES[verdict.rule].unit is Unit.MILLISECONDS else None
    log = window.log
    sources = CauseSources(
        begun=begun,
        model=model,
        limit_ms=None if limit is None else float(limit),
        samples=window.samples[log.before(since) - log.first : log.before(until) - log.first],
        routes=await answer_routes.routes(connection, target.name, since=begun, until=until),
        accounts=await account_readings.around(connection, KEYS, since=since, until=until),
        pages=await account_readings.changes(connection, target.name, since=since),
        configurations=await answer_routes.configurations(
            connection, target.name, since=since, until=until
        ),
        listings=await provider_models.listings(connection, model, until=until) if model else (),
        prices=await _prices(connection, target, since=since, until=until),
        charged={source for *_, source in window.histories.usage} == {CostSource.PROVIDER},
        statistics=await provider_models.statistics(connection, model, since=since, until=until)
        if model
        else (),
    )
    return likely_cause(verdict, sources)


async def _prices(
    connection: Connection, target: Target, *, since: datetime, until: datetime
) -> Sequence[PriceChange]:
    """The changes of list prices of the models that the target declares."""
    models, expected = declared_by(target), {*target.expected_models, target.model}
    stored = await provider_models.stored_listings(connection, PROVIDER)
    priced = (one for one in stored if one.model in models and one.listed_as and one.rates)
    found = []
    for model, listings in groupby(priced, key=lambda one: one.model):
        for before, after in pairwise(listings):
            changes = changed_rates(before.rates, after.rates)
            if not changes or not since <= after.at <= until:
                continue
            rises = {(new or 0) > (old or 0) for old, new in changes.values()}
            found.append(
                PriceChange(
                    model=model,
                    at=after.at,
                    before_at=before.checked_at,
                    expected=model in expected,
                    more_expensive=rises.pop() if len(rises) == 1 else None,
                    text=changes_text(changes),
                )
            )
    return found


def begun_at(verdict: Verdict, latest_incident: Incident | None, now: datetime) -> datetime:
    """Start of the first bad row of the breach."""
    if latest_incident is not None and latest_incident.open:
        return latest_incident.breach_since
    return verdict.since or now

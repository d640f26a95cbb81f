"""Gathers what is stored around the start of an incident, for its likely cause."""

from datetime import datetime, timedelta

from monitor.accounts.openrouter import OpenRouterAccount
from monitor.domain import Incident, Target, Verdict, VerdictState
from monitor.rules import RULES, Unit, Window
from monitor.rules.cause_signs import BEFORE, DURING
from monitor.rules.cause_sources import CauseSources
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
    observations,
    provider_models,
)
from monitor.worker.model_polling import model_of

KEYS = (OpenRouterAccount.name,)  # the accounts whose key is the one that the service uses


SETTLED = timedelta(hours=2)  # after the start: records of its answers are complete
AGAIN = timedelta(minutes=5)  # until then it is searched again that often


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
    """A breach with its likely cause, if its rule looks for one; any other verdict unchanged.

    `known`: the causes of open incidents. A cause once found stays until another one is found.
    """
    if verdict.state is not VerdictState.BREACH or not RULES[verdict.rule].likely_cause:
        return verdict
    begun = begun_at(verdict, latest_incident, now)
    if latest_incident is None or not latest_incident.open:
        return with_cause(verdict, await _found(connection, verdict, window, target, begun))
    key = CauseKey(target.name, verdict.rule, verdict.query, latest_incident.opened_at)
    before = known.get(key)
    if before is None or (now < begun + SETTLED and now - before.at >= AGAIN):
        found = await _found(connection, verdict, window, target, begun)
        before = known[key] = KnownCause(found or (before.found if before else None), now)
    return with_cause(verdict, before.found)


async def _found(
    connection: Connection, verdict: Verdict, window: Window, target: Target, begun: datetime
) -> LikelyCause | None:
    since, until = begun - BEFORE, begun + DURING
    model = model_of(target)
    limit = verdict.limit if RULES[verdict.rule].unit is Unit.MILLISECONDS else None
    log = window.log
    in_force = await observations.configurations(connection, target.name, since=since, until=until)
    sources = CauseSources(
        begun=begun,
        model=model,
        limit_ms=None if limit is None else float(limit),
        samples=window.samples[log.before(since) - log.first : log.before(until) - log.first],
        routes=await answer_routes.routes(connection, target.name, since=begun, until=until),
        accounts=await account_readings.around(connection, KEYS, since=since, until=until),
        pages=await account_readings.changes(connection, target.name, since=since),
        configurations=in_force[1:],
        listings=await provider_models.listings(connection, model, until=until) if model else (),
        statistics=await provider_models.statistics(connection, model, since=since, until=until)
        if model
        else (),
    )
    return likely_cause(verdict, sources)


def begun_at(verdict: Verdict, latest_incident: Incident | None, now: datetime) -> datetime:
    """Start of the first bad row of the breach."""
    if latest_incident is not None and latest_incident.open:
        return latest_incident.breach_since
    return verdict.since or now

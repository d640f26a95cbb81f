"""Incidents nobody judges any more: what they are about left the configuration."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from monitor.domain import Incident, Verdict, VerdictState

ABANDONED = timedelta(hours=1)  # no deployment has two configurations side by side for so long
REMOVED_ACCOUNT = timedelta(minutes=5)  # a key or channel: one worker at a time reads and tells

_WHAT = {"key": "Provider key", "delivery": "Channel"}  # of other rules the scope is a target


def abandoned(
    latest_incident: Iterable[Incident],
    *,
    rules: Collection[str],
    scopes: Mapping[str, Collection[str]],
    now: datetime,
) -> Iterator[Verdict]:
    """The end of each open incident that no verdict will ever reach, and why.

    `scopes`: of each rule that judges something configured, the names in the configuration:
    targets (`target/query` where each query is judged), providers, channels. Whether all is
    well again is not known, and not said.
    """
    for incident in latest_incident:
        if not incident.open:
            continue
        what, span = _WHAT.get(incident.rule, "Target"), ABANDONED
        if incident.rule not in rules:
            reason = f"Rule {incident.rule} is switched off"
        elif incident.rule in scopes and incident.key[1] not in scopes[incident.rule]:
            reason = _removed(incident, what, scopes[incident.rule])
            span = REMOVED_ACCOUNT if incident.rule in _WHAT else ABANDONED
        else:
            continue
        if now - incident.last_breach_at < span:
            continue
        yield Verdict(
            rule=incident.rule,
            scope=incident.scope,
            state=VerdictState.OK,
            value=incident.value,
            limit=incident.limit,
            because=f"{reason}; closed without a final check.",
            query=incident.query,
            literal=True,
        )


def _removed(incident: Incident, what: str, scopes: Collection[str]) -> str:
    if incident.query and incident.scope in scopes:
        return "Mode immediate is switched off"
    if any(scope.startswith(f"{incident.scope}/") for scope in scopes):
        if not incident.query:
            return "Mode immediate judges each query by itself"
        what = "Query"
    return f"{what} removed from the configuration"

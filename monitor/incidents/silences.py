"""Silences: mutes by a person, and recurring maintenance windows."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from monitor.domain import ALL, Finding, Incident, Subject, Verdict, VerdictState
from monitor.incidents.inhibitions import RuleRelations

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_WEEK: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """A silence for a reason, until an instant. `all` stands for every rule or every scope."""

    until: datetime
    reason: str
    rule: str = ALL
    scope: str = ALL

    def covers(self, rule: str, scope: str, *, now: datetime) -> bool:
        meant = self.rule in (ALL, rule) and self.scope in (ALL, scope)
        return meant and now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceWindow:
    """A window that repeats on `days`, in the local time of a zone.

    A window whose end is not after its start lasts into the next day.
    """

    days: tuple[Weekday, ...]
    start: time
    end: time
    timezone: str = "UTC"
    reason: str = "maintenance"
    rule: str = ALL
    scope: str = ALL

    def covers(self, rule: str, scope: str, *, now: datetime) -> bool:
        meant = self.rule in (ALL, rule) and self.scope in (ALL, scope)
        return meant and self._within(now)

    def _within(self, now: datetime) -> bool:
        local = now.astimezone(ZoneInfo(self.timezone))
        clock = local.time()
        today, yesterday = (
            _WEEK[(local - timedelta(days=ago)).weekday()] in self.days for ago in (0, 1)
        )
        if self.start < self.end:
            return today and self.start <= clock < self.end
        return (today and clock >= self.start) or (yesterday and clock < self.end)


Silence = Iterable[Mute | MaintenanceWindow]


def is_silenced(silence: Silence, rule: str, scope: str, *, now: datetime) -> bool:
    """Whether a rule and scope are silenced now."""
    return any(one.covers(rule, scope, now=now) for one in silence)


# Open incidents whose rule or target was removed from the configuration.


# after this time no worker with an older configuration can still be running
ABANDONED = timedelta(hours=1)
REMOVED_ACCOUNT = timedelta(minutes=5)  # provider or channel: one worker at a time reads and sends

_WHAT = {Subject.PROVIDER: "Provider key", Subject.CHANNEL: "Channel"}  # other rules: a target


def abandoned(
    latest_incident: Iterable[Incident],
    *,
    rules: Mapping[str, RuleRelations],
    scopes: Mapping[str, Collection[str]],
    now: datetime,
) -> Iterator[Verdict]:
    """The end of each open incident that will not get another verdict, with the reason.

    `rules`: the rules that are on. `scopes`: for each rule with configured subjects, their names:
    targets (`target/query` if each query is judged), providers or channels. The verdict does not
    claim a recovery.
    """
    for incident in latest_incident:
        if not incident.open:
            continue
        rule, span = rules.get(incident.rule), ABANDONED
        if rule is None:
            reason = f"Rule {incident.rule} is switched off"
        elif incident.rule in scopes and incident.key[1] not in scopes[incident.rule]:
            what = _WHAT.get(rule.subject, "Target")
            reason = _removed(incident, what, scopes[incident.rule])
            span = REMOVED_ACCOUNT if rule.subject in _WHAT else ABANDONED
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
            since=incident.until or incident.last_breach_at,
            finding=Finding(extent=f"{reason}; closed without a final check"),
        )


def _removed(incident: Incident, what: str, scopes: Collection[str]) -> str:
    if incident.query and incident.scope in scopes:
        return "Mode immediate is switched off"
    if any(scope.startswith(f"{incident.scope}/") for scope in scopes):
        if not incident.query:
            return "Mode immediate judges each query by itself"
        what = "Query"
    return f"{what} removed from the configuration"

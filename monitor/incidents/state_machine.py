"""The state machine of one incident. One `match` covers every cell; each has a test."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from monitor.domain import (
    UNJUDGED,
    Incident,
    NoticeStatus,
    Verdict,
    VerdictState,
    instant,
)

MOST_BREACHES = 50  # earlier breaches of an incident whose times are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class ReminderPolicy:
    """When the same problem is reported again.

    A breach within `taken_up_within` of the end of an incident reopens it. It must then be free of
    breaches for longer before it ends: `calm` after the first return, twice as long after each
    further one, at most `calm_at_most`. So an incident that comes and goes all day is reported
    about twenty times at most.
    """

    remind_after: timedelta = timedelta(hours=4)
    remind_every: timedelta = timedelta(days=1)
    taken_up_within: timedelta = timedelta(hours=1)
    calm: timedelta = timedelta(minutes=15)
    calm_at_most: timedelta = timedelta(hours=4)
    lingering: timedelta = timedelta(
        minutes=30
    )  # before an incident that outlasts its cause is reported alone
    # Targets that cannot be reached for the same reason within this time after a message about one
    # of them are one further message.
    gathering: timedelta = timedelta(minutes=5)

    def calm_needed(self, incident: Incident) -> timedelta:
        """How long the incident must be free of breaches before it ends."""
        if incident.reopenings == 0:
            return timedelta(0)
        doubled = self.calm * (1 << min(incident.reopenings - 1, 16))
        return min(doubled, self.calm_at_most)


class IncidentChange(StrEnum):
    OPENED = "opened"
    REOPENED = "reopened"  # the same incident reopens
    SEEN = "seen"  # still in breach
    GREW = "grew"  # still in breach, to be reported again because the value has doubled
    RECOVERING = "recovering"  # no longer in breach, but the recovery is not yet certain
    RESOLVED = "resolved"
    REMINDED = "reminded"
    NONE = "none"


def advance(
    current: Incident | None, verdict: Verdict, *, policy: ReminderPolicy, now: datetime
) -> tuple[Incident | None, IncidentChange]:
    """The new state of the latest incident of a rule and scope, and what changed."""
    match current, verdict.state:
        case None, VerdictState.BREACH:
            return _opened(verdict, now), IncidentChange.OPENED
        case Incident(resolved_at=None, once=once), VerdictState.BREACH:
            change = IncidentChange.SEEN if verdict.once in (None, once) else IncidentChange.GREW
            return _seen(current, verdict, now=now), change
        case Incident(resolved_at=None), VerdictState.OK if _calm(
            current, verdict, policy=policy, now=now
        ):
            return _resolved(current, verdict, now=now), IncidentChange.RESOLVED
        case Incident(resolved_at=None), (VerdictState.OK | VerdictState.HOLD) if _recovered(
            verdict
        ):
            change = IncidentChange.RECOVERING if current.in_breach else IncidentChange.SEEN
            return _recovering(current, verdict, now=now), change
        case Incident(once=str(once)), VerdictState.BREACH if once == verdict.once:
            return current, IncidentChange.NONE  # reported earlier, and over
        case Incident(), VerdictState.BREACH if _goes_on(current, verdict, policy=policy, now=now):
            return _reopened(current, verdict, now=now), IncidentChange.REOPENED
        case Incident(), VerdictState.BREACH:
            return _opened(verdict, now), IncidentChange.OPENED
        case _:
            return current, IncidentChange.NONE


def _calm(incident: Incident, verdict: Verdict, *, policy: ReminderPolicy, now: datetime) -> bool:
    return verdict.literal or now - incident.last_breach_at >= policy.calm_needed(incident)


def _recovered(verdict: Verdict) -> str:
    """The recovery in a sentence; empty if the rule does not state one."""
    return verdict.recovered or (
        "Within the limit again" if verdict.state is VerdictState.OK else ""
    )


def _goes_on(
    incident: Incident, verdict: Verdict, *, policy: ReminderPolicy, now: datetime
) -> bool:
    # its end was not sent, so the channel still shows it as open
    if incident.told is NoticeStatus.FIRING:
        return True
    once_or_literal = verdict.literal or verdict.once is not None
    return not once_or_literal and now - incident.turned_at <= policy.taken_up_within


def _since(verdict: Verdict, now: datetime) -> datetime:
    """Start of the breach; never later than its judgement, even if a row's clock is wrong."""
    return min(verdict.since or now, now)


def _until(incident: Incident, at: datetime | None, now: datetime) -> datetime:
    """End of the breach; if no instant after its start is known, when it was judged."""
    if at is None or not incident.breach_since < at < now:
        at = now
    return max(at, incident.breach_since)


def _opened(verdict: Verdict, now: datetime) -> Incident:
    return Incident(
        rule=verdict.rule,
        scope=verdict.scope,
        opened_at=now,
        last_breach_at=now,
        last_told_at=now,
        value=verdict.value,
        limit=verdict.limit,
        because=verdict.because,
        peak=verdict.value,
        opening_value=verdict.value,
        rows=verdict.rows,
        facts=verdict.facts,
        once=verdict.once,
        query=verdict.query,
        told=None,
        first_seen_at=_since(verdict, now),
        since=_since(verdict, now),
        opening_because=verdict.because,
        finding=verdict.finding,
    )


def _seen(incident: Incident, verdict: Verdict, *, now: datetime) -> Incident:
    """Still or again in breach. A breach that began after a recovery has its own start.

    If the rule gives an earlier start, it is not certain that the earlier breach was over.
    """
    recovered, since = incident.recovering_since, verdict.since
    returned = recovered is not None and since is not None and since > recovered
    values = [value for value in (incident.peak, verdict.value) if value is not None]
    return replace(
        incident,
        last_breach_at=now,
        value=verdict.value,
        limit=verdict.limit,
        because=verdict.because,
        peak=max(values, key=float, default=None),
        rows=verdict.rows or incident.rows,
        facts=verdict.facts or incident.facts,
        # the cause and the first step of an earlier breach are not those of its return
        finding=verdict.finding
        if verdict.finding.what and (returned or not incident.open)
        else incident.finding.updated(verdict.finding),
        once=verdict.once or incident.once,
        since=_since(verdict, now) if returned else incident.since,
        until=None,
        earlier_breaches=_breaches(incident) if returned else incident.earlier_breaches,
        recovering_since=None,
        recovering_reason=None,
    )


def _breaches(incident: Incident) -> tuple[tuple[datetime, datetime], ...]:
    """The breaches before a return."""
    ended = incident.until or incident.last_breach_at  # an earlier version stored no end
    latest = (incident.breach_since, max(incident.breach_since, ended))
    return (*incident.earlier_breaches[1 - MOST_BREACHES :], latest)


def _recovering(incident: Incident, verdict: Verdict, *, now: datetime) -> Incident:
    """Open but not in breach: the sentence of the breach is kept beside that of the recovery."""
    since = min(verdict.since or incident.recovering_since or now, now)
    reason = f"{_recovered(verdict)} since {instant(since, now=now)}: {verdict.because}"
    return replace(
        incident,
        value=verdict.value,
        until=None if verdict.recovered == UNJUDGED else _until(incident, since, now),
        recovering_since=since,
        recovering_reason=reason,
    )


def _reopened(incident: Incident, verdict: Verdict, *, now: datetime) -> Incident:
    return replace(
        _seen(incident, verdict, now=now),
        resolved_at=None,
        ended=None,
        reopened_at=now,
        reopenings=incident.reopenings + 1,
        earlier_breaches=_breaches(incident),
        opening_value=verdict.value,
        since=_since(verdict, now),
        opening_because=verdict.because,
    )


def _resolved(incident: Incident, verdict: Verdict, *, now: datetime) -> Incident:
    """The end. If it is stated and not measured, the verdict gives the reason itself."""
    end, finding = verdict.finding, incident.finding
    restored = end.restored if end.extent else finding.restored
    return replace(
        incident,
        resolved_at=now,
        value=verdict.value,
        ended=verdict.because,
        until=_until(incident, verdict.since or incident.until, now),
        recovering_since=None,
        recovering_reason=None,
        finding=replace(finding, extent=end.extent, restored=restored),
    )

"""One cause, one message: which incidents are told together, and who leads the telling.

A story is a leader, whose number and message it has, and the incidents that are part of it.
Every incident keeps a row of its own, so that durations are known. Source: docs/alerts.md
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import NAMESPACE_OID, UUID, uuid5

from monitor.domain import ALL, Incident, Notice, NoticeStatus, Verdict, instant, lasting

Key = tuple[str, str]  # rule and scope

CAUSES: Mapping[str, frozenset[str]] = {
    "key": frozenset({"fallback", "model_changed", "ttft", "spend"}),
    "down": frozenset({"fallback", "model_changed", "ttft", "spend"}),
    "fallback": frozenset({"model_changed", "ttft"}),  # a name was found for the change
    "model_changed": frozenset({"ttft"}),
    "probe_budget": frozenset({"no_data"}),
}
_RANK = (
    "key",
    "probe_budget",
    "down",
    "fallback",
    "model_changed",
)  # causes before what follows from them


@dataclass(frozen=True, slots=True)
class IncidentGroup:
    """A leader and its parts, which are open, or over without having been told so."""

    primary: Incident
    parts: tuple[Incident, ...] = ()

    @property
    def members(self) -> tuple[Incident, ...]:
        return self.primary, *self.parts

    @property
    def number(self) -> int | None:
        """The number its messages carry; None until the database gives one."""
        return self.primary.announced_as or self.primary.number

    @property
    def headline(self) -> Incident:
        """Whom the message is about: the deepest cause that is true now, else one still open."""
        live = [member for member in self.members if member.in_breach]
        still = live or [member for member in self.members if member.open]
        return min(still or self.members, key=rank)

    @property
    def over(self) -> bool:
        return not any(member.open for member in self.members)


def rank(incident: Incident) -> tuple[int, datetime]:
    """Sorts causes before symptoms, then by age."""
    place = _RANK.index(incident.rule) if incident.rule in _RANK else len(_RANK)
    return place, incident.opened_at


def incident_groups(incidents: Mapping[Key, Incident]) -> list[IncidentGroup]:
    """Everything the channel believes to be going on, as it was told."""
    believed = [i for i in incidents.values() if i.told is NoticeStatus.FIRING]
    leaders = [i for i in believed if i.part_of is None]
    return [
        IncidentGroup(
            primary, tuple(sorted((i for i in believed if i.part_of == primary.key), key=rank))
        )
        for primary in leaders
    ]


def adds_nothing(incident: Incident, group: IncidentGroup) -> bool:
    """Whether people know it already: a TTFT that nobody could measure beside an outage."""
    outage = any(member.in_breach and member.rule == "down" for member in group.members)
    return outage and incident.rule == "ttft" and incident.value is None


def group_of(
    incident: Incident, notified: Iterable[IncidentGroup], *, stale: Collection[Key] = ()
) -> IncidentGroup | None:
    """The oldest story that tells of a cause or of a symptom of this incident.

    What is `stale` is related to nothing: whether it is still true is not known. What was
    announced under one number stays together: people know it by that number.
    """
    number = incident.announced_as or incident.number
    related = [
        group
        for group in notified
        if (number is not None and number == group.number)
        or any(
            i.open and i.key not in stale and (_causes(i, incident) or _causes(incident, i))
            for i in group.members
        )
    ]
    return min(related, key=lambda group: group.primary.opened_at, default=None)


def _causes(cause: Incident, symptom: Incident) -> bool:
    """A key serves every target; `spend` is over all of them."""
    near = cause.scope == symptom.scope or ALL in (cause.scope, symptom.scope)
    return symptom.rule in CAUSES.get(cause.rule, ()) and (near or cause.rule == "key")


# What is told of a story or a passing notice, in the domain's words.


def group_notice(
    group: IncidentGroup,
    status: NoticeStatus,
    *,
    now: datetime,
    quiet: bool = False,
    news: Collection[Key] = (),
) -> Notice:
    """One message for the whole story, under the number people know it by.

    `news`: the members it is sent for, where it is sent for some. Its id is derived from its
    content, so that the same news found twice is one row.
    """
    face, over = group.headline, status is NoticeStatus.RESOLVED
    worse = status is NoticeStatus.STILL_FIRING and bool(news)
    facts = dict(face.facts)
    if face.reopenings:
        facts["Reopened"] = "once" if face.reopenings == 1 else f"{face.reopenings} times"
    for member in group.members:
        if member is not face:
            facts[_label(member, face)] = _fact(member, now)
    began_at = min(member.began_at for member in group.members)
    until = max((m.resolved_at for m in group.members if m.resolved_at), default=None)
    return Notice(
        id=_id(group, status, quiet=quiet),
        status=status,
        rule=face.rule,
        scope=face.scope,
        sentence=_end(group, lasting((until or now) - began_at))
        if over
        else _now(group, news if worse else ()),
        at=now,
        number=group.number,
        value=face.value,
        limit=face.limit,
        peak=face.peak,
        since=began_at if over else face.breach_since,
        until=until if over else None,
        facts=facts,
        rows=face.rows,
        quiet=quiet,
        worse=worse,
    )


def passing_notice(verdict: Verdict, *, now: datetime) -> Notice:
    """A notice without an incident, sent once per `once`. Planned again, it has the same id."""
    return Notice(
        id=uuid5(NAMESPACE_OID, f"{verdict.rule}|{verdict.scope}|{verdict.once}"),
        status=NoticeStatus.NOTICE,
        rule=verdict.rule,
        scope=verdict.scope,
        sentence=verdict.because,
        at=now,
        value=verdict.value,
        limit=verdict.limit,
        since=verdict.since,
        facts=verdict.facts,
        rows=verdict.rows,
    )


def _end(group: IncidentGroup, lasted: str) -> str:
    """How long the incident lasted; with several parts, how long each lasted and why it ended."""
    if not group.parts:
        return f"Over after {lasted}. {group.primary.ended or ''}".strip()
    members = sorted(group.members, key=rank)
    parts = (
        f"{_label(member, group.headline)} {lasting(_lasted(member))}"
        + (f": {member.ended.rstrip('.')}" if member.ended else "")
        for member in members
    )
    return f"Over after {lasted}. {'; '.join(parts)}."


def _now(group: IncidentGroup, news: Collection[Key]) -> str:
    """The headline's reason, then what is new and what is recovering."""
    face = group.headline
    came_back = face.key in news and face.reopenings
    reported = [f"Occurred again: {face.current_reason}" if came_back else face.current_reason]
    if not face.in_breach:
        reported.append("The incident stays open until the recovery has lasted long enough.")
    for member in group.members:
        if member is face or not member.open:
            continue
        if not member.in_breach:
            reported.append(f"{_label(member, face)}: {member.current_reason}")
        elif member.key in news:
            reported.append(f"Now also {_label(member, face)}: {member.because}")
    return " ".join(reported)


def _label(member: Incident, face: Incident) -> str:
    scope = "" if member.scope == face.scope else member.scope
    return " · ".join(part for part in (member.rule, scope, member.query) if part)


def _fact(member: Incident, now: datetime) -> str:
    if member.resolved_at is None:
        since = member.breach_since
        if not member.in_breach:
            return (
                f"{member.current_reason} Breach from {instant(since, now=now)}: {member.because}"
            )
        return f"{member.because} Since {instant(since, now=now)}, {lasting(now - since)}."
    start, end = instant(member.began_at, now=now), instant(member.resolved_at, now=now)
    span = lasting(_lasted(member))
    return f"Over after {span}, {start} to {end}. {member.ended or ''}".strip()


def _lasted(member: Incident) -> timedelta:
    """From the first bad row to the end."""
    return (member.resolved_at or member.last_breach_at) - member.began_at


def _id(group: IncidentGroup, status: NoticeStatus, *, quiet: bool) -> UUID:
    members = (
        f"{'|'.join(i.key)}|{i.opened_at.isoformat()}|{i.reopenings}|{i.open}|{i.once}"
        for i in group.members
    )
    notified = f"{group.primary.reminders}|{group.primary.last_told_at.isoformat()}"  # last time
    return uuid5(NAMESPACE_OID, f"{status}|{quiet}|{notified}|{'|'.join(members)}")

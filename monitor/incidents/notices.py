"""Groups of incidents with one cause, and the notices about them.

A group has a primary incident, whose number and message it uses, and the incidents that are part of
it. Each incident keeps its own row, so that its duration is known.

Source: docs/alerts.md
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import NAMESPACE_OID, UUID, uuid5

from monitor.domain import (
    ALL,
    Incident,
    Notice,
    NoticeStatus,
    Severity,
    Verdict,
    instant,
    lasting,
    rounded_usd_text,
    span_text,
)
from monitor.incidents.inhibitions import Inhibitions

Key = tuple[str, str]  # rule and scope

_CHECK_MODEL = "then check that the expected model answers again."
_WAIT = "Nothing now. The incident ends by itself if this lasts."


@dataclass(frozen=True, slots=True)
class IncidentGroup:
    """A primary incident and its parts: open, or resolved but not yet reported as resolved."""

    primary: Incident
    parts: tuple[Incident, ...]
    inhibitions: Inhibitions

    @property
    def members(self) -> tuple[Incident, ...]:
        return self.primary, *self.parts

    @property
    def number(self) -> int | None:
        """The number in its messages; None until the database assigns one."""
        return self.primary.announced_as or self.primary.number

    @property
    def headline(self) -> Incident:
        """The incident that the message describes: deepest cause in breach, else one still open."""
        live = [member for member in self.members if member.in_breach]
        still = live or [member for member in self.members if member.open]
        return min(still or self.members, key=self.inhibitions.rank)

    @property
    def ranked(self) -> list[Incident]:
        """The members, causes first."""
        return sorted(self.members, key=self.inhibitions.rank)

    @property
    def over(self) -> bool:
        return not any(member.open for member in self.members)


def incident_groups(
    incidents: Mapping[Key, Incident], inhibitions: Inhibitions
) -> list[IncidentGroup]:
    """All groups that the channel shows as open."""
    believed = [i for i in incidents.values() if i.told is NoticeStatus.FIRING]
    leaders = [i for i in believed if i.part_of is None]
    return [
        IncidentGroup(
            primary,
            tuple(sorted((i for i in believed if i.part_of == primary.key), key=inhibitions.rank)),
            inhibitions,
        )
        for primary in leaders
    ]


def adds_nothing(incident: Incident, group: IncidentGroup) -> bool:
    """Whether the incident adds nothing new, such as an unmeasurable TTFT during an outage."""
    prevents = group.inhibitions.prevents
    return any(member.in_breach and prevents(member, incident) for member in group.members)


def group_of(
    incident: Incident,
    notified: Iterable[IncidentGroup],
    inhibitions: Inhibitions,
    *,
    stale: Collection[Key] = (),
) -> IncidentGroup | None:
    """The oldest group with a cause or a symptom of this incident.

    A `stale` incident is related to nothing, because it may be over. Incidents that were announced
    under one number stay together, because people know them by that number.
    """
    number, causes = incident.announced_as or incident.number, inhibitions.causes
    related = [
        group
        for group in notified
        if (number is not None and number == group.number)
        or any(
            i.open and i.key not in stale and (causes(i, incident) or causes(incident, i))
            for i in group.members
        )
    ]
    return min(related, key=lambda group: group.primary.opened_at, default=None)


# The text of notices about groups and about single verdicts.


def group_notice(
    group: IncidentGroup,
    status: NoticeStatus,
    *,
    now: datetime,
    quiet: bool = False,
    news: Collection[Key] = (),
    ended: Collection[Key] = (),
) -> Notice:
    """One message for the whole group, under its announced number.

    `news`: the members that the message is sent for, if only some. `ended`: members that are over
    while others continue, to be reported now. The id is derived from the content, so that the same
    news found twice is one row.
    """
    face, over = group.headline, status is NoticeStatus.RESOLVED
    worse = status is NoticeStatus.STILL_FIRING and bool(news)
    facts, finding, recovering = dict(face.facts), face.finding, ""
    if face.reopenings:
        facts["Reopened"] = "once" if face.reopenings == 1 else f"{face.reopenings} times"
    if not over and not face.in_breach:
        recovering = f"{face.current_reason} {_not_sure(face)}"
        finding = finding if face.unjudged else replace(finding, first_step=_WAIT)
    elif not over and finding.first_step and _explains_a_model(group, face):
        step = f"{finding.first_step.rstrip('.')}, {_CHECK_MODEL}"
        finding = replace(finding, first_step=step)
    for member in group.members:
        if member is not face:
            facts[_label(member, face)] = _fact(member, now)
    passing = group.inhibitions.passing(face)
    began_at = min(member.began_at for member in group.members)
    until = max((m.resolved_at for m in group.members if m.resolved_at), default=None)
    if over:
        own = _span(face, now)
        when = "" if all(_span(member, now) == own for member in group.members) else own
        finding = replace(finding, money=_surplus(face), when=when)
    return Notice(
        id=_id(group, status, quiet=quiet),
        status=NoticeStatus.NOTICE if passing else status,
        rule=face.rule,
        scope=face.scope,
        sentence=_end(group, lasting((until or now) - began_at))
        if over
        else _now(group, news if worse else (), ended),
        at=now,
        number=None if passing else group.number,
        value=face.value,
        limit=face.limit,
        peak=face.peak,
        since=began_at if over else face.breach_since,
        until=until if over else None,
        facts=facts,
        rows=face.rows,
        quiet=quiet,
        worse=worse and not passing,
        severity=group.inhibitions.severity(*(member.rule for member in group.members)),
        finding=finding,
        recovering=recovering,
        also=tuple(_also(group, face, now, news=news if worse else (), over=over, ended=ended)),
        consequences=not over and _explains_all(group, face, ended),
    )


def passing_notice(verdict: Verdict, inhibitions: Inhibitions, *, now: datetime) -> Notice:
    """A notice without an incident, sent once per `once`. Planning it again gives the same id."""
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
        severity=min(
            inhibitions.severity(verdict.rule),
            verdict.severity or Severity.PAGE,
            key=lambda severity: severity.rank,
        ),
        finding=verdict.finding,
    )


def _not_sure(face: Incident) -> str:
    if face.unjudged:
        return "The incident stays open until it can be judged."
    return "The incident stays open until the recovery has lasted long enough."


def _explains_a_model(group: IncidentGroup, face: Incident) -> bool:
    """Whether the incident that the message describes explains why another model answers."""
    replaces = group.inhibitions.replaces_model
    return any(member.in_breach and replaces(face, member) for member in group.members)


def _explains_all(group: IncidentGroup, face: Incident, ended: Collection[Key]) -> bool:
    """Whether all other members are in breach, and the headline explains them."""
    causes = group.inhibitions.causes
    others = [m for m in group.members if m is not face and (m.in_breach or m.key in ended)]
    return bool(others) and all(m.key not in ended and causes(face, m) for m in others)


def _also(
    group: IncidentGroup,
    face: Incident,
    now: datetime,
    *,
    news: Collection[Key],
    over: bool,
    ended: Collection[Key],
) -> Iterator[str]:
    """What is over, what else is wrong (new first), and what else was wrong."""
    others = [member for member in group.ranked if member is not face]
    yield from (_part_over(member, face) for member in others if member.key in ended and not over)
    for member in sorted(others, key=lambda member: member.key not in news):
        scope = "" if member.scope in (face.scope, ALL) else f"{member.scope}: "
        what = member.finding.what or member.because.rstrip(".")
        if over:
            yield f"{scope}{what}, {_span(member, now)}"
        elif member.in_breach:
            yield f"{scope}{what}" + (" (new)" if member.key in news else "")


def _surplus(face: Incident) -> str:
    """The additional cost of the breach, if its daily cost before and during it is known.

    Only the time in breach counts, not the time between breaches or the recovery.
    """
    now, usual = face.finding.usd_a_day, face.finding.usual_usd_a_day
    if now is None or usual is None or now <= usual:
        return ""
    began_at = face.breach_since if face.earlier_breaches else face.began_at
    breaches = (*face.earlier_breaches, (began_at, face.last_breach_at))
    lasted = sum((max(end - start, timedelta(0)) for start, end in breaches), timedelta(0))
    if not lasted:
        return ""
    days = Decimal(lasted.total_seconds()) / 86_400
    return f"It cost about {rounded_usd_text((now - usual) * days)} more than usual"


def _end(group: IncidentGroup, lasted: str) -> str:
    """How long the incident lasted; with several parts, the duration and reason of each."""
    if not group.parts:
        return f"Over after {lasted}. {group.primary.ended or ''}".strip()
    members = group.ranked
    parts = (
        f"{_label(member, group.headline)} {lasting(_lasted(member))}"
        + (f": {member.ended.rstrip('.')}" if member.ended else "")
        for member in members
    )
    return f"Over after {lasted}. {'; '.join(parts)}."


def _now(group: IncidentGroup, news: Collection[Key], ended: Collection[Key]) -> str:
    """What is over, the headline's reason, then what is new and what is recovering."""
    face = group.headline
    came_back = face.key in news and face.reopenings
    reported = [_part_over(member, face) for member in group.ranked if member.key in ended]
    begin = "Occurred again: " if came_back else "Still open: " if reported else ""
    reported.append(begin + face.current_reason)
    if not face.in_breach:
        reported.append(_not_sure(face))
    for member in group.members:
        if member is face or not member.open:
            continue
        if not member.in_breach:
            reported.append(f"{_label(member, face)}: {member.current_reason}")
        elif member.key in news:
            reported.append(f"Now also {_label(member, face)}: {member.because}")
    return " ".join(reported)


def _part_over(member: Incident, face: Incident) -> str:
    over = f"{_label(member, face)} is over after {lasting(_lasted(member))}"
    return f"{over}: {member.ended}" if member.ended else f"{over}."


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


def _span(member: Incident, now: datetime) -> str:
    return span_text(member.began_at, member.resolved_at or now, now=now)


def _lasted(member: Incident) -> timedelta:
    """The time from the first bad row to the end."""
    return (member.resolved_at or member.last_breach_at) - member.began_at


def _id(group: IncidentGroup, status: NoticeStatus, *, quiet: bool) -> UUID:
    members = (
        f"{'|'.join(i.key)}|{i.opened_at.isoformat()}|{i.reopenings}|{i.open}|{i.once}"
        f"|{i.since}|{i.recovering_since}"
        for i in group.members
    )
    notified = f"{group.primary.reminders}|{group.primary.last_told_at.isoformat()}"  # last time
    return uuid5(NAMESPACE_OID, f"{status}|{quiet}|{notified}|{'|'.join(members)}")

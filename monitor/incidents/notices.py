"""What is told of a story or a passing notice, in the domain's words."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import NAMESPACE_OID, UUID, uuid5

from monitor.domain import Incident, Notice, NoticeStatus, Verdict, instant, lasting
from monitor.incidents.grouping import IncidentGroup, Key, rank


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

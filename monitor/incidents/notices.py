"""The notices about groups of incidents and about single verdicts.

Source: docs/alerts.md
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from uuid import NAMESPACE_OID, UUID, uuid5

from monitor.domain import (
    ALL,
    OF_PROBES,
    CauseOwner,
    Incident,
    Notice,
    NoticeStatus,
    Severity,
    Verdict,
    counted,
    instant,
    lasting,
    rounded_usd_text,
    span_text,
)
from monitor.incidents.incident_groups import IncidentGroup, Key
from monitor.incidents.inhibitions import Inhibitions
from monitor.redaction import plain

_CHECK_MODEL = "then check that the expected model answers again."
_WAIT = "Nothing now. The incident ends by itself if this lasts."
_BREACHES = 2  # of an incident, each stated with its times
_RESTORED = 100  # characters of what ended, in a title
_NAMED, _NAMED_ENDS = 20, 8  # targets that share a fault, in one line
_LINE = 400  # characters of a list, as channels show them: a longer one would be cut in a word

NEW, AGAIN, GREW = "new", "again", "grew"  # why a message reports a member
News = Mapping[Key, str]  # the members that a message is sent for, and why


def group_notice(
    group: IncidentGroup,
    status: NoticeStatus,
    *,
    now: datetime,
    quiet: bool = False,
    news: News = MappingProxyType({}),
    ended: Collection[Key] = (),
    explained: Mapping[Key, Incident] = MappingProxyType({}),
) -> Notice:
    """One message for the whole group, under its announced number.

    `news`: the members that the message is sent for, if only some. `ended`: members that are over
    while others continue, to be reported now. `explained`: of members whose likely cause is
    corrected, the stored state before it. The id is derived from the content, so that the same
    news found twice is one row.
    """
    face, over = group.headline, status is NoticeStatus.RESOLVED
    worse = status is NoticeStatus.STILL_FIRING and bool(news)
    new = news if worse else {}
    alike = group.alike
    facts, finding, recovering = dict(face.facts), face.finding, ""
    if alike and face.in_breach and finding.cause_owner in (None, CauseOwner.CANNOT_TELL):
        step = group.inhibitions.shared_step([face, *alike])
        finding = replace(finding, first_step=step or finding.first_step)
    if face.reopenings:
        facts["Reopened"] = "once" if face.reopenings == 1 else f"{face.reopenings} times"
    if not over and not face.in_breach:
        recovering = f"{face.current_reason} {_not_sure(face)}"
        finding = finding if face.unjudged else replace(finding, first_step=_WAIT)
    elif not over and finding.first_step and _explains_a_model(group, face):
        step = f"{finding.first_step.rstrip('.')}, {_CHECK_MODEL}"
        finding = replace(finding, first_step=step)
    for member in group.members:
        if member is not face and member.key not in group.alike_keys:
            facts[_label(member, face)] = _fact(group, member, now)
    passing = group.inhibitions.passing(face)
    members_ended = [member for member in group.ranked if member.key in ended]
    breaches = group.breaches(face, now)
    if over and alike:
        each = [breach for one in (face, *alike) for breach in group.breaches(one, now)]
        breaches = ((min(start for start, _ in each), max(end for _, end in each)),)
    if over:
        when = _when(breaches, now) if group.parts or len(breaches) > 1 else ""
        finding = replace(finding, money=_surplus(group, face), when=when, breaches=len(breaches))
    return Notice(
        id=_id(group, status, quiet=quiet, explained=explained),
        status=NoticeStatus.NOTICE if passing else status,
        rule=face.rule,
        scope=face.scope,
        sentence=_end(group, now) if over else _now(group, new, ended, now),
        at=now,
        number=None if passing else group.number,
        value=face.value,
        limit=face.limit,
        peak=face.peak,
        since=breaches[0][0] if over else face.breach_since,
        until=breaches[-1][1] if over else None,
        facts=facts,
        rows=face.rows,
        quiet=quiet,
        worse=worse and not passing,
        severity=group.inhibitions.severity(*(member.rule for member in group.members)),
        finding=finding,
        recovering=recovering,
        also=tuple(_also(group, face, now, news=new, over=over, ended=ended)),
        consequences=not over and _explains_all(group, face, ended),
        others=len(alike),
        targets=_targets([face, *alike], over=over, group=group, now=now) if alike else "",
        news=new.get(face.key, ""),
        restored=_restored(group, group.just_ended if over else members_ended, now),
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
    alike = group.alike_keys
    others = [
        m
        for m in group.members
        if m is not face and m.key not in alike and (m.open or m.key in ended)
    ]
    return bool(others) and all(
        m.in_breach and causes(face, m) and not group.inhibitions.follows_not(face, m)
        for m in others
    )


def _restored(group: IncidentGroup, ended: Sequence[Incident], now: datetime) -> str:
    """What is true again of the parts that are over, for the title.

    Empty for the end of a single part: the finding says it. What got a name is stated by its name.
    """
    named = group.inhibitions.names_model
    alike = group.alike_keys if group.over else ()  # the title counts them with the first
    naming = [member for member in ended if group.inhibitions.about_model(member)]
    said = [
        f"{member.finding.restored} after {_lasted_text(group.breaches(member, now))}"
        for member in ended
        if member.finding.restored
        and member.key not in alike
        and not any(named(other, member) for other in naming)
    ]
    return "" if group.over and len(said) == 1 else plain("; ".join(said), _RESTORED)


def _also(
    group: IncidentGroup,
    face: Incident,
    now: datetime,
    *,
    news: News,
    over: bool,
    ended: Collection[Key],
) -> Iterator[str]:
    """What is over, what else is wrong (new first) or recovers, and what else was wrong."""
    alike = group.alike_keys
    others = [m for m in group.ranked if m is not face and m.key not in alike]
    if not over:
        yield from (
            _part_over(group, member, face, now).rstrip(".")
            for member in others
            if member.key in ended
        )
    for member in sorted(others, key=lambda member: member.key not in news):
        scope = "" if member.scope in (face.scope, ALL) else f"{member.scope}: "
        what = member.finding.what or member.because.rstrip(".")
        if over:
            yield f"{scope}{what}, {_when(group.breaches(member, now), now)}"
        elif member.in_breach:
            since = instant(member.breach_since, now=now)
            older = f", since {since}" if group.inhibitions.follows_not(face, member) else ""
            new = " (new)" if member.key in news else ""
            cost = member.finding.money if _costs_more(member) and not face.finding.money else ""
            whose = f", {OF_PROBES}" if cost and member.finding.of_probes else ""
            yield f"{scope}{what}{older}{new}" + (f", {cost}" if cost else "") + whose
        elif member.open:
            yield f"{_label(member, face)}: {member.current_reason.rstrip('.')}"


def _targets(alike: Sequence[Incident], *, over: bool, group: IncidentGroup, now: datetime) -> str:
    """The targets that share a fault, each with its times once they are over, in one line."""
    if not over:
        return _bounded([one.scope for one in alike[:_NAMED]], len(alike), then=", ")
    shown = alike[:_NAMED_ENDS]
    named = [f"{one.scope} {_when(group.breaches(one, now), now)}" for one in shown]
    return _bounded(named, len(alike))


def _costs_more(member: Incident) -> bool:
    now, usual = member.finding.usd_a_day, member.finding.usual_usd_a_day
    return now is not None and usual is not None and now > usual


def _surplus(group: IncidentGroup, face: Incident) -> str:
    """The additional cost of the breach, if its daily cost before and during it is known.

    Only the time in breach counts, not the time between breaches or the recovery.
    """
    now, usual = face.finding.usd_a_day, face.finding.usual_usd_a_day
    if now is None or usual is None or now <= usual:
        return ""
    *earlier, (began_at, ended_at) = group.breaches(face, face.last_breach_at)
    breaches = (*earlier, (began_at, min(ended_at, face.last_breach_at)))
    lasted = sum((max(end - start, timedelta(0)) for start, end in breaches), timedelta(0))
    if not lasted:
        return ""
    days = Decimal(lasted.total_seconds()) / 86_400
    return f"It cost about {rounded_usd_text((now - usual) * days)} more than usual"


def _end(group: IncidentGroup, now: datetime) -> str:
    """How long the incident lasted; with several parts, the duration and reason of each."""
    if not group.parts:
        lasted = _lasted_text(group.breaches(group.primary, now))
        return f"Over after {lasted}. {group.primary.ended or ''}".strip()
    times = {member.key: group.breaches(member, now) for member in group.members}
    start = min(breaches[0][0] for breaches in times.values())
    end = max(breaches[-1][1] for breaches in times.values())
    parts = [
        f"{_label(member, group.headline)} {_lasted_text(times[member.key])}"
        + (f": {member.ended.rstrip('.')}" if member.ended else "")
        for member in group.ranked[:_NAMED]
    ]
    said = f"Over after {lasting(end - start)}. "
    return f"{said}{_bounded(parts, len(group.members), limit=_LINE - len(said) - 1)}."


def _bounded(parts: Sequence[str], count: int, *, limit: int = _LINE, then: str = "; ") -> str:
    """The first of `count` parts, as many as fit whole into a line, and how many more there are."""
    more = then if then == ", " else " and "
    line = ""
    for shown in range(len(parts), 0, -1):
        rest = f"{more}{count - shown} more" if count > shown else ""
        line = then.join(parts[:shown]) + rest
        if len(line) <= limit:
            break
    return line


def _now(group: IncidentGroup, news: News, ended: Collection[Key], now: datetime) -> str:
    """What is over, the headline's reason, then what is new and what is recovering."""
    face = group.headline
    came_back = face.key in news and face.reopenings
    reported = [_part_over(group, i, face, now) for i in group.ranked if i.key in ended]
    begin = "Occurred again: " if came_back else ""
    if reported and not came_back:
        begin = "New: " if news.get(face.key) == NEW else "Still open: "
    reported.append(begin + face.current_reason)
    if not face.in_breach:
        reported.append(_not_sure(face))
    alike = group.alike
    if more := [member.scope for member in alike if member.key in news]:
        reported.append(f"Now also {counted(len(more), 'more target')}: {_list(more)}.")
    elif alike:
        same = _list([member.scope for member in alike])
        reported.append(f"The same is true of {counted(len(alike), 'other target')}: {same}.")
    for member in group.members:
        if member is face or not member.open or member.key in group.alike_keys:
            continue
        if not member.in_breach:
            reported.append(f"{_label(member, face)}: {member.current_reason}")
        elif member.key in news:
            reported.append(f"Now also {_label(member, face)}: {member.because}")
    return " ".join(reported)


def _list(names: Sequence[str]) -> str:
    more = [f"{len(names) - _NAMED} more"] * (len(names) > _NAMED)
    return ", ".join([*names[:_NAMED], *more])


def _part_over(group: IncidentGroup, member: Incident, face: Incident, now: datetime) -> str:
    lasted = _lasted_text(group.breaches(member, now))
    over = f"{_label(member, face)} is over after {lasted}"
    return f"{over}: {member.ended}" if member.ended else f"{over}."


def _label(member: Incident, face: Incident) -> str:
    scope = "" if member.scope == face.scope else member.scope
    return " · ".join(part for part in (member.rule, scope, member.query) if part)


def _fact(group: IncidentGroup, member: Incident, now: datetime) -> str:
    if member.resolved_at is None:
        since = member.breach_since
        if not member.in_breach:
            return (
                f"{member.current_reason} Breach from {instant(since, now=now)}: {member.because}"
            )
        return f"{member.because} Since {instant(since, now=now)}, {lasting(now - since)}."
    breaches = group.breaches(member, now)
    start, end = (instant(at, now=now) for at in (breaches[0][0], breaches[-1][1]))
    span = _lasted_text(breaches)
    return f"Over after {span}, {start} to {end}. {member.ended or ''}".strip()


def _when(breaches: Sequence[tuple[datetime, datetime]], now: datetime) -> str:
    """The times of breaches; of many, their number and the whole time."""
    if len(breaches) > _BREACHES:
        whole = span_text(breaches[0][0], breaches[-1][1], now=now)
        return f"{len(breaches)} times {whole}"
    return " and ".join(span_text(start, end, now=now) for start, end in breaches)


def _lasted_text(breaches: Sequence[tuple[datetime, datetime]]) -> str:
    """`20 min`, or `2 breaches in 40 min`: from the first bad row to the end of the last breach."""
    lasted = lasting(breaches[-1][1] - breaches[0][0])
    return lasted if len(breaches) == 1 else f"{len(breaches)} breaches in {lasted}"


def _id(
    group: IncidentGroup,
    status: NoticeStatus,
    *,
    quiet: bool,
    explained: Mapping[Key, Incident],
) -> UUID:
    members = (
        f"{'|'.join(i.key)}|{i.opened_at.isoformat()}|{i.reopenings}|{i.open}|{i.once}"
        f"|{i.since}|{i.recovering_since}" + (f"|{i.finding.cause}" if quiet else "")
        for i in group.members
    )
    # A cause may return: two corrections to it differ in the state that they correct. Two workers
    # that plan the same correction begin with the same state.
    corrected = "".join(
        f"|{'|'.join(key)}|{before.finding.cause}|{before.last_breach_at.isoformat()}"
        for key, before in sorted(explained.items())
    )
    notified = f"{group.primary.reminders}|{group.primary.last_told_at.isoformat()}"  # last time
    return uuid5(NAMESPACE_OID, f"{status}|{quiet}|{notified}|{'|'.join(members)}{corrected}")

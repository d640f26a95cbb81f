"""What is told of a story or a passing notice, in the domain's words."""

from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_OID, UUID, uuid5

from monitor.domain import Incident, Notice, Status, Verdict
from monitor.incidents.stories import Story


def story_notice(story: Story, status: Status, *, now: datetime, quiet: bool = False) -> Notice:
    """One message for the whole story, under its leader's number.

    Its id follows from what is told, so that the same news found twice is one row.
    """
    leader, face = story.leader, story.face
    over = status is Status.RESOLVED
    facts = dict(face.facts)
    if face.reopenings:
        facts["Came back"] = "once" if face.reopenings == 1 else f"{face.reopenings} times"
    for member in story.members:
        if member is not face:
            facts[_label(member, face)] = _fact(member, now)
    until = leader.resolved_at if over else None
    lasted = lasting((until or now) - leader.opened_at)
    return Notice(
        id=_id(story, status, quiet=quiet),
        status=status,
        rule=face.rule,
        scope=face.scope,
        sentence=f"Over after {lasted}. {leader.ended}" if over else face.because,
        at=now,
        number=leader.number,
        value=face.value,
        limit=face.limit,
        peak=face.peak,
        since=face.opened_at,
        until=until,
        facts=facts,
        rows=face.rows,
        quiet=quiet,
    )


def passing_notice(verdict: Verdict, *, now: datetime) -> Notice:
    """What is said once per `once` and has no incident. Planned again, it has the same id."""
    return Notice(
        id=uuid5(NAMESPACE_OID, f"{verdict.rule}|{verdict.scope}|{verdict.once}"),
        status=Status.NOTICE,
        rule=verdict.rule,
        scope=verdict.scope,
        sentence=verdict.because,
        at=now,
        value=verdict.value,
        limit=verdict.limit,
        facts=verdict.facts,
        rows=verdict.rows,
    )


def lasting(span: timedelta) -> str:
    """A duration in words, to the minute; in seconds where there is none."""
    minutes = max(span // timedelta(minutes=1), 0)
    if not minutes:
        return f"{max(span // timedelta(seconds=1), 0)} s"
    days, hours = minutes // 1440, minutes // 60
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def _label(member: Incident, face: Incident) -> str:
    return member.rule if member.scope == face.scope else f"{member.rule} · {member.scope}"


def _fact(member: Incident, now: datetime) -> str:
    start = f"{member.opened_at.astimezone(UTC):%H:%M} UTC"
    if member.resolved_at is None:
        return f"{member.because} Since {start}, {lasting(now - member.opened_at)}."
    end = f"{member.resolved_at.astimezone(UTC):%H:%M} UTC"
    span = lasting(member.resolved_at - member.opened_at)
    return f"Over after {span}, {start} to {end}. {member.ended or ''}".strip()


def _id(story: Story, status: Status, *, quiet: bool) -> UUID:
    members = (
        f"{i.rule}|{i.scope}|{i.opened_at.isoformat()}|{i.reopenings}|{i.open}|{i.once}"
        for i in story.members
    )
    told = f"{story.leader.reminders}|{story.leader.last_told_at.isoformat()}"  # last time
    return uuid5(NAMESPACE_OID, f"{status}|{quiet}|{told}|{'|'.join(members)}")

"""The plan of one evaluation: changes of rows and notices, for all scopes together.

First the verdicts are applied. Then the channel's state is compared with the incidents. An opening
is FIRING, once for each number. A new member, a return, an increase and a reminder are STILL FIRING
under the same number. These, and an end, notify people. A correction is quiet. While a mute is in
force, only the verdicts are applied. The difference is reported afterwards; an incident that was
never reported and is over by then is not reported.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType

from monitor.domain import Incident, Notice, NoticeStatus, Verdict, VerdictState, incident_key
from monitor.incidents.group_search import GroupSearch
from monitor.incidents.incident_groups import IncidentGroup, Key, incident_groups
from monitor.incidents.inhibitions import Inhibitions
from monitor.incidents.notices import AGAIN, GREW, NEW, News, group_notice, passing_notice
from monitor.incidents.silences import Silence, is_silenced
from monitor.incidents.state_machine import IncidentChange, ReminderPolicy, advance

NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class IncidentStep:
    """A row to write and a notice to send in one transaction, in the order of the plan.

    `incident` is None for a notice without an incident; the database keeps one row for each notice
    id. `notice` is None if nothing is sent. A new incident has no number yet: its notice gets the
    number that the database assigns. `part_of` names the primary incident, whose step came before.
    """

    incident: Incident | None
    change: IncidentChange
    notice: Notice | None = None
    reported: tuple[Key, ...] = ()  # the incidents the notice reports


def plan(
    latest_incident: Iterable[Incident],
    verdicts: Iterable[Verdict],
    *,
    inhibitions: Inhibitions,
    silence: Silence = (),
    policy: ReminderPolicy,
    stale: Collection[Key] = (),
    now: datetime,
) -> list[IncidentStep]:
    """Steps for verdicts, given the latest incident of each rule and scope, open or resolved.

    `stale`: open incidents without recent data; they are not the cause of anything new.
    """
    draft = _Draft(
        latest_incident, inhibitions=inhibitions, silence=tuple(silence), policy=policy, now=now
    )
    draft.stale = stale
    passing = [verdict for verdict in verdicts if not draft.take_in(verdict)]
    draft.separate()
    draft.begin_notifying()
    for group in incident_groups(draft.incidents, inhibitions):
        draft.regroup(group)
    return [*draft.steps(), *map(draft.passing, filter(draft.may_notify, passing))]


class _Draft:
    """The future incidents and notices while a plan is made."""

    def __init__(
        self,
        latest_incident: Iterable[Incident],
        *,
        inhibitions: Inhibitions,
        silence: Silence,
        policy: ReminderPolicy,
        now: datetime,
    ) -> None:
        self.before = {incident.key: incident for incident in latest_incident}
        self.incidents = dict(self.before)
        self.known: set[Key] = set()  # judged in this evaluation on data, not on silence alone
        self.changes: dict[Key, IncidentChange] = {}
        self.returned: dict[Key, Verdict] = {}  # of incidents that are reopened
        self.notices: dict[Key, Notice] = {}
        self.reported: dict[Key, tuple[Key, ...]] = {}
        self.joined: set[Key] = set()  # incidents that the channel has not reported
        self.unheard: set[Key] = set()  # joined a message that already covers it
        self.gathered: set[Key] = set()  # share the fault of a message that was just sent
        self.stale: Collection[Key] = ()
        self.inhibitions = inhibitions
        self.silence, self.policy, self.now = silence, policy, now

    def may_notify(self, of: Incident | Verdict) -> bool:
        return not is_silenced(self.silence, of.rule, of.scope, now=self.now)

    def take_in(self, verdict: Verdict) -> bool:
        """Advance the incident of a verdict; False for a notice, which has none."""
        if verdict.state is VerdictState.NOTICE:
            return False
        key = incident_key(verdict.rule, verdict.scope, verdict.query)
        if verdict.state is not VerdictState.NO_DATA:
            self.known.add(key)
        before = self.incidents.get(key)
        after, change = advance(before, verdict, policy=self.policy, now=self.now)
        if after is not None and after is not before:
            self.incidents[key], self.changes[key] = after, change
            if change is IncidentChange.REOPENED:
                self.returned[key] = verdict
        return True

    def separate(self) -> None:
        """Open a new incident for a target that returns for another reason than its number tells.

        It was only part of a fault that targets shared, and its end was reported under the number
        of another target.
        """
        returned = {
            key: number
            for key in self.returned
            if (number := self.before[key].announced_as) not in (None, self.before[key].number)
            and self.before[key].told is NoticeStatus.RESOLVED
        }
        known: dict[int | None, list[Incident]] = {number: [] for number in returned.values()}
        for incident in self.before.values() if known else ():
            number = incident.announced_as or incident.number
            if number in known:
                known[number].append(incident)
        for members in known.values():
            members.sort(key=lambda member: (not member.in_breach, self.inhibitions.rank(member)))
        for key, number in returned.items():
            face = next((i for i in known[number] if i.key != key), None)
            described = face and self.incidents[face.key]
            if described and self.inhibitions.unrelated(described, self.incidents[key]):
                after, change = advance(None, self.returned[key], policy=self.policy, now=self.now)
                if after is not None:
                    self.incidents[key], self.changes[key] = after, change

    def begin_notifying(self) -> None:
        """Give each open, unreported incident a group: a new one, or one that it joins."""
        unreported = [
            i for i in self.incidents.values() if i.in_breach and i.told is not NoticeStatus.FIRING
        ]
        if not unreported:
            return
        search = GroupSearch(
            self.incidents, self.inhibitions, may_notify=self.may_notify, stale=self.stale
        )
        # A number that people know leads its group, also over newer causes.
        for incident in sorted(
            unreported, key=lambda i: (i.told is None, self.inhibitions.rank(i))
        ):
            if not self.may_notify(incident):
                continue
            group = search.group_of(incident)
            if group is not None and search.adds_nothing(incident, group):
                self.unheard.add(incident.key)
            else:
                self.joined.add(incident.key)
            reported = replace(incident, told=NoticeStatus.FIRING, part_of=None)
            if group is not None:
                reported = replace(reported, part_of=group.primary.key, announced_as=group.number)
            self.put(reported)
            search.add(reported)

    def regroup(self, group: IncidentGroup) -> None:
        """Plan one notice for what the channel does not yet know about a group."""
        primary = group.primary
        news = {i.key: why for i in group.members if (why := self.news(i, primary))}
        if self.announced(primary) and self.now < primary.last_told_at + self.policy.gathering:
            # One message for all that follow at once.
            later = {i.key for i in group.alike if i.key in news and self.follows(i, primary)}
            self.gathered |= later
            news = {key: why for key, why in news.items() if key not in later}
        if self.silenced(group):
            self.leave_for_later(group)
        elif group.over:
            quiet = all(member.once for member in group.members)
            self.notify(group, NoticeStatus.RESOLVED, quiet=quiet)
            for member in group.members:
                self.put(replace(member, told=NoticeStatus.RESOLVED))
        elif news:
            for key in {primary.key, *news}:
                self.put(replace(self.incidents[key], last_told_at=self.now))
            announced = self.announced(primary)
            self.notify(
                group, NoticeStatus.STILL_FIRING if announced else NoticeStatus.FIRING, news=news
            )
        elif self.now >= self.due(group) and self.still_true(group):
            reminded = replace(primary, last_told_at=self.now, reminders=primary.reminders + 1)
            self.put(reminded)
            if primary.open:
                self.changes[primary.key] = IncidentChange.REMINDED
            self.notify(replace(group, primary=reminded), NoticeStatus.STILL_FIRING)
        elif any(self.is_correction(member) for member in group.members):
            self.notify(group, NoticeStatus.FIRING, quiet=True)

    def is_correction(self, member: Incident) -> bool:
        """Whether the message must be corrected without notifying people."""
        change = self.changes.get(member.key)
        recovering = change is IncidentChange.RECOVERING and member.unjudged
        return (
            change is IncidentChange.RESOLVED
            or recovering
            or member.key in self.unheard
            or (member.key in self.gathered and member.key in self.joined)
            or self.is_explained(member)
        )

    def is_explained(self, member: Incident) -> bool:
        """Whether its likely cause, or another one, became known since the last judgement."""
        before = self.before.get(member.key)
        if before is None or not member.in_breach or not member.finding.cause:
            return False
        was, finding = before.finding, member.finding
        owners = was.cause_owner, finding.cause_owner
        return None not in owners and (owners[0] is not owners[1] or not was.cause)

    def ended(self, group: IncidentGroup) -> list[Incident]:
        """The parts that are over while others continue, and whose end was not reported.

        The end of a passing symptom, one change, is no news.
        """
        before = self.before.get(group.primary.key)
        told_at = before.last_told_at if before is not None else self.now
        passing = self.inhibitions.passing
        return [
            i
            for i in group.members
            if i.resolved_at is not None and i.resolved_at > told_at
            if passing(group.primary) or not passing(i)
        ]

    def due(self, group: IncidentGroup) -> datetime:
        """When a group is reported again: sooner if a part is over and the rest is not.

        Symptoms end a little later than their cause, and one message covers both. What began well
        before the part that is over is no symptom of it, and is not waited for. Nor are incidents
        that end with their day; they get no reminder, nor do acknowledged ones.
        """
        primary, policy = group.primary, self.policy
        ended = self.ended(group)
        lasts = all(
            member.once or all(self.inhibitions.follows_not(one, member) for one in ended)
            for member in group.members
            if member.open
        )
        ends = [i.resolved_at for i in ended if i.resolved_at is not None]
        if ends:
            return min(ends) if lasts else min(ends) + policy.lingering
        if group.headline.once or primary.acknowledged_at is not None:
            return NEVER
        daily = primary.reminders or self.inhibitions.passing(primary)
        return primary.last_told_at + (policy.remind_every if daily else policy.remind_after)

    def still_true(self, group: IncidentGroup) -> bool:
        """Whether it was judged in this evaluation: after an absence, no reminder comes first."""
        return any(member.open and member.key in self.known for member in group.members)

    def grew(self, incident: Incident) -> bool:
        """Whether to report it again: a new day, or the value has doubled."""
        before = self.before.get(incident.key)
        return before is not None and incident.open and incident.once != before.once

    def silenced(self, group: IncidentGroup) -> bool:
        """Whether no message is sent now: its primary incident is silenced.

        A silence of one target does not cover the others that share its fault, as long as there is
        something to report of them.
        """
        told_at = group.primary.last_told_at
        unreported = (
            i
            for i in group.parts
            if self.shares(i, group.primary) and (i.resolved_at is None or i.resolved_at > told_at)
        )
        return not any(map(self.may_notify, (group.primary, *unreported)))

    def shares(self, incident: Incident, primary: Incident) -> bool:
        """Whether it may have joined because of a fault that it shares with another target."""
        return incident.scope != primary.scope and self.inhibitions.may_share_faults(incident)

    def news(self, incident: Incident, primary: Incident) -> str:
        """Why it is news: new to the channel, or it returned or grew since the last message.

        Empty if it is none. The last message is the last audible one. What shares a fault joins
        without a sound, and is reported a little later, whatever has become of the others by then.
        """
        returned_at = incident.reopened_at if incident.open else None
        if returned_at is not None and returned_at > primary.last_told_at:
            return AGAIN
        joined = self.shares(incident, primary) and self.follows(incident, primary)
        if incident.key in self.joined or (joined and self.may_notify(incident)):
            return AGAIN if incident.reopenings else NEW
        if self.relapsed(incident, primary):
            return AGAIN
        return GREW if self.grew(incident) else ""

    def follows(self, incident: Incident, primary: Incident) -> bool:
        """Whether it began or came back since the last audible message."""
        return incident.open and incident.turned_at > primary.last_told_at

    def relapsed(self, incident: Incident, primary: Incident) -> bool:
        """Whether it is in breach again after a message reported its recovery."""
        before = self.before.get(incident.key)
        since = before.recovering_since if before is not None else None
        return since is not None and since <= primary.last_told_at and incident.in_breach

    def announced(self, primary: Incident) -> bool:
        """Whether its number was already reported: each number fires once."""
        before = self.before.get(primary.key)
        opened = self.changes.get(primary.key) is IncidentChange.OPENED
        return not opened and before is not None and before.told is not None

    def leave_for_later(self, group: IncidentGroup) -> None:
        for member in group.members:
            if self.grew(member):
                self.put(replace(member, once=self.before[member.key].once))

    def put(self, incident: Incident) -> None:
        self.incidents[incident.key] = incident

    def notify(
        self,
        group: IncidentGroup,
        status: NoticeStatus,
        *,
        quiet: bool = False,
        news: News = MappingProxyType({}),
    ) -> None:
        key, ended = group.primary.key, () if quiet else tuple(i.key for i in self.ended(group))
        explained = [i.key for i in group.members if quiet and self.is_explained(i)]
        self.notices[key] = group_notice(
            group,
            status,
            now=self.now,
            quiet=quiet,
            news=news,
            ended=ended,
            explained={key: self.before[key] for key in explained},
        )
        self.reported[key] = tuple(member.key for member in group.members)

    def passing(self, verdict: Verdict) -> IncidentStep:
        return IncidentStep(
            None, IncidentChange.NONE, passing_notice(verdict, self.inhibitions, now=self.now)
        )

    def steps(self) -> Iterable[IncidentStep]:
        """Steps with primary incidents first, because their parts refer to them."""
        for key, incident in sorted(self.incidents.items(), key=lambda item: bool(item[1].part_of)):
            if incident is not self.before.get(key) or key in self.notices:
                change = self.changes.get(key, IncidentChange.NONE)
                yield IncidentStep(
                    incident, change, self.notices.get(key), self.reported.get(key, ())
                )

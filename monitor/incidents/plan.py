"""The plan of one evaluation: which rows change and what is told, over every scope at once.

First the verdicts are taken in, then what the channel believes is brought in line with what
is true. An opening is FIRING, once for each number. What joins, comes back or grows, and a
reminder, are STILL FIRING under the same number; all of these, and an end, are audible. A mere
correction is quiet. Under a mute only the verdicts are taken in; the difference waits, and
what is over by then and never was reported is not reported.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from monitor.domain import Incident, Notice, State, Status, Verdict, incident_key
from monitor.incidents.silence import Silence, silent
from monitor.incidents.states import Change, Policy, advance
from monitor.incidents.stories import Key, Story, adds_nothing, rank, stories, story_of
from monitor.incidents.telling import passing_notice, story_notice


@dataclass(frozen=True, slots=True)
class Step:
    """A row to write and a notice to tell, in one transaction, in the order planned.

    `incident` None: a notice that has no incident; a store keeps one of each notice id.
    `notice` None: nothing is told. A new incident has no number yet: its notice takes the
    number the store gives it, and `part_of` names its leader, whose step came before.
    """

    incident: Incident | None
    change: Change
    notice: Notice | None = None
    reported: tuple[Key, ...] = ()  # the incidents the notice reports


def plan(
    standing: Iterable[Incident],
    verdicts: Iterable[Verdict],
    *,
    silence: Silence = (),
    policy: Policy,
    stale: Collection[Key] = (),
    now: datetime,
) -> list[Step]:
    """Steps for verdicts, given the latest incident of each rule and scope, open or resolved.

    `stale`: open incidents of which nothing recent is known; they are the cause of nothing new.
    """
    draft = _Draft(standing, silence=tuple(silence), policy=policy, now=now)
    draft.stale = stale
    passing = [verdict for verdict in verdicts if not draft.take_in(verdict)]
    draft.begin_telling()
    for story in stories(draft.incidents):
        draft.bring_in_line(story)
    return [*draft.steps(), *map(draft.passing, filter(draft.may_tell, passing))]


class _Draft:
    """Incidents as they will be, and what will be told, while one plan is made."""

    def __init__(
        self, standing: Iterable[Incident], *, silence: Silence, policy: Policy, now: datetime
    ) -> None:
        self.before = {incident.key: incident for incident in standing}
        self.incidents = dict(self.before)
        self.known: set[Key] = set()  # what was just judged, on more than silence
        self.changes: dict[Key, Change] = {}
        self.notices: dict[Key, Notice] = {}
        self.reported: dict[Key, tuple[Key, ...]] = {}
        self.joined: set[Key] = set()  # incidents the channel did not know of
        self.unheard: set[Key] = set()  # joined a message that says it already
        self.stale: Collection[Key] = ()
        self.silence, self.policy, self.now = silence, policy, now

    def may_tell(self, of: Incident | Verdict) -> bool:
        return not silent(self.silence, of.rule, of.scope, now=self.now)

    def take_in(self, verdict: Verdict) -> bool:
        """Advance the incident a verdict is about; False for a notice, which has none."""
        if verdict.state is State.NOTICE:
            return False
        key = incident_key(verdict.rule, verdict.scope, verdict.query)
        if verdict.state is not State.NO_DATA:
            self.known.add(key)
        before = self.incidents.get(key)
        after, change = advance(before, verdict, policy=self.policy, now=self.now)
        if after is not None and after is not before:
            self.incidents[key], self.changes[key] = after, change
        return True

    def begin_telling(self) -> None:
        """Let what is open and unknown to the channel lead a story, or join one."""
        untold = (i for i in self.incidents.values() if i.in_breach and i.told is not Status.FIRING)
        # What people know by a number keeps it: it leads what is new.
        for incident in sorted(untold, key=lambda i: (i.told is None, rank(i))):
            if self.may_tell(incident):
                told = [s for s in stories(self.incidents) if self.may_tell(s.leader)]
                story = story_of(incident, told, stale=self.stale)
                if story is not None and adds_nothing(incident, story):
                    self.unheard.add(incident.key)
                else:
                    self.joined.add(incident.key)
                if story is None:
                    self.put(replace(incident, told=Status.FIRING, part_of=None))
                else:
                    self.put(replace(incident, told=Status.FIRING, part_of=story.leader.key,
                                     announced_as=story.number))  # fmt: skip

    def bring_in_line(self, story: Story) -> None:
        """Tell what the channel does not know of a story, once and in the right voice."""
        leader = story.leader
        news = tuple(i.key for i in story.members if self.is_news(i, leader))
        if not self.may_tell(leader):
            self.leave_for_later(story)
        elif story.over:
            quiet = all(member.once for member in story.members)
            self.tell(story, Status.RESOLVED, quiet=quiet)
            for member in story.members:
                self.put(replace(member, told=Status.RESOLVED))
        elif news:
            self.put(replace(leader, last_told_at=self.now))
            announced = self.announced(leader)
            self.tell(story, Status.STILL_FIRING if announced else Status.FIRING, news=news)
        elif not story.face.once and self.now >= self.due(story) and self.still_true(story):
            reminded = replace(leader, last_told_at=self.now, reminders=leader.reminders + 1)
            self.put(reminded)
            self.changes[leader.key] = Change.REMINDED
            self.tell(replace(story, leader=reminded), Status.STILL_FIRING)
        elif any(self.is_correction(member) for member in story.members):
            self.tell(story, Status.FIRING, quiet=True)

    def is_correction(self, member: Incident) -> bool:
        """Whether the message must be brought up to date, without a sound."""
        return self.changes.get(member.key) is Change.RESOLVED or member.key in self.unheard

    def due(self, story: Story) -> datetime:
        """When a story is to be told again; sooner once its leader is over and a part is not."""
        leader, policy = story.leader, self.policy
        if leader.resolved_at is not None and leader.last_told_at <= leader.resolved_at:
            return leader.resolved_at + policy.lingering
        return leader.last_told_at + (
            policy.remind_every if leader.reminders else policy.remind_after
        )

    def still_true(self, story: Story) -> bool:
        """Whether it was seen to be: who comes back from an absence looks first, then reminds."""
        return any(member.open and member.key in self.known for member in story.members)

    def grew(self, incident: Incident) -> bool:
        """Whether it is to be said again: a new day, or twice as much."""
        before = self.before.get(incident.key)
        return before is not None and incident.open and incident.once != before.once

    def is_news(self, incident: Incident, leader: Incident) -> bool:
        """Whether it is new to the channel, grew, or came back since the last audible message."""
        returned_at = incident.reopened_at if incident.open else None
        returned = returned_at is not None and returned_at > leader.last_told_at
        relapsed = self.relapsed(incident, leader)
        return incident.key in self.joined or self.grew(incident) or returned or relapsed

    def relapsed(self, incident: Incident, leader: Incident) -> bool:
        """Whether it is in breach again after a message said that it was recovering."""
        before = self.before.get(incident.key)
        since = before.recovering_since if before is not None else None
        return since is not None and since <= leader.last_told_at and incident.in_breach

    def announced(self, leader: Incident) -> bool:
        """Whether people have read the number before: it fires once."""
        before = self.before.get(leader.key)
        opened = self.changes.get(leader.key) is Change.OPENED
        return not opened and before is not None and before.told is not None

    def leave_for_later(self, story: Story) -> None:
        for member in story.members:
            if self.grew(member):
                self.put(replace(member, once=self.before[member.key].once))

    def put(self, incident: Incident) -> None:
        self.incidents[incident.key] = incident

    def tell(
        self, story: Story, status: Status, *, quiet: bool = False, news: tuple[Key, ...] = ()
    ) -> None:
        key = story.leader.key
        self.notices[key] = story_notice(story, status, now=self.now, quiet=quiet, news=news)
        self.reported[key] = tuple(member.key for member in story.members)

    def passing(self, verdict: Verdict) -> Step:
        return Step(None, Change.NONE, passing_notice(verdict, now=self.now))

    def steps(self) -> Iterable[Step]:
        """Leaders first, for their parts refer to them."""
        for key, incident in sorted(self.incidents.items(), key=lambda item: bool(item[1].part_of)):
            if incident is not self.before.get(key) or key in self.notices:
                change = self.changes.get(key, Change.NONE)
                yield Step(incident, change, self.notices.get(key), self.reported.get(key, ()))

"""The reactions job: ask the channel how people reacted to open incidents, and act on it.

One worker asks, a few times a minute in total, and only while a message of an open incident
stands. Trouble costs answers, never messages: questions go beside delivery. What people ask for
is done by `answering`; charts are posted here.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TypeVar
from uuid import uuid4

from monitor.domain import GiveUp, Notice, NoticeStatus, Sent, TryLater
from monitor.incidents.actions import (
    IncidentAction,
    Person,
    ReactionChanges,
    ReactionsSeen,
    changes,
)
from monitor.notifications import Channel
from monitor.redaction import redact
from monitor.storage import Connection, incident_actions
from monitor.storage.incident_actions import WantedChart, WatchedMessage
from monitor.worker import answering, delivery_job, lease_keeper
from monitor.worker.context import WorkerContext

log = logging.getLogger(__name__)

EVERY = timedelta(seconds=15)
MOST_MESSAGES = 2  # a run asks about; of more, each has its turn
MOST_PEOPLE = 5  # a run asks for the names of
REMEMBERED = 500  # people, reasons, charts
NAME_TRIES = 3  # then a person is named by their id
REFUSED_S = 600.0  # what is refused is asked again after so long
UNREACHED_S = 60.0  # and one that cannot be reached
LEASE = timedelta(minutes=3)  # longer than a run in which every question is slow
CHART_TRIES, CHART_RETRY_S = 5, 15.0  # doubled with each try

K = TypeVar("K")
V = TypeVar("V")


class ReactionPolling:
    """The polling of one channel, and what it remembers: names, turns, and when to ask again.

    `context` may be replaced when the configuration was applied again.
    """

    def __init__(self, context: WorkerContext, channel: Channel) -> None:
        self.context, self._channel = context, channel
        self._lease = f"reactions {channel.name}"
        self._said = False  # what does not work was logged
        self._logged: dict[str, bool] = {}  # reasons
        self._not_before = 0.0  # monotonic
        self._asked: dict[str, float] = {}  # when, by reference; later than now: not before
        self._people: dict[str, Person] = {}
        self._tries: dict[str, int] = {}  # to learn the name, by person
        self._failed: dict[int, bool] = {}  # charts that were certainly not posted, by answer
        self._chart_not_before = 0.0  # monotonic

    async def poll(self) -> bool:
        """Poll messages of open incidents; True if replies wait. Raises DatabaseUnavailable."""
        if time.monotonic() < self._not_before:
            return False
        if not self._said:
            await self._say()
            if not self._said:
                return False
        fence, messages = await self._watched()
        if fence is None:
            return False
        news = False
        for message in self._turn(messages):
            seen = await self._channel.notifier.reactions(message.reference)
            self._asked[message.reference] = time.monotonic()
            if not isinstance(seen, ReactionsSeen):
                self._trouble(seen)
                if isinstance(seen, GiveUp):  # deleted, or in another channel than today's
                    self._asked[message.reference] += REFUSED_S
                if time.monotonic() < self._not_before:
                    return news
                continue
            news = await self._act(message, seen, fence) or news
        return await self._post_chart() or news

    async def _say(self) -> None:
        """At start: what does not work, and why. Where Slack cannot be asked, it is asked later."""
        limits = await self._channel.notifier.limits()
        if not isinstance(limits, tuple):
            self._trouble(limits, least_s=UNREACHED_S)
            return
        self._said = True
        for limit in limits:
            _put(self._logged, limit, True)
            log.warning(
                "channel limited", extra={"reason": limit, "help": self._channel.notifier.guide}
            )

    async def _watched(self) -> tuple[int | None, Sequence[WatchedMessage]]:
        """What there is to ask about; first None: nothing is, or another worker asks."""
        context = self.context
        async with context.database.begin() as connection:
            messages = await incident_actions.watched(connection, self._channel.name)
            if not messages and not await self._charts(connection):
                return None, ()
            return await self._fence(connection), messages

    async def _charts(self, connection: Connection) -> Sequence[WantedChart]:
        return await incident_actions.charts(connection, self._channel.name)

    async def _fence(self, connection: Connection) -> int | None:
        return await lease_keeper.hold(self.context, connection, self._lease, keep=LEASE)

    def _turn(self, messages: Sequence[WatchedMessage]) -> Sequence[WatchedMessage]:
        """Those asked about longest ago; what is over is forgotten."""
        standing = {message.reference for message in messages}
        self._asked = {ref: at for ref, at in self._asked.items() if ref in standing}
        now = time.monotonic()
        turns = sorted((self._asked.get(m.reference, 0.0), m) for m in messages)
        return [message for asked, message in turns if asked <= now][:MOST_MESSAGES]

    def _trouble(self, answer: TryLater | GiveUp, *, least_s: float = 0.0) -> None:
        """Log it once, and wait as long as asked."""
        wait = 0.0
        match answer:
            case TryLater(after_s=after_s):
                wait = after_s or 0.0
            case GiveUp(channel_broken=True):
                wait = REFUSED_S
        self._not_before = time.monotonic() + max(wait, least_s)
        reason = redact(answer.reason, self.context.settings.secrets)
        if reason not in self._logged:
            _put(self._logged, reason, True)
            log.warning(
                "reactions not read",
                extra={"reason": reason, "help": self._channel.notifier.guide},
            )

    async def _act(self, message: WatchedMessage, seen: ReactionsSeen, fence: int) -> bool:
        """Bring the incident in line with its reactions, in one transaction."""
        context, incident = self.context, message.incident
        async with context.database.begin() as connection:
            standing = await incident_actions.standing(
                connection, incident.number, message.reference
            )
        found = changes(seen, standing)
        people = await self._named(found)
        if not people and not found.removed:
            return False
        taken: list[IncidentAction] = []
        async with context.database.begin() as connection:
            if await self._fence(connection) != fence:
                return False  # another worker asks now, and may know better
            if await incident_actions.answerable(connection, incident.number) is None:
                return False
            undone = [
                action
                for action in found.removed
                if await answering.take_back(
                    connection, incident, action, channels=context.channels
                )
            ]
            for reaction in found.added:
                if (person := people.get(reaction.actor)) is None:
                    continue
                answer = await answering.take(
                    connection,
                    incident,
                    reaction,
                    name=person.name,
                    channels=context.channels,
                    channel=self._channel.name,
                    reference=message.reference,
                    subjects=message.subjects,
                )
                if answer is not None:
                    taken.append(answer)
        for action in taken:
            log.info("answer taken", extra=_facts(action))
        for action in undone:
            log.info("answer undone", extra=_facts(action))
        return bool(taken or undone)

    async def _named(self, found: ReactionChanges) -> Mapping[str, Person]:
        """The people who gave the new answers, but for those whom Slack cannot name now."""
        actors = list(dict.fromkeys(reaction.actor for reaction in found.added))
        unknown = [actor for actor in actors if actor not in self._people]
        for actor in unknown[:MOST_PEOPLE]:
            answer = await self._channel.notifier.person(actor)
            if isinstance(answer, TryLater):
                _put(self._tries, actor, self._tries.pop(actor, 0) + 1)
                if self._tries[actor] < NAME_TRIES:
                    self._trouble(answer)
                    break
            _put(self._people, actor, answer if isinstance(answer, Person) else Person(None))
            self._tries.pop(actor, None)
        known = {actor: self._people[actor] for actor in actors if actor in self._people}
        return {actor: person for actor, person in known.items() if not person.is_bot}

    async def _post_chart(self) -> bool:
        """Post the next chart, one a run; True where there is something to say instead.

        It is noted before and after. Killed between the two, it is posted again and says so.
        """
        context = self.context
        if time.monotonic() < self._chart_not_before:
            return False
        async with context.database.begin() as connection:
            wanted = await self._charts(connection)
            if not wanted or await self._fence(connection) is None:
                return False
            incident, action = wanted[0]
            if action.attempts >= CHART_TRIES:  # each ended with the worker
                reason = f"the worker ended {action.attempts} times while it was drawn"
                await answering.give_up_chart(connection, incident, action, reason)
                return True
            await incident_actions.begin_chart(connection, action)
        notice = Notice(
            id=uuid4(),
            status=NoticeStatus.STILL_FIRING,
            rule=incident.rule,
            scope=incident.scope,
            number=incident.number,
            sentence="",
            at=context.now(),
            repeated=action.attempts > 0 and action.id not in self._failed,
        )
        delivery = await delivery_job.post_chart(
            context, self._channel, notice, action.reference or ""
        )
        if isinstance(delivery, TryLater) and action.attempts + 1 < CHART_TRIES:
            if not delivery.maybe_sent:
                _put(self._failed, action.id, True)
            self._trouble(delivery)
            again = time.monotonic() + CHART_RETRY_S * 2**action.attempts
            self._chart_not_before = again
            return False
        async with context.database.begin() as connection:
            if isinstance(delivery, Sent):
                await incident_actions.finish_chart(connection, action, failure=None)
                return False
            reason = redact(delivery.reason, context.settings.secrets)
            await answering.give_up_chart(connection, incident, action, reason)
        return True


def _put(memory: dict[K, V], key: K, value: V) -> None:
    """Remember; of too many the oldest is forgotten."""
    while len(memory) >= REMEMBERED:
        memory.pop(next(iter(memory)))
    memory[key] = value


def _facts(action: IncidentAction) -> dict[str, object]:
    return {"incident": action.incident, "action": action.kind, "by": action.person}

"""Answers of people to an incident, by reaction or by command, and the sentence each is met with.

`acknowledge` stops reminders, `mute` silences rule and target for a while, `chart` wants the chart
now. An answer takes effect once; removing the reaction undoes what can be undone.
Source: docs/slack.md#answers
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, NamedTuple
from uuid import NAMESPACE_OID, uuid5

from monitor.domain import Notice, NoticeStatus, Severity, instant

MUTED_FOR = timedelta(hours=4)


class ActionKind(StrEnum):
    ACKNOWLEDGE = "acknowledge"
    MUTE = "mute"
    CHART = "chart"


SYMBOLS = {ActionKind.ACKNOWLEDGE: "👀", ActionKind.MUTE: "🔕", ActionKind.CHART: "📈"}


class Reaction(NamedTuple):
    """That a person reacted to a message. `actor` is the channel's id of the person."""

    kind: ActionKind
    actor: str


@dataclass(frozen=True, slots=True)
class ReactionsSeen:
    """Reactions on one message now. `partial`: kinds of which the channel named not everybody."""

    reactions: frozenset[Reaction]
    partial: frozenset[ActionKind] = frozenset()


@dataclass(frozen=True, slots=True)
class Person:
    """Who reacted. `name` None: not known."""

    name: str | None
    is_bot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentAction:
    """An answer as it is stored. `channel` and `reference` None: by command."""

    id: int
    incident: int
    kind: ActionKind
    actor: str
    nth: int
    at: datetime
    name: str | None = None
    channel: str | None = None
    reference: str | None = None
    removed_at: datetime | None = None
    undone_at: datetime | None = None
    undone_by: str | None = None
    attempts: int = 0
    done_at: datetime | None = None
    failure: str | None = None

    @property
    def reaction(self) -> Reaction:
        return Reaction(self.kind, self.actor)

    @property
    def person(self) -> str:
        """The person as messages name them."""
        return self.actor if self.channel is None else f"@{self.name or self.actor}"

    @property
    def nameless(self) -> bool:
        """Whether only the channel can name the person."""
        return self.channel is not None and self.name is None


class ReactionChanges(NamedTuple):
    """What is new on a message, and what is gone from it."""

    added: tuple[Reaction, ...]
    removed: tuple[IncidentAction, ...]


def changes(seen: ReactionsSeen, standing: Iterable[IncidentAction]) -> ReactionChanges:
    """Compare a message with its answers whose reaction stood when it was last looked at.

    A reaction whose answer was undone by command still stands: it is not an answer again.
    """
    known = {action.reaction: action for action in standing}
    added = tuple(sorted(seen.reactions - known.keys()))
    removed = tuple(
        action
        for reaction, action in known.items()
        if reaction not in seen.reactions and reaction.kind not in seen.partial
    )
    return ReactionChanges(added, removed)


# What is said in the thread. Each answer is met once: the id of the notice follows from it.


class AnsweredIncident(NamedTuple):
    """The incident that is answered, as its messages name it."""

    number: int
    rule: str
    scope: str


def reply(
    action: IncidentAction,
    incident: AnsweredIncident,
    sentence: str,
    *,
    step: Literal["added", "removed", "failed"],
    now: datetime,
    others: Iterable[IncidentAction] = (),
) -> Notice:
    """The notice that meets an answer; written again, it has the same id.

    `others`: answers of people that the sentence names, too.
    """
    named = f"{action.incident}|{action.kind}|{action.actor}|{action.nth}|{step}"
    return Notice(
        id=uuid5(NAMESPACE_OID, f"answer|{named}"),
        status=NoticeStatus.NOTICE,  # of an answer, channels without threads must alarm nobody
        rule=incident.rule,
        scope=incident.scope,
        number=incident.number,
        sentence=sentence,
        at=now,
        severity=Severity.INFO,
        in_thread=True,
        mentions=tuple(dict.fromkeys(one.actor for one in (action, *others) if one.nameless)),
    )


def acknowledged(action: IncidentAction, others: Collection[IncidentAction]) -> str:
    """`others`: what acknowledged the incident before, and still does."""
    if others:
        return f"Also acknowledged by {action.person}."
    return f"Acknowledged by {action.person}; reminders stop."


def not_acknowledged(action: IncidentAction, others: Collection[IncidentAction]) -> str:
    """`others`: what still acknowledges the incident."""
    if others:
        names = ", ".join(dict.fromkeys(other.person for other in others))
        return f"No longer acknowledged by {action.person}; still acknowledged by {names}."
    return f"No longer acknowledged by {action.person}; reminders resume."


def muted(action: IncidentAction, what: str, *, until: datetime, now: datetime) -> str:
    """`what`: rule and target."""
    symbol = SYMBOLS[ActionKind.MUTE]
    end = instant(until, now=now)
    return f"Muted by {action.person} until {end}: {what}. Remove {symbol} to unmute."


def unmuted(action: IncidentAction, what: str, *, until: datetime | None, now: datetime) -> str:
    """`until`: when other mutes of the same end; None: there are none."""
    if until is not None:
        end = instant(until, now=now)
        return f"{action.person} ended their mute of {what}; another mute lasts until {end}."
    return f"Unmuted by {action.person}: {what}."


def chart_failed(action: IncidentAction, reason: str) -> str:
    return f"The chart for {action.person} could not be posted: {reason.rstrip('.')}."

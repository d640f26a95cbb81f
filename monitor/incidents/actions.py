"""What people do about an incident by reaction or command, and the replies that they get.

`acknowledge` stops reminders, `mute` silences rule and target for a time, `chart` requests a chart
now. Each takes effect once. Removing the reaction undoes what can be undone.

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
    """One person's reaction to a message. `actor` is the channel's id of the person."""

    kind: ActionKind
    actor: str


@dataclass(frozen=True, slots=True)
class ReactionsSeen:
    """Current reactions to one message. `partial`: kinds with people whom the channel left out."""

    reactions: frozenset[Reaction]
    partial: frozenset[ActionKind] = frozenset()


@dataclass(frozen=True, slots=True)
class Person:
    """A person who reacted. `name` is None if it is not known."""

    name: str | None
    is_bot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentAction:
    """A stored action. `channel` and `reference` are None for an action by command."""

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
        """Whether only the channel can supply the person's name."""
        return self.channel is not None and self.name is None


class ReactionChanges(NamedTuple):
    """Reactions that were added to a message and removed from it."""

    added: tuple[Reaction, ...]
    removed: tuple[IncidentAction, ...]


def changes(seen: ReactionsSeen, standing: Iterable[IncidentAction]) -> ReactionChanges:
    """Compare the reactions of a message with the stored actions whose reaction was still present.

    A reaction whose action was undone by command is still present. It does not count as new.
    """
    known = {action.reaction: action for action in standing}
    added = tuple(sorted(seen.reactions - known.keys()))
    removed = tuple(
        action
        for reaction, action in known.items()
        if reaction not in seen.reactions and reaction.kind not in seen.partial
    )
    return ReactionChanges(added, removed)


# Replies in the thread. The id of the notice is derived from the action, so each action gets one
# reply.


class AnsweredIncident(NamedTuple):
    """The incident that a person acted on, as its messages name it."""

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
    """The reply to an action; the same action always gives the same notice id.

    `others`: actions of other people that the sentence also names.
    """
    named = f"{action.incident}|{action.kind}|{action.actor}|{action.nth}|{step}"
    return Notice(
        id=uuid5(NAMESPACE_OID, f"answer|{named}"),
        status=NoticeStatus.NOTICE,  # of the reply; channels without threads must not make a sound
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
    """`others`: earlier acknowledgements that are still in effect."""
    if others:
        return f"Also acknowledged by {action.person}."
    return f"Acknowledged by {action.person}; reminders stop."


def not_acknowledged(action: IncidentAction, others: Collection[IncidentAction]) -> str:
    """`others`: acknowledgements that are still in effect."""
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
    """`until`: when the last other mute of the same rule and target ends; None: there is none."""
    if until is not None:
        end = instant(until, now=now)
        return f"{action.person} ended their mute of {what}; another mute lasts until {end}."
    return f"Unmuted by {action.person}: {what}."


def chart_failed(action: IncidentAction, reason: str) -> str:
    return f"The chart for {action.person} could not be posted: {reason.rstrip('.')}."

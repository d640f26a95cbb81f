"""Reactions to a message: what each emoji means, and who reacted.

Everything in a response is foreign: names are cleaned, ids are checked, and other forms are
ignored. Source: docs.slack.dev, reactions.get and users.info.
"""

import re
from collections.abc import Mapping

from monitor.incidents.actions import ActionKind, Person, Reaction, ReactionsSeen
from monitor.redaction import plain

# By the names that Slack gives them, without the colons.
EMOJI = {
    "eyes": ActionKind.ACKNOWLEDGE,
    "no_bell": ActionKind.MUTE,
    "mute": ActionKind.MUTE,  # the crossed-out loudspeaker
    "chart_with_upwards_trend": ActionKind.CHART,
    "chart": ActionKind.CHART,  # the chart with a yen sign
}
NAME = 80  # characters of a person's name
_MOST_KINDS, _MOST_PEOPLE = 100, 200  # reactions that are read; Slack allows 23 kinds per person
_SKIN_TONE = re.compile(r"::skin-tone-\d$")
_USER = re.compile(r"[UW][A-Z0-9]{1,30}")
_SLACKBOT = "USLACKBOT"  # Slack's system user, although Slack does not mark it as a bot


def seen(message: object, ts: str, *, besides: str | None) -> ReactionsSeen | None:
    """The known reactions to the message, except those of one user: the bot itself.

    None: the response is about another message. Unreadable parts prove no removal.
    """
    if not isinstance(message, Mapping) or message.get("ts") != ts:
        return None
    listed = message.get("reactions", [])
    if not isinstance(listed, list):
        return None
    reactions: set[Reaction] = set()
    partial = set(ActionKind) if len(listed) > _MOST_KINDS else set()
    for item in listed[:_MOST_KINDS]:
        if not isinstance(item, Mapping) or not isinstance(item.get("name"), str):
            partial = set(ActionKind)
        elif (kind := EMOJI.get(_SKIN_TONE.sub("", item["name"]))) is not None:
            users = item.get("users")
            people = [user for user in users if is_user(user)] if isinstance(users, list) else []
            reactions |= {
                Reaction(kind, user)
                for user in people[:_MOST_PEOPLE]
                if user not in (besides, _SLACKBOT)
            }
            if item.get("count") != len(people) or len(people) > _MOST_PEOPLE:
                partial.add(kind)
    return ReactionsSeen(frozenset(reactions), frozenset(partial))


def is_user(text: object) -> bool:
    """Whether this is the id of a user."""
    return isinstance(text, str) and _USER.fullmatch(text) is not None


def person(user: object) -> Person:
    """A user with the name that they show to others."""
    if not isinstance(user, Mapping):
        return Person(None)
    profile = user.get("profile")
    shown = profile if isinstance(profile, Mapping) else {}
    names = (shown.get("display_name"), shown.get("real_name"), user.get("name"))
    name = next((clean for text in names if (clean := _clean(text))), None)
    return Person(name, is_bot=user.get("is_bot") is True)


def _clean(text: object) -> str:
    return plain(text, NAME).lstrip("@ ") if isinstance(text, str) else ""

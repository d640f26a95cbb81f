"""The Web API of the local Slack: tokens, scopes, users, and reactions on the messages.

The bot's token may call what its scopes allow. `xoxp-USER` is the token of a person, who may react:
that is how tests and people who try the product answer an incident.
Source: docs.slack.dev, reference of the methods.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from monitor.simulator.slack_channel import Answer, PostedMessage, SlackChannel, SlackRefused

BOT, BOT_NAME = "U000BOT", "monitor"
SCOPES = ("chat:write", "files:write", "reactions:read", "users:read")
USER_TOKEN = "xoxp-"
MOST_REACTIONS = 23  # emoji that one message takes
_EMOJI = re.compile(r"[a-z0-9_+'-]+(::skin-tone-[2-6])?")
_TS = re.compile(r"\d+\.\d{6}")


@dataclass(frozen=True, slots=True)
class SlackUser:
    """A user of the workspace. `display_name` empty: they set none."""

    id: str
    name: str
    display_name: str = ""
    real_name: str = ""
    is_bot: bool = False


USERS = (
    SlackUser("U0ANA", "ana.silva", "ana", "Ana Silva"),
    SlackUser("U0BEN", "ben", "", "Ben Okafor"),
    SlackUser("U0DEPLOY", "deploybot", "Deploy Bot", is_bot=True),
    SlackUser(BOT, BOT_NAME, is_bot=True),
)


class SlackApp:
    """Methods of the Web API over one channel. Not thread-safe: the inbox holds the lock.

    `scopes` None: the server does not state them, and refuses nothing for lack of them.
    """

    def __init__(self, channel: SlackChannel, token: str, scopes: Iterable[str] | None) -> None:
        self.scopes = None if scopes is None else tuple(scopes)
        self.users = {user.id: user for user in USERS}
        self._channel, self._token = channel, token
        # By method: the scope it needs, and what it does.
        self._methods: Mapping[str, tuple[str | None, Callable[[dict[str, Any]], Answer]]] = {
            "auth.test": (None, self._auth),
            "chat.postMessage": ("chat:write", channel.post),
            "chat.update": ("chat:write", channel.update),
            "files.getUploadURLExternal": ("files:write", channel.upload_url),
            "files.completeUploadExternal": ("files:write", channel.complete),
            "reactions.get": ("reactions:read", self._reactions),
            "users.info": ("users:read", self._user),
        }

    def call(self, method: str, arguments: dict[str, Any], authorization: str | None) -> Answer:
        """Answer one method; raises `SlackRefused`."""
        if not authorization:
            raise SlackRefused("not_authed")
        token = authorization.removeprefix("Bearer ")
        person = token.removeprefix(USER_TOKEN)
        if method in ("reactions.add", "reactions.remove") and person in self.users:
            return {"ok": True} | self._react(person, arguments, remove="remove" in method)
        if token != self._token:
            raise SlackRefused("invalid_auth")
        if method not in self._methods:
            raise SlackRefused("unknown_method", method)
        scope, answer = self._methods[method]
        if scope is not None and self.scopes is not None and scope not in self.scopes:
            raise SlackRefused(
                "missing_scope", method, needed=scope, provided=",".join(self.scopes)
            )
        return {"ok": True} | answer(arguments)

    def _auth(self, arguments: dict[str, Any]) -> Answer:
        return {"team": "Inbox", "user": BOT_NAME, "team_id": "T000", "user_id": BOT}

    def _user(self, arguments: dict[str, Any]) -> Answer:
        user = self.users.get(str(arguments.get("user")))
        if user is None:
            raise SlackRefused("user_not_found", str(arguments.get("user")))
        profile = {"display_name": user.display_name, "real_name": user.real_name}
        shown = {"id": user.id, "name": user.name, "deleted": False, "is_bot": user.is_bot}
        return {"user": {**shown, "profile": profile}}

    def _reactions(self, arguments: dict[str, Any]) -> Answer:
        posted = self._item(arguments)
        message: dict[str, Any] = {
            "type": "message", "text": posted.text, "ts": posted.ts, "user": BOT
        }  # fmt: skip
        if posted.reactions:  # Slack omits the key of a message without reactions
            message["reactions"] = [
                {"name": name, "users": list(users), "count": len(users)}
                for name, users in posted.reactions.items()
            ]
        return {"type": "message", "channel": self._channel.id, "message": message}

    def _react(self, user: str, arguments: dict[str, Any], *, remove: bool) -> Answer:
        name = str(arguments.get("name", "")).strip(":")
        if not _EMOJI.fullmatch(name):
            raise SlackRefused("invalid_name", name)
        posted = self._item(arguments)
        users = posted.reactions.get(name, [])
        if remove and user not in users:
            raise SlackRefused("no_reaction", name)
        if not remove and user in users:
            raise SlackRefused("already_reacted", name)
        if not remove and not users and len(posted.reactions) >= MOST_REACTIONS:
            raise SlackRefused("too_many_emoji", name)
        left = [other for other in users if other != user]
        if not remove:
            left.append(user)
        posted.reactions[name] = left
        if not left:
            del posted.reactions[name]
        return {}

    def _item(self, arguments: dict[str, Any]) -> PostedMessage:
        channel, ts = arguments.get("channel"), arguments.get("timestamp")
        if not channel or not ts:
            raise SlackRefused("no_item_specified", "channel and timestamp name a message")
        if channel != self._channel.id:
            raise SlackRefused("channel_not_found", "reactions take the id of a channel")
        if not isinstance(ts, str) or not _TS.fullmatch(ts):
            raise SlackRefused("bad_timestamp", str(ts))
        return self._channel.find(ts, "message_not_found")

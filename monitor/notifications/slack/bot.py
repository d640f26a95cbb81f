"""A bot token: one message per incident, edited in place, with audible replies in its thread.

People react to that message.
"""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse

from monitor.domain import Delivery, GiveUp, Notice, Sent, TryLater
from monitor.incidents.actions import Person, ReactionsSeen
from monitor.notifications.calls import Calls
from monitor.notifications.notifier import ChannelCheck, Notifier
from monitor.notifications.slack import reactions
from monitor.notifications.slack.render import (
    SlackMessage,
    answer,
    render,
    thread_details,
    thread_reply,
)
from monitor.notifications.slack.webhook import (
    DEADLINE_S,
    GUIDE,
    SILENT,
    TIMEOUT_S,
    UNREADABLE,
    Answer,
    RefusalBlame,
    SlackRefusal,
    post_or_shorten,
    proxy_for,
    reached,
    refused,
    settled,
)
from monitor.redaction import plain

SCOPE, REACTIONS = "chat:write", "reactions:read"
# What does not work without a scope. Source: docs/slack.md#scopes
LIMITS = {
    "files:write": "charts are not posted",
    REACTIONS: "reactions on incidents are not read",
    "users:read": "people who react are named by their id, and other bots count as people",
}
QUESTION = "rag-monitor-reactions"  # part of the user agent
# Errors about one message that say nothing about others: it may be in another channel.
OF_MESSAGE = ("channel_not_found", "is_archived", "no_permission", "not_in_channel")
MOST_QUESTIONS = 2  # at the same time, including those that hang
_CHANNEL_ID, _TS = re.compile(r"[A-Z0-9]{1,40}"), re.compile(r"\d{1,20}\.\d{1,20}")
T = TypeVar("T")


class SlackBot(Notifier):
    """Posts as a Slack app. References have the form `<channel id>:<ts>`."""

    attaches = True
    reacts = True
    guide = GUIDE

    def __init__(
        self, token: str, channel: str, *, base_url: str, timeout_s: int = TIMEOUT_S
    ) -> None:
        self._into, self._base_url = channel, base_url
        self._calls = Calls("Slack")
        self._client = WebClient(
            token, base_url=base_url, timeout=timeout_s, logger=SILENT, retry_handlers=[]
        )
        # Requests about reactions have their own threads, so that messages do not wait for them. A
        # proxy or a test recognises them by their user agent.
        self._questions = Calls("Slack", MOST_QUESTIONS)
        self._asking = WebClient(
            token,
            base_url=base_url,
            timeout=timeout_s,
            logger=SILENT,
            retry_handlers=[],
            user_agent_suffix=QUESTION,
        )
        self._user: str | None = None  # our own user id, once Slack has returned it
        self._scopes: frozenset[str] | None = None  # of the token, once Slack has returned them

    async def send(
        self, notice: Notice, *, reference: str | None = None, runbook_url: str | None = None
    ) -> Delivery:
        """Post a new message, or edit the one referred to and reply in its thread.

        An edit notifies nobody, and a reply only followers of the thread, so the reply is also
        broadcast to the channel. The details of what is new follow in the thread only.
        """
        until = asyncio.get_running_loop().time() + DEADLINE_S
        message = render(notice, runbook_url=runbook_url, threads=True)
        if notice.in_thread:
            return await settled(self._answer(notice, message, reference))
        if notice.quiet:
            return await settled(self._amend(message, reference))
        reply = thread_reply(notice)
        delivery = await settled(self._post_or_edit(message, reference=reference, reply=reply))
        if isinstance(delivery, Sent) and (reference is None or notice.worse):
            await self._explain(notice, delivery.reference, until=until)
        return delivery

    async def _explain(self, notice: Notice, reference: str | None, *, until: float) -> None:
        """Post the details into the thread of a sent message, once, if there is time.

        The message counts as sent whatever happens here: `monitor incidents show` has the details,
        too.
        """
        details = thread_details(notice)
        if details is not None and reference is not None:
            post = partial(self._post, thread=reference, aloud=False)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await post_or_shorten(self._calls, post, details)

    async def attach(self, reference: str, picture: bytes, *, title: str) -> Delivery:
        """Post a PNG picture into the thread of the message referred to.

        A refusal never means that the channel is broken: pictures need a scope of their own.
        """
        upload = partial(self._upload, reference, picture, title=title)
        delivery = await settled(reached(self._calls, upload))
        return GiveUp(delivery.reason) if isinstance(delivery, GiveUp) else delivery

    async def check(self) -> ChannelCheck:
        """Ask Slack whose token it is and what it may do; nothing is posted to the channel."""
        match await reached(self._calls, partial(self._identity, self._client)):
            case ChannelCheck() as check:
                return check
            case TryLater(reason):
                return ChannelCheck(None, reason)
            case SlackRefusal(word):
                return ChannelCheck(False, f"Slack error {word}")

    async def limits(self) -> tuple[str, ...] | TryLater | GiveUp:
        """What the scopes of the token do not allow."""
        found = await self._question(partial(self._identity, self._asking))
        return found.limits if isinstance(found, ChannelCheck) else found

    async def reactions(self, reference: str) -> ReactionsSeen | TryLater | GiveUp:
        """The reactions of people to a message, without those of the bot itself."""
        if self._user is None or self._lacks(REACTIONS):  # the scope may have been added since
            limits = await self.limits()
            if not isinstance(limits, tuple):
                return limits
            if self._lacks(REACTIONS):
                return GiveUp(_limit(REACTIONS), channel_broken=True)
            if self._user is None:
                return GiveUp("Slack does not state who the bot is", channel_broken=True)
        channel, ts = _place(reference)
        ask = partial(self._asking.reactions_get, channel=channel, timestamp=ts, full=True)
        found = await self._question(partial(self._asked, ask))
        if not isinstance(found, SlackResponse):
            return found
        return reactions.seen(found.get("message"), ts, besides=self._user) or UNREADABLE

    async def person(self, actor: str) -> Person | TryLater | GiveUp:
        """The display name of a user."""
        found = await self._question(partial(self._asked, self._asking.users_info, user=actor))
        return reactions.person(found.get("user")) if isinstance(found, SlackResponse) else found

    async def _question(
        self, ask: Callable[[], T | TryLater | SlackRefusal]
    ) -> T | TryLater | GiveUp:
        """Wait at most `DEADLINE_S` for the response to a request about reactions."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                found = await reached(self._questions, ask)
        except TimeoutError:
            return TryLater(f"no answer within {DEADLINE_S} s")
        if isinstance(found, SlackRefusal):
            lasting = found.blame is not RefusalBlame.REFERENCE and found.word not in OF_MESSAGE
            return GiveUp(f"Slack error {found.word}", channel_broken=lasting)
        return found

    async def _answer(self, notice: Notice, message: SlackMessage, reference: str | None) -> Answer:
        """Reply below the incident's message; without one, post a new message.

        It returns no reference: no later message edits a reply.
        """
        answered: Answer = SlackRefusal("thread_not_found", RefusalBlame.REFERENCE)
        if reference is not None:
            post = partial(self._post, thread=reference, aloud=False)
            answered = await post_or_shorten(self._calls, post, answer(notice))
        if isinstance(answered, SlackRefusal) and answered.blame is RefusalBlame.REFERENCE:
            answered = await post_or_shorten(self._calls, self._post, message)
        return Sent() if isinstance(answered, Sent) else answered

    async def _post_or_edit(
        self, message: SlackMessage, *, reference: str | None, reply: SlackMessage
    ) -> Answer:
        if reference is None:
            return await post_or_shorten(self._calls, self._post, message)
        edited = await post_or_shorten(self._calls, partial(self._edit, reference), message)
        if isinstance(edited, SlackRefusal) and edited.blame in (
            RefusalBlame.REFERENCE,
            RefusalBlame.CHANNEL,
        ):
            # The message is gone or cannot be reached. If the channel is broken, posting says so,
            # too.
            return await post_or_shorten(self._calls, self._post, message)
        if not isinstance(edited, Sent):
            return edited
        replied = await post_or_shorten(self._calls, partial(self._post, thread=reference), reply)
        if isinstance(replied, TryLater) or _blames_channel(replied):
            return replied  # repeated together with the edit, which is harmless
        if isinstance(
            replied, SlackRefusal
        ):  # the thread accepts no reply, and an edit is not audible
            return await post_or_shorten(self._calls, self._post, message)
        return edited

    async def _amend(self, message: SlackMessage, reference: str | None) -> Answer:
        """Edit the existing message. Without one, there is nothing to do."""
        if reference is None:
            return Sent(posted=False)
        edited = await post_or_shorten(self._calls, partial(self._edit, reference), message)
        gone = isinstance(edited, SlackRefusal) and edited.blame is RefusalBlame.REFERENCE
        return Sent(reference, posted=False) if gone else edited

    def _post(
        self, message: SlackMessage, *, thread: str | None = None, aloud: bool = True
    ) -> Answer:
        channel, ts = _place(thread) if thread else (self._into, None)
        content = {name: value for name, value in _content(message).items() if value}
        return self._sent(
            self._client.chat_postMessage,
            channel=channel,
            thread_ts=ts,
            reply_broadcast=True if thread and aloud else None,
            mrkdwn=False,
            link_names=False,
            unfurl_links=False,
            unfurl_media=False,
            **content,
        )

    def _edit(self, reference: str, message: SlackMessage) -> Answer:
        channel, ts = _place(reference)
        # Empty blocks and metadata are sent, because an edit keeps what it does not name.
        return self._sent(
            self._client.chat_update,
            channel=channel,
            ts=ts,
            link_names=False,
            **_content(message),
        )

    def _upload(self, reference: str, picture: bytes, *, title: str) -> Answer:
        channel, ts = _place(reference)
        return self._sent(
            self._client.files_upload_v2,
            channel=channel,
            thread_ts=ts,
            content=picture,
            filename=f"{title}.png",
            title=title,
        )

    def _identity(self, client: WebClient) -> ChannelCheck | TryLater | SlackRefusal:
        response = self._asked(client.auth_test)
        if not isinstance(response, SlackResponse):
            return response
        user, team = response.get("user"), response.get("team")
        if reactions.is_user(response.get("user_id")):
            self._user = response.get("user_id")
        stated = {k.lower(): v for k, v in response.headers.items()}.get("x-oauth-scopes")
        if stated is None:
            return ChannelCheck(True, plain(f"bot {user} of {team}"))
        self._scopes = frozenset(scope.strip() for scope in stated.split(","))
        if self._lacks(SCOPE):
            return ChannelCheck(False, f"the bot lacks the scope {SCOPE}")
        limits = tuple(_limit(scope) for scope in LIMITS if self._lacks(scope))
        return ChannelCheck(True, plain(f"bot {user} of {team}"), limits)

    def _lacks(self, scope: str) -> bool:
        return self._scopes is not None and scope not in self._scopes

    def _sent(self, method: Callable[..., SlackResponse], **arguments: Any) -> Answer:
        response = self._asked(method, **arguments)
        if not isinstance(response, SlackResponse):
            return response
        channel, ts = response.get("channel"), response.get("ts")
        if not isinstance(channel, str) or not isinstance(ts, str):
            return Sent(None)
        known = _CHANNEL_ID.fullmatch(channel) and _TS.fullmatch(ts)
        return Sent(f"{channel}:{ts}" if known else None)

    def _asked(
        self, method: Callable[..., SlackResponse], **arguments: Any
    ) -> SlackResponse | TryLater | SlackRefusal:
        self._client.proxy = self._asking.proxy = proxy_for(self._base_url)
        try:
            return method(**arguments)
        except SlackApiError as error:
            response = error.response
            word = response.data.get("error") if isinstance(response.data, dict) else None
            return refused(response.status_code, word, response.headers)
        except AttributeError:  # the SDK accepts any JSON as an object
            return UNREADABLE


def _limit(scope: str) -> str:
    return f"the bot lacks the scope {scope}: {LIMITS[scope]}"


def _blames_channel(answer: Answer) -> bool:
    return isinstance(answer, SlackRefusal) and answer.blame is RefusalBlame.CHANNEL


def _content(message: SlackMessage) -> dict[str, Any]:
    return {
        "text": message.text,
        "blocks": list(message.blocks),
        "metadata": dict(message.metadata),
        "parse": "none",
    }


def _place(reference: str) -> tuple[str, str]:
    channel, _, ts = reference.partition(":")
    return channel, ts

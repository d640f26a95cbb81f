"""A bot token: one message per incident, edited in place, with audible replies in its thread."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse

from monitor.domain import Delivery, GiveUp, Notice, Sent, TryLater
from monitor.notifications.calls import Calls
from monitor.notifications.notifier import ChannelCheck, Notifier
from monitor.notifications.slack.render import SlackMessage, render, thread_details, thread_reply
from monitor.notifications.slack.webhook import (
    DEADLINE_S,
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

SCOPE = "chat:write"


class SlackBot(Notifier):
    """Posts as a Slack app. References read `<channel id>:<ts>`."""

    attaches = True

    def __init__(
        self, token: str, channel: str, *, base_url: str, timeout_s: int = TIMEOUT_S
    ) -> None:
        self._into, self._base_url = channel, base_url
        self._calls = Calls("Slack")
        self._client = WebClient(
            token, base_url=base_url, timeout=timeout_s, logger=SILENT, retry_handlers=[]
        )

    async def send(
        self, notice: Notice, *, reference: str | None = None, runbook_url: str | None = None
    ) -> Delivery:
        """Post a new message, or edit the one referred to and reply in its thread.

        An edit notifies no one, a reply only followers of the thread: it is broadcast to
        the channel, too. The details of what is new follow in the thread, for it alone.
        """
        until = asyncio.get_running_loop().time() + DEADLINE_S
        message = render(notice, runbook_url=runbook_url, threads=True)
        if notice.quiet:
            return await settled(self._amend(message, reference))
        reply = thread_reply(notice)
        delivery = await settled(self._post_or_edit(message, reference=reference, reply=reply))
        if isinstance(delivery, Sent) and (reference is None or notice.worse):
            await self._explain(notice, delivery.reference, until=until)
        return delivery

    async def _explain(self, notice: Notice, reference: str | None, *, until: float) -> None:
        """Put the details into the thread of a message that was sent, once, if there is time.

        The message stands whatever becomes of them: `monitor incidents show` has them, too.
        """
        details = thread_details(notice)
        if details is not None and reference is not None:
            post = partial(self._post, thread=reference, aloud=False)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await post_or_shorten(self._calls, post, details)

    async def attach(self, reference: str, picture: bytes, *, title: str) -> Delivery:
        """Put a PNG picture into the thread of the message referred to.

        A refusal never means that the channel is broken: pictures need a scope of their own.
        """
        upload = partial(self._upload, reference, picture, title=title)
        delivery = await settled(reached(self._calls, upload))
        return GiveUp(delivery.reason) if isinstance(delivery, GiveUp) else delivery

    async def check(self) -> ChannelCheck:
        """Ask Slack who the token is and whether it may write; the channel is not asked."""
        match await reached(self._calls, self._identity):
            case ChannelCheck() as check:
                return check
            case TryLater(reason):
                return ChannelCheck(None, reason)
            case SlackRefusal(word):
                return ChannelCheck(False, f"Slack error {word}")

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
            # It is gone or out of reach. If the channel is broken, posting says so, too.
            return await post_or_shorten(self._calls, self._post, message)
        if not isinstance(edited, Sent):
            return edited
        replied = await post_or_shorten(self._calls, partial(self._post, thread=reference), reply)
        if isinstance(replied, TryLater) or _blames_channel(replied):
            return replied  # the edit is repeated with it, which harms nobody
        if isinstance(
            replied, SlackRefusal
        ):  # the thread takes no reply, and an edit is not audible
            return await post_or_shorten(self._calls, self._post, message)
        return edited

    async def _amend(self, message: SlackMessage, reference: str | None) -> Answer:
        """Edit what stands. Where nothing stands, nothing is to be done."""
        if reference is None:
            return Sent()
        edited = await post_or_shorten(self._calls, partial(self._edit, reference), message)
        gone = isinstance(edited, SlackRefusal) and edited.blame is RefusalBlame.REFERENCE
        return Sent(reference) if gone else edited

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
        # Empty blocks and metadata are sent: an edit keeps what it does not name.
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

    def _identity(self) -> ChannelCheck | TryLater | SlackRefusal:
        response = self._asked(self._client.auth_test)
        if not isinstance(response, SlackResponse):
            return response
        scopes = {k.lower(): v for k, v in response.headers.items()}.get("x-oauth-scopes")
        if scopes is not None and SCOPE not in [scope.strip() for scope in scopes.split(",")]:
            return ChannelCheck(False, f"the bot lacks the scope {SCOPE}")
        return ChannelCheck(True, plain(f"bot {response.get('user')} of {response.get('team')}"))

    def _sent(self, method: Callable[..., SlackResponse], **arguments: Any) -> Answer:
        response = self._asked(method, **arguments)
        if not isinstance(response, SlackResponse):
            return response
        channel, ts = response.get("channel"), response.get("ts")
        return Sent(f"{channel}:{ts}" if channel and ts else None)

    def _asked(
        self, method: Callable[..., SlackResponse], **arguments: Any
    ) -> SlackResponse | TryLater | SlackRefusal:
        self._client.proxy = proxy_for(self._base_url)
        try:
            return method(**arguments)
        except SlackApiError as error:
            response = error.response
            word = response.data.get("error") if isinstance(response.data, dict) else None
            return refused(response.status_code, word, response.headers)
        except AttributeError:  # the SDK takes any JSON for an object
            return UNREADABLE


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

"""What Slack's responses mean for a message: sent, try later, or give up.

Sentences about failures use only known words, so that they can contain neither a token nor an
address, whatever a server or a library writes.

Source: docs.slack.dev, errors of chat.postMessage and of incoming webhooks.
"""

import asyncio
import http.client
import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from http.client import HTTPException, HTTPResponse, IncompleteRead, InvalidURL
from traceback import clear_frames
from typing import TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler

from slack_sdk.errors import SlackRequestError
from slack_sdk.webhook import WebhookClient

from monitor.domain import Delivery, GiveUp, Notice, Sent, TryLater
from monitor.network_settings import environment_proxy
from monitor.notifications.calls import Calls
from monitor.notifications.notifier import ChannelCheck, Notifier
from monitor.notifications.plain_text import REPEATED
from monitor.notifications.slack.render import CHANNEL, SlackMessage, render

T = TypeVar("T")

TIMEOUT_S = 10  # of one wait for the socket
DEADLINE_S = 30  # of one `send` as a whole
LONGEST_WAIT_S = 3_600
MOST_BYTES = 256 * 1024  # of a response; those of Slack are a few kilobytes
GUIDE = "docs/slack.md"
SHORT = 1_000

# The SDK logs addresses and payloads, so it gets a logger without handlers.
SILENT = logging.Logger("slack", logging.CRITICAL)
SILENT.disabled = True


class _BoundedResponse(HTTPResponse):
    """A response that is read up to a limit: the SDK reads whole bodies into memory."""

    def read(self, amt: int | None = None) -> bytes:
        if amt is not None:
            return super().read(amt)
        body = super().read(MOST_BYTES)
        missing = self.length if len(body) < MOST_BYTES else None
        if not self.isclosed():
            self.close()
        if missing:
            raise IncompleteRead(body, missing)
        return body


def _not_followed(*_: object) -> None:
    """No redirect is followed: the token would go to another server."""


# The SDK accepts no custom opener. Nothing else in the worker uses this HTTP client.
http.client.HTTPConnection.response_class = _BoundedResponse
HTTPRedirectHandler.redirect_request = _not_followed  # type: ignore[method-assign, assignment]


class RefusalBlame(Enum):
    """The cause of a refusal, and so what may help."""

    CHANNEL = "channel"  # token, permission or channel: no message will be accepted
    MESSAGE = "message"  # content: a shorter, plainer message may be accepted
    REFERENCE = "reference"  # the message to edit is gone: a new one may be accepted
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SlackRefusal:
    """Slack rejects a request with one of its error codes."""

    word: str
    blame: RefusalBlame


UNREADABLE = TryLater("Slack's response cannot be read", maybe_sent=True)

Answer = Sent | TryLater | SlackRefusal
UNUSABLE = SlackRefusal("unusable_address", RefusalBlame.CHANNEL)

_BLAME = {
    RefusalBlame.CHANNEL: """
        access_denied accesslimited account_inactive action_prohibited app_missing
        channel_is_archived channel_not_found ekm_access_denied
        enterprise_is_restricted invalid_auth invalid_token is_archived is_inactive
        messages_tab_disabled missing_scope no_permission no_service no_service_id no_team
        not_allowed_token_type not_authed not_in_channel org_login_required
        posting_to_general_channel_denied restricted_action
        restricted_action_non_threadable_channel restricted_action_read_only_channel
        restricted_action_thread_only_channel team_access_not_granted team_disabled
        team_not_found token_expired token_revoked two_factor_setup_required user_not_found
    """,
    RefusalBlame.MESSAGE: """
        attachment_payload_limit_exceeded invalid_arguments invalid_attachments invalid_blocks
        invalid_blocks_format invalid_json invalid_metadata_format invalid_metadata_schema
        invalid_payload json_not_object metadata_too_large
        missing_text_or_fallback_or_attachments msg_blocks_too_long msg_too_long no_text
        too_many_attachments
    """,
    RefusalBlame.REFERENCE: """
        bad_timestamp cannot_reply_to_message cant_update_message edit_window_closed
        message_not_found restricted_action_thread_locked thread_not_found
    """,
}
_BLAMED = {word: blame for blame, text in _BLAME.items() for word in text.split()}
_THROTTLED = ("ratelimited", "rate_limited", "message_limit_exceeded")
# Error codes of temporary failures, and whether Slack may have posted the message anyway.
_PASSING = {
    "rollup_error": False,
    "service_unavailable": False,
    "team_added_to_org": False,
    "request_timeout": False,
    "internal_error": True,
    "fatal_error": True,
}
# sent by a gateway that lost its server, which may have posted the message
_LATE_GATEWAYS = (502, 504)
_WORD = re.compile(r"[a-z_]{2,60}")


def refused(status: int, word: object, headers: Mapping[str, str]) -> TryLater | SlackRefusal:
    """Interpret a response that is not a success, by its status and error code."""
    word = word.strip() if isinstance(word, str) and _WORD.fullmatch(word.strip()) else ""
    if status == 429 or word in _THROTTLED:
        return TryLater("Slack rate limit (HTTP 429)", _retry_after_s(headers), channel_wide=True)
    if word in _PASSING:
        return TryLater(f"Slack error {word}", maybe_sent=_PASSING[word])
    if status >= 500 or status == 408:
        return TryLater(f"Slack returned HTTP {status}", maybe_sent=status in _LATE_GATEWAYS)
    if word in _BLAMED:
        return SlackRefusal(word, _BLAMED[word])
    if status >= 400:
        blame = RefusalBlame.MESSAGE if status in (400, 413) else RefusalBlame.CHANNEL
        return SlackRefusal(word or f"HTTP {status}", blame)
    if status == 200 and word:
        return SlackRefusal(word, RefusalBlame.UNKNOWN)
    return TryLater(f"Slack returned HTTP {status} with an unknown body", maybe_sent=True)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    named = {name.lower(): value for name, value in headers.items()}
    try:
        seconds = float(named["retry-after"])
    except (KeyError, ValueError):
        return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_WAIT_S)


async def post_or_shorten(
    calls: Calls, post: Callable[[SlackMessage], Answer], message: SlackMessage
) -> Answer:
    """Post, and once more as short plain text if Slack rejects the content."""
    answer = await reached(calls, partial(post, message))
    if isinstance(answer, SlackRefusal) and answer.blame in (
        RefusalBlame.MESSAGE,
        RefusalBlame.UNKNOWN,
    ):
        answer = await reached(calls, partial(post, shortened(message)))
    return answer


def shortened(message: SlackMessage) -> SlackMessage:
    """The first lines of the text, with the note that it is repeated: the shortest form."""
    text, _, last = message.text.rpartition("\n")
    if last == REPEATED.format(channel=CHANNEL):
        return SlackMessage(f"{_first(text, SHORT - len(last) - 1)}\n{last}")
    return SlackMessage(_first(message.text, SHORT))


def _first(text: str, limit: int) -> str:
    """The whole lines within so many characters, or the start of a single long line."""
    if len(text) <= limit:
        return text
    return text[:limit].rpartition("\n")[0] or re.sub(r"&\w*$", "", text[:limit])


class ProxyFault(ValueError):
    """The environment names a proxy that cannot be used; the text names the variable."""


def proxy_for(url: str) -> str | None:
    """The proxy of the environment for an address of Slack. Raises ProxyFault."""
    try:
        return environment_proxy(url)
    except ValueError as error:
        raise ProxyFault(str(error)) from None


async def reached(calls: Calls, call: Callable[[], T]) -> T | TryLater | SlackRefusal:
    """Run one exchange in a thread. Network errors are returned as a value."""
    try:
        return await calls.run(partial(_closing, call))
    except InvalidURL:
        return UNUSABLE
    except ProxyFault as fault:
        return TryLater(f"Slack cannot be reached: {fault}")
    except HTTPError as error:
        return TryLater(f"Slack returned HTTP {error.code}")
    except URLError as error:  # raised before the whole request was written
        return TryLater(f"Slack cannot be reached: {_trouble(error.reason)}")
    except (OSError, HTTPException) as error:  # raised while waiting for the response or reading it
        return TryLater(f"Slack's response was lost: {_trouble(error)}", maybe_sent=True)
    except (UnicodeDecodeError, LookupError, RecursionError):  # wrong charset, or nested too deep
        return UNREADABLE
    except (ValueError, SlackRequestError):  # raised before anything was sent
        return UNUSABLE


def _closing(call: Callable[[], T]) -> T:
    """Call; if that raises, close the response, which the SDK leaves open.

    `HTTPError` is itself a response. For other errors, frames of the SDK hold the response in a
    reference cycle with the error, which only the garbage collector would close.
    """
    try:
        return call()
    except Exception as error:
        if isinstance(error, HTTPError):
            error.close()
        clear_frames(error.__traceback__)
        raise


def _trouble(error: object) -> str:
    """The kind of an error without its text, which may contain an address."""
    strerror = error.strerror if isinstance(error, OSError) else None
    return f"{type(error).__name__}" + (f" ({strerror})" if strerror else "")


async def settled(answer: Awaitable[Answer]) -> Delivery:
    """Wait at most `DEADLINE_S` for the response and return what happens to the message."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            received = await answer
    except TimeoutError:
        return TryLater(f"no answer within {DEADLINE_S} s", maybe_sent=True)
    if isinstance(received, SlackRefusal):
        broken = received.blame in (RefusalBlame.CHANNEL, RefusalBlame.UNKNOWN)
        return GiveUp(f"Slack error {received.word}", channel_broken=broken)
    return received


# An incoming webhook is the simplest to set up. It cannot edit, reply, or send metadata.


class SlackWebhook(Notifier):
    """Posts into the one channel of the webhook; every message is a new one."""

    guide = GUIDE

    def __init__(self, url: str, *, timeout_s: int = TIMEOUT_S) -> None:
        self._calls = Calls("Slack")
        self._client = WebhookClient(url, timeout=timeout_s, logger=SILENT, retry_handlers=[])

    async def send(
        self, notice: Notice, *, reference: str | None = None, runbook_url: str | None = None
    ) -> Delivery:
        """Send a new message; a quiet notice is only for channels that can edit."""
        if notice.quiet:
            return Sent(posted=False)
        message = render(notice, runbook_url=runbook_url)
        return await settled(post_or_shorten(self._calls, self._post, message))

    async def check(self) -> ChannelCheck:
        """Report that the state is unknown: a webhook only accepts messages."""
        return ChannelCheck(
            None, "a webhook cannot be checked without a message: run `monitor test-alert`"
        )

    def _post(self, message: SlackMessage) -> Answer:
        payload: dict[str, object] = {
            "text": message.text,
            "mrkdwn": False,
            "parse": "none",
            "link_names": False,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        if message.blocks:
            payload["blocks"] = list(message.blocks)
        self._client.proxy = proxy_for(self._client.url)
        reply = self._client.send_dict(payload)
        if reply.status_code != 200:
            return refused(reply.status_code, reply.body, reply.headers)
        # Anything but ok is the page of another server, whatever it contains.
        return Sent() if reply.body.strip() == "ok" else UNREADABLE

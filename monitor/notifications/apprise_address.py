"""Any service that Apprise supports, by its address: Teams, Discord, Telegram, e-mail, …

Apprise is an optional extra. It takes about 20 MiB, so it is loaded with the first message, in the
thread that sends it. It reports errors as text in its log, which may contain secrets. Only status
codes are read from that text.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, ClassVar

from monitor.domain import Delivery, GiveUp, Notice, NoticeStatus, Sent, TryLater
from monitor.notifications.calls import Calls
from monitor.notifications.notifier import (
    ChannelCheck,
    ChannelOptions,
    Notifier,
    OptionKind,
    option,
)
from monitor.notifications.plain_text import (
    SENTENCE,
    TEXT,
    cleaned,
    head,
    plain_text,
    repeated,
    symbol,
    title,
)
from monitor.notifications.signed_webhook import answered
from monitor.redaction import plain

log = logging.getLogger(__name__)

DEADLINE_S = 25  # of one `send`; Apprise itself waits 4 s for a connection and for each answer
SPACING_S = 1.0  # between two messages; some services require less
MOST_BYTES = 64 * 1024  # of an answer
LEAST_TEXT = 1_000  # of `plain_text`; a longer message is cut
_ADDRESS = re.compile(r"[A-Za-z0-9]{2,32}://\S+")
_SECRET_PART = re.compile(r"[^/@:?&=,]{8,}")
_MENTION = re.compile(r"@(?=everyone|here|channel|all\b|room\b)|<(?=[@!#])")
_TYPES = {
    NoticeStatus.FIRING: "failure",
    NoticeStatus.STILL_FIRING: "warning",
    NoticeStatus.RESOLVED: "success",
    NoticeStatus.NOTICE: "info",
}
_HTTP = re.compile(r"error=(\d{3})\b")
_SMTP = re.compile(r"\((\d{3}), b?['\"]|refused: (\d{3}) ")
_UNSENT = re.compile(
    r"NewConnectionError|ConnectTimeout|NameResolutionError|Connection refused|gaierror|"
    r"Name or service not known|CERTIFICATE_VERIFY_FAILED|No route to host|unreachable"
)
_SMTP_BUSY = (421, 450)
_OF_MESSAGE = (552, 554)  # SMTP: size or content


@dataclass(frozen=True, kw_only=True)
class AppriseOptions(ChannelOptions):
    """`url`: one address as Apprise writes it, such as `discord://ID/TOKEN`."""

    kind: ClassVar[str] = "apprise"

    url: str = option(OptionKind.SECRET_TEXT)

    def __post_init__(self) -> None:
        if find_spec("apprise") is None:
            raise ValueError(
                'needs the extra "apprise": `./run install`, or pip install "rag-monitor[apprise]"'
            )
        if not _ADDRESS.fullmatch(self.url):
            raise ValueError("url must be one Apprise address, such as discord://ID/TOKEN")

    @property
    def secrets(self) -> Iterator[str]:
        """The address, and each part of it that may be a token."""
        yield self.url
        yield from _SECRET_PART.findall(self.url.partition("://")[2])

    def notifier(self, name: str) -> Notifier:
        return AppriseNotifier(name, self.url)


class AppriseNotifier(Notifier):
    """Sends each notice as plain text. It cannot edit messages."""

    def __init__(self, name: str, url: str, *, deadline_s: float = DEADLINE_S) -> None:
        self._name, self._url, self._deadline_s = name, url, deadline_s
        # One call at a time: a call that outlasts the deadline may still send.
        self._calls = Calls("the service", most=1)
        self._service: Any = None  # the module, once it is loaded

    async def send(
        self, notice: Notice, *, reference: str | None = None, runbook_url: str | None = None
    ) -> Delivery:
        """Send a message; a quiet notice is only for channels that can edit.

        If the service rejects the message, it is sent once more as one short line. If it rejects
        that as well, the channel is at fault.
        """
        if notice.quiet:
            return Sent(posted=False)
        try:
            async with asyncio.timeout(self._deadline_s):
                delivery = await self._called(partial(self._sent, notice, runbook_url))
                if isinstance(delivery, GiveUp) and not delivery.channel_broken:
                    short = partial(self._sent, notice, runbook_url, short=True)
                    delivery = await self._called(short)
                    if isinstance(delivery, GiveUp):
                        return GiveUp(delivery.reason, channel_broken=True)
        except TimeoutError:
            return TryLater(f"no answer within {self._deadline_s:g} s", maybe_sent=True)
        return delivery

    async def check(self) -> ChannelCheck:
        """Whether Apprise supports the address; the service itself is not contacted."""
        found = await self._called(self._known)
        if isinstance(found, GiveUp):
            return ChannelCheck(False, found.reason)
        return ChannelCheck(
            None,
            f"{self._what()} cannot be checked without a message: "
            f"run `monitor test-alert --channel {self._name}`",
        )

    async def _called(self, call: Callable[[], Delivery]) -> Delivery:
        try:
            return await self._calls.run(call)
        except ImportError as error:
            return GiveUp(f"Apprise cannot be loaded: {error.name}", channel_broken=True)
        except Exception as bug:  # a bug in one of its 140 services must not end the delivery
            log.debug("apprise failed", exc_info=True)
            return TryLater(f"Apprise failed: {type(bug).__name__}", maybe_sent=True)

    def _known(self) -> Delivery:
        """Load Apprise and the service; raises no exception."""
        if self._service is None:
            self._service = _service(self._url)
        if self._service is None:
            return GiveUp("Apprise does not know the address: correct url", channel_broken=True)
        return Sent()

    def _sent(self, notice: Notice, runbook_url: str | None, *, short: bool = False) -> Delivery:
        """Send in this thread."""
        if isinstance(unknown := self._known(), GiveUp):
            return unknown
        title, body = _short(notice) if short else self._text(notice, runbook_url)
        result = self._service.notify(
            body=body,
            title=title,
            notify_type=_TYPES[notice.status],
            body_format="text",
            log_level=logging.DEBUG,
        )
        with result:
            if result:
                return Sent()
            return judged([entry.message for entry in result.logs()], self._what())

    def _text(self, notice: Notice, runbook_url: str | None) -> tuple[str, str]:
        """Title and body; the body is at most as long as the service accepts."""
        most = min(TEXT, *(int(service.body_maxlen) for service in self._service))
        body = plain_text(
            notice,
            runbook_url=runbook_url,
            clean=unmentioning,
            channel=self._what(),
            limit=max(most, LEAST_TEXT),
        )
        top = f"{symbol(notice)} {title(notice, unmentioning)}"
        return top, body if len(body) <= most else body[: most - 1] + "…"

    def _what(self) -> str:
        """The name of the service for people."""
        names = [str(service.service_name) for service in self._service or ()]
        return plain(", ".join(names), 60) or "the service"


def unmentioning(text: str, limit: int) -> str:
    """Foreign text as one line that mentions nobody, for services that read mentions from text."""
    return _MENTION.sub("\\g<0>\u200b", cleaned(text, limit))[:limit]


class _OnlyCodes(logging.Filter):
    """Reduces each log line to what `judged` reads: lines contain addresses and messages."""

    def filter(self, record: logging.LogRecord) -> bool:
        found = [part[0] for code in (_HTTP, _SMTP, _UNSENT)
                 for part in code.finditer(record.getMessage())]  # fmt: skip
        record.msg, record.args = " ".join(found), ()
        return bool(found)


def judged(log: list[str], service: str) -> Delivery:
    """What a refusal means, by the codes in Apprise's log. Its text is not repeated."""
    text = "\n".join(log)
    if found := _HTTP.findall(text):
        return answered(int(found[-1]), receiver=service)
    if found := [first or second for first, second in _SMTP.findall(text)]:
        code = int(found[-1])
        why = f"{service} answered SMTP {code}"
        if code < 500:
            return TryLater(why, channel_wide=code in _SMTP_BUSY)
        return GiveUp(why, channel_broken=code not in _OF_MESSAGE)
    if _UNSENT.search(text):
        return TryLater(f"{service} cannot be reached")
    return TryLater(f"{service} did not confirm the message", maybe_sent=True)


def _short(notice: Notice) -> tuple[str, str]:
    """The shortest form of a message: one line, without a title."""
    line = f"{head(notice, unmentioning)}: {unmentioning(notice.sentence, SENTENCE)}"
    return "", line[:150] + (
        f" {repetition}" if (repetition := repeated(notice, "the service")) else ""
    )


def _bound_answers() -> None:
    """Limit how much of each answer the HTTP library of Apprise reads into memory.

    Apprise opens a session for each request; sessions look up their adapter by this name.
    """
    from requests import Response, sessions
    from requests.adapters import HTTPAdapter
    from urllib3.exceptions import HTTPError

    class Bounded(HTTPAdapter):
        def send(self, request: Any, *arguments: Any, **options: Any) -> Response:
            response = super().send(request, *arguments, **options | {"stream": True})
            try:
                content = response.raw.read(MOST_BYTES, decode_content=True)
            except HTTPError:  # the status alone says what happened to the message
                content = b""
            # What `Response.content` holds after it read the whole.
            response._content, response._content_consumed = content, True
            response.close()
            # A followed redirect would lose the message: the POST becomes a GET.
            response.headers.pop("Location", None)
            return response

    vars(sessions)["HTTPAdapter"] = Bounded


def _service(url: str) -> Any:
    """Apprise with one service; None if it does not support the address."""
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it logs addresses
    own = logging.getLogger("apprise")
    own.setLevel(logging.DEBUG)
    own.propagate = False
    if not any(isinstance(item, _OnlyCodes) for item in own.filters):
        own.addFilter(_OnlyCodes())
    import apprise

    _bound_answers()
    asset = apprise.AppriseAsset(
        app_id="rag-monitor",
        app_desc="rag-monitor",
        app_url="",
        async_mode=False,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        image_url_mask="",
        image_url_logo="",
        image_path_mask=False,
    )
    service = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if service is None:
        return None
    service.request_rate_per_sec = min(service.request_rate_per_sec, SPACING_S)
    found = apprise.Apprise(asset=asset)
    found.add(service)
    return found

"""A webhook that receives one signed JSON document for each notice. See docs/webhook.md.

The signature follows Standard Webhooks (standardwebhooks.com), so that existing libraries can
verify it. All attempts to send a notice have the same document and the same idempotency key.
"""

import base64
import binascii
import hashlib
import hmac
import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import Annotated, ClassVar, Literal

from pydantic import Field, TypeAdapter

from monitor.accounts.replies import retry_after_s
from monitor.domain import (
    CauseOwner,
    Delivery,
    GiveUp,
    Notice,
    NoticeStatus,
    Sent,
    Severity,
    TryLater,
)
from monitor.notifications.notifier import (
    ChannelCheck,
    ChannelOptions,
    Notifier,
    OptionKind,
    option,
)
from monitor.notifications.plain_text import (
    FACT,
    FACTS,
    LABEL,
    SENTENCE,
    cleaned,
    first_step,
    known_cause,
    plain_text,
    runbook,
    show_command,
    summary,
    title,
)
from monitor.redaction import plain
from monitor.rules import Unit, unit_of

VERSION: Literal[1] = 1
BASE64 = "whsec_"  # prefix of a secret in base64
TIMEOUT_S = 10.0
MOST_ROWS = 100
# Status codes that reject one message; any other 4xx rejects all of them.
_OF_MESSAGE = (400, 406, 409, 413, 414, 415, 422, 431)
_PASSING = (408, 425, 429)
# sent by a gateway that lost its server, which may have accepted the message
_LATE_GATEWAYS = (502, 504)

Line = Annotated[str, Field(description="One line without markup.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeFact:
    """A detail: its label and its text."""

    label: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeDocument:
    """The document that a webhook receives.

    Later versions of the program may add keys. `version` increases if a key is removed or changes
    its meaning.
    """

    version: Annotated[Literal[1], Field(description="Version of this document.")]
    id: Annotated[str, Field(description="UUID of the notice, the same at every attempt.")]
    channel: Annotated[str, Field(description="Name of the channel in the configuration.")]
    status: Annotated[
        NoticeStatus,
        Field(description="FIRING opens an incident, RESOLVED ends it, NOTICE changes none."),
    ]
    kind: Annotated[
        Literal["notice", "answer"],
        Field(description="answer: how a person answered an incident; else notice."),
    ]
    severity: Annotated[Severity, Field(description="The most urgent of what it reports.")]
    number: Annotated[int | None, Field(description="Number of the incident; null: there is none.")]
    rule: Annotated[
        str, Field(description="The rule, or digest, clock, storage, configuration, test.")
    ]
    target: Annotated[str, Field(description="The target; else a provider, a channel, or all.")]
    targets: Annotated[
        str | None,
        Field(description="Targets that share the fault, if several: 20 at most, of an end 8."),
    ]
    title: Annotated[str, Field(description="Whom it is about, and what is wrong, in few words.")]
    summary: Annotated[
        str | None,
        Field(description="How much of it, since when, its cost; of an end its likely cause."),
    ]
    sentence: Annotated[str, Field(description="The whole judgement in one sentence.")]
    what: Annotated[str | None, Field(description="What is wrong, in few words.")]
    extent: Annotated[str | None, Field(description="How much of it.")]
    money: Annotated[str | None, Field(description="What it costs, the ratio first.")]
    cause: Annotated[str | None, Field(description="The likely cause, also of an end.")]
    cause_owner: Annotated[
        CauseOwner | None,
        Field(description="Who can fix the likely cause; null: no cause was looked for."),
    ]
    first_step: Annotated[str | None, Field(description="What to do first.")]
    certainty: Annotated[str | None, Field(description="How certain the judgement is, and why.")]
    recovering: Annotated[
        str | None, Field(description="The incident is open, but not in breach now: how it is.")
    ]
    also: Annotated[list[Line], Field(description="What else is wrong under the same number.")]
    unit: Annotated[Unit, Field(description="Unit of value, limit and peak; share is 0 to 1.")]
    value: Annotated[float | None, Field(description="The latest value.")]
    limit: Annotated[float | None, Field(description="The limit of the rule.")]
    peak: Annotated[float | None, Field(description="The worst value while the incident was open.")]
    at: Annotated[datetime, Field(description="When it was judged, UTC.")]
    since: Annotated[datetime | None, Field(description="Start of the breach, UTC.")]
    until: Annotated[
        datetime | None,
        Field(description="End of the breach, UTC: start of the first good answer after it."),
    ]
    runbook: Annotated[
        str | None, Field(description="The section of the runbook: an address, else a command.")
    ]
    details: Annotated[str | None, Field(description="The command that prints everything.")]
    facts: Annotated[list[NoticeFact], Field(description="Details, at most 16.")]
    observations: Annotated[
        list[str], Field(description="UUIDs of the observations that prove it, at most 100.")
    ]
    text: Annotated[str, Field(description="All of it as plain text, at most 3,000 characters.")]


_DOCUMENT = TypeAdapter(NoticeDocument)


@dataclass(frozen=True, kw_only=True)
class WebhookOptions(ChannelOptions):
    """`url` receives the documents, `secret` signs them, `authorization` is sent as that header."""

    kind: ClassVar[str] = "webhook"

    url: str = option(OptionKind.SECRET_ADDRESS)
    secret: str = option(OptionKind.KEY)
    authorization: str | None = option(OptionKind.SECRET_TEXT, default=None)

    def __post_init__(self) -> None:
        try:
            key = signing_key(self.secret)
        except ValueError:
            raise ValueError(f"secret begins with {BASE64}, but the rest is not base64") from None
        if not key:
            raise ValueError("secret is empty")
        given = self.authorization or ""
        if not given.isascii() or not given.isprintable():
            raise ValueError("authorization must be one line of ASCII: HTTP cannot carry it")

    def notifier(self, name: str) -> Notifier:
        return SignedWebhook(name, self)


class SignedWebhook(Notifier):
    """Sends each notice as a signed JSON document. It cannot edit messages."""

    def __init__(self, name: str, options: WebhookOptions, *, timeout_s: float = TIMEOUT_S) -> None:
        self._name, self._options, self._timeout_s = name, options, timeout_s

    async def send(
        self, notice: Notice, *, reference: str | None = None, runbook_url: str | None = None
    ) -> Delivery:
        """Send a document; a quiet notice is only for channels that can edit."""
        # httpx takes time to load, and most commands do not need it
        from monitor.probing.fetch import fetch

        if notice.quiet:
            return Sent(posted=False)
        body, now = document(notice, self._name, runbook_url=runbook_url), datetime.now(UTC)
        reply = await fetch(
            self._options.url,
            headers=self._headers(notice, body, now),
            timeout_s=self._timeout_s,
            message=body,
        )
        if reply.status is None:
            return TryLater(reply.error or "no answer", maybe_sent=reply.sent)
        return answered(reply.status, retry_after_s(reply.headers.get("retry-after"), now))

    async def check(self) -> ChannelCheck:
        """Report that the state is unknown: a webhook only accepts messages."""
        return ChannelCheck(
            None,
            "a webhook cannot be checked without a message: "
            f"run `monitor test-alert --channel {self._name}`",
        )

    def _headers(self, notice: Notice, body: bytes, now: datetime) -> dict[str, str]:
        key, timestamp = str(notice.id), f"{now.timestamp():.0f}"
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": key,
            "Webhook-Id": key,
            "Webhook-Timestamp": timestamp,
            "Webhook-Signature": signature(self._options.secret, key, timestamp, body),
        }
        if notice.repeated:
            headers["Monitor-Repeated"] = "true"
        if self._options.authorization:
            headers["Authorization"] = self._options.authorization
        return headers


def signing_key(secret: str) -> bytes:
    """The bytes of a secret. Raises ValueError if its base64 is invalid."""
    if not secret.startswith(BASE64):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(BASE64), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def signature(secret: str, key: str, timestamp: str, body: bytes) -> str:
    """`v1,` and the HMAC-SHA256 of `ID.TIMESTAMP.BODY` in base64."""
    signed = f"{key}.{timestamp}.".encode() + body
    digest = hmac.new(signing_key(secret), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def answered(
    status: int, wait_s: float | None = None, *, receiver: str = "the receiver"
) -> Delivery:
    """What the status of a response means for the message."""
    why = f"{receiver} answered HTTP {status}"
    if 200 <= status < 300:
        return Sent()
    if status in _PASSING or status >= 500:
        limited = status == 429
        maybe_sent = status in _LATE_GATEWAYS
        return TryLater(why, wait_s, channel_wide=limited, maybe_sent=maybe_sent)
    if 300 <= status < 400:
        why += ", a redirect, which is not followed: configure the address it leads to"
    return GiveUp(why, channel_broken=status not in _OF_MESSAGE)


def document(notice: Notice, channel: str, *, runbook_url: str | None = None) -> bytes:
    """The JSON of a notice. It depends on nothing else, so every attempt sends the same bytes."""
    finding, facts = notice.finding, islice(notice.facts.items(), FACTS)
    whole = NoticeDocument(
        version=VERSION,
        id=str(notice.id),
        channel=channel,
        status=notice.status,
        kind="answer" if notice.in_thread else "notice",
        severity=notice.severity,
        number=notice.number,
        rule=plain(notice.rule),
        target=plain(notice.scope),
        targets=_part(notice.targets),
        title=title(notice),
        summary="\n".join(summary(notice)) or None,
        sentence=cleaned(notice.sentence, SENTENCE),
        what=_part(finding.what),
        extent=_part(finding.extent),
        money=_part(finding.money),
        cause=_part(known_cause(notice) or ""),
        cause_owner=finding.cause_owner,
        first_step=_part(first_step(notice) or ""),
        certainty=_part(finding.certainty),
        recovering=_part(notice.recovering),
        also=[cleaned(item, SENTENCE) for item in notice.also[:FACTS]],
        unit=unit_of(notice.rule),
        value=_number(notice.value),
        limit=_number(notice.limit),
        peak=_number(notice.peak),
        at=notice.at.astimezone(UTC),
        since=notice.since and notice.since.astimezone(UTC),
        until=notice.until and notice.until.astimezone(UTC),
        runbook=runbook(notice, runbook_url),
        details=show_command(notice),
        facts=[
            NoticeFact(label=cleaned(label, LABEL), text=cleaned(text, FACT))
            for label, text in facts
        ],
        observations=[str(row) for row in notice.rows[:MOST_ROWS]],
        text=plain_text(replace(notice, repeated=False), runbook_url=runbook_url),
    )
    return _DOCUMENT.dump_json(whole)


def _part(text: str) -> str | None:
    """Foreign text as one line; None for an empty text."""
    return plain(text, SENTENCE) or None


def _number(value: float | Decimal | None) -> float | None:
    """The number; None for infinity and NaN, which JSON cannot express."""
    return float(value) if value is not None and math.isfinite(value) else None

"""Targets and their canned queries; requests, streams and what they state."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerExpectation:
    """What a complete answer must fulfil. `complete`: the token limit did not cut it.

    `matches`: a regular expression that is found in it. `language`: as `monitor identify` names it.
    """

    contains: tuple[str, ...] = ()
    not_contains: tuple[str, ...] = ()
    matches: str | None = None
    min_chars: int | None = None
    max_chars: int | None = None
    language: str | None = None
    sources_at_least: int | None = None
    json: bool = False
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Query:
    """A canned query: the same words, sent in every round."""

    id: str
    text: str
    identity: bool = False  # asks directly which model answers
    prompt_tokens: int | None = None  # estimate, system prompt included
    stop_after_chars: int | None = None  # stop reading early: a cheaper probe
    expect: AnswerExpectation = AnswerExpectation()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A streaming service and how to query it."""

    name: str
    url: str
    dialect: str
    queries: tuple[Query, ...]
    every: timedelta = timedelta(minutes=5)
    expected_models: tuple[str, ...] = ()
    fallback_models: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold secrets
    model: str | None = None  # the model to request, for dialects that name one
    connect_deadline: timedelta = timedelta(seconds=10)
    first_token_deadline: timedelta = timedelta(seconds=30)
    stall_deadline: timedelta = timedelta(seconds=20)
    deadline: timedelta = timedelta(seconds=60)
    ca_file: str | None = None
    proxy: str | None = None
    chars_per_token: Decimal = Decimal(4)
    daily_queries: int = 0  # daily queries of the service's own users; 0: no traffic meter
    persona: bool = True  # the service presents itself under another name than its model's
    # Reasoning tags in the text, as names or pairs of tags; None: the usual ones.
    reasoning_tags: tuple[str | tuple[str, ...], ...] | None = None
    untrusted: tuple[str, ...] = ()  # claim sources known to be wrong, e.g. "ai_used"
    options: Mapping[str, Any] = field(default_factory=dict)  # the dialect's own settings


# Requests, raw events with their timestamps, and what they state.


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """One HTTP request, before the headers of every probe are added."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None


class Framing(StrEnum):
    SSE = "sse"
    NDJSON = "ndjson"
    TEXT = "text"  # no events: each segment of bytes is text


# Not frozen: that would cost more than parsing the event. Events are never changed.
@dataclass(slots=True)
class StreamEvent:
    """One event as received. NDJSON lines have no name.

    `read` numbers the socket read that completed the event: events that share it arrived together,
    as far as can be known.
    """

    arrived_ns: int
    data: str
    name: str = ""
    read: int = 0


class ClaimKind(StrEnum):
    """Kinds of claims about the answering model, most trusted first."""

    RECEIPT = "receipt"  # a record that we fetched from the provider ourselves
    ACCOUNTING = "accounting"  # token counts that fit one tokenizer only
    HEADER = "header"  # response headers and id shapes
    SIBLING = "sibling"  # a field beside the answer that names the model
    FIELD = "field"  # the `model` of the stream, often only the requested name
    SELF = "self"  # the answer names its own model
    TEXT = "text"  # wording of the answer
    CHUNKS = "chunks"  # course of the stream: a second answer after a pause
    TIMING = "timing"
    HOST = "host"  # where a model ran: does not say which model it is, but explains changes


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement that a model answered. `source` is where: the name of a header or field."""

    kind: ClaimKind
    source: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Tokens as a vendor counts them, not converted to one definition yet. None: not reported.

    `beside`: which of `reasoning`, `cached` and `written` the vendor counts separately from
    `answer` and `prompt`, according to its documentation. `hidden`: the excess of `total` over the
    other counts is reasoning that the vendor does not report.
    """

    prompt: int | None = None
    answer: int | None = None
    total: int | None = None
    reasoning: int | None = None
    cached: int | None = None
    written: int | None = None
    written_1h: int | None = None  # part of written, cached for an hour
    beside: frozenset[str] = frozenset()
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and money as the service reports them. None: not reported.

    `counts`: what the tokens were computed from, if they were; the counts of several events are
    merged. `faults`: contradictions in the report, for people.
    """

    prompt_tokens: int | None = None
    answer_tokens: int | None = None  # reasoning included
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None  # part of prompt_tokens, read from the cache
    cache_write_tokens: int | None = None  # part of prompt_tokens, written to the cache
    cache_write_1h_tokens: int | None = None  # part of cache_write_tokens, cached for an hour
    cost_usd: Decimal | None = None  # the provider's own charge
    upstream_cost_usd: Decimal | None = None  # what the user's own key pays upstream
    counts: Counts | None = field(default=None, compare=False)
    faults: tuple[str, ...] = field(default=(), compare=False)


class Finish(StrEnum):
    """Why an answer ended, in a vendor-neutral form."""

    STOP = "stop"
    LENGTH = "length"  # the token limit cut it
    CONTENT_FILTER = "content_filter"
    TOOL_CALLS = "tool_calls"
    ERROR = "error"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class RetrievedSources:
    """The retrieved sources of an answer, as far as the stream lists them."""

    count: int
    best_score: float | None = None  # in the service's own measure
    newest_at: datetime | None = None  # date of the newest source


class TextKind(StrEnum):
    """The kind of a run of characters in a stream's answer text."""

    ANSWER = "answer"
    REASONING = "reasoning"
    MARKUP = "markup"  # reasoning tags and the white space around them: neither


@dataclass(frozen=True, slots=True)
class Thoughts:
    """What an event reveals about reasoning inside the answer text.

    Each mark is a position and the kind of all text from there on. Positions are counted in
    characters from the start of the event's own text; negative ones lie in the text of earlier
    events. A mark replaces what was known about the text after its position.
    """

    marks: tuple[tuple[int, TextKind], ...]
    answered: bool  # whether any text so far, including this event's, is answer text


FROM_START = -(10**9)  # a position before all text


@dataclass(slots=True)  # Created per event: a frozen class would take five times as long.
class ParsedEvent:
    """What one event states, in any dialect. Most events state one thing. Never changed."""

    text: str = ""  # answer text, subject to `thoughts`
    reasoning: str = ""
    end: bool = False  # the dialect's own end
    error: str | None = None  # processed before `end`
    claims: tuple[Claim, ...] = ()
    usage: Usage | None = None
    number: int | None = None  # number of the text event, if the dialect numbers them
    server_at_s: float | None = None  # the server's clock; displayed, never used for timing
    malformed: bool = False
    hidden_reasoning: bool = False  # the model reasoned; the stream may not show the text
    finish: Finish | None = None
    sources: RetrievedSources | None = None
    replaces: bool = False  # `text` replaces all answer text before it
    fault: str | None = None  # an anomaly in the event, named in `Reply.faults`
    thoughts: Thoughts | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """A wire format: how to build a request, and what one event states. Both are pure.

    `stateful` returns a fresh parser for each stream, if one event alone is not enough. `explain`
    lists the options of a configurable dialect that read an event: each with its expression and the
    result.
    """

    name: str
    framing: Framing
    media_types: tuple[str, ...]
    build_request: Callable[[Query, Target], ProbeRequest]
    parse_event: Callable[[StreamEvent], ParsedEvent]
    parse_headers: Callable[[Mapping[str, str]], ParsedEvent] = lambda headers: (
        ParsedEvent()
    )  # response headers
    stateful: "Callable[[], Callable[[StreamEvent], ParsedEvent]] | None" = None
    lists_sources: bool = False  # a complete answer that lists no sources has none
    never_lists_sources: bool = False  # an answer cannot list any
    takes_empty_events: bool = False  # named events without data have a meaning
    states_errors: bool = False  # only the dialect's own errors are errors
    ends_by_close: bool = False  # the answer ends when the complete body ends
    framings: tuple[tuple[str, Framing], ...] = ()  # by media type, if they differ
    explain: "Callable[[StreamEvent], Sequence[tuple[str, str, object]]] | None" = None
    # What `monitor init` needs to know in order to try a service of unknown format.
    needs_model: bool = False  # services refuse a request without the name of a model
    key_header: str = "Authorization"  # with `Authorization` the key follows `Bearer`
    address_words: str = ""  # pattern in lower-case URLs that only these services have
    of_one_service: bool = False  # the format of a single service: tried last

    def parser(self) -> Callable[[StreamEvent], ParsedEvent]:
        """Parses the events of one stream, in order."""
        return self.stateful() if self.stateful else self.parse_event

    def framing_of(self, media_type: str | None) -> Framing:
        """How a body of this media type is split into events."""
        return dict(self.framings).get(media_type or "", self.framing)


class Ending(StrEnum):
    """How an exchange ended, as seen from the socket."""

    END = "end"  # the dialect's own end, or its error
    CUT = "cut"  # we closed the connection, having received enough
    EOF = "eof"  # the connection ended after the headers, without the dialect's end
    SILENT = "silent"  # no answer text within the first-token deadline
    STALLED = "stalled"
    DEADLINE = "deadline"
    TOO_LARGE = "too_large"
    STATUS = "status"  # any other status than 200
    CONTENT_TYPE = "content_type"
    PROTOCOL = "protocol"
    REFUSED = "refused"
    CONNECT = "connect"  # our deadline passed before the connection was established
    DNS = "dns"
    TLS = "tls"
    ABORTED = "aborted"  # our own shutdown or suspension


class StampSource(StrEnum):
    KERNEL = "kernel"
    USER = "user"
    DEGRADED = "degraded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """Everything that one exchange recorded: raw events and raw timestamps.

    Timestamps are None if the exchange did not get that far. `sent_ns` lies just before the last
    `send()` of the request. `heard`: the parsed events, up to the end; empty in a transcript loaded
    from a file, which is parsed again. `query`: id of the canned query. Events have no data if the
    transcript was not kept raw.
    """

    id: UUID
    started_at: datetime
    started_ns: int
    ended_ns: int
    ending: Ending
    query: str | None = None
    dns_ns: int | None = None  # name resolved
    connected_ns: int | None = None  # TCP established
    tls_ns: int | None = None  # TLS established; None over plain TCP
    sent_ns: int | None = None
    head_ns: int | None = None
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()  # names in lower case
    events: tuple[StreamEvent, ...] = ()
    heard: tuple[ParsedEvent, ...] = ()
    detail: str | None = None  # why, for people
    body: str | None = None  # start of a body that was not a stream
    body_complete: bool = False  # the body is complete according to its framing
    stamp: StampSource = StampSource.USER
    lag_ms: float | None = None  # worst event-loop delay during the exchange
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A run of answer or reasoning text and when it arrived."""

    arrived_ns: int
    text: str = ""
    reasoning: str = ""
    read: int = 0
    replaced: bool = False  # a later text replaced it: it counts for timing only


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A transcript parsed by its dialect."""

    pieces: tuple[TextDelta, ...] = ()
    claims: tuple[Claim, ...] = ()
    usage: Usage = Usage()
    error: str | None = None
    ended: bool = False
    malformed: int = 0
    finish: Finish | None = None  # the last one of the stream
    sources: RetrievedSources | None = None  # None: the stream lists none
    extras: int = 0  # events after the end
    hidden_reasoning: bool = False
    faults: tuple[str, ...] = ()  # e.g. a gap in the numbering

    @property
    def final_pieces(self) -> tuple[TextDelta, ...]:
        """The pieces without those that a later text replaced."""
        if not any(piece.replaced for piece in self.pieces):
            return self.pieces
        return tuple(piece for piece in self.pieces if not piece.replaced)

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.final_pieces)

    @property
    def reasoned(self) -> bool:
        """Whether the model reasoned, as far as the stream shows; such tokens are no answer."""
        return self.hidden_reasoning or any(piece.reasoning for piece in self.pieces)

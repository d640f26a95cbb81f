"""What is watched: targets and their canned queries."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A canned query: the same words, asked again and again."""

    id: str
    text: str
    identity: bool = False  # asks the service directly who it is
    prompt_tokens: int | None = None  # estimate, system prompt included
    stop_after_chars: int | None = None  # hang up early: a cheaper probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A streaming service and how it is to be asked."""

    name: str
    url: str
    dialect: str
    queries: tuple[Query, ...]
    every: timedelta = timedelta(minutes=5)
    expected_models: tuple[str, ...] = ()
    fallback_models: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold secrets
    model: str | None = None  # the model to ask for, where a dialect asks for one
    connect_deadline: timedelta = timedelta(seconds=10)
    first_token_deadline: timedelta = timedelta(seconds=30)
    stall_deadline: timedelta = timedelta(seconds=20)
    deadline: timedelta = timedelta(seconds=60)
    ca_file: str | None = None
    proxy: str | None = None
    chars_per_token: Decimal = Decimal(4)
    daily_queries: int = 0  # traffic of the service; 0: no traffic meter
    persona: bool = True  # the service answers under another name than its model's
    # Tags of thoughts in the text, or pairs of an opening and a closing tag; None: the usual ones.
    reasoning_tags: tuple[str | tuple[str, ...], ...] | None = None
    untrusted: tuple[str, ...] = ()  # claim sources known to lie, e.g. "ai_used"
    options: Mapping[str, Any] = field(default_factory=dict)  # the dialect's own settings


# What is asked and heard: requests, raw events with their stamps, and what they say.


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """One HTTP request, before the headers every probe carries are added."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None


class Framing(StrEnum):
    SSE = "sse"
    NDJSON = "ndjson"
    TEXT = "text"  # no events: each segment of bytes that arrives is text


@dataclass(slots=True)  # frozen would cost more than reading the event: nobody changes one
class StreamEvent:
    """One event as it stood on the wire. NDJSON lines have no name.

    `read` numbers the socket read that completed the event: events that share it
    arrived together, as far as anyone can tell.
    """

    arrived_ns: int
    data: str
    name: str = ""
    read: int = 0


class ClaimKind(StrEnum):
    """Kinds of statement about who answered, most trusted first."""

    RECEIPT = "receipt"  # a record we fetched from the provider ourselves
    ACCOUNTING = "accounting"  # token counts that fit one tokenizer only
    HEADER = "header"  # response headers and id shapes
    SIBLING = "sibling"  # a field of the same response that names who served
    FIELD = "field"  # the `model` of the stream: often just the name that was asked for
    SELF = "self"  # the answer says who it is
    TEXT = "text"  # fingerprint of the wording
    CHUNKS = "chunks"  # fingerprint of the chunk shape
    TIMING = "timing"
    HOST = "host"  # where a model ran: says nothing of which it is, and explains changes


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody says a model answered. `source` is where: a header or field name."""

    kind: ClaimKind
    source: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Tokens as a vendor counts them, not brought to one definition yet. None: not reported.

    `beside`: which of `reasoning`, `cached` and `written` the vendor counts beside `answer` and
    `prompt`, as far as its documentation goes. `hidden`: what `total` has over the other counts
    is thinking that the vendor does not report.
    """

    prompt: int | None = None
    answer: int | None = None
    total: int | None = None
    reasoning: int | None = None
    cached: int | None = None
    written: int | None = None
    written_1h: int | None = None  # part of written, kept for an hour
    beside: frozenset[str] = frozenset()
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and money as the service reports them. None: not reported.

    `counts`: what the tokens were computed from, where they were: of several events, the counts
    are merged. `faults`: where what it reports contradicts itself, for a person.
    """

    prompt_tokens: int | None = None
    answer_tokens: int | None = None  # reasoning included
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None  # part of prompt_tokens, read from the cache
    cache_write_tokens: int | None = None  # part of prompt_tokens, written to the cache
    cache_write_1h_tokens: int | None = None  # part of cache_write_tokens, kept for an hour
    cost_usd: Decimal | None = None  # the provider's own charge
    upstream_cost_usd: Decimal | None = None  # what a bring-your-own key pays upstream
    counts: Counts | None = field(default=None, compare=False)
    faults: tuple[str, ...] = field(default=(), compare=False)


class Finish(StrEnum):
    """Why an answer ended, whatever its vendor calls it."""

    STOP = "stop"
    LENGTH = "length"  # the token limit cut it
    CONTENT_FILTER = "content_filter"
    TOOL_CALLS = "tool_calls"
    ERROR = "error"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class RetrievedSources:
    """What retrieval found for an answer, as far as the stream lists it."""

    count: int
    best_score: float | None = None  # in the service's own measure
    newest_at: datetime | None = None  # date of the newest source


class TextKind(StrEnum):
    """What a run of characters in the answer text of a stream is."""

    ANSWER = "answer"
    REASONING = "reasoning"
    MARKUP = "markup"  # tags of thoughts and the white space around them: neither


@dataclass(frozen=True, slots=True)
class Thoughts:
    """What an event shows of thoughts that stand inside the answer text.

    Each mark is a place and the kind of all text from there on. Places are counted in characters
    from where the event's own text begins: negative ones lie in the text of events before. A
    mark replaces what was known of the text behind its place.
    """

    marks: tuple[tuple[int, TextKind], ...]
    answered: bool  # whether any text so far, that of this event included, is answer text


FROM_START = -(10**9)  # a place before all text


@dataclass(slots=True)  # one an event: to make a frozen one takes five times as long
class ParsedEvent:
    """What one event says, whatever its dialect. Most events say one thing. Never changed."""

    text: str = ""  # answer text, with what `thoughts` say of it
    reasoning: str = ""
    end: bool = False  # the dialect's own end
    error: str | None = None  # looked at before `end`
    claims: tuple[Claim, ...] = ()
    usage: Usage | None = None
    number: int | None = None  # numbering of text events, where a dialect has one
    server_at_s: float | None = None  # the server's clock; shown, never used for timing
    malformed: bool = False
    hidden_reasoning: bool = False  # the model reasoned; the stream need not show what
    finish: Finish | None = None
    sources: RetrievedSources | None = None
    replaces: bool = False  # `text` takes the place of all answer text before it
    fault: str | None = None  # something odd in the event, named in `Reply.faults`
    thoughts: Thoughts | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """A wire format: how to ask, and what one event says. Both are pure.

    `stateful` returns a fresh parser for each stream, where one event is not enough to go by.
    `explain` lists the options of a configurable dialect that look at an event: each with its
    expression and what it finds there.
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
    lists_sources: bool = False  # a whole answer that lists no sources has none
    takes_empty_events: bool = False  # named events without data say something
    states_errors: bool = False  # nothing but the dialect's own errors is an error
    ends_by_close: bool = False  # the end of a whole body is the end of the answer
    framings: tuple[tuple[str, Framing], ...] = ()  # by media type, where they differ
    explain: "Callable[[StreamEvent], Sequence[tuple[str, str, object]]] | None" = None

    def parser(self) -> Callable[[StreamEvent], ParsedEvent]:
        """Parses the events of one stream, in order."""
        return self.stateful() if self.stateful else self.parse_event

    def framing_of(self, media_type: str | None) -> Framing:
        """How a body of this media type is cut into events."""
        return dict(self.framings).get(media_type or "", self.framing)


class Ending(StrEnum):
    """How an exchange ended, as seen from the socket."""

    END = "end"  # the dialect's own end, or its error
    CUT = "cut"  # we hung up, having heard enough
    EOF = "eof"  # the connection ended after the head, without the dialect's end
    SILENT = "silent"  # no answer text within the first-token deadline
    STALLED = "stalled"
    DEADLINE = "deadline"
    TOO_LARGE = "too_large"
    STATUS = "status"  # any other status than 200
    CONTENT_TYPE = "content_type"
    PROTOCOL = "protocol"
    REFUSED = "refused"
    CONNECT = "connect"  # our deadline passed before the connection stood
    DNS = "dns"
    TLS = "tls"
    ABORTED = "aborted"  # our own shutdown or suspension


class StampSource(StrEnum):
    KERNEL = "kernel"
    USER = "user"
    DEGRADED = "degraded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """Everything one exchange left behind: raw events and raw stamps.

    Stamps are None where the exchange did not get that far. `sent_ns` lies just before
    the last `send()` of the request. `heard`: what the dialect heard of `events` while they
    came, up to the end; empty in a transcript that was recorded, and then heard again.
    `query`: id of the canned query that was asked. Events of a transcript that was not to be
    kept raw have no data.
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
    detail: str | None = None  # why, for a person
    body: str | None = None  # start of a body that was no stream
    body_complete: bool = False  # the body came whole: by its framing, nothing was cut off
    stamp: StampSource = StampSource.USER
    lag_ms: float | None = None  # worst loop delay seen while we waited
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A run of answer or reasoning text and when it arrived."""

    arrived_ns: int
    text: str = ""
    reasoning: str = ""
    read: int = 0
    replaced: bool = False  # a later text took its place: it counts for times alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A transcript read by its dialect."""

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
        """Whether the model reasoned, as far as the stream shows: its tokens are no answer text."""
        return self.hidden_reasoning or any(piece.reasoning for piece in self.pieces)

"""Bali Zero chat, first wire format: untyped events, text numbered from 1.

Nothing in this stream discloses the model. Events with a `type` (continuity checks, memory notices)
were added later and are never answer text; `sources` follow the answer.
"""

from monitor.dialects.answer_metadata import sources
from monitor.dialects.json_fields import (
    claims,
    count,
    document,
    error_text_of,
    instant,
    object_at,
    text_of,
)
from monitor.dialects.requests import SSE, endpoint, get, known_only, post
from monitor.domain import (
    Dialect,
    Framing,
    ParsedEvent,
    ProbeRequest,
    Query,
    StreamEvent,
    Target,
)

PATH = "bali-zero/chat-stream"
# the service's rate limit is per value of this header
OWN_RATE_BUCKET = {"X-User-ID": "rag-monitor"}


def build_request(query: Query, target: Target) -> ProbeRequest:
    """The stream request of one query, without user, session or history, so nothing is stored."""
    known_only(target.options, ("path",))
    return get(endpoint(target, PATH, {"query": query.text}), target, headers=OWN_RATE_BUCKET)


def parse_event(event: StreamEvent) -> ParsedEvent:
    """Parse one event: an error (which also has `done`), the end, text, or nothing of interest."""
    reported = document(event.data)
    number, at = count(reported.get("sequenceNumber")), instant(reported.get("timestamp"))
    named = claims(reported)
    if error := error_text_of(reported.get("error")):
        return ParsedEvent(error=error, number=number, server_at_s=at, claims=named)
    if reported.get("done") is True:
        last = text_of(reported.get("text"))  # the end event repeats it in no recorded stream
        return ParsedEvent(text=last, end=True, number=number, server_at_s=at, claims=named)
    if "type" in reported or "text" not in reported:
        return ParsedEvent(server_at_s=at, claims=named, sources=sources(reported.get("sources")))
    return ParsedEvent(text=text_of(reported["text"]), number=number, server_at_s=at, claims=named)


BALI_ZERO = Dialect(
    "bali_zero", Framing.SSE, (SSE,), build_request, parse_event, lists_sources=True
)


# Bali Zero chat, second wire format: every event has a `type`, none has a number.
#
# Put the key into the target's headers: `Authorization = "Bearer …"` or `X-API-Key = "…"`. Do not
# put it into the URL, where it would be logged. Texts arrive without surrounding blanks.


STREAM = "api/v2/bali-zero/chat-stream"
CHAT = "api/chat/stream"


def build_typed_request(query: Query, target: Target) -> ProbeRequest:
    """A GET of the stream, or the later chat endpoint with option `method = "POST"`."""
    method = known_only(target.options, ("method", "path")).get("method", "GET")
    if method == "GET":
        url = endpoint(target, STREAM, {"query": query.text})
        return get(url, target, headers=OWN_RATE_BUCKET)
    if method == "POST":
        body = {
            "message": query.text,
            "user_id": "rag-monitor",
            "conversation_history": [],
            "metadata": {},
            "zantara_context": {},
        }
        return post(endpoint(target, CHAT), target, body=body, headers=OWN_RATE_BUCKET)
    raise ValueError(f'options.method = {method!r}: write "GET" or "POST"')


def parse_typed_event(event: StreamEvent) -> ParsedEvent:
    """Parse one event by its type. Unknown types are empty."""
    reported = document(event.data)
    data = reported.get("data")
    match reported.get("type"):
        case "error":
            return ParsedEvent(error=error_text_of(data) or "an error without a message")
        case "done":
            return ParsedEvent(end=True)
        case "token":
            return ParsedEvent(text=data) if isinstance(data, str) else ParsedEvent(malformed=True)
        case "sources":
            return ParsedEvent(
                sources=sources(data if isinstance(data, list) else reported.get("sources"))
            )
        case "metadata":
            return ParsedEvent(claims=claims(object_at(data)))
    return ParsedEvent()


BALI_ZERO_TYPED = Dialect(
    "bali_zero_typed",
    Framing.SSE,
    (SSE,),
    build_typed_request,
    parse_typed_event,
)

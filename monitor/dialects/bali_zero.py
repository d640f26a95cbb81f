"""Bali Zero chat, first wire format: untyped events, text numbered from 1.

Nothing on this stream says which model speaks. Events with a `type` (continuity checks,
memory notices) came later and are never answer text; `sources` follow the answer.
"""

from monitor.dialects.json_fields import (
    claims,
    count,
    document,
    error_text_of,
    instant,
    text_of,
)
from monitor.dialects.requests import SSE, endpoint, get, known_only
from monitor.dialects.sources import sources
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
OWN_RATE_BUCKET = {"X-User-ID": "rag-monitor"}  # the service limits by this header


def build_request(query: Query, target: Target) -> ProbeRequest:
    """The stream of one query, without user, session or history: nothing is saved there."""
    known_only(target.options, ("path",))
    return get(endpoint(target, PATH, {"query": query.text}), target, headers=OWN_RATE_BUCKET)


def parse_event(event: StreamEvent) -> ParsedEvent:
    """One event: an error (it says `done` too), the end, text, or nothing to us."""
    reported = document(event.data)
    number, at = count(reported.get("sequenceNumber")), instant(reported.get("timestamp"))
    named = claims(reported)
    if error := error_text_of(reported.get("error")):
        return ParsedEvent(error=error, number=number, server_at_s=at, claims=named)
    if reported.get("done") is True:
        last = text_of(reported.get("text"))  # never seen with the end, and lost if it came
        return ParsedEvent(text=last, end=True, number=number, server_at_s=at, claims=named)
    if "type" in reported or "text" not in reported:
        return ParsedEvent(server_at_s=at, claims=named, sources=sources(reported.get("sources")))
    return ParsedEvent(text=text_of(reported["text"]), number=number, server_at_s=at, claims=named)


BALI_ZERO = Dialect(
    "bali_zero", Framing.SSE, (SSE,), build_request, parse_event, lists_sources=True
)

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
    text_of,
)
from monitor.dialects.requests import SSE, endpoint, get, known_only
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
    "bali_zero",
    Framing.SSE,
    (SSE,),
    build_request,
    parse_event,
    lists_sources=True,
    address_words=r"bali-zero|nuzantara",
    of_one_service=True,
)

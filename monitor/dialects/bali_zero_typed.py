"""Bali Zero chat, second wire format: every event has a `type`, none has a number.

Put the key into the target's headers: `Authorization = "Bearer …"` or `X-API-Key = "…"`. Do not
put it into the URL, where it would be logged. Texts arrive without surrounding blanks.
"""

from monitor.dialects.answer_metadata import sources
from monitor.dialects.bali_zero import OWN_RATE_BUCKET
from monitor.dialects.json_fields import (
    claims,
    document,
    error_text_of,
    object_at,
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

STREAM = "api/v2/bali-zero/chat-stream"
CHAT = "api/chat/stream"


def build_request(query: Query, target: Target) -> ProbeRequest:
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


def parse_event(event: StreamEvent) -> ParsedEvent:
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
    build_request,
    parse_event,
    address_words=r"bali-zero|nuzantara",
    of_one_service=True,
)

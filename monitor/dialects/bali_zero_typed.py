"""Bali Zero chat, second wire format: every event has a `type`, none has a number.

The key goes into the target's headers: `Authorization = "Bearer …"` or `X-API-Key = "…"`.
Never into the URL, where it would be logged. Texts come stripped of their blanks.
"""

from monitor.dialects.asking import SSE, endpoint, get, known_only, post
from monitor.dialects.bali_zero import OWN_RATE_BUCKET
from monitor.dialects.fields import claims, complaint, document, table
from monitor.dialects.sources import sources
from monitor.domain import Dialect, Event, Framing, Heard, Query, Target, WireRequest

STREAM = "api/v2/bali-zero/chat-stream"
CHAT = "api/chat/stream"


def ask(query: Query, target: Target) -> WireRequest:
    """GET of the stream, or with option `method = "POST"` the later chat endpoint."""
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


def hear(event: Event) -> Heard:
    """One event, by its type; types we do not know say nothing."""
    said = document(event.data)
    data = said.get("data")
    match said.get("type"):
        case "error":
            return Heard(error=complaint(data) or "an error without words")
        case "done":
            return Heard(end=True)
        case "token":
            return Heard(text=data) if isinstance(data, str) else Heard(malformed=True)
        case "sources":
            return Heard(sources=sources(data if isinstance(data, list) else said.get("sources")))
        case "metadata":
            return Heard(claims=claims(table(data)))
    return Heard()


BALI_ZERO_TYPED = Dialect("bali_zero_typed", Framing.SSE, (SSE,), ask, hear)

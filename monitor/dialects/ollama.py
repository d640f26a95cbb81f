"""Ollama chat: one JSON object per line; the last one has `done` and the counts."""

from monitor.dialects.answer_metadata import finish, parse_headers
from monitor.dialects.json_fields import claims, document, error_text_of, object_at, text_of
from monitor.dialects.requests import NDJSON, endpoint, extra, model, post
from monitor.dialects.usage import usage
from monitor.domain import (
    Dialect,
    Framing,
    ParsedEvent,
    ProbeRequest,
    Query,
    StreamEvent,
    Target,
)

PATH = "api/chat"


def build_request(query: Query, target: Target) -> ProbeRequest:
    """A streaming request with one user message."""
    body = {
        "model": model(target),
        "messages": [{"role": "user", "content": query.text}],
        **extra(target),
        "stream": True,
    }
    return post(endpoint(target, PATH), target, body=body, accept=NDJSON)


def parse_event(event: StreamEvent) -> ParsedEvent:
    """Parse one line. The last line has the counts; a cached prompt is not counted."""
    reported = document(event.data)
    message = object_at(reported, "message")
    return ParsedEvent(
        text=text_of(message.get("content"))
        or text_of(reported.get("response")),  # field of api/generate
        reasoning=text_of(message.get("thinking")) or text_of(reported.get("thinking")),
        end=reported.get("done") is True,
        finish=finish(reported.get("done_reason")),
        error=error_text_of(reported.get("error")),
        claims=claims(reported),
        usage=usage(reported),
    )


OLLAMA = Dialect(
    "ollama",
    Framing.NDJSON,
    (NDJSON,),
    build_request,
    parse_event,
    parse_headers,
    never_lists_sources=True,
    address_words=r":11434|ollama|/api/(?:chat|generate)",
    needs_model=True,
)

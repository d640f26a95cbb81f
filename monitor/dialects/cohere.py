"""Cohere chat, version 2: typed events, text and reasoning in `content-delta`, usage at the end.

Source: https://docs.cohere.com/docs/streaming
"""

from collections.abc import Callable
from typing import Any

from monitor.dialects.answer_metadata import finish, parse_headers, sources, together
from monitor.dialects.json_fields import document, error_text_of, object_at, text_of
from monitor.dialects.requests import SSE, endpoint, extra, model, post
from monitor.dialects.usage import usage
from monitor.domain import (
    Dialect,
    Framing,
    ParsedEvent,
    ProbeRequest,
    Query,
    RetrievedSources,
    StreamEvent,
    Target,
)

PATH = "v2/chat"
MOST_SOURCES = 1000  # distinct documents that are counted


def build_request(query: Query, target: Target) -> ProbeRequest:
    """A streaming request with one user message."""
    body = {
        "model": model(target),
        "messages": [{"role": "user", "content": query.text}],
        **extra(target),
        "stream": True,
    }
    return post(endpoint(target, PATH), target, body=body)


def parser() -> Callable[[StreamEvent], ParsedEvent]:
    """Parser of one stream. The sources of all citations are counted once each."""
    cited: set[str] = set()
    found: RetrievedSources | None = None

    def parse_event(event: StreamEvent) -> ParsedEvent:
        nonlocal found
        reported = document(event.data)
        delta = object_at(reported, "delta")
        message = object_at(delta, "message")
        match reported.get("type"):
            case "content-start" | "content-delta":
                content = object_at(message, "content")
                return ParsedEvent(
                    text=text_of(content.get("text")), reasoning=text_of(content.get("thinking"))
                )
            case "tool-plan-delta":
                return ParsedEvent(reasoning=text_of(message.get("tool_plan")))
            case "citation-start":
                more = _first_cited(message.get("citations"), cited)
                found = together(found, sources(more) if more else None)
                return ParsedEvent(sources=found)
            case "message-end":
                return ParsedEvent(
                    end=True,
                    error=error_text_of(delta.get("error")),
                    finish=finish(delta.get("finish_reason")),
                    usage=usage(reported),
                )
        return ParsedEvent()

    return parse_event


def _first_cited(citations: object, cited: set[str]) -> list[Any]:
    """The sources of these citations that were not cited before."""
    first: list[Any] = []
    for citation in citations if isinstance(citations, list) else [citations]:
        listed = object_at(citation).get("sources")
        for source in listed if isinstance(listed, list) else []:
            known = str(object_at(source).get("id", source))[:200]
            if known not in cited and len(cited) < MOST_SOURCES:
                cited.add(known)
                first.append(source)
    return first


COHERE = Dialect(
    "cohere",
    Framing.SSE,
    (SSE,),
    build_request,
    lambda event: parser()(event),
    parse_headers,
    stateful=parser,
    address_words=r"cohere",
    needs_model=True,
)

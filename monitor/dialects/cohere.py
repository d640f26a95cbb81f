"""Cohere chat, version 2: typed events, text and thoughts in `content-delta`, usage at the end.

Source: https://docs.cohere.com/docs/streaming
"""

from collections.abc import Callable
from typing import Any

from monitor.dialects.asking import SSE, endpoint, extra, model, post
from monitor.dialects.fields import complaint, document, table, words
from monitor.dialects.finish import finish
from monitor.dialects.gateway import overhear
from monitor.dialects.sources import sources, together
from monitor.dialects.usage import usage
from monitor.domain import (
    Dialect,
    Event,
    Framing,
    Heard,
    Query,
    Sources,
    Target,
    WireRequest,
)

PATH = "v2/chat"
MOST_SOURCES = 1000  # that are told apart


def ask(query: Query, target: Target) -> WireRequest:
    """A streamed answer to one user message."""
    body = {
        "model": model(target),
        "messages": [{"role": "user", "content": query.text}],
        **extra(target),
        "stream": True,
    }
    return post(endpoint(target, PATH), target, body=body)


def parser() -> Callable[[Event], Heard]:
    """Reads the events of one stream; the sources of all its citations are counted once each."""
    cited: set[str] = set()
    found: Sources | None = None

    def parse_event(event: Event) -> Heard:
        nonlocal found
        said = document(event.data)
        delta = table(said, "delta")
        message = table(delta, "message")
        match said.get("type"):
            case "content-start" | "content-delta":
                content = table(message, "content")
                return Heard(text=words(content.get("text")),
                             reasoning=words(content.get("thinking")))  # fmt: skip
            case "tool-plan-delta":
                return Heard(reasoning=words(message.get("tool_plan")))
            case "citation-start":
                more = _first_cited(message.get("citations"), cited)
                found = together(found, sources(more) if more else None)
                return Heard(sources=found)
            case "message-end":
                return Heard(
                    end=True,
                    error=complaint(delta.get("error")),
                    finish=finish(delta.get("finish_reason")),
                    usage=usage(said),
                )
        return Heard()

    return parse_event


def _first_cited(citations: object, cited: set[str]) -> list[Any]:
    """The sources of these citations that were not cited before."""
    first: list[Any] = []
    for citation in citations if isinstance(citations, list) else [citations]:
        listed = table(citation).get("sources")
        for source in listed if isinstance(listed, list) else []:
            known = str(table(source).get("id", source))[:200]
            if known not in cited and len(cited) < MOST_SOURCES:
                cited.add(known)
                first.append(source)
    return first


COHERE = Dialect(
    "cohere", Framing.SSE, (SSE,), ask, lambda event: parser()(event), overhear, stateful=parser
)

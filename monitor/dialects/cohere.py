"""Cohere chat, version 2: typed events, text and thoughts in `content-delta`, usage at the end.

Source: https://docs.cohere.com/docs/streaming
"""

from collections.abc import Callable, Mapping
from typing import Any

from monitor.dialects.asking import SSE, endpoint, extra, model, post
from monitor.dialects.fields import complaint, count, document, table, words
from monitor.dialects.finish import finish
from monitor.dialects.gateway import overhear
from monitor.dialects.sources import sources
from monitor.domain import (
    Dialect,
    Event,
    Framing,
    Heard,
    Query,
    Target,
    Usage,
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
    cited: dict[str, Any] = {}

    def parse_event(event: Event) -> Heard:
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
                return Heard(sources=sources(_cited(message.get("citations"), cited)))
            case "message-end":
                return Heard(
                    end=True,
                    error=complaint(delta.get("error")),
                    finish=finish(delta.get("finish_reason")),
                    usage=_usage(table(delta, "usage")),
                )
        return Heard()

    return parse_event


def _cited(citations: object, cited: dict[str, Any]) -> list[Any] | None:
    """All sources so far, with those of these citations; None where there are none."""
    for citation in citations if isinstance(citations, list) else [citations]:
        listed = table(citation).get("sources")
        for source in listed if isinstance(listed, list) else []:
            if len(cited) < MOST_SOURCES:
                cited.setdefault(str(table(source).get("id", source)), source)
    return list(cited.values()) or None


def _usage(usage: Mapping[str, Any]) -> Usage | None:
    """The tokens that are charged; all of them where the stream does not say which are."""
    counted = table(usage, "billed_units") or table(usage, "tokens")
    prompt, answer = (count(counted.get(name)) for name in ("input_tokens", "output_tokens"))
    if prompt is None and answer is None:
        return None
    return Usage(
        prompt_tokens=prompt, answer_tokens=answer, cached_tokens=count(usage.get("cached_tokens"))
    )


COHERE = Dialect(
    "cohere", Framing.SSE, (SSE,), ask, lambda event: parser()(event), overhear, stateful=parser
)

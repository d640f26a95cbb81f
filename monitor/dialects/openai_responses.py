"""OpenAI responses: typed events, text in `response.output_text.delta`."""

from collections.abc import Mapping
from typing import Any

from monitor.dialects.answer_metadata import finish, parse_headers
from monitor.dialects.json_fields import claims, document, error_text_of, object_at, text_of
from monitor.dialects.requests import SSE, endpoint, extra, post
from monitor.dialects.usage import usage
from monitor.domain import (
    Dialect,
    Finish,
    Framing,
    ParsedEvent,
    ProbeRequest,
    Query,
    StreamEvent,
    Target,
)

PATH = "v1/responses"
TEXT = ("response.output_text.delta", "response.refusal.delta")
REASONING = ("response.reasoning_text.delta", "response.reasoning_summary_text.delta")
DELTAS = frozenset({*TEXT, *REASONING})
BESIDE_DELTAS = frozenset({"response", "usage", "item", "error"})
ENDS = ("response.completed", "response.incomplete")  # incomplete means out of tokens, not failed
FAILURES = ("response.failed", "error")


def build_request(query: Query, target: Target) -> ProbeRequest:
    """A streaming response to one input, not stored by the provider. The model is optional."""
    body = {
        **({"model": target.model} if target.model else {}),
        "input": query.text,
        "store": False,
        **extra(target),
        "stream": True,
    }
    return post(endpoint(target, PATH), target, body=body)


def parse_event(event: StreamEvent) -> ParsedEvent:
    """Parse one event by its type. Unknown types are empty."""
    if event.data.strip() == "[DONE]":
        return ParsedEvent(end=True)
    reported = document(event.data)
    kind = reported.get("type", event.name)
    if kind in DELTAS and reported.keys().isdisjoint(BESIDE_DELTAS):  # the usual case
        delta = text_of(reported.get("delta"))
        return ParsedEvent(text=delta) if kind in TEXT else ParsedEvent(reasoning=delta)
    response = object_at(reported, "response")
    error = None
    if kind in FAILURES:
        error = error_text_of(response.get("error") or reported.get("error") or reported)
    delta = text_of(reported.get("delta"))
    return ParsedEvent(
        text=delta if kind in TEXT else "",
        reasoning=delta if kind in REASONING else "",
        end=kind in ENDS,
        finish=_finish(response) if kind in ENDS else None,
        error=error,
        hidden_reasoning=object_at(reported, "item").get("type") == "reasoning",
        claims=claims(response),
        usage=usage(reported),
    )


def _finish(response: Mapping[str, Any]) -> Finish | None:
    reason = object_at(response, "incomplete_details").get("reason")
    return finish(reason) or finish(response.get("status"))


OPENAI_RESPONSES = Dialect(
    "openai_responses",
    Framing.SSE,
    (SSE,),
    build_request,
    parse_event,
    parse_headers,
    never_lists_sources=True,
    address_words=r"/responses",
)

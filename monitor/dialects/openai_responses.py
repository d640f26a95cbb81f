"""OpenAI responses: typed events, text in `response.output_text.delta`."""

from collections.abc import Mapping
from typing import Any

from monitor.dialects.asking import SSE, endpoint, extra, post
from monitor.dialects.fields import claims, complaint, document, table, words
from monitor.dialects.finish import finish
from monitor.dialects.gateway import overhear
from monitor.dialects.usage import usage
from monitor.domain import Dialect, Event, Finish, Framing, Heard, Query, Target, WireRequest

PATH = "v1/responses"
TEXT = ("response.output_text.delta", "response.refusal.delta")
REASONING = ("response.reasoning_text.delta", "response.reasoning_summary_text.delta")
DELTAS = frozenset({*TEXT, *REASONING})
BESIDE_DELTAS = frozenset({"response", "usage", "item", "error"})
ENDS = ("response.completed", "response.incomplete")  # incomplete: out of tokens, not of order
FAILURES = ("response.failed", "error")


def ask(query: Query, target: Target) -> WireRequest:
    """A streamed response to one input, not kept by the provider. The model may be left out."""
    body = {
        **({"model": target.model} if target.model else {}),
        "input": query.text,
        "store": False,
        **extra(target),
        "stream": True,
    }
    return post(endpoint(target, PATH), target, body=body)


def hear(event: Event) -> Heard:
    """One event, by its type; types we do not know say nothing."""
    if event.data.strip() == "[DONE]":
        return Heard(end=True)
    said = document(event.data)
    kind = said.get("type", event.name)
    if kind in DELTAS and said.keys().isdisjoint(BESIDE_DELTAS):  # as most events
        delta = words(said.get("delta"))
        return Heard(text=delta) if kind in TEXT else Heard(reasoning=delta)
    response = table(said, "response")
    error = None
    if kind in FAILURES:
        error = complaint(response.get("error") or said.get("error") or said)
    delta = words(said.get("delta"))
    return Heard(
        text=delta if kind in TEXT else "",
        reasoning=delta if kind in REASONING else "",
        end=kind in ENDS,
        finish=_finish(response) if kind in ENDS else None,
        error=error,
        hidden_reasoning=table(said, "item").get("type") == "reasoning",
        claims=claims(response),
        usage=usage(said),
    )


def _finish(response: Mapping[str, Any]) -> Finish | None:
    reason = table(response, "incomplete_details").get("reason")
    return finish(reason) or finish(response.get("status"))


OPENAI_RESPONSES = Dialect("openai_responses", Framing.SSE, (SSE,), ask, hear, overhear)

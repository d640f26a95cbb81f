"""Anthropic messages: typed events, model and input usage first, output usage last."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from monitor.dialects.asking import SSE, endpoint, extra, model, post
from monitor.dialects.fields import claims, complaint, count, document, table, words
from monitor.dialects.finish import finish
from monitor.dialects.gateway import overhear
from monitor.domain import Dialect, Event, Framing, Heard, Query, Target, Usage, WireRequest

PATH = "v1/messages"
VERSION = {"anthropic-version": "2023-06-01"}
MOST_TOKENS = 1024  # the API wants a number; option `body` may name another
CACHE = ("cache_read_input_tokens", "cache_creation_input_tokens")


def ask(query: Query, target: Target) -> WireRequest:
    """A streamed message in answer to one user message."""
    body = {
        "model": model(target),
        "max_tokens": MOST_TOKENS,
        "messages": [{"role": "user", "content": query.text}],
        **extra(target),
        "stream": True,
    }
    return post(endpoint(target, PATH), target, body=body, headers=VERSION)


def hear(event: Event) -> Heard:
    """One event, by its type; pings and types we do not know say nothing."""
    said = document(event.data)
    match said.get("type"):
        case "message_start":
            message = table(said, "message")
            return Heard(claims=tuple(claims(message)), usage=_asked(table(message, "usage")))
        case "content_block_start":
            return _block(table(said, "content_block"))
        case "content_block_delta":
            return _block(table(said, "delta"))
        case "message_delta":
            reason = finish(table(said, "delta").get("stop_reason"))
            return Heard(usage=_answered(table(said, "usage")), finish=reason)
        case "message_stop":
            return Heard(end=True)
        case "error":
            return Heard(error=complaint(said.get("error")) or "an error without words")
    return Heard()


def _block(block: Mapping[str, Any]) -> Heard:
    return Heard(text=words(block.get("text")), reasoning=words(block.get("thinking")))


def _asked(usage: Mapping[str, Any]) -> Usage | None:
    """Usage of the input; `input_tokens` leaves out what went through the cache."""
    fresh = count(usage.get("input_tokens"))
    if fresh is None:
        return None
    read, written = (count(usage.get(name)) for name in CACHE)
    whole = fresh + (read or 0) + (written or 0)
    return Usage(prompt_tokens=whole, cached_tokens=read, cache_write_tokens=written)


def _answered(usage: Mapping[str, Any]) -> Usage:
    """Usage of the whole message. The one at the start counts a token that is yet to come."""
    tokens = count(usage.get("output_tokens"))
    return replace(_asked(usage) or Usage(), answer_tokens=tokens)


ANTHROPIC_MESSAGES = Dialect("anthropic_messages", Framing.SSE, (SSE,), ask, hear, overhear)

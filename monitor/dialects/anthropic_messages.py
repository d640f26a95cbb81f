"""Anthropic messages: typed events, model and input usage first, output usage last."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from monitor.dialects.asking import SSE, endpoint, extra, model, post
from monitor.dialects.counts import settled
from monitor.dialects.fields import claims, complaint, document, table, words
from monitor.dialects.finish import finish
from monitor.dialects.gateway import overhear
from monitor.dialects.reply import FALLBACK
from monitor.dialects.usage import usage
from monitor.domain import (
    Claim,
    ClaimKind,
    Dialect,
    Event,
    Framing,
    Heard,
    Query,
    Target,
    Usage,
    WireRequest,
)

PATH = "v1/messages"
VERSION = {"anthropic-version": "2023-06-01"}
MOST_TOKENS = 1024  # the API wants a number; option `body` may name another
THINKING = ("thinking", "redacted_thinking")  # blocks whose text may be withheld


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
            return Heard(claims=claims(table(said, "message")), usage=_prompt(said))
        case "content_block_start":
            block = table(said, "content_block")
            if block.get("type") == "fallback":
                return Heard(claims=_served(table(block, "to")))
            return _block(block)
        case "content_block_delta":
            return _block(table(said, "delta"))
        case "message_delta":
            reason = finish(table(said, "delta").get("stop_reason"))
            attempt = _last_fallback(table(said, "usage"))
            counted = usage({"usage": attempt}) if attempt else None
            return Heard(claims=_served(attempt), usage=counted or usage(said), finish=reason)
        case "message_stop":
            return Heard(end=True)
        case "error":
            return Heard(error=complaint(said.get("error")) or "an error without words")
    return Heard()


def _block(block: Mapping[str, Any]) -> Heard:
    return Heard(
        text=words(block.get("text")),
        reasoning=words(block.get("thinking")),
        hidden_reasoning=block.get("type") in THINKING,
    )


def _prompt(started: Mapping[str, Any]) -> Usage | None:
    """Usage at the start: its answer counts a token that is yet to come."""
    counted = usage(started)
    if counted is None or counted.counts is None:
        return counted
    return settled(replace(counted.counts, answer=None, reasoning=None))


def _served(attempt: Mapping[str, Any]) -> tuple[Claim, ...]:
    """The model that took over where the one asked for declined (beta server-side-fallback).

    Source: https://docs.claude.com/en/api/messages, content block and iteration of that name.
    """
    named = attempt.get("model")
    return (Claim(ClaimKind.SIBLING, FALLBACK, named),) if isinstance(named, str) and named else ()


def _last_fallback(reported: Mapping[str, Any]) -> Mapping[str, Any]:
    """The attempt that gave the answer, with its own usage; empty where nobody took over."""
    attempts = reported.get("iterations")
    found = [
        attempt
        for attempt in (attempts if isinstance(attempts, list) else [])
        if table(attempt).get("type") == "fallback_message"
    ]
    return table(found[-1]) if found else {}


ANTHROPIC_MESSAGES = Dialect("anthropic_messages", Framing.SSE, (SSE,), ask, hear, overhear)

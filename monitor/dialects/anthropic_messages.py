"""Anthropic messages: typed events, model and input usage first, output usage last."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from monitor.dialects.answer_metadata import finish, parse_headers
from monitor.dialects.json_fields import claims, document, error_text_of, object_at, text_of
from monitor.dialects.reader import FALLBACK
from monitor.dialects.reported_usage import settled
from monitor.dialects.requests import SSE, endpoint, extra, model, post
from monitor.dialects.usage import usage
from monitor.domain import (
    Claim,
    ClaimKind,
    Dialect,
    Framing,
    ParsedEvent,
    ProbeRequest,
    Query,
    StreamEvent,
    Target,
    Usage,
)

PATH = "v1/messages"
VERSION = {"anthropic-version": "2023-06-01"}
MOST_TOKENS = 1024  # the API requires a number; option `body` may set another
THINKING = ("thinking", "redacted_thinking")  # blocks whose text the API may withhold


def build_request(query: Query, target: Target) -> ProbeRequest:
    """A streaming message request with one user message."""
    body = {
        "model": model(target),
        "max_tokens": MOST_TOKENS,
        "messages": [{"role": "user", "content": query.text}],
        **extra(target),
        "stream": True,
    }
    return post(endpoint(target, PATH), target, body=body, headers=VERSION)


def parse_event(event: StreamEvent) -> ParsedEvent:
    """Parse one event by its type. Pings and unknown types are empty."""
    reported = document(event.data)
    match reported.get("type"):
        case "message_start":
            return ParsedEvent(
                claims=claims(object_at(reported, "message")), usage=_prompt(reported)
            )
        case "content_block_start":
            block = object_at(reported, "content_block")
            if block.get("type") == "fallback":
                return ParsedEvent(claims=_served(object_at(block, "to")))
            return _block(block)
        case "content_block_delta":
            return _block(object_at(reported, "delta"))
        case "message_delta":
            reason = finish(object_at(reported, "delta").get("stop_reason"))
            attempt = _last_fallback(object_at(reported, "usage"))
            counted = usage({"usage": attempt}) if attempt else None
            return ParsedEvent(
                claims=_served(attempt), usage=counted or usage(reported), finish=reason
            )
        case "message_stop":
            return ParsedEvent(end=True)
        case "error":
            return ParsedEvent(
                error=error_text_of(reported.get("error")) or "an error without a message"
            )
    return ParsedEvent()


def _block(block: Mapping[str, Any]) -> ParsedEvent:
    return ParsedEvent(
        text=text_of(block.get("text")),
        reasoning=text_of(block.get("thinking")),
        hidden_reasoning=block.get("type") in THINKING,
    )


def _prompt(started: Mapping[str, Any]) -> Usage | None:
    """Usage at the start of the stream, without its answer tokens: a first estimate."""
    counted = usage(started)
    if counted is None or counted.counts is None:
        return counted
    return settled(replace(counted.counts, answer=None, reasoning=None))


def _served(attempt: Mapping[str, Any]) -> tuple[Claim, ...]:
    """The model that took over where the requested one declined (beta server-side-fallback).

    Source: https://docs.claude.com/en/api/messages, content block and iteration of that name.
    """
    named = attempt.get("model")
    return (Claim(ClaimKind.SIBLING, FALLBACK, named),) if isinstance(named, str) and named else ()


def _last_fallback(reported: Mapping[str, Any]) -> Mapping[str, Any]:
    """The attempt that gave the answer, with its own usage; empty without a fallback."""
    attempts = reported.get("iterations")
    found = [
        attempt
        for attempt in (attempts if isinstance(attempts, list) else [])
        if object_at(attempt).get("type") == "fallback_message"
    ]
    return object_at(found[-1]) if found else {}


ANTHROPIC_MESSAGES = Dialect(
    "anthropic_messages",
    Framing.SSE,
    (SSE,),
    build_request,
    parse_event,
    parse_headers,
    never_lists_sources=True,
    address_words=r"anthropic|/messages",
    needs_model=True,
    key_header="x-api-key",
)

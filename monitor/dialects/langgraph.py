"""LangGraph servers (runs of a graph) and LangServe (`/stream` of a chain).

A run sends messages as chunks (`messages`, with stream mode `messages-tuple`), as cumulative text
(`messages/partial`), or within the whole state (`values`). Most runs have no end event: the body
ends. LangServe sends `data`, then an `end` without data.

Source: https://docs.langchain.com/langsmith/streaming, https://github.com/langchain-ai/langserve
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from monitor.dialects.answer_metadata import finish, parse_headers, sources
from monitor.dialects.answer_text import DISCONTINUED, CumulativeText
from monitor.dialects.custom import filled
from monitor.dialects.json_fields import error_text_of, object_at, parsed, text_of
from monitor.dialects.requests import SSE, endpoint, extra, post
from monitor.dialects.stated_errors import failure
from monitor.dialects.usage import usage
from monitor.domain import (
    Claim,
    ClaimKind,
    Dialect,
    Framing,
    ParsedEvent,
    ProbeRequest,
    Query,
    RetrievedSources,
    StreamEvent,
    Target,
    Usage,
)

PLATFORM, LANGSERVE = "platform", "langserve"
PATHS = {PLATFORM: "runs/stream", LANGSERVE: "stream"}
MESSAGES_KEPT = 64  # messages of one run whose text and tokens are kept apart
_ANSWERERS = frozenset({"ai", "AIMessageChunk", "AIMessage", "assistant"})
_RETRIEVED = ("documents", "docs", "context", "sources", "retrieved_docs", "retrieved_documents")
# field names of a chain that yields objects
_TEXTS = ("answer", "output", "result", "text", "content")
_STATE_TEXTS = ("answer", "generation", "final_answer", "output", "response", "result")
# field names of a node's own events
_CUSTOM_TEXTS = ("content", "text", "token", "delta", "chunk", "answer")


def build_request(query: Query, target: Target) -> ProbeRequest:
    """A run without a thread, or LangServe's stream. `{query}` in option `body` is filled in."""
    given = filled(extra(target, "server"), query, target)
    server = target.options.get("server", PLATFORM)
    if not isinstance(server, str) or server not in PATHS:
        raise ValueError(f'options.server = {server!r}: "{PLATFORM}" or "{LANGSERVE}"')
    body: dict[str, Any] = {"input": query.text}
    if server == PLATFORM:
        body = {
            "assistant_id": "agent",
            "input": {"messages": [{"role": "user", "content": query.text}]},
            "stream_mode": ["messages-tuple"],
        }
    return post(endpoint(target, PATHS[server]), target, body={**body, **given})


def parser() -> Callable[[StreamEvent], ParsedEvent]:
    """Parser of one stream."""
    return _Stream().parse_event


class _Stream:
    def __init__(self) -> None:
        self._answer, self._thoughts = CumulativeText(), CumulativeText()
        self._usage: dict[str, Usage] = {}  # by message
        self._total: Usage | None = None  # over all messages
        self._told_by: str | None = None  # the kind of event that carries the answer text

    def parse_event(self, event: StreamEvent) -> ParsedEvent:
        # events of subgraphs add the subgraph's name after a bar
        name = event.name.partition("|")[0]
        if name == "end":
            return ParsedEvent(end=True)
        if not event.data.strip():
            return ParsedEvent()
        value = parsed(event.data)
        match name:
            case "error":
                return ParsedEvent(error=_error(value))
            case "messages":
                return self._chunk(value)
            case "messages/partial" | "messages/complete":
                return self._so_far("messages", _answers(value))
            case "values":
                state = object_at(value)
                messages = _answers(state.get("messages"), after_question=True)
                return replace(
                    self._so_far(name, messages or _state_answer(state)), sources=_retrieved(state)
                )
            case "custom":
                return self._custom(value)
            case "updates":
                return self._updates(object_at(value))
            case "data":
                return self._langserve(value)
        failed = failure(object_at(value)) if name in ("", "message") else None
        return ParsedEvent(error=failed)  # may come from a gateway in front

    def _custom(self, value: object) -> ParsedEvent:
        """A node's own events, which may be its tokens. They count until messages arrive."""
        reported = object_at(value)
        chunks = [c for c in map(object_at, reported.values()) if c.get("type") in _ANSWERERS]
        if reported.get("type") in _ANSWERERS or chunks:
            return self._delta("custom", chunks[0] if chunks else reported, {})
        texts = (text_of(reported.get(name)) for name in _CUSTOM_TEXTS)
        text = value if isinstance(value, str) else next(filter(None, texts), "")
        return self._delta("custom", {"content": text}, {})

    def _chunk(self, value: object) -> ParsedEvent:
        """A message chunk with its metadata. A message that was not streamed arrives whole."""
        pair = value if isinstance(value, list) else [value]
        [message] = _answers(pair[:1]) or [{}]
        if not message:
            return ParsedEvent()
        known = object_at(pair[1]) if len(pair) > 1 else {}
        if message.get("type") in ("ai", "AIMessage"):
            return self._so_far("messages", [message], known)
        return self._delta("messages", message, known)

    def _delta(
        self, kind: str, message: Mapping[str, Any], known: Mapping[str, Any]
    ) -> ParsedEvent:
        if not self._is_answer(kind, message):
            return ParsedEvent()
        part = self._part(message)
        text, reasoning = text_of(message.get("content")), _reasoning(message)
        self._answer.add(text, part)
        self._thoughts.add(reasoning, part)
        self._count(message, part, add=True)
        return ParsedEvent(text=text, reasoning=reasoning, **self._new_text([message], known))

    def _so_far(
        self, kind: str, messages: list[Mapping[str, Any]], known: Mapping[str, Any] | None = None
    ) -> ParsedEvent:
        texts, thoughts, replaced = "", "", False
        for number, message in enumerate(messages):
            if not self._is_answer(kind, message):
                continue
            part = self._part(message, number)
            text, replaces = self._answer.so_far(text_of(message.get("content")), part)
            reasoning, _ = self._thoughts.so_far(_reasoning(message), part)
            texts, replaced = (text if replaces else texts + text), replaced or replaces
            thoughts += reasoning
            self._count(message, part, add=False)
        fault = DISCONTINUED if replaced else None
        reported = self._new_text(messages, known or {})
        return ParsedEvent(
            text=texts, reasoning=thoughts, replaces=replaced, fault=fault, **reported
        )

    def _updates(self, value: Mapping[str, Any]) -> ParsedEvent:
        """The state changes made by the nodes of a step."""
        nodes = [object_at(node) for node in list(value.values())[:MESSAGES_KEPT]]
        messages = [m for node in nodes for m in _answers(node.get("messages"))]
        messages = messages or [m for node in nodes for m in _state_answer(node)]
        found = next(filter(None, map(_retrieved, nodes)), None)
        return replace(self._so_far("updates", messages), sources=found)

    def _langserve(self, value: object) -> ParsedEvent:
        if isinstance(value, str):
            return ParsedEvent(text=value)
        reported = object_at(value)
        if reported.get("type") in _ANSWERERS:
            return self._delta("data", reported, {})
        text = next((text_of(reported[name]) for name in _TEXTS if text_of(reported.get(name))), "")
        return ParsedEvent(text=text, sources=_retrieved(reported))

    def _is_answer(self, kind: str, message: Mapping[str, Any]) -> bool:
        """Whether this kind of event carries the answer: the first kind that had text does."""
        if self._told_by in (None, "custom") and (
            text_of(message.get("content")) or _reasoning(message)
        ):
            self._told_by = kind
        return self._told_by in (None, kind)

    def _part(self, message: Mapping[str, Any], number: int = 0) -> str:
        return str(message.get("id") or f"#{number}")[:200]

    def _count(self, message: Mapping[str, Any], part: str, *, add: bool) -> None:
        counted = usage({"usage_metadata": message.get("usage_metadata")})
        if counted is None or (part not in self._usage and len(self._usage) >= MESSAGES_KEPT):
            return
        self._usage[part] = (
            _sum([self._usage[part], counted]) if add and part in self._usage else counted
        )
        self._total = _sum(list(self._usage.values()))

    def _new_text(
        self, messages: list[Mapping[str, Any]], known: Mapping[str, Any]
    ) -> dict[str, Any]:
        about = object_at(messages[-1], "response_metadata") if messages else {}
        reason = next(
            (about[n] for n in ("finish_reason", "stop_reason", "done_reason") if about.get(n)),
            None,
        )
        return {
            "claims": (*_claims(about, "model_name", "model"), *_claims(known, "ls_model_name")),
            "finish": finish(reason),
            "usage": self._total,
        }


def _answers(value: object, *, after_question: bool = False) -> list[Mapping[str, Any]]:
    """The model's messages among these; of a whole conversation, those of its last answer."""
    messages = [object_at(entry) for entry in value] if isinstance(value, list) else []
    kinds = [message.get("type") or message.get("role") for message in messages]
    requested = max((n for n, kind in enumerate(kinds) if kind in ("human", "user")), default=-1)
    first = requested + 1 if after_question else 0
    return [
        message
        for message, kind in list(zip(messages, kinds, strict=True))[first:]
        if kind in _ANSWERERS or (kind is None and "content" in message)
    ]


def _state_answer(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The answer in a state without messages, as a message."""
    for name in _STATE_TEXTS:
        value = state.get(name)
        if object_at(value).get("type") in _ANSWERERS:
            return [object_at(value)]
        inner = (text_of(object_at(value).get(key)) for key in _TEXTS)
        if text := text_of(value) or next(filter(None, inner), ""):
            return [{"id": name, "content": text}]
    return []


def _error(value: object) -> str:
    reported = object_at(value)
    code = reported.get("status_code", reported.get("error"))
    named = {**reported, "code": code} if reported.get("message") else value
    return error_text_of(named) or "an error without a message"


def _reasoning(message: Mapping[str, Any]) -> str:
    """Reasoning among the parts of the content, or in a separate field."""
    content = message.get("content")
    parts = [object_at(part) for part in content] if isinstance(content, list) else []
    thoughts = "".join(text_of(part.get("thinking") or part.get("reasoning")) for part in parts)
    return thoughts or text_of(object_at(message, "additional_kwargs").get("reasoning_content"))


def _retrieved(state: Mapping[str, Any]) -> RetrievedSources | None:
    found = (sources(state[name]) for name in _RETRIEVED if isinstance(state.get(name), list))
    return next(found, None)


def _claims(reported: Mapping[str, Any], *names: str) -> Iterator[Claim]:
    for name in names:
        value = reported.get(name)
        if value and isinstance(value, str):
            yield Claim(ClaimKind.FIELD, name, value)
            return


def _sum(usages: list[Usage]) -> Usage:
    """The summed tokens of several messages."""

    def total(name: str) -> int | None:
        known = [n for n in (getattr(one, name) for one in usages) if n is not None]
        return sum(known) if known else None

    return Usage(
        prompt_tokens=total("prompt_tokens"),
        answer_tokens=total("answer_tokens"),
        reasoning_tokens=total("reasoning_tokens"),
        cached_tokens=total("cached_tokens"),
        cache_write_tokens=total("cache_write_tokens"),
        cache_write_1h_tokens=total("cache_write_1h_tokens"),
        faults=tuple(dict.fromkeys(fault for one in usages for fault in one.faults)),
    )


LANGGRAPH = Dialect(
    "langgraph",
    Framing.SSE,
    (SSE,),
    build_request,
    lambda event: parser()(event),
    parse_headers,
    stateful=parser,
    takes_empty_events=True,
    ends_by_close=True,
    states_errors=True,
    address_words=r"langgraph|/runs|:2024|:8123|/stream/?$",
)

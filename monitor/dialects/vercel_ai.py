"""Vercel AI SDK: the UI message stream, and the data stream of versions 3 and 4.

The first is server-sent events of typed objects and ends with `[DONE]`. The second is plain text:
each line has one character for its kind, a colon and JSON; `d:` ends the message.

Source: https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol, https://v4.ai-sdk.dev (the same page)
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from monitor.dialects.answer_metadata import finish, parse_headers, sources, together
from monitor.dialects.custom import filled
from monitor.dialects.json_fields import document, error_text_of, object_at, parsed, text_of
from monitor.dialects.requests import SSE, endpoint, extra, post
from monitor.dialects.stated_errors import failure
from monitor.dialects.usage import usage
from monitor.domain import (
    Claim,
    ClaimKind,
    Dialect,
    Finish,
    Framing,
    ParsedEvent,
    ProbeRequest,
    Query,
    RetrievedSources,
    StreamEvent,
    Target,
)

PATH = "api/chat"
END = "[DONE]"
LINES = "text/plain"
_LINE = re.compile(r"([0-9a-k]):")


def build_request(query: Query, target: Target) -> ProbeRequest:
    """One user message as `useChat` sends it, in a form that all versions accept."""
    message = {
        "id": "1",
        "role": "user",
        "content": query.text,
        "parts": [{"type": "text", "text": query.text}],
    }
    body = {"id": "rag-monitor", "messages": [message], "trigger": "submit-message"}
    return post(
        endpoint(target, PATH), target, body={**body, **filled(extra(target), query, target)}
    )


def parser() -> Callable[[StreamEvent], ParsedEvent]:
    """Parser of the events or lines of one stream."""
    return _Stream().parse_event


class _Stream:
    def __init__(self) -> None:
        self._sources: RetrievedSources | None = None  # each part has one

    def parse_event(self, event: StreamEvent) -> ParsedEvent:
        data = event.data.strip()
        if data == END:
            return ParsedEvent(end=True)
        line = _LINE.match(data)
        return self._line(line[1], parsed(data[2:])) if line else self._part(document(data))

    def _part(self, part: Mapping[str, Any]) -> ParsedEvent:
        """Parse one object of the UI message stream."""
        kind = part.get("type")
        if not isinstance(kind, str):  # may come from a gateway in front
            return ParsedEvent(error=failure(part))
        metadata = object_at(part, "messageMetadata")
        match kind:
            case "text-delta" | "text":
                return ParsedEvent(text=_delta(part))
            case "reasoning-delta" | "reasoning":
                return ParsedEvent(reasoning=_delta(part))
            case "error":
                return ParsedEvent(
                    error=error_text_of(part.get("errorText") or part.get("error"))
                    or error_text_of({**part})
                )
            case "abort":
                return ParsedEvent(
                    error=f"aborted: {text_of(part.get('reason')) or 'without a reason'}"
                )
            case "source-url" | "source-document":
                return ParsedEvent(sources=self._found([part]))
            case "start" | "message-metadata":
                return ParsedEvent(claims=tuple(_claims(metadata)), usage=usage(metadata))
            case "finish":
                return ParsedEvent(
                    claims=tuple(_claims(metadata)),
                    usage=usage(metadata),
                    finish=finish(part.get("finishReason")) or Finish.STOP,
                )
        if kind.startswith("data-") and "source" in kind:
            return ParsedEvent(sources=self._found(_listed(part.get("data"))))
        return ParsedEvent()

    def _line(self, kind: str, value: Any) -> ParsedEvent:
        """Parse one line of the data stream."""
        match kind:
            case "0":
                return ParsedEvent(text=text_of(value))
            case "g":
                return ParsedEvent(reasoning=text_of(value))
            case "3":
                return ParsedEvent(error=error_text_of(value) or "an error without a message")
            case "h":
                return ParsedEvent(sources=self._found([value]))
            case "2" | "8":
                return self._annotations(_tables(value))
            case "d" | "e":
                reported = object_at(value)
                return ParsedEvent(
                    end=kind == "d",
                    finish=finish(reported.get("finishReason")),
                    usage=usage(reported),
                )
        return ParsedEvent()

    def _annotations(self, items: list[Mapping[str, Any]]) -> ParsedEvent:
        """Data that an application adds to its stream: sources, and the model if it names it."""
        found = [entry for item in items for entry in _of_annotation(item)]
        claims = tuple(claim for item in items for claim in _claims(item))
        return ParsedEvent(sources=self._found(found) if found else None, claims=claims)

    def _found(self, more: list[Any]) -> RetrievedSources | None:
        """All sources so far, including these."""
        self._sources = together(self._sources, sources(more))
        return self._sources


def _delta(part: Mapping[str, Any]) -> str:
    """The new text: `delta` in UI messages, other names where a route sends its full stream."""
    return text_of(part.get("delta") or part.get("textDelta") or part.get("text"))


def _tables(value: object) -> list[Mapping[str, Any]]:
    return [object_at(entry) for entry in value] if isinstance(value, list) else [object_at(value)]


def _of_annotation(item: Mapping[str, Any]) -> list[Any]:
    """The sources in a message annotation, in the format of create-llama and others."""
    if "source" not in str(item.get("type", "")) and "sources" not in item:
        return []
    return _listed(item.get("sources", item.get("data")))


def _listed(value: object) -> list[Any]:
    found = value.get("nodes", value.get("sources")) if isinstance(value, dict) else value
    return found if isinstance(found, list) else []


def _claims(reported: Mapping[str, Any]) -> Iterator[Claim]:
    """The model, if the application puts it into its metadata."""
    for name in ("model", "modelId"):
        value = reported.get(name)
        if value and isinstance(value, str):
            yield Claim(ClaimKind.FIELD, name, value)


VERCEL_AI = Dialect(
    "vercel_ai",
    Framing.SSE,
    (SSE, LINES),
    build_request,
    lambda event: parser()(event),
    parse_headers,
    stateful=parser,
    framings=((LINES, Framing.NDJSON),),
    states_errors=True,
    address_words=r"/api/chat/?$",
)

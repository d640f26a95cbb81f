"""Vercel AI SDK: the UI message stream, and the data stream of versions 3 and 4.

The first is server-sent events of typed objects and ends with `[DONE]`. The second is plain text:
a line begins with one character for its kind and a colon, JSON follows, and `d:` ends the message.

Source: https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol, https://v4.ai-sdk.dev (the same page)
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from monitor.dialects.asking import SSE, endpoint, extra, post
from monitor.dialects.fields import complaint, document, parsed, table, words
from monitor.dialects.finish import finish
from monitor.dialects.gateway import overhear
from monitor.dialects.sources import sources, together
from monitor.dialects.stated_errors import failure
from monitor.dialects.template import filled
from monitor.dialects.usage import usage
from monitor.domain import (
    Claim,
    ClaimKind,
    Dialect,
    Event,
    Finish,
    Framing,
    Heard,
    Query,
    Sources,
    Target,
    WireRequest,
)

PATH = "api/chat"
END = "[DONE]"
LINES = "text/plain"
_LINE = re.compile(r"([0-9a-k]):")


def ask(query: Query, target: Target) -> WireRequest:
    """One user message as `useChat` sends it, in the form of all versions at once."""
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


def parser() -> Callable[[Event], Heard]:
    """Reads the events or lines of one stream, in order."""
    return _Stream().parse_event


class _Stream:
    def __init__(self) -> None:
        self._sources: Sources | None = None  # each part names one

    def parse_event(self, event: Event) -> Heard:
        data = event.data.strip()
        if data == END:
            return Heard(end=True)
        line = _LINE.match(data)
        return self._line(line[1], parsed(data[2:])) if line else self._part(document(data))

    def _part(self, part: Mapping[str, Any]) -> Heard:
        """One object of the UI message stream."""
        kind = part.get("type")
        if not isinstance(kind, str):  # of a gateway before it, perhaps
            return Heard(error=failure(part))
        metadata = table(part, "messageMetadata")
        match kind:
            case "text-delta" | "text":
                return Heard(text=_delta(part))
            case "reasoning-delta" | "reasoning":
                return Heard(reasoning=_delta(part))
            case "error":
                return Heard(
                    error=complaint(part.get("errorText") or part.get("error"))
                    or complaint({**part})
                )
            case "abort":
                return Heard(error=f"aborted: {words(part.get('reason')) or 'without a reason'}")
            case "source-url" | "source-document":
                return Heard(sources=self._found([part]))
            case "start" | "message-metadata":
                return Heard(claims=tuple(_claims(metadata)), usage=usage(metadata))
            case "finish":
                return Heard(claims=tuple(_claims(metadata)), usage=usage(metadata),
                             finish=finish(part.get("finishReason")) or Finish.STOP)  # fmt: skip
        if kind.startswith("data-") and "source" in kind:
            return Heard(sources=self._found(_listed(part.get("data"))))
        return Heard()

    def _line(self, kind: str, value: Any) -> Heard:
        """One line of the data stream."""
        match kind:
            case "0":
                return Heard(text=words(value))
            case "g":
                return Heard(reasoning=words(value))
            case "3":
                return Heard(error=complaint(value) or "an error without words")
            case "h":
                return Heard(sources=self._found([value]))
            case "2" | "8":
                return self._annotations(_tables(value))
            case "d" | "e":
                said = table(value)
                return Heard(end=kind == "d", finish=finish(said.get("finishReason")),
                             usage=usage(said))  # fmt: skip
        return Heard()

    def _annotations(self, items: list[Mapping[str, Any]]) -> Heard:
        """What an application adds to its stream: sources and the model, if it names them."""
        found = [entry for item in items for entry in _of_annotation(item)]
        claims = tuple(claim for item in items for claim in _claims(item))
        return Heard(sources=self._found(found) if found else None, claims=claims)

    def _found(self, more: list[Any]) -> Sources | None:
        """All sources so far, with these."""
        self._sources = together(self._sources, sources(more))
        return self._sources


def _delta(part: Mapping[str, Any]) -> str:
    """What is new: `delta` in UI messages, other names where a route sends its full stream."""
    return words(part.get("delta") or part.get("textDelta") or part.get("text"))


def _tables(value: object) -> list[Mapping[str, Any]]:
    return [table(entry) for entry in value] if isinstance(value, list) else [table(value)]


def _of_annotation(item: Mapping[str, Any]) -> list[Any]:
    """The sources in a message annotation, as create-llama and others write them."""
    if "source" not in str(item.get("type", "")) and "sources" not in item:
        return []
    return _listed(item.get("sources", item.get("data")))


def _listed(value: object) -> list[Any]:
    found = value.get("nodes", value.get("sources")) if isinstance(value, dict) else value
    return found if isinstance(found, list) else []


def _claims(said: Mapping[str, Any]) -> Iterator[Claim]:
    """The model, as far as the application puts it into its metadata."""
    for name in ("model", "modelId"):
        value = said.get(name)
        if value and isinstance(value, str):
            yield Claim(ClaimKind.FIELD, name, value)


VERCEL_AI = Dialect(
    "vercel_ai", Framing.SSE, (SSE, LINES), ask, lambda event: parser()(event), overhear,
    stateful=parser, framings=((LINES, Framing.NDJSON),), states_errors=True,
)  # fmt: skip

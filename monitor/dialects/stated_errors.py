"""What any JSON stream may say of a failure, whichever dialect it is written in.

Services put a failure where their own dialect does not expect it: a gateway's error object in a
chunk, an SSE event named `error`, an SSE field `error:` (llama.cpp), an object of type `error`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from monitor.dialects.fields import complaint, parsed, table
from monitor.dialects.finish import finish
from monitor.domain import Event, Finish

_EVENT_NAMES = frozenset({"error", "exception", "failure", "failed"})
_ERROR_KEYS = ("error", "errors")
_KIND_KEYS = ("type", "object", "event", "kind")
_NOT_OF_THE_REQUEST = frozenset({"type", "role", "name", "tool"})  # a step's status, a tool's
_KINDS = frozenset({"error", "exception", "failed", "failure"})
_FINISH_KEYS = ("finish_reason", "finishReason", "stop_reason", "done_reason", "finish")
_CONTAINERS = ("choices", "candidates", "delta", "message", "response", "data", "result", "detail")
_DEPTH = 3
_MOST = 8  # objects of a list that are looked at
_NO_ERRORS = frozenset({"null", "none", "false", "ok", "no", "0"})
_KEEP_ALIVE = re.compile(
    r"[\W_]*(?:ping|pong|keep[-_ ]?alive|heart[-_ ]?beat|hb|noop)[\W_]*", re.IGNORECASE
)


def is_keep_alive(event: Event) -> bool:
    """Whether an event that is no JSON says only that the connection lives."""
    data = event.data.strip()
    if not data or (event.name and _KEEP_ALIVE.fullmatch(event.name[:40])):
        return True
    return len(data) <= 40 and _KEEP_ALIVE.fullmatch(data) is not None


def may_state_error(event: Event) -> bool:
    """False for nearly every event of a good stream, at the cost of a few searches."""
    data = event.data
    return (
        "rror" in data
        or "fail" in data
        or "Fail" in data
        or "xception" in data
        or "ERROR" in data
        or "FAIL" in data
        or (event.name != "" and event.name.strip().lower() in _EVENT_NAMES)
    )


def stated_error(event: Event) -> str | None:
    """The text of a failure the event states; None if it states none.

    Worth a call only where `may_state_error`.
    """
    named = event.name.strip().lower() in _EVENT_NAMES
    try:
        value = parsed(event.data)
    except ValueError:
        data = event.data.strip()
        return data if named and data else None
    documents = value if isinstance(value, list) else [value]
    for document in documents[:_MOST]:
        if error := _found(table(document), _DEPTH):
            return error
    return complaint(value) if named else None


def _found(document: Mapping[str, Any], depth: int) -> str | None:
    for key in _ERROR_KEYS:
        if error := _complaint(document.get(key)):
            return error
    kinds = [_word(document.get(key)) for key in _KIND_KEYS]
    if not _NOT_OF_THE_REQUEST & document.keys():
        kinds.append(_word(document.get("status")))
    if not _KINDS.isdisjoint(kinds):
        return complaint({**document}) or "error"
    for key in _FINISH_KEYS:
        if finish(document.get(key)) is Finish.ERROR:
            return f"{key}: {document[key]}"
    if depth:
        for inner in _inner(document):
            if error := _found(inner, depth - 1):
                return error
    return None


def _complaint(value: object) -> str | None:
    if isinstance(value, list):
        value = next((entry for entry in value if entry), None)
    if isinstance(value, str) and value.strip().lower() in _NO_ERRORS:
        return None
    return complaint(value) if isinstance(value, str | dict) else None


def _word(value: object) -> str:
    return value.lower() if isinstance(value, str) and len(value) < 20 else ""


def _inner(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for key in _CONTAINERS:
        value = document.get(key)
        if isinstance(value, dict):
            yield value
        elif isinstance(value, list):
            yield from (entry for entry in value[:_MOST] if isinstance(entry, dict))

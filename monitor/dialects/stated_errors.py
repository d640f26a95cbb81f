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
_CONTAINERS = ("choices", "candidates", "delta", "message", "response", "x_groq")
_UNLESS_NAMED = ("data", "result", "detail")  # of an event of another kind they are its own matter
_TEXTS = ("error_message", "errorMessage", "error_msg")
_EXCEPTION = re.compile(r"(?:[A-Za-z]{0,40}Exception|[A-Za-z]{0,40}StreamError)")
_MARKED = re.compile(r"\[ERROR\]:?\s*", re.IGNORECASE)
_DEPTH = 3
_MOST = 8  # objects of a list that are looked at
_KEEP_ALIVE = re.compile(
    r"[\W_]*(?:ping|pong|keep[-_ ]?alive|heart[-_ ]?beat|hb|noop|processing)\b[\W_0-9TZ]*",
    re.IGNORECASE,
)
_EMPTY = frozenset({"", "null", "[]", "{}", '""'})


def is_keep_alive(event: Event) -> bool:
    """Whether an event that is no JSON says only that the connection lives."""
    data = event.data.strip()
    if (
        data in _EMPTY
        or data.isdecimal()
        or (event.name and _KEEP_ALIVE.fullmatch(event.name[:40]))
    ):
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
        or data.startswith('{"detail"')
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
        marked = _MARKED.match(data)
        if marked:
            return data[marked.end() :] or "an error without words"
        return data if named and data else None
    documents = value if isinstance(value, list) else [value]
    for document in documents[:_MOST]:
        if error := _found(table(document), _DEPTH):
            return error
    return complaint(value) if named else None


def _found(document: Mapping[str, Any], depth: int) -> str | None:
    for key in _ERROR_KEYS:
        if error := _complaint(document.get(key), document):
            return error
    if error := _exception(document):
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


def _complaint(value: object, document: Mapping[str, Any]) -> str | None:
    if isinstance(value, list):
        value = next((entry for entry in value if entry), None)
    if value is True and document.get("message"):
        value = document
    return complaint(value) if isinstance(value, str | dict) else None


def _exception(document: Mapping[str, Any]) -> str | None:
    """Errors without an `error`: of AWS event streams, of FastAPI, and texts under other names."""
    for key, value in document.items():
        if isinstance(value, dict) and "message" in value and _EXCEPTION.fullmatch(key):
            return f"{key}: {value['message']}"
    kind = document.get("__type")
    if isinstance(kind, str) and _EXCEPTION.fullmatch(kind):
        return f"{kind}: {document.get('message', '')}"
    if document.keys() == {"detail"}:
        return complaint(document["detail"])
    if "type" in document or "event" in document:
        return None
    texts = (document.get(key) for key in _TEXTS)
    return next((text for text in map(complaint, texts) if text), None)


def _word(value: object) -> str:
    return value.lower() if isinstance(value, str) and len(value) < 20 else ""


def _inner(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The objects inside in which the failure of the whole answer may stand.

    A step of an agent that failed (an event called `tool_end` with its `data`) is none.
    """
    named = any(isinstance(document.get(key), str) for key in _KIND_KEYS)
    for key in _CONTAINERS if named else (*_CONTAINERS, *_UNLESS_NAMED):
        value = document.get(key)
        if isinstance(value, dict):
            yield value
        elif isinstance(value, list):
            yield from (entry for entry in value[:_MOST] if isinstance(entry, dict))

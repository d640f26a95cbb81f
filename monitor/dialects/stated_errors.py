"""Failures that any JSON stream may state, whatever its dialect.

Services state a failure where their own dialect does not expect it: a gateway's error object in a
chunk, an SSE event named `error`, an SSE field `error:` (llama.cpp), an object of type `error`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from monitor.dialects.answer_metadata import finish
from monitor.dialects.json_fields import error_text_of, object_at, parsed, text_of
from monitor.domain import Finish, StreamEvent

_EVENT_NAMES = frozenset({"error", "exception", "failure", "failed"})
_ERROR_KEYS = ("error", "errors", "Error")
_KIND_KEYS = ("type", "object", "event", "kind")
_NOT_OF_THE_REQUEST = frozenset({"role", "name", "tool", "tool_name", "node", "step"})
_TOOL = re.compile(r"tool|function|step|node|call\b", re.IGNORECASE)
_STEP = re.compile(rf"{_TOOL.pattern}|task|search|retriev|agent|progress", re.IGNORECASE)
# Kinds of events whose status applies to the whole answer.
_OF_THE_WHOLE = re.compile(r"done|end\b|final|finish|complet|respon|answer|chat|stream|message")
_ENDS_AS_ERROR = re.compile(r".{0,60}[._: -](?:error|exception)", re.IGNORECASE)
_KINDS = frozenset({"error", "exception", "failed", "failure", "fail", "errored"})
_STATUS_KEYS = ("status", "statusCode", "status_code")
_SUCCESS_KEYS = ("success", "ok", "succeeded", "is_success", "isSuccess", "Success")
_GOOD = frozenset({"success", "ok", "succeeded", "0", "200", "none", "null", ""})
_BESIDE_CODE = frozenset(
    {  # keys of an object that has only a code and a message
        *(
            "code",
            "Code",
            "message",
            "Message",
            "msg",
            "detail",
            "details",
            "reason",
            "description",
        ),
        *("request_id", "requestId", "RequestId", "id", "trace_id", "traceId", "timestamp", "time"),
        *("status", "success", "data", "path", "param", "error", "type", "sid"),
    }
)
_FINISH_KEYS = ("finish_reason", "finishReason", "stop_reason", "done_reason", "finish")
_CONTAINERS = (
    "choices",
    "candidates",
    "delta",
    "message",
    "response",
    "Response",
    "header",
    "x_groq",
)
_UNLESS_NAMED = ("data", "result", "detail")  # in an event of another kind they describe that event
_TEXTS = ("error_message", "errorMessage", "error_msg", "errorText", "error_description")
_SAID = ("message", "msg", "detail", "error", "reason", "status_msg", "error_msg", "description")
_SAID_BY_ERROR = (*_SAID, "faultstring", "data", "content", "text")  # of an object of type error
_MARK = "**ERROR**"  # how RAGFlow starts an answer, or a line of one, that is an error
_EXCEPTION = re.compile(r"(?:[A-Za-z]{0,40}Exception|[A-Za-z]{0,40}StreamError)")
_MARKED = re.compile(r"\[ERROR\]:?\s*", re.IGNORECASE)
_BARE = re.compile(
    r"\s*(?:error\b|internal server error|bad gateway|service unavailable|gateway time-?out|"
    r"too many requests|unauthorized|forbidden|upstream (?:connect|request)|\{'error'|"
    r"traceback \(most recent)",
    re.IGNORECASE,
)
_DEPTH = 3
_MOST = 8  # objects of a list that are examined
_KEEP_ALIVE = re.compile(
    r"[\W_]*(?:ping|pong|keep[-_ ]?alive|heart[-_ ]?beat|hb|noop|processing)\b[\W_0-9TZ]*",
    re.IGNORECASE,
)
_EMPTY = frozenset({"", "null", "[]", "{}", '""'})


def is_keep_alive(event: StreamEvent) -> bool:
    """Whether an event that is not JSON is only a keep-alive."""
    data = event.data.strip()
    if (
        data in _EMPTY
        or data.isdecimal()
        or (event.name and _KEEP_ALIVE.fullmatch(event.name[:40]))
    ):
        return True
    return len(data) <= 40 and _KEEP_ALIVE.fullmatch(data) is not None


def may_state_error(event: StreamEvent) -> bool:
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
        or (event.name != "" and _names_error(event.name))
    )


def may_state_failure(event: StreamEvent) -> bool:
    """The same for an event without text, which may state it by a status, a code or a flag."""
    data = event.data
    return (
        '"code"' in data
        or '"status' in data
        or "uccess" in data
        or '"ok"' in data
        or '"base_resp"' in data
        or '"Code"' in data
    )


def error_text(text: str) -> str | None:
    """The error that a server writes as its answer; None if the text starts otherwise."""
    begin = text.lstrip()
    if not begin.startswith(f"{_MARK}:"):
        return None
    return begin[len(_MARK) :].lstrip(": ") or "an error without a message"


def stated_error(event: StreamEvent) -> str | None:
    """The text of a failure that the event states; None if it states none.

    Call it only where `may_state_error` is true.
    """
    named = _names_error(event.name)
    try:
        value = parsed(event.data)
    except ValueError:
        data = event.data.strip()
        marked = _MARKED.match(data)
        if marked:
            return data[marked.end() :] or "an error without a message"
        return data if named and data else None
    documents = value if isinstance(value, list) else [value]
    for document in documents[:_MOST]:
        if error := _found(object_at(document), _DEPTH):
            return error
    return error_text_of(value) if named else None


def bare_error(data: str) -> str | None:
    """The failure in an event that should be JSON and is plain text; None if it states none."""
    found = _BARE.match(data)
    return data.strip() if found else None


def _names_error(name: str) -> bool:
    word = name.strip().lower()
    return word in _EVENT_NAMES or bool(_ENDS_AS_ERROR.fullmatch(word) and not _STEP.search(word))


def failure(document: Mapping[str, Any]) -> str | None:
    """The failure that an object states; None if it states none."""
    return _found(document, _DEPTH)


def _found(document: Mapping[str, Any], depth: int) -> str | None:
    kinds = [_word(document.get(key)) for key in _KIND_KEYS]
    for key in () if any(map(_TOOL.search, kinds)) else _ERROR_KEYS:
        if error := _complaint(document.get(key), document):
            return error
    if error := _exception(document):
        return error
    if any(map(_names_kind, kinds)):
        reported = error_text_of({**document}) if text_of(document.get("message")) else None
        return reported or _reason(document, _SAID_BY_ERROR) or "error"
    step = _NOT_OF_THE_REQUEST & document.keys() or any(map(_STEP.search, kinds))
    if not step and (error := _failure(document, named=_is_named(document))):
        return error
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
    if value is True:
        return error_text_of(dict(document)) if document.get("message") else _reason(document)
    return error_text_of(value) if isinstance(value, str | dict) else None


def _exception(document: Mapping[str, Any]) -> str | None:
    """Errors without a field `error`: AWS event streams, FastAPI, and texts under other names."""
    for key, value in document.items():
        if isinstance(value, dict) and "message" in value and _EXCEPTION.fullmatch(key):
            return f"{key}: {value['message']}"
    kind = document.get("__type")
    if isinstance(kind, str) and _EXCEPTION.fullmatch(kind):
        return f"{kind}: {document.get('message', '')}"
    if document.keys() == {"detail"}:
        return error_text_of(document["detail"])
    if "type" in document or "event" in document:
        return None
    texts = (document.get(key) for key in _TEXTS)
    return next((text for text in map(error_text_of, texts) if text), None)


def _failure(document: Mapping[str, Any], *, named: bool) -> str | None:
    """The failure stated by a status, a code or a flag, in the forms of many services.

    `named`: the object names its kind of event, so a code alone is not a failure.
    """
    base = object_at(document, "base_resp")  # MiniMax
    if base.get("status_code"):
        return f"{base['status_code']}: {_reason(base) or 'no reason given'}"
    kinds = [_word(document.get(key)) for key in _KIND_KEYS]
    if named and not any(map(_OF_THE_WHOLE.search, kinds)):
        return None
    for key in _STATUS_KEYS:
        value = document.get(key)
        if _word(value) in _KINDS or (_is_count(value) and 400 <= value < 600):
            return _reason(document) or f"{key}: {value}"
    unlike = any(document.get(key) is True for key in ("isError", "is_error", "has_error"))
    if unlike or any(document.get(key) is False for key in _SUCCESS_KEYS):
        code, reason = document.get("code"), _reason(document) or "no reason given"
        return f"{code}: {reason}" if code and isinstance(code, str | int) else reason
    code = document.get("code", document.get("Code"))
    if named or not document.keys() <= _BESIDE_CODE or document.get("data"):
        return None
    if _is_count(code):
        if 0 <= code < 300:
            return None
    elif not isinstance(code, str) or code.lower() in _GOOD:
        return None
    reported = next((document[key] for key in (*_SAID, "Message") if document.get(key)), None)
    if not isinstance(reported, str) or reported.lower() in _GOOD:
        return None
    return f"{code}: {reported}"


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _reason(document: Mapping[str, Any], keys: Sequence[str] = _SAID) -> str | None:
    values = (document.get(key) for key in keys)
    return next((text for text in map(error_text_of, values) if text and text != "true"), None)


def _names_kind(kind: str) -> bool:
    return kind in _KINDS or bool(_ENDS_AS_ERROR.fullmatch(kind) and not _STEP.search(kind))


def _word(value: object) -> str:
    return value.lower() if isinstance(value, str) and len(value) < 40 else ""


def _is_named(document: Mapping[str, Any]) -> bool:
    return any(isinstance(document.get(key), str) for key in _KIND_KEYS)


def _inner(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The nested objects that may state the failure of the whole answer.

    A failed step of an agent (an event `tool_end` with its `data`) is not such a failure.
    """
    for key in _CONTAINERS if _is_named(document) else (*_CONTAINERS, *_UNLESS_NAMED):
        value = document.get(key)
        if isinstance(value, dict):
            yield value
        elif isinstance(value, list):
            yield from (entry for entry in value[:_MOST] if isinstance(entry, dict))

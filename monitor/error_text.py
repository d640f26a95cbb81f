"""The error message in the body of a response that is no answer: one text, whatever its shape."""

import json
from collections.abc import Mapping
from typing import Any

# Where services put the message, the most telling first: OAuth and Spring put a code in `error`.
_KEYS = ("message", "msg", "error_description", "detail", "details", "error", "errors", "reason",
         "description", "title")  # fmt: skip
_DEEPEST = 5
_DECODER = json.JSONDecoder(strict=False)  # services break lines inside texts


def error_text(body: str) -> str:
    """The message in a body of JSON, of a web page or of an event stream; else the body itself.

    The text is foreign: not yet harmless, not yet free of our secrets. Never raises.
    """
    text = body.strip()
    if text.startswith(("data:", "event:")):
        lines = (line.strip() for line in text.splitlines())
        text = next((line[5:].strip() for line in lines if line.startswith("data:")), text)
    if text.startswith("<"):
        return _title(text) or body
    if text.startswith(("{", "[")):
        return _in_json(text) or body
    return body


def _in_json(text: str) -> str | None:
    try:
        return _message(_DECODER.decode(text))
    except (ValueError, RecursionError):
        return _in_cut_json(text)


def _message(value: Any, depth: int = 0) -> str | None:
    """The first text under a known name, objects before plain codes."""
    if isinstance(value, str):
        return value.strip() or None
    if depth == _DEEPEST:
        return None
    if isinstance(value, list):
        return next(filter(None, (_message(item, depth + 1) for item in value[:3])), None)
    if not isinstance(value, dict):
        return None
    named: Mapping[str, Any] = {key.lower(): item for key, item in value.items()}
    if isinstance(named.get("error"), dict) and (found := _message(named["error"], depth + 1)):
        return found
    return next(filter(None, (_message(named.get(key), depth + 1) for key in _KEYS)), None)


def _in_cut_json(text: str) -> str | None:
    """The message in JSON of which only the beginning was kept."""
    for key in _KEYS:
        _, found, rest = text.partition(f'"{key}"')
        value = rest.lstrip().removeprefix(":").lstrip()
        if found and value.startswith('"'):
            try:
                return str(_DECODER.raw_decode(value)[0]).strip() or None
            except ValueError:
                continue
    return None


def _title(page: str) -> str | None:
    """The title of a web page."""
    start = page.lower().find("<title")
    if start < 0:
        return None
    title = page[start:].partition(">")[2].partition("<")[0]
    return title.strip() or None

"""The error message in the body of a response that is not an answer, in any format."""

import json
import re
from collections.abc import Mapping
from html import unescape
from typing import Any

# Where services put the message, the most informative first: OAuth and Spring put a code in
# `error`.
_KEYS = (
    "message",
    "faultstring",
    "msg",
    "error_description",
    "error_message",
    "errormessage",
    "detail",
    "details",
    "error",
    "errors",
    "fault",
    "reason",
    "description",
    "title",
)
_ELEMENTS = (
    "message",
    "faultstring",
    "text",
    "error_description",
    "detail",
    "reason",
    "description",
    "error",
)  # XML elements; `text` is that of SOAP 1.2
_ELEMENT = re.compile(rf"<(?:\w+:)?({'|'.join(_ELEMENTS)})(?:\s[^<>]*)?>([^<]+)", re.IGNORECASE)
_HEADING = re.compile(r"<h[1-3](?:\s[^<>]*)?>([^<]+)", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]?")  # terminal escapes: not readable text
_DEEPEST = 5
_DECODER = json.JSONDecoder(strict=False)  # services break lines inside texts


def error_text(body: str) -> str:
    """The message in a body of JSON, XML, a web page or an event stream; else the body itself.

    The text is foreign: it may contain control characters and our secrets. Never raises.
    """
    text = body.strip()
    if text.startswith(("data:", "event:")):
        lines = (line.strip() for line in text.splitlines())
        text = next((line[5:].strip() for line in lines if line.startswith("data:")), text)
    if text.startswith("<"):
        return _in_markup(text) or body
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


def _in_markup(text: str) -> str | None:
    """The title of a web page, the message of an XML document, a heading, or all visible text."""
    text = text.replace("<![CDATA[", "").replace("]]>", "")
    found = _title(text) or _in_element(text) or _first(_HEADING, text) or _shown(text)
    return unescape(found).strip() or None


def _title(page: str) -> str:
    start = page.lower().find("<title")
    return page[start:].partition(">")[2].partition("<")[0].strip() if start >= 0 else ""


def _in_element(document: str) -> str:
    """The text of the element that most likely is the message."""
    texts: dict[str, str] = {}
    for found in _ELEMENT.finditer(document):
        texts.setdefault(found[1].lower(), found[2].strip())
    return next((texts[name] for name in _ELEMENTS if texts.get(name)), "")


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1].strip() if found else ""


def _shown(page: str) -> str:
    """The text between the tags, without scripts and styles, with single blanks."""
    for hidden in ("script", "style"):
        page = _without(page, hidden)
    return " ".join(_ESCAPE.sub(" ", _TAG.sub(" ", page)).split())


def _without(page: str, element: str) -> str:
    kept, at, lower = [], 0, page.lower()
    while (start := lower.find(f"<{element}", at)) >= 0:
        kept.append(page[at:start])
        end = lower.find(f"</{element}", start)
        at = len(page) if end < 0 else end
    return "".join([*kept, page[at:]])

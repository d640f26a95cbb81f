"""The events of a transcript and how a dialect reads them, for people who configure one."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from decimal import Decimal
from itertools import islice
from typing import Any

from monitor.dialects.reader import separated
from monitor.domain import (
    Dialect,
    ParsedEvent,
    Reply,
    RetrievedSources,
    StreamEvent,
    Transcript,
    Usage,
)
from monitor.redaction import plain, redact

FIRST_EVENTS, LAST_EVENTS = 20, 5  # events of a stream that are shown


CHARS = 200  # characters of an event's data, and of what was found in it


READ_CHARS = 4_000  # characters of a text that are cleaned for display


NOTHING_LINES = 10  # options without a result that a hint names


def explanation(transcript: Transcript, dialect: Dialect, secrets: Sequence[str]) -> Iterator[str]:
    """The head of the response, then each event with the results of every expression.

    Only the first and last events of a stream are shown. All texts are cut, harmless, and without
    our secrets.
    """
    events, received = transcript.events, _without_tags(_parsed_events(transcript, dialect))
    status = "no response" if transcript.status is None else f"HTTP {transcript.status}"
    media = dict(transcript.headers).get("content-type", "no media type")
    yield f"{transcript.query}: {status}, {plain(media, 60)}, {len(events)} events"
    if transcript.status is not None:
        yield from _head(transcript, dialect, secrets)
    if transcript.body:
        yield f"  no stream; the body begins: {_shown(transcript.body, secrets)}"
    left_out = range(FIRST_EVENTS, max(FIRST_EVENTS, len(events) - LAST_EVENTS))
    for number, event in enumerate(events):
        if number in left_out:
            if number == left_out.start:
                yield f"  … {len(left_out)} more events …"
            continue
        reported = received[number] if number < len(received) else None
        yield from _event(number + 1, event, reported, transcript, dialect, secrets)
    if silent := silent_options(transcript, dialect):
        yield "  not found in any event: " + "; ".join(_shown(option, secrets) for option in silent)


def hint(
    transcript: Transcript, reply: Reply, dialect: Dialect, secrets: Sequence[str]
) -> str | None:
    """Why an answer has no text: its first event, and the expressions that found nothing."""
    events = [event for event in transcript.events if event.data or event.name]
    if reply.text or reply.error is not None or not events:
        return None
    wanted = ("text", "done", "rules")
    silent = [o for o in silent_options(transcript, dialect) if o.startswith(wanted)]
    looked = "; ".join(
        f"{_shown(option, secrets)} found nothing" for option in silent[:NOTHING_LINES]
    )
    first = f"first event: {_as_sent(events[0], secrets)}"
    return f"{first}; {looked or f'{dialect.name} found no answer text'}"


def silent_options(transcript: Transcript, dialect: Dialect) -> list[str]:
    """Options of a configurable dialect, as `text = "expression"`, that found nothing."""
    if dialect.explain is None:
        return []
    found: dict[str, bool] = {}
    for event in islice(transcript.events, 1_000):
        for name, text, value in dialect.explain(event):
            key = f"{name} = {json.dumps(text, ensure_ascii=False)}"
            found[key] = found.get(key, False) or value not in (None, False, "", [], {})
    in_head = bool(_read_head(transcript, dialect)[0].used)
    return [
        option
        for option, something in found.items()
        if not something and not (in_head and "_headers" in option)
    ]


class _ReadHeaders(dict[str, str]):
    """Headers that record which of them were read."""

    def __init__(self, headers: Iterable[tuple[str, str]]) -> None:
        super().__init__(headers)
        self.used: dict[str, None] = {}

    def get(self, name: str, default: Any = None) -> Any:
        if name in self:
            self.used[name] = None
        return super().get(name, default)


def _read_head(transcript: Transcript, dialect: Dialect) -> tuple[_ReadHeaders, ParsedEvent]:
    """The headers of the response that were read, and their meaning."""
    headers = _ReadHeaders(transcript.headers)
    try:
        return headers, dialect.parse_headers(headers)
    except (ValueError, KeyError, TypeError, RecursionError):
        return headers, ParsedEvent(malformed=True)


def _head(transcript: Transcript, dialect: Dialect, secrets: Sequence[str]) -> Iterator[str]:
    """The status, the relevant headers, and the names of the others."""
    headers, read_as = _read_head(transcript, dialect)
    at = "" if transcript.head_ns is None else f"{_since(transcript, transcript.head_ns)}  "
    yield f"  head. {at}HTTP {transcript.status}"
    for name in headers.used:
        yield f"       {_shown(f'{name}: {headers[name]}', secrets)}"
    if others := ", ".join(name for name in headers if name not in headers.used):
        yield f"       other headers: {_shown(others, secrets)}"
    yield f"       read as: {_shown(_read_as(read_as), secrets)}"


def _since(transcript: Transcript, at_ns: int) -> str:
    """Time since the request was sent."""
    since = transcript.sent_ns if transcript.sent_ns is not None else transcript.started_ns
    return f"{(at_ns - since) / 1e6:+.1f} ms"


def _parsed_events(transcript: Transcript, dialect: Dialect) -> list[ParsedEvent]:
    """The parsed fields of each event, up to the end of the answer."""
    if transcript.heard:
        return list(transcript.heard)
    parse, received = dialect.parser(), list[ParsedEvent]()
    for event in transcript.events:
        received.append(parse(event))
        if received[-1].end or received[-1].error is not None:
            break
    return received


def _without_tags(received: list[ParsedEvent]) -> list[ParsedEvent]:
    """The same, with reasoning tags in answer texts moved to reasoning."""
    texts = separated(received)
    return [
        replace(reported, text=text, reasoning=reasoning, thoughts=None)
        for reported, (text, reasoning) in zip(received, texts, strict=True)
    ]


def _event(
    number: int,
    event: StreamEvent,
    received: ParsedEvent | None,
    transcript: Transcript,
    dialect: Dialect,
    secrets: Sequence[str],
) -> Iterator[str]:
    yield f"  {number}. {_since(transcript, event.arrived_ns)}  {_as_sent(event, secrets)}"
    if received is None:
        yield "       after the end: ignored"
        return
    for name, text, value in dialect.explain(event) if dialect.explain else ():
        what = "nothing" if value is None else _shown(_as_json(value), secrets)
        expression = json.dumps(text, ensure_ascii=False)
        yield f"       {_shown(f'{name} = {expression}', secrets)} found {what}"
    yield f"       read as: {_shown(_read_as(received), secrets)}"


def _as_sent(event: StreamEvent, secrets: Sequence[str]) -> str:
    name = f"event {_shown(event.name, secrets)}: " if event.name else ""
    return f"{name}{_shown(event.data, secrets) or '(no data)'}"


def _read_as(received: ParsedEvent) -> str:
    """The parsed fields of an event; `nothing` for most protocol events."""
    reported: list[str] = []
    for field in fields(received):
        value = getattr(received, field.name)
        if value != field.default:
            reported.append(field.name if value is True else f"{field.name} {_value(value)}")
    return ", ".join(reported) or "nothing"


def _value(value: object) -> str:
    if isinstance(value, Usage | RetrievedSources):
        known = ((f.name, getattr(value, f.name)) for f in fields(value) if f.name != "counts")
        return " ".join(f"{name}={found}" for name, found in known if found not in (None, ()))
    if isinstance(value, tuple):
        return " ".join(f"{claim.source}={claim.value}" for claim in value)
    return _as_json(value)


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain_number)


def _plain_number(value: object) -> str:
    return format(value, "f") if isinstance(value, Decimal) and value.is_finite() else str(value)


def _shown(text: str, secrets: Sequence[str]) -> str:
    whole = redact(text[: 2 * READ_CHARS], secrets)  # a secret that was cut may be at the end
    return plain(whole[:READ_CHARS], CHARS)

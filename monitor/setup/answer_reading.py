"""Reads an answer of unknown format, first as the requested dialect, then as an unknown stream."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from monitor.dialects import DIALECTS, dialect_of, read
from monitor.dialects.custom import MEDIA
from monitor.domain import (
    Dialect,
    Ending,
    Framing,
    Outcome,
    Query,
    Reply,
    StreamEvent,
    Target,
    Transcript,
)
from monitor.error_text import error_text
from monitor.probing.stream_reader import NdjsonParser, SseParser
from monitor.probing.timing import outcome
from monitor.redaction import plain, redact
from monitor.setup.attempt_log import AttemptLog, RecognizedService
from monitor.setup.event_fields import EventField, event_fields
from monitor.setup.request_forms import (
    PLACE,
    without_parameters,
)

CUSTOM = "custom"
EXPRESSIONS = ("text", "reasoning", "done", "error", "finish", "model", "usage", "claims",
               "sources", "cumulative", "prefix", "rules", "media_types")  # fmt: skip


def read_answer(
    target: Target, query: Query, transcript: Transcript, attempts: AttemptLog
) -> RecognizedService | str:
    """The service recognised by this answer, else what the answer is."""
    media = dict(transcript.headers).get("content-type", "").partition(";")[0].strip().lower()
    text = "".join(event.data for event in transcript.events)
    start = text.lstrip()[:200].lower()
    if start.startswith(("<!doctype", "<html", "<?xml")):
        attempts.advice["page"] = (
            "the address shows a web page, not the endpoint that its chat uses. Open the page, ask "
            "something, and look for the request in the browser's developer tools, tab Network: "
            "give its address with --url"
        )
        return "a web page"
    framing, events = framed(transcript, media)
    heard = replace(transcript, events=tuple(events), heard=())
    if target.dialect != CUSTOM:
        dialect = dialect_of(target)
        if media in dialect.media_types and dialect.framing_of(media) is framing:
            reply = read(dialect, heard)
            if _answered(heard, reply):
                return _recognized(target, heard, reply, (), attempts)
            if reply.error is not None:
                return f"the stream states an error: {redact(reply.error, attempts.secrets)}"
    if framing is Framing.NDJSON and len(events) == 1 and media == "application/json":
        return _one_piece(text, attempts)
    return _custom(target, query, heard, framing, media, attempts)


def compared(
    found: RecognizedService, query: Query, answers: Sequence[Transcript], attempts: AttemptLog
) -> RecognizedService:
    """The service with an end of the answer that all its answers have.

    `found`: the service as its first answer shows it. `answers`: those to other questions.
    """
    found = replace(found, requests=attempts.count)
    heard = [
        framed(one, dict(one.headers).get("content-type", "").partition(";")[0].strip().lower())[1]
        for one in answers
    ]
    proposed = event_fields(
        found.transcript.events,
        question=query.text,
        ends_with_body=found.transcript.body_complete,
        others=heard,
    )
    if proposed is None or proposed.options["text"] != found.target.options.get("text"):
        return found
    options = {**found.target.options, "done": proposed.options["done"]}
    target = replace(found.target, options=options)
    reply = read(dialect_of(target), found.transcript)
    if not _answered(found.transcript, reply):
        return found
    return replace(found, target=target, reply=reply, fields=proposed.fields)


def framed(transcript: Transcript, media: str) -> tuple[Framing, list[StreamEvent]]:
    """The framing of a body, by its media type and else by its first lines, and its events."""
    text = "".join(event.data for event in transcript.events)
    lines = [line for line in text.splitlines() if line.strip()]
    if media == "text/event-stream" or any(
        line.startswith(("data:", "event:")) for line in lines[:5]
    ):
        return Framing.SSE, _events(transcript, SseParser())
    if lines and (sum(map(_is_json, lines)) * 5 >= len(lines) * 4):
        return Framing.NDJSON, _events(transcript, NdjsonParser())
    return Framing.TEXT, list(transcript.events)


def _events(transcript: Transcript, parser: SseParser | NdjsonParser) -> list[StreamEvent]:
    found = []
    for segment in transcript.events:
        for name, data in parser.feed(segment.data.encode()):
            found.append(StreamEvent(segment.arrived_ns, data, name, segment.read))
    last = transcript.events[-1]
    for name, data in parser.close():
        found.append(StreamEvent(last.arrived_ns, data, name, last.read))
    return found


def _is_json(line: str) -> bool:
    """Whether a line is JSON, or JSON behind a short prefix."""
    start = min((at for at in (line.find(c) for c in '{["') if at >= 0), default=0)
    try:
        return start <= 18 and isinstance(json.loads(line[start:]), dict | list | str)
    except (ValueError, RecursionError):
        return False


def _answered(transcript: Transcript, reply: Reply) -> bool:
    """Whether the answer was read completely. A server may keep the connection open afterwards."""
    over = replace(transcript, ending=Ending.END) if reply.ended else transcript
    return outcome(over, reply)[0] is Outcome.ANSWERED and not reply.malformed


def _custom(
    target: Target,
    query: Query,
    transcript: Transcript,
    framing: Framing,
    media: str,
    attempts: AttemptLog,
) -> RecognizedService | str:
    given = {name: target.options[name] for name in EXPRESSIONS if name in target.options}
    options: dict[str, Any] = {**_request_options(target, query), "framing": framing.value}
    if media not in MEDIA[framing]:
        options["media_types"] = [media]
    proposed = None
    if framing is not Framing.TEXT:
        proposed = event_fields(
            transcript.events, question=query.text, ends_with_body=transcript.body_complete
        )
        if proposed is None:
            first = next((event.data for event in transcript.events if event.data), "")
            attempts.advice["stream"] = (
                "the service streams, but no field looks like answer text. The first event: "
                f"{plain(redact(first, attempts.secrets), 300)}. Say where the text stands: "
                "--option text=EXPRESSION (docs/dialects.md#custom)"
            )
            return "a stream without recognisable answer text"
        options |= proposed.options
    found = replace(target, dialect=CUSTOM, options={**options, **given})
    reply = read(dialect_of(found), transcript)
    if not _answered(transcript, reply):
        reason = reply.error or f"{len(reply.text)} characters, and no end"
        attempts.advice["unread"] = (
            f"an answer came that could not be read whole ({plain(reason, 200)}). Describe it with "
            "--option (docs/dialects.md#custom)"
        )
        return f"not read whole: {plain(reason, 120)}"
    fields = proposed.fields if proposed else ()
    kin = tuple(_kin(target, transcript, framing, media))
    for same in (replace(target, dialect=name) for name in kin if target.dialect != CUSTOM):
        if _request(same, query) == _request(target, query):
            heard = read(dialect_of(same), transcript)
            return _recognized(same, transcript, heard, (), attempts)
    return replace(_recognized(found, transcript, reply, fields, attempts), kin=kin)


def _request(target: Target, query: Query) -> tuple[str, str, bytes | None]:
    """What a target requests, without its headers."""
    request = dialect_of(target).build_request(query, target)
    return request.method, request.url, request.body


def _kin(target: Target, transcript: Transcript, framing: Framing, media: str) -> Iterator[str]:
    """Built-in dialects that can read the answer; formats of one vendor only at its own address."""
    for name, dialect in DIALECTS.items():
        foreign = name.startswith("bali_zero") and "bali-zero" not in target.url
        if name == target.dialect or foreign or not isinstance(dialect, Dialect):
            continue
        if media in dialect.media_types and dialect.framing_of(media) is framing:
            reader = dialect_of(replace(target, dialect=name, options={}, queries=()))
            if _answered(transcript, read(reader, transcript)):
                yield name


def _recognized(
    target: Target,
    transcript: Transcript,
    reply: Reply,
    fields: tuple[EventField, ...],
    attempts: AttemptLog,
) -> RecognizedService:
    if reply.ended:
        transcript = replace(transcript, ending=Ending.END)
    return RecognizedService(
        target=target,
        headers={},
        transcript=transcript,
        reply=reply,
        fields=fields,
        requests=attempts.count,
    )


def _request_options(target: Target, query: Query) -> dict[str, Any]:
    """The options of `custom` that build the same request as this target."""
    form = as_custom(target, query)
    return {k: v for k, v in form.options.items() if k in ("method", "path", "query", "body")}


def as_custom(target: Target, query: Query) -> Target:
    """The target with the same request, described by options of `custom`."""
    if target.dialect == CUSTOM:
        return target
    request = dialect_of(target).build_request(query, target)
    if request.body:
        body = _templated(json.loads(request.body), query.text)
        return replace(target, url=request.url, dialect=CUSTOM, options={"body": body})
    asked = dict(parse_qsl(urlsplit(request.url).query))
    options = {"query": _templated(asked, query.text)}
    return replace(target, url=without_parameters(request.url), dialect=CUSTOM, options=options)


def _templated(value: Any, question: str) -> Any:
    if isinstance(value, dict):
        return {name: _templated(inner, question) for name, inner in value.items()}
    if isinstance(value, list):
        return [_templated(inner, question) for inner in value]
    return PLACE if value == question else value


def _one_piece(text: str, attempts: AttemptLog) -> str:
    attempts.advice["one piece"] = (
        "the service answers in one piece of JSON, so there is no time to first token. Give the "
        "address or the field that makes it stream (often /stream, or --body with "
        '"stream": true)'
    )
    return f"one JSON document: {plain(error_text(text) or text, 160)}"

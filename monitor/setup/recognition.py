"""How a service is asked and answers, found by asking it: the work behind `monitor init`.

At most `MOST_REQUESTS` requests, each with a deadline and the same harmless question. Every body is
taken as raw text, so that one answer can be tried in every framing.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit
from uuid import uuid4

from monitor.dialects import DIALECTS, dialect_of, read
from monitor.dialects.custom import MEDIA
from monitor.domain import (
    Dialect,
    Ending,
    Framing,
    Outcome,
    ParsedEvent,
    Query,
    Reply,
    StreamEvent,
    Target,
    Transcript,
)
from monitor.error_text import error_text
from monitor.probing.client import ProbeClient, exchange
from monitor.probing.fetch import fetch
from monitor.probing.stream_reader import NdjsonParser, SseParser
from monitor.probing.timing import outcome
from monitor.redaction import plain, redact, shown
from monitor.setup.event_fields import EventField, event_fields
from monitor.setup.request_forms import (
    PLACE,
    ServiceAddress,
    at_address,
    built_in,
    corrected,
    custom_form,
    custom_forms,
    described,
    header_templates,
    skipped,
    streaming,
)

MOST_REQUESTS = 32
CUSTOM = "custom"
LISTENED = ("text/event-stream", "application/x-ndjson", "application/ndjson", "application/jsonl",
            "application/x-jsonlines", "application/jsonlines", "application/stream+json",
            "application/json", "application/octet-stream", "text/plain", "text/html",
            "text/markdown")  # fmt: skip
UNREACHED = (Ending.REFUSED, Ending.CONNECT, Ending.DNS, Ending.TLS, Ending.PROTOCOL)
EXPRESSIONS = ("text", "reasoning", "done", "error", "finish", "model", "usage", "claims",
               "sources", "cumulative", "prefix", "rules", "media_types")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizedService:
    """How the service is asked and read, and its first answer.

    `headers` are those of the file, with `${NAME}`. `fields`: what each proposed expression of
    `custom` found; empty for a built-in dialect. `kin`: built-in dialects that read the answer too.
    """

    target: Target
    headers: Mapping[str, str]
    transcript: Transcript
    reply: Reply
    fields: tuple[EventField, ...] = ()
    kin: tuple[str, ...] = ()
    requests: int


class Unrecognized(Exception):
    """The service was not recognised. The text says what came back and what to do."""


@dataclass(slots=True)
class _Attempts:
    """The requests so far, and the notes of those that brought no answer, in order."""

    wire: ProbeClient
    secrets: Sequence[str]
    note: Callable[[str], object]
    count: int = 0
    notes: list[tuple[str, str]] = field(default_factory=list)  # request, result
    seen: set[tuple[str, str, bytes | None]] = field(default_factory=set)
    advice: dict[str, str] = field(default_factory=dict)  # by the kind of trouble


def _heard(event: StreamEvent) -> ParsedEvent:
    return ParsedEvent(text=event.data)


async def recognize(
    service: ServiceAddress,
    query: Query,
    *,
    wire: ProbeClient,
    variables: Mapping[str, str],
    note: Callable[[str], object] = lambda line: None,
) -> RecognizedService:
    """Ask until an answer can be read. Raises Unrecognized with advice.

    `note` gets a line for each request.
    """
    secrets = [value for value in (variables.get(service.key or "", ""),) if value]
    attempts = _Attempts(wire, secrets, note)
    search = _Search(service, query, variables, attempts)
    try:
        return await search.run()
    except Unrecognized:
        if search.readable is None:
            raise
        return search.readable


class _Search:
    """The order of the requests, which what came back changes."""

    def __init__(
        self,
        service: ServiceAddress,
        query: Query,
        variables: Mapping[str, str],
        attempts: _Attempts,
    ) -> None:
        self.service, self.query, self.variables = service, query, variables
        self.attempts = attempts
        self.readable: RecognizedService | None = None  # by `custom`, if no dialect fits
        self._alternative = False  # the other usual header of a key is tried
        self._gone: set[str] = set()  # addresses that are not there
        asked = described(service, query)
        first, last = built_in(service, query)
        general = service.dialect in (None, CUSTOM) and asked is None
        self._queue = [asked] if asked else first
        if service.dialect == CUSTOM and asked is None:
            self._queue = []
        self._later: Iterator[Target] = chain(
            custom_forms(service, query) if general else (), last if not asked else ()
        )

    async def run(self) -> RecognizedService:
        while (target := self._next()) is not None:
            templates = header_templates(
                self.service, target.dialect, alternative=self._alternative
            )
            found = await _ask(
                target, self.query, templates, self.variables, self.attempts, self._gone
            )
            if isinstance(found, RecognizedService):
                if not self._closer(found):
                    return found
            elif found is not None:
                await self._learn(target, *found, templates)
        raise Unrecognized(_summary(self.service, self.attempts))

    def _next(self) -> Target | None:
        if self.attempts.count >= MOST_REQUESTS:
            return None
        return self._queue.pop(0) if self._queue else next(self._later, None)

    def _closer(self, found: RecognizedService) -> bool:
        """Whether built-in dialects read the same answer: these are asked in their own form."""
        if found.target.dialect != CUSTOM or self.readable or self.service.dialect:
            return False
        if not found.kin or {"query", "body"} & self.service.options.keys():
            return False
        self.readable = found
        address = replace(self.service, url=found.target.url)
        self._queue, self._later = at_address(address, self.query, found.kin[:2]), iter(())
        return True

    async def _learn(
        self, target: Target, transcript: Transcript, address: str, templates: Mapping[str, str]
    ) -> None:
        """What a refusal means for the next requests. Raises Unrecognized where none will help."""
        status, attempts, service = transcript.status or 0, self.attempts, self.service
        if status in (401, 403):
            if service.key is None or self._alternative or not _bearer(templates):
                raise Unrecognized(_unauthorized(service, transcript))
            self._alternative = True
            self._queue.insert(0, target)
            attempts.seen.clear()
        elif status == 404 and not (transcript.body and "model" in transcript.body.lower()):
            self._gone.add(address)
        elif 300 <= status < 400:
            moved = _moved(address, dict(transcript.headers).get("location", ""))
            if moved is None:
                raise Unrecognized(
                    f"{shown(address)} redirects elsewhere (HTTP {status}): give the address that "
                    "it leads to, with --url"
                )
            self.service = replace(service, url=moved)
            options = {**target.options, "path": ""}
            self._queue.insert(0, replace(target, url=moved, options=options))
        elif status == 429:
            wait = f" Wait {transcript.retry_after_s:g} s" if transcript.retry_after_s else " Wait"
            raise Unrecognized(f"the service is rate limiting (HTTP 429).{wait} and try again")
        elif models := await _models(target, transcript, self.variables, templates):
            if len(models) > 1:
                raise Unrecognized(
                    "the service wants to know which model to use: add --model NAME. It lists: "
                    f"{plain(', '.join(models[:12]), 600)}"
                )
            attempts.note(f"the service lists one model, {plain(models[0], 80)}: it is used")
            self.service = replace(service, model=models[0])
            self._queue.insert(0, replace(target, model=models[0]))
        elif service.dialect in (None, CUSTOM):
            self._mend(target, transcript)

    def _mend(self, target: Target, transcript: Transcript) -> None:
        """Put the form that the refusal asks for next."""
        tried, status = _as_custom(target, self.query), transcript.status or 0
        if status == 200 and len(transcript.events) < 3 and "one piece" in self.attempts.advice:
            form = streaming(tried)
        else:
            allow = dict(transcript.headers).get("allow", "")
            form = corrected(tried, status, transcript.body or "", allow)
        if form is not None:
            address = replace(self.service, url=tried.url)
            self._queue.insert(0, custom_form(address, self.query, form))


async def _ask(
    target: Target,
    query: Query,
    templates: Mapping[str, str],
    variables: Mapping[str, str],
    attempts: _Attempts,
    gone: set[str],
) -> RecognizedService | tuple[Transcript, str] | None:
    """One request: the service recognised, else what came back; None where it was not sent."""
    asked = replace(target, headers=resolved(templates, variables))
    try:
        dialect = dialect_of(asked)
        request = dialect.build_request(query, asked)
    except ValueError as error:
        attempts.advice["options"] = str(error)
        return None
    key = (request.method, request.url, request.body)
    if key in attempts.seen or _place(request.url) in gone:
        return None
    attempts.seen.add(key)
    attempts.count += 1
    if target.dialect == CUSTOM:  # its own framing is not known yet: any stream will do
        kept = tuple(header for header in request.headers if header[0] != "Accept")
        request = replace(request, headers=kept)
    listener = Dialect("listener", Framing.TEXT, LISTENED, dialect.build_request, _heard)
    transcript = await exchange(
        request, dialect=listener, target=asked, query=query, probe=uuid4(), http=attempts.wire
    )
    what = f"{request.method} {plain(shown(request.url), 120)} ({_form(target)})"
    if transcript.ending in UNREACHED:
        raise Unrecognized(_unreached(request.url, transcript))
    if transcript.status == 200 and transcript.events:
        found = _read(asked, query, transcript, attempts)
        if isinstance(found, RecognizedService):
            attempts.note(f"{what}: answered, read as {found.target.dialect}")
            return replace(found, headers=templates)
        result = found
    else:
        kind, reason = outcome(transcript, Reply())
        result = redact(reason or kind.value, attempts.secrets)
        if transcript.ending is Ending.SILENT:
            raise Unrecognized(
                f"{what}: no byte within {target.first_token_deadline.total_seconds():g} s. Check "
                "that the service works, or give another address"
            )
        if transcript.ending is Ending.CONTENT_TYPE:
            attempts.advice.setdefault("media", result)
    attempts.notes.append((what, plain(result, 200)))
    attempts.note(f"{what}: {plain(result, 200)}")
    return transcript, _place(request.url)


def _place(url: str) -> str:
    """An address without its parameters."""
    return url.partition("?")[0]


def resolved(templates: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """Headers with the values of the variables that they name."""
    found = {}
    for name, template in templates.items():
        for variable, value in variables.items():
            template = template.replace(f"${{{variable}}}", value.strip())
        found[name] = template
    return found


def _bearer(templates: Mapping[str, str]) -> bool:
    return templates.get("Authorization", "").startswith("Bearer ")


def _form(target: Target) -> str:
    """A request in a word, for a person: its dialect, or the field that holds the question."""
    if target.dialect != CUSTOM:
        return target.dialect
    part = "body" if "body" in target.options else "query"
    names = target.options.get(part, {})
    return f"{part} {', '.join(names)}" if isinstance(names, dict) else part


# An answer tried as what was asked for, then as a stream nobody described.


def _read(
    target: Target, query: Query, transcript: Transcript, attempts: _Attempts
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
    """Whether the answer was read whole. A server may keep the connection after the end."""
    over = replace(transcript, ending=Ending.END) if reply.ended else transcript
    return outcome(over, reply)[0] is Outcome.ANSWERED and not reply.malformed


def _custom(
    target: Target,
    query: Query,
    transcript: Transcript,
    framing: Framing,
    media: str,
    attempts: _Attempts,
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
    """What a target asks, without its headers."""
    request = dialect_of(target).build_request(query, target)
    return request.method, request.url, request.body


def _kin(target: Target, transcript: Transcript, framing: Framing, media: str) -> Iterator[str]:
    """Built-in dialects that read the answer whole; formats of one service at its address only."""
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
    attempts: _Attempts,
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
    """The options of `custom` that make the request which this target made."""
    form = _as_custom(target, query)
    return {k: v for k, v in form.options.items() if k in ("method", "path", "query", "body")}


def _as_custom(target: Target, query: Query) -> Target:
    """The target with the same request, described by options of `custom`."""
    if target.dialect == CUSTOM:
        return target
    request = dialect_of(target).build_request(query, target)
    if request.body:
        body = _with_place(json.loads(request.body), query.text)
        return replace(target, url=request.url, dialect=CUSTOM, options={"body": body})
    asked = dict(parse_qsl(urlsplit(request.url).query))
    options = {"query": _with_place(asked, query.text)}
    return replace(target, url=_place(request.url), dialect=CUSTOM, options=options)


def _with_place(value: Any, question: str) -> Any:
    if isinstance(value, dict):
        return {name: _with_place(inner, question) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_place(inner, question) for inner in value]
    return PLACE if value == question else value


# What went wrong, and what to do about it.


def _one_piece(text: str, attempts: _Attempts) -> str:
    attempts.advice["one piece"] = (
        "the service answers in one piece of JSON, so there is no time to first token. Give the "
        "address or the field that makes it stream (often /stream, or --body with "
        '"stream": true)'
    )
    return f"one JSON document: {plain(error_text(text) or text, 160)}"


def _unreached(url: str, transcript: Transcript) -> str:
    remedy = {
        Ending.DNS: "Correct the host name",
        Ending.TLS: "Correct the certificate, or use http:// where the service has no TLS",
        Ending.PROTOCOL: "The address does not speak HTTP as expected: check the port",
    }.get(transcript.ending, "Start the service, or correct host and port")
    return f"{plain(shown(url), 120)}: {plain(transcript.detail or 'no connection')}. {remedy}"


def _unauthorized(service: ServiceAddress, transcript: Transcript) -> str:
    status = transcript.status
    said = plain(error_text(transcript.body), 160) if transcript.body else "no reason given"
    if service.key is None and not service.headers:
        return (
            f"HTTP {status} ({said}): the service wants a key. Put it into an environment variable "
            "and name the variable: --key-variable NAME (sent as Authorization: Bearer), or "
            "--header 'X-API-Key: ${NAME}'"
        )
    return (
        f"HTTP {status} ({said}): the service refuses the key. Check the variable "
        f"{service.key or 'in --header'}, or name the header: --header 'NAME: ${{VARIABLE}}'"
    )


def _moved(address: str, location: str) -> str | None:
    """Where a redirect leads, if to the same host: a key must not travel elsewhere."""
    there = urljoin(address, location)
    same = urlsplit(there).hostname == urlsplit(address).hostname
    return there if location and same and there != address else None


async def _models(
    target: Target,
    transcript: Transcript,
    variables: Mapping[str, str],
    templates: Mapping[str, str],
) -> list[str]:
    """The models that a service lists which refused a request because it named none."""
    refused = transcript.status in (400, 404, 422) and "model" in (transcript.body or "").lower()
    if target.model or not refused or target.dialect not in ("openai_chat", "openai_responses"):
        return []
    request = dialect_of(target).build_request(target.queries[0], target)
    base = request.url.partition("?")[0]
    for ending in ("/chat/completions", "/responses"):
        base = base.removesuffix(ending)
    reply = await fetch(f"{base}/models", headers=resolved(templates, variables), target=target)
    listed = reply.json.get("data") if isinstance(reply.json, dict) else None
    found = [one.get("id") for one in listed or [] if isinstance(one, dict)] if listed else []
    return [name for name in found if isinstance(name, str)]


def _summary(service: ServiceAddress, attempts: _Attempts) -> str:
    """What came back to all requests, and what to do."""
    results: dict[str, list[str]] = {}
    for what, result in attempts.notes:
        results.setdefault(result, []).append(what)
    lines = [f"the service at {plain(shown(service.url), 120)} was not recognised"]
    for result, requests in list(results.items())[:8]:
        more = f" and {len(requests) - 1} more" if len(requests) > 1 else ""
        lines.append(f"  {requests[0]}{more}: {result}")
    advice = list(attempts.advice.values())
    if results and all("HTTP 404" in result for result in results):
        advice.append("nothing is there: give the whole address of the endpoint, with its path")
    elif not advice:
        advice.append(
            "give the whole address of the endpoint, and describe its request with --body "
            '\'{"question": "{query}"}\' or --param question={query}'
        )
    if unasked := skipped(service):
        advice.append(f"not tried without --model NAME: {', '.join(unasked)}")
    return "\n".join((*lines, *(f"  → {sentence}" for sentence in advice)))

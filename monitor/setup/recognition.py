"""Recognises the format of a service by sending requests to it: the work of `monitor init`.

At most `MOST_REQUESTS` requests, each with a deadline and the same harmless question. Every body is
received as raw text, so that one answer can be tried with every framing.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from uuid import uuid4

from monitor.dialects import dialect_of
from monitor.domain import (
    Dialect,
    Ending,
    Framing,
    ParsedEvent,
    Query,
    Reply,
    StreamEvent,
    Target,
    Transcript,
)
from monitor.probing.client import ProbeClient, exchange
from monitor.probing.fetch import fetch
from monitor.probing.timing import outcome
from monitor.redaction import plain, redact, shown
from monitor.setup.answer_reading import CUSTOM, as_custom, compared, read_answer
from monitor.setup.attempt_log import (
    AttemptLog,
    RecognizedService,
    Unrecognized,
    moved_to,
    summary,
    unauthorized,
    unreached,
    unserved,
)
from monitor.setup.request_forms import (
    ServiceAddress,
    at_address,
    built_in,
    corrected,
    custom_form,
    custom_forms,
    described,
    header_templates,
    held_secrets,
    streaming,
    without_parameters,
)

MOST_REQUESTS = 32
OF_GATEWAY = (502, 503, 504)  # the service behind it is not running
MOST_UNSERVED = 3  # answers of a gateway and nothing else, after which no request is sent
LONGEST_S = 240.0  # after which no further request is sent
LISTENED = ("text/event-stream", "application/x-ndjson", "application/ndjson", "application/jsonl",
            "application/x-jsonlines", "application/jsonlines", "application/stream+json",
            "application/json", "application/octet-stream", "text/plain", "text/html",
            "text/markdown")  # fmt: skip
UNREACHED = (Ending.REFUSED, Ending.CONNECT, Ending.DNS, Ending.TLS, Ending.PROTOCOL)


def _heard(event: StreamEvent) -> ParsedEvent:
    return ParsedEvent(text=event.data)


async def recognize(
    service: ServiceAddress,
    query: Query,
    *,
    further: Sequence[Query] = (),
    wire: ProbeClient,
    variables: Mapping[str, str],
    note: Callable[[str], object] = lambda line: None,
) -> RecognizedService:
    """Send requests until an answer can be read. Raises Unrecognized with advice.

    `note` gets a line for each request. `further`: asked only if the format is unknown, to find
    what all answers have in common.
    """
    attempts = AttemptLog(wire, held_secrets(service, variables), note)
    search = _Search(service, query, variables, attempts)
    try:
        found = await search.run()
    except Unrecognized:
        if search.readable is None:
            raise
        found = search.readable
    if found.target.dialect != CUSTOM or not found.fields or "done" in service.options:
        return found
    answers = [
        answer
        for one in further
        if one.text != query.text
        and (answer := await _further(found, one, variables, attempts)) is not None
    ]
    return compared(found, query, answers, attempts)


async def _further(
    found: RecognizedService, query: Query, variables: Mapping[str, str], attempts: AttemptLog
) -> Transcript | None:
    """The answer to another question in the same form; None if there is none."""
    asked = replace(found.target, headers=resolved(found.headers, variables))
    transcript = await _sent(asked, query, attempts)
    answered = transcript.status == 200 and bool(transcript.events)
    said = "answered" if answered else plain(outcome(transcript, Reply())[0].value)
    attempts.note(f'asked "{plain(query.text, 60)}" to compare the ends of answers: {said}')
    return transcript if answered else None


async def _sent(target: Target, query: Query, attempts: AttemptLog) -> Transcript:
    """Send a question; the body is received as raw text."""
    attempts.count += 1
    dialect = dialect_of(target)
    request = dialect.build_request(query, target)
    if target.dialect == CUSTOM:  # its framing is not known yet: any stream is acceptable
        kept = tuple(header for header in request.headers if header[0] != "Accept")
        request = replace(request, headers=kept)
    listener = Dialect("listener", Framing.TEXT, LISTENED, dialect.build_request, _heard)
    return await exchange(
        request, dialect=listener, target=target, query=query, probe=uuid4(), http=attempts.wire
    )


class _Search:
    """The order of the requests, which depends on the responses so far."""

    def __init__(
        self,
        service: ServiceAddress,
        query: Query,
        variables: Mapping[str, str],
        attempts: AttemptLog,
    ) -> None:
        self.service, self.query, self.variables = service, query, variables
        self.attempts = attempts
        self.readable: RecognizedService | None = None  # for `custom`, if no dialect fits
        self._until_s = time.monotonic() + LONGEST_S
        self._alternative = False  # the other common header for a key is tried
        self._gone: set[str] = set()  # addresses that do not exist
        self._unserved, self._served = 0, False  # answers of a gateway; others, but redirects
        asked = self._described = described(service, query)
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
        raise self._failed()

    def _failed(self) -> Unrecognized:
        if self._unserved and not self._served:
            return Unrecognized(self.attempts.advice["gateway"])
        return Unrecognized(summary(self.service, self.attempts))

    def _next(self) -> Target | None:
        if self.attempts.count >= MOST_REQUESTS or time.monotonic() > self._until_s:
            return None
        return self._queue.pop(0) if self._queue else next(self._later, None)

    def _closer(self, found: RecognizedService) -> bool:
        """Try built-in dialects that read the same answer next; False if there are none."""
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
        """What a refusal means for the next requests. Raises Unrecognized if none can succeed."""
        status, attempts, service = transcript.status or 0, self.attempts, self.service
        self._served |= status not in OF_GATEWAY and not 300 <= status < 400
        if status in OF_GATEWAY:
            self._unserved += 1
            known = self._described is not None or service.dialect not in (None, CUSTOM)
            attempts.advice["gateway"] = unserved(status, described=known)
            if self._unserved >= MOST_UNSERVED and not self._served:
                raise self._failed()
        elif status in (401, 403):
            if service.key is None or self._alternative or not _bearer(templates):
                raise Unrecognized(unauthorized(service, transcript))
            self._alternative = True
            self._queue.insert(0, target)
            attempts.seen.clear()
        elif status == 404 and not (transcript.body and "model" in transcript.body.lower()):
            self._gone.add(address)
        elif 300 <= status < 400:
            moved = moved_to(address, dict(transcript.headers).get("location", ""))
            # A redirect that repeats the key must not put the key into the file.
            if moved is None or redact(moved, attempts.secrets) != moved:
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
        """Put the form that the refusal requires next."""
        tried, status = as_custom(target, self.query), transcript.status or 0
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
    attempts: AttemptLog,
    gone: set[str],
) -> RecognizedService | tuple[Transcript, str] | None:
    """One request: the service recognised, else what came back; None if it was not sent."""
    asked = replace(target, headers=resolved(templates, variables))
    try:
        request = dialect_of(asked).build_request(query, asked)
    except ValueError as error:
        attempts.advice["options"] = str(error)
        return None
    key = (request.method, request.url, request.body)
    if key in attempts.seen or without_parameters(request.url) in gone:
        return None
    attempts.seen.add(key)
    transcript = await _sent(asked, query, attempts)
    what = f"{request.method} {plain(shown(request.url), 120)} ({_form(target)})"
    if transcript.ending in UNREACHED:
        raise Unrecognized(unreached(request.url, transcript))
    if transcript.status == 200 and transcript.events:
        found = read_answer(asked, query, transcript, attempts)
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
    return transcript, without_parameters(request.url)


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
    """A request in one word, for a person: its dialect, or the field that holds the question."""
    if target.dialect != CUSTOM:
        return target.dialect
    part = "body" if "body" in target.options else "query"
    names = target.options.get(part, {})
    return f"{part} {', '.join(names)}" if isinstance(names, dict) else part


async def _models(
    target: Target,
    transcript: Transcript,
    variables: Mapping[str, str],
    templates: Mapping[str, str],
) -> list[str]:
    """The models that a service lists after it refused a request without a model."""
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

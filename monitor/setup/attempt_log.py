"""Results of the requests of `monitor init`, and what to do if none succeeded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from monitor.domain import (
    Ending,
    Reply,
    Target,
    Transcript,
)
from monitor.error_text import error_text
from monitor.probing.client import ProbeClient
from monitor.redaction import plain, shown
from monitor.setup.event_fields import EventField
from monitor.setup.request_forms import (
    ServiceAddress,
    skipped,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizedService:
    """How to request and read the service, and its first answer.

    `headers` are those of the file, with `${NAME}`. `fields`: what each proposed expression of
    `custom` found; empty for a built-in dialect. `kin`: built-in dialects that also read the
    answer.
    """

    target: Target
    headers: Mapping[str, str]
    transcript: Transcript
    reply: Reply
    fields: tuple[EventField, ...] = ()
    kin: tuple[str, ...] = ()
    requests: int


class Unrecognized(Exception):
    """The service was not recognised. The text reports the responses and what to do."""


@dataclass(slots=True)
class AttemptLog:
    """The requests so far, and the results of those without an answer, in order."""

    wire: ProbeClient
    secrets: Sequence[str]
    note: Callable[[str], object]
    count: int = 0
    notes: list[tuple[str, str]] = field(default_factory=list)  # request, result
    seen: set[tuple[str, str, bytes | None]] = field(default_factory=set)
    advice: dict[str, str] = field(default_factory=dict)  # by the kind of failure


def unreached(url: str, transcript: Transcript) -> str:
    remedy = {
        Ending.DNS: "Correct the host name",
        Ending.TLS: "Correct the certificate, or use http:// where the service has no TLS",
        Ending.PROTOCOL: "The address does not speak HTTP as expected: check the port",
    }.get(transcript.ending, "Start the service, or correct host and port")
    return f"{plain(shown(url), 120)}: {plain(transcript.detail or 'no connection')}. {remedy}"


def unauthorized(service: ServiceAddress, transcript: Transcript) -> str:
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


def unserved(status: int, *, described: bool) -> str:
    """What to do if a gateway answers for a service that does not run."""
    hint = "" if described else ". If it is running, describe its request with --body"
    return f"the gateway answers HTTP {status}: start the service, then run init again{hint}"


def moved_to(address: str, location: str) -> str | None:
    """The target of a redirect if it has the same host: a key must not be sent elsewhere."""
    try:
        there = urljoin(address, location)
        old, new = urlsplit(address), urlsplit(there)
        new.port  # noqa: B018 - raises for one that is out of range
    except ValueError:
        return None
    if new.username or new.password:
        return None
    safer = (old.scheme, new.scheme) == ("http", "https")
    same = old.hostname == new.hostname and (safer or old[:2] == new[:2])
    return there if location and same and there != address else None


def summary(service: ServiceAddress, attempts: AttemptLog) -> str:
    """The responses to all requests, and what to do."""
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

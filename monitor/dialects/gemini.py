"""Gemini's streaming API, on AI Studio and Vertex AI: one response object per event.

Reasoning is in parts marked `thought`; its tokens are not included in those of the answer. There is
no end event: the last event has a finish reason, then the body ends.

Source: https://ai.google.dev/api/generate-content
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from monitor.dialects.answer_metadata import finish, parse_headers, sources
from monitor.dialects.json_fields import document, error_text_of, first, object_at
from monitor.dialects.requests import (
    SSE,
    VERSION,
    address,
    endpoint,
    extra,
    is_whole,
    model,
    post,
    with_parameters,
)
from monitor.dialects.usage import usage
from monitor.domain import (
    Claim,
    ClaimKind,
    Dialect,
    Finish,
    Framing,
    ParsedEvent,
    ProbeRequest,
    Query,
    StreamEvent,
    Target,
)

METHOD = ":streamGenerateContent"
AS_EVENTS = {"alt": "sse"}  # without it the response is one JSON array


def build_request(query: Query, target: Target) -> ProbeRequest:
    """A streaming request with one user message."""
    body = {"contents": [{"role": "user", "parts": [{"text": query.text}]}], **extra(target)}
    return post(_url(target), target, body=body)


def _url(target: Target) -> str:
    """The method's URL, completed from as much of it as the target's URL has."""
    _, host, path, query, _ = urlsplit(target.url)
    parameters = {} if "alt" in dict(parse_qsl(query)) else AS_EVENTS
    have = [part for part in path.split("/") if part]
    if "path" in target.options or is_whole(have):
        return endpoint(target, "", parameters)
    if have[-2:-1] in (["models"], ["endpoints"], ["tunedModels"]):  # only the method is missing
        return with_parameters(f"{_without_query(target.url)}{METHOD}?{query}", parameters)
    last = f"{quote(model(target).removeprefix('models/'), safe='@')}{METHOD}"
    if have[-1:] == ["models"] or "publishers" in have:
        return address(target.url, f"models/{last}", parameters)
    vertex = host.endswith("aiplatform.googleapis.com") or "locations" in have
    if vertex and not have:  # Vertex AI with an API key
        return address(target.url, f"v1/publishers/google/models/{last}", parameters)
    if vertex:
        return address(target.url, f"publishers/google/models/{last}", parameters)
    if have and VERSION.fullmatch(have[-1]):
        return address(target.url, f"models/{last}", parameters)
    return address(target.url, f"v1beta/models/{last}", parameters)


def _without_query(url: str) -> str:
    scheme, host, path, _, _ = urlsplit(url)
    return urlunsplit((scheme, host, path.rstrip("/"), "", ""))


def parse_event(event: StreamEvent) -> ParsedEvent:
    """Parse one response object: the text of its first candidate and everything beside it."""
    reported = document(event.data)
    candidate = first(reported.get("candidates"))
    parts = object_at(candidate, "content").get("parts")
    blocked = _blocked(object_at(reported, "promptFeedback"))
    return ParsedEvent(
        text=_text(parts, thoughts=False),
        reasoning=_text(parts, thoughts=True),
        error=error_text_of(reported.get("error")) or blocked,
        finish=Finish.CONTENT_FILTER if blocked else finish(candidate.get("finishReason")),
        claims=tuple(_claims(reported)),
        usage=usage(reported),
        sources=sources(object_at(candidate, "groundingMetadata").get("groundingChunks")),
    )


def _text(parts: object, *, thoughts: bool) -> str:
    if not isinstance(parts, list):
        return ""
    chosen = (object_at(part) for part in parts if bool(object_at(part).get("thought")) is thoughts)
    texts = (part.get("text") for part in chosen)
    return "".join(text for text in texts if isinstance(text, str))


def _blocked(feedback: Mapping[str, Any]) -> str | None:
    """Why the prompt was blocked; None if it was not."""
    reason = feedback.get("blockReason")
    if not isinstance(reason, str) or reason.endswith("UNSPECIFIED"):
        return None
    text = feedback.get("blockReasonMessage")
    return f"the prompt was blocked: {text if isinstance(text, str) and text else reason}"


def _claims(reported: Mapping[str, Any]) -> Iterator[Claim]:
    served = reported.get("modelVersion")
    if served and isinstance(served, str):
        yield Claim(ClaimKind.FIELD, "modelVersion", served)


GEMINI = Dialect(
    "gemini",
    Framing.SSE,
    (SSE,),
    build_request,
    parse_event,
    parse_headers,
    address_words=r"generativelanguage|aiplatform|streamgeneratecontent",
    needs_model=True,
    key_header="x-goog-api-key",
)

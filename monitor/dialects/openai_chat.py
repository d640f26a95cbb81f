"""OpenAI chat completions, as implemented by OpenRouter, LiteLLM, vLLM and many others.

The first chunk has a role and no text. Usage arrives in a last chunk without choices. An error may
arrive inside a good stream. `[DONE]` is the end. RAGFlow repeats the whole answer before it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from monitor.dialects.answer_metadata import finish, parse_headers, sources, together
from monitor.dialects.json_fields import (
    claims,
    document,
    error_text_of,
    first,
    object_at,
    text_of,
)
from monitor.dialects.ragflow import has_citation, without_citations
from monitor.dialects.requests import SSE, endpoint, extra, post
from monitor.dialects.usage import may_report, usage
from monitor.domain import (
    Claim,
    ClaimKind,
    Dialect,
    Framing,
    ParsedEvent,
    ProbeRequest,
    Query,
    RetrievedSources,
    StreamEvent,
    Target,
)

PATH = "v1/chat/completions"
END = "[DONE]"
ROUTING = "openrouter_metadata"
VERCEL_METADATA = ("provider_metadata", "providerMetadata")
VERCEL_CLAIMS = (
    ("resolvedProviderApiModelId", ClaimKind.SIBLING),
    ("finalProvider", ClaimKind.HOST),
)
# Lists of sources: Perplexity's, Azure's ("on your data", in `context`), Open WebUI's and others'.
# RAGFlow's are in `reference`, if `extra_body` asks for them.
SOURCES = ("search_results", "sources", "citations", "reference")
_LISTS = re.compile(r'"(?:search_results|sources|citations|annotations|reference)"')
_REPEATED = 40  # characters without white space; a shorter delta may repeat them by chance
# Fields of every delta of RAGFlow, of which two are null.
_RAGFLOW = frozenset({"role", "content", "function_call", "tool_calls"})
_PLAIN = frozenset({"role", "content"})  # fields of a delta
WITH_ROUTING = {"X-OpenRouter-Metadata": "enabled"}  # other servers ignore it


def build_request(query: Query, target: Target) -> ProbeRequest:
    """A streaming completion with one user message, usage included. The model is optional."""
    body = {
        **({"model": target.model} if target.model else {}),
        "messages": [{"role": "user", "content": query.text}],
        "stream_options": {"include_usage": True},
        **extra(target),
        "stream": True,
    }
    return post(endpoint(target, PATH), target, body=body, headers=WITH_ROUTING)


class _Stream:
    """The state of one stream.

    Some servers send whole messages in place of deltas: the answer at once, cumulatively, piece by
    piece, or once more at the end.
    """

    def __init__(self) -> None:
        self._came = False  # text arrived, in deltas or in messages
        self._so_far: list[str] = []
        self._length = 0
        self._deltas: list[str] = []  # the text that arrived in deltas
        self._streamed, self._several = 0, False  # its length, and whether it came in several
        self._cited: RetrievedSources | None = None  # in annotations so far

    def parse_event(self, event: StreamEvent) -> ParsedEvent:
        """Parse one chunk: the text of the first choice and everything beside it."""
        if event.data.strip() == END:
            return ParsedEvent(end=True)
        data = event.data
        chunk = document(data)
        choice = first(chunk.get("choices"))
        delta = object_at(choice.get("delta"))
        content = delta.get("content")
        if type(content) is str and (len(delta) == 1 or delta.keys() == _PLAIN):
            text, reasoning = content, ""  # the usual case
        elif "message" in choice and "delta" not in choice:
            text, reasoning = self._new(object_at(choice["message"]))
        else:
            # `choices[].text` is the field of the older completions API.
            text = text_of(content) or text_of(delta.get("refusal")) or text_of(choice.get("text"))
            reasoning = _reasoning(delta)
        again = False
        if text:
            self._came = True
            again = not self._length and self._repeats(text, chunk, choice, delta)
        named = claims(chunk)
        if "provider" in chunk:
            named = (*named, *_host(chunk))
        if "gateway" in data:
            named = (*named, *_vercel_gateway(chunk, choice, delta))
        if ROUTING in chunk:
            named = (*named, *_routing(object_at(chunk[ROUTING])))
        reason = choice.get("finish_reason")
        listed = _LISTS.search(data) is not None
        return ParsedEvent(
            sources=self._sources(chunk, choice, delta) if listed else None,
            text=text,
            replaces=again,
            reasoning=reasoning,
            error=_error(event, chunk, choice) if "rror" in data or event.name else None,
            finish=finish(reason) if reason else None,
            claims=named,
            usage=usage(chunk) if may_report(chunk, data) else None,
        )

    def _sources(
        self, chunk: Mapping[str, Any], choice: Mapping[str, Any], delta: Mapping[str, Any]
    ) -> RetrievedSources | None:
        """The retrieved sources in a chunk. Annotations come one by one, and add up."""
        message = object_at(choice.get("message"))
        for holder in (chunk, delta, message, object_at(delta, "context"),
                       object_at(message, "context")):  # fmt: skip
            for name in SOURCES:
                if isinstance(holder.get(name), list):
                    return sources(holder[name])
        cited = [
            object_at(one).get("url_citation", one)
            for holder in (delta, message)
            for one in _tables(holder.get("annotations"))
            if "citation" in str(one.get("type"))
        ]
        if not cited:
            return None
        self._cited = together(self._cited, sources(cited))
        return self._cited

    def _repeats(
        self,
        text: str,
        chunk: Mapping[str, Any],
        choice: Mapping[str, Any],
        delta: Mapping[str, Any],
    ) -> bool:
        """Whether a delta is RAGFlow's whole answer once more, perhaps with citations.

        Another server may send equal blocks of text, which must not be lost: the whole text so far
        must have come in several deltas, and the chunk must look like a last one of RAGFlow.
        """
        again = False
        if self._several and 2 * len(text) >= self._streamed >= _REPEATED:
            before, now = without_citations("".join(self._deltas)), without_citations(text)
            again = (
                len(before) >= _REPEATED
                and now.startswith(before)
                and (
                    delta.keys() == _RAGFLOW
                    or "reference" in chunk
                    or "reference" in delta
                    or bool(choice.get("finish_reason"))
                    or has_citation(text)
                )
            )
        if again:
            self._deltas, self._streamed = [], 0
        else:
            self._several = self._streamed > 0
        self._streamed += len(text)
        self._deltas.append(text)
        return again

    def _new(self, message: Mapping[str, Any]) -> tuple[str, str]:
        """The new part of a message's text and of its reasoning."""
        if self._came and not self._length:
            return "", ""  # the text came as deltas, and the message repeats it
        text, reasoning = text_of(message.get("content")), "" if self._came else _reasoning(message)
        if self._length <= len(text) and text.startswith("".join(self._so_far)):
            new, self._so_far = text[self._length :], [text]
        else:
            new = text
            self._so_far.append(text)
        self._length += len(new)
        return new, reasoning


def parser() -> Callable[[StreamEvent], ParsedEvent]:
    """Parser of one stream."""
    return _Stream().parse_event


def _reasoning(delta: Mapping[str, Any]) -> str:
    """Reasoning in a separate field, or among the parts of a content list."""
    content = delta.get("content")
    parts = content if isinstance(content, list) else []
    return (
        text_of(delta.get("reasoning"))
        or text_of(delta.get("reasoning_content"))
        or "".join(text_of(object_at(part).get("thinking")) for part in parts)
    )


def _error(event: StreamEvent, chunk: Mapping[str, Any], choice: Mapping[str, Any]) -> str | None:
    stated = chunk.get("error")
    error = None if stated is True else error_text_of(stated)
    if error is None and event.name == "error":
        error = error_text_of(chunk)
    if error is None and choice.get("finish_reason") == "error":
        error = error_text_of(choice.get("error")) or "finish_reason: error"
    return error


def _host(chunk: Mapping[str, Any]) -> Iterator[Claim]:
    """The provider that ran the model, as OpenRouter names it beside the model."""
    host = chunk.get("provider")
    if host and isinstance(host, str):
        yield Claim(ClaimKind.HOST, "provider", host)


def _vercel_gateway(*holders: Mapping[str, Any]) -> Iterator[Claim]:
    """The model and provider that Vercel's AI gateway resolved; in the last chunk.

    Source: https://vercel.com/docs/ai-gateway/sdks-and-apis/openai-chat-completions/advanced
    """
    for holder in holders:
        for name in VERCEL_METADATA:
            if name not in holder:
                continue
            routing = object_at(holder[name], "gateway", "routing")
            for key, kind in VERCEL_CLAIMS:
                value = routing.get(key)
                if value and isinstance(value, str):
                    yield Claim(kind, f"gateway.{key}", value)


def _routing(metadata: Mapping[str, Any]) -> Iterator[Claim]:
    """The models that OpenRouter reports: the selected endpoint and the successful attempt."""
    endpoints = object_at(metadata, "endpoints").get("available")
    attempts = metadata.get("attempts")
    chosen = [e for e in _tables(endpoints) if e.get("selected") is True]
    well = [a for a in _tables(attempts) if a.get("status") == 200]
    for entry in (*chosen, *well):
        if isinstance(entry.get("model"), str):
            yield Claim(ClaimKind.SIBLING, ROUTING, entry["model"])


def _tables(value: object) -> list[Mapping[str, Any]]:
    return [object_at(entry) for entry in value] if isinstance(value, list) else []


OPENAI_CHAT = Dialect(
    "openai_chat",
    Framing.SSE,
    (SSE,),
    build_request,
    lambda event: parser()(event),
    parse_headers,
    stateful=parser,
    address_words=r"chat/completions|openai|openrouter|groq|mistral|deepseek|together|/v1/?$",
)

"""RAGFlow's own chat and agent streams.

Older versions repeat the whole answer so far in every event. Newer versions send deltas, mark every
event with `final`, and delimit reasoning by `start_to_think` and `end_to_think`; their last event
may repeat the whole answer with its citations. Agents send named messages and `[DONE]`.

Source: https://ragflow.io/docs/http_api_reference
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from monitor.dialects.answer_metadata import parse_headers, sources
from monitor.dialects.answer_text import DISCONTINUED, CumulativeText
from monitor.dialects.custom import filled
from monitor.dialects.json_fields import document, error_text_of, object_at, text_of
from monitor.dialects.requests import SSE, endpoint, extra, post
from monitor.dialects.stated_errors import failure
from monitor.domain import (
    Dialect,
    Finish,
    Framing,
    ParsedEvent,
    ProbeRequest,
    Query,
    RetrievedSources,
    StreamEvent,
    Target,
)

PATH = "api/v1/chat/completions"
LAST = "completions"  # path segments of a chat or an agent
END = "[DONE]"
# What follows in an answer is the error that ended it, unless it is a list of log levels.
_ERROR = re.compile(r"\A\s*\*\*ERROR\*\*[: ]*|(?<![-*+.] )\*\*ERROR\*\*: *")
# What it appends to an answer that the token limit cut: it states no finish reason.
CUT = (
    "The answer is truncated by your chosen LLM due to its limitation on context length.",
    "由于大模型的上下文窗口大小限制，回答已经被大模型截断。",
)
_CITED = r"##\d+\$\$|[\[(【]\s*ID[\s:]*\d+\s*[\])】]"
_CITATION, _IGNORED = re.compile(_CITED), re.compile(rf"{_CITED}|\s")
_TAIL = 500  # characters at the end of an answer that are searched for a notice
RETRIEVING = ("<retrieving>", "</retrieving>")


def without_citations(text: str) -> str:
    """A text without citations and white space, to compare it with one that had none yet."""
    return _IGNORED.sub("", text)


def has_citation(text: str) -> bool:
    """Whether a text has a citation in RAGFlow's format."""
    return _CITATION.search(text) is not None


_NOTICES = tuple(map(without_citations, CUT))


def cut(text: str) -> bool:
    """Whether an answer ends with the notice that the token limit cut it, over any protocol."""
    return without_citations(text[-_TAIL:]).endswith(_NOTICES)


def build_request(query: Query, target: Target) -> ProbeRequest:
    """One question. Option `body` names chat and session; its `{query}` is filled in."""
    body = {
        "question": query.text,
        "messages": [{"role": "user", "content": query.text}],
        **filled(extra(target), query, target),
        "stream": True,
    }
    one = {"chats", "agents"} & set(urlsplit(target.url).path.split("/"))
    return post(endpoint(target, LAST if one else PATH), target, body=body)


def parser() -> Callable[[StreamEvent], ParsedEvent]:
    """Parser of one stream."""
    return _Stream().parse_event


class _Stream:
    def __init__(self) -> None:
        self._answer = CumulativeText()
        self._thinking = False
        self._retrieving = False

    def parse_event(self, event: StreamEvent) -> ParsedEvent:
        if event.data.strip() == END:
            return ParsedEvent(end=True)
        reported = document(event.data)
        code = reported.get("code", reported.get("retcode", 0))
        if "data" not in reported and (
            error := failure(reported)
        ):  # may come from a gateway in front
            return ParsedEvent(error=error)
        if code:
            reason = reported.get("message") or reported.get("retmsg")
            return ParsedEvent(
                error=error_text_of({"code": code, "message": reason}) or f"code {code}"
            )
        data = reported.get("data")
        if data is True:
            return ParsedEvent(end=True)
        return self._agent(reported) if "event" in reported else self._chat(object_at(data))

    def _agent(self, reported: Mapping[str, Any]) -> ParsedEvent:
        data = object_at(reported, "data")
        match reported.get("event"):
            case "message":
                return self._delta(data, text_of(data.get("content")))
            case "message_end":
                return ParsedEvent(sources=_sources(data), finish=Finish.STOP)
        return ParsedEvent()

    def _chat(self, data: Mapping[str, Any]) -> ParsedEvent:
        if data.get("running_status"):  # the step that an agent is running
            return ParsedEvent()
        answer, found = text_of(data.get("answer")), _sources(data)
        if answer in RETRIEVING:  # notes of its search follow in separate events
            self._retrieving = answer == RETRIEVING[0]
            return ParsedEvent()
        if self._retrieving and data.get("final") is False:
            return ParsedEvent()
        if "**" in answer and (failed := _ERROR.search(answer)):
            text = answer[: failed.start()].rstrip()
            if data.get("final") is not False:
                text, _ = self._answer.so_far(text)
            return ParsedEvent(
                text=text, error=answer[failed.end() :] or "an error without a message"
            )
        if data.get("final") is False or {"start_to_think", "end_to_think"} & data.keys():
            return self._delta(data, answer)
        if data.get("final") is True and len(answer) < self._answer.length / 2:
            return self._delta(data, answer)  # a delta, not the whole answer
        text, replaces = self._answer.so_far(answer)
        cited = found is not None and found.count > 0  # the whole answer again, with its citations
        fault = DISCONTINUED if replaces and not cited else None
        return ParsedEvent(text=text, replaces=replaces, fault=fault, sources=found)

    def _delta(self, data: Mapping[str, Any], text: str) -> ParsedEvent:
        if data.get("start_to_think"):
            self._thinking = True
        if data.get("end_to_think"):
            self._thinking = False
        if self._thinking:
            return ParsedEvent(reasoning=text)
        self._answer.add(text)
        return ParsedEvent(text=text, sources=_sources(data))


def _sources(data: Mapping[str, Any]) -> RetrievedSources | None:
    """The retrieved chunks: a list, or an object keyed by their numbers."""
    chunks = object_at(data, "reference").get("chunks")
    return sources(list(chunks.values()) if isinstance(chunks, dict) else chunks)


RAGFLOW = Dialect(
    "ragflow",
    Framing.SSE,
    (SSE,),
    build_request,
    lambda event: parser()(event),
    parse_headers,
    stateful=parser,
    states_errors=True,
    address_words=r"ragflow|/chats/|/agents/|:9380",
)

"""RAGFlow's own chat and agent streams.

Chats of older versions repeat the answer so far in every event. Newer versions send what is new,
mark every event with `final`, and thoughts by `start_to_think` and `end_to_think`; their last
event may hold the whole answer again, with its citations. Agents send named messages and `[DONE]`.

Source: https://ragflow.io/docs/http_api_reference
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from monitor.dialects.asking import SSE, endpoint, extra, post
from monitor.dialects.cumulative import DISCONTINUED, CumulativeText
from monitor.dialects.fields import complaint, document, table, words
from monitor.dialects.gateway import overhear
from monitor.dialects.sources import sources
from monitor.dialects.stated_errors import failure
from monitor.dialects.template import filled
from monitor.domain import (
    Dialect,
    Event,
    Finish,
    Framing,
    Heard,
    Query,
    Sources,
    Target,
    WireRequest,
)

PATH = "api/v1/chat/completions"
LAST = "completions"  # of the address of one chat or agent
END = "[DONE]"
# What follows in an answer is the error that ended it; but not in a list of log levels.
_ERROR = re.compile(r"\A\s*\*\*ERROR\*\*[: ]*|(?<![-*+.] )\*\*ERROR\*\*: *")
RETRIEVING = ("<retrieving>", "</retrieving>")


def ask(query: Query, target: Target) -> WireRequest:
    """One question. Option `body` names chat and session; `{query}` in it is filled in."""
    body = {
        "question": query.text,
        "messages": [{"role": "user", "content": query.text}],
        **filled(extra(target), query, target),
        "stream": True,
    }
    one = {"chats", "agents"} & set(urlsplit(target.url).path.split("/"))
    return post(endpoint(target, LAST if one else PATH), target, body=body)


def parser() -> Callable[[Event], Heard]:
    """Reads the events of one stream, in order."""
    return _Stream().parse_event


class _Stream:
    def __init__(self) -> None:
        self._answer = CumulativeText()
        self._thinking = False
        self._retrieving = False

    def parse_event(self, event: Event) -> Heard:
        if event.data.strip() == END:
            return Heard(end=True)
        said = document(event.data)
        code = said.get("code", said.get("retcode", 0))
        if "data" not in said and (error := failure(said)):  # of a gateway before it, perhaps
            return Heard(error=error)
        if code:
            reason = said.get("message") or said.get("retmsg")
            return Heard(error=complaint({"code": code, "message": reason}) or f"code {code}")
        data = said.get("data")
        if data is True:
            return Heard(end=True)
        return self._agent(said) if "event" in said else self._chat(table(data))

    def _agent(self, said: Mapping[str, Any]) -> Heard:
        data = table(said, "data")
        match said.get("event"):
            case "message":
                return self._delta(data, words(data.get("content")))
            case "message_end":
                return Heard(sources=_sources(data), finish=Finish.STOP)
        return Heard()

    def _chat(self, data: Mapping[str, Any]) -> Heard:
        if data.get("running_status"):  # which step of an agent is running
            return Heard()
        answer, found = words(data.get("answer")), _sources(data)
        if answer in RETRIEVING:  # notes of its search follow, in events of their own
            self._retrieving = answer == RETRIEVING[0]
            return Heard()
        if self._retrieving and data.get("final") is False:
            return Heard()
        if "**" in answer and (failed := _ERROR.search(answer)):
            text = answer[: failed.start()].rstrip()
            if data.get("final") is not False:
                text, _ = self._answer.so_far(text)
            return Heard(text=text, error=answer[failed.end() :] or "an error without words")
        if data.get("final") is False or {"start_to_think", "end_to_think"} & data.keys():
            return self._delta(data, answer)
        if data.get("final") is True and len(answer) < self._answer.length / 2:
            return self._delta(data, answer)  # what is new, not the whole answer again
        text, replaces = self._answer.so_far(answer)
        cited = found is not None and found.count > 0  # the answer again, with its citations
        fault = DISCONTINUED if replaces and not cited else None
        return Heard(text=text, replaces=replaces, fault=fault, sources=found)

    def _delta(self, data: Mapping[str, Any], text: str) -> Heard:
        if data.get("start_to_think"):
            self._thinking = True
        if data.get("end_to_think"):
            self._thinking = False
        if self._thinking:
            return Heard(reasoning=text)
        self._answer.add(text)
        return Heard(text=text, sources=_sources(data))


def _sources(data: Mapping[str, Any]) -> Sources | None:
    """The chunks that were retrieved: a list, or a table by their numbers."""
    chunks = table(data, "reference").get("chunks")
    return sources(list(chunks.values()) if isinstance(chunks, dict) else chunks)


RAGFLOW = Dialect(
    "ragflow",
    Framing.SSE,
    (SSE,),
    ask,
    lambda event: parser()(event),
    overhear,
    stateful=parser,
    states_errors=True,
)

"""Dify applications: chat, agent, chatflow and workflow, by the `event` of each object.

Source: https://docs.dify.ai/api-reference
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from monitor.dialects.asking import SSE, endpoint, extra, post
from monitor.dialects.fields import complaint, document, table, words
from monitor.dialects.finish import finish
from monitor.dialects.gateway import overhear
from monitor.dialects.sources import sources
from monitor.dialects.stated_errors import failure
from monitor.dialects.template import filled
from monitor.dialects.usage import usage
from monitor.domain import (
    Claim,
    ClaimKind,
    Dialect,
    Event,
    Finish,
    Framing,
    Heard,
    Query,
    Target,
    WireRequest,
)

PATH = "v1/chat-messages"
REPLACED = "answer text replaced by the service"
_OUTPUTS = ("answer", "text", "output", "result", "response", "content")
_FAILED = frozenset({"failed", "stopped", "exception"})


def ask(query: Query, target: Target) -> WireRequest:
    """One message in a new conversation. `{query}` in option `body` is filled in as well."""
    body = {
        "inputs": {},
        "query": query.text,
        "user": "rag-monitor",
        **filled(extra(target), query, target),
        "response_mode": "streaming",
    }
    return post(endpoint(target, PATH), target, body=body)


def parser() -> Callable[[Event], Heard]:
    """Reads the events of one stream, in order: those of the answer, or else the outputs."""
    texts, node_error = False, None

    def parse_event(event: Event) -> Heard:
        nonlocal texts, node_error
        parsed = hear(event)
        texts = texts or bool(parsed.text)
        if "node_finished" in event.data or "workflow_finished" in event.data:
            said = document(event.data)
            data = table(said, "data")
            if said.get("event") == "node_finished":
                node_error = complaint(data.get("error")) or node_error
            elif said.get("event") == "workflow_finished" and parsed.error is not None:
                parsed.error = complaint(data.get("error")) or node_error or parsed.error
            elif said.get("event") == "workflow_finished" and not texts:
                parsed.text = _output(table(data, "outputs"))
                texts = bool(parsed.text)
        return parsed

    return parse_event


def _output(outputs: Mapping[str, Any]) -> str:
    """The text among the outputs of a workflow: under a usual name, or the only one."""
    named = next((words(outputs[name]) for name in _OUTPUTS if words(outputs.get(name))), "")
    others = [words(value) for value in outputs.values()]
    return named or (others[0] if len(others) == 1 else "")


def hear(event: Event) -> Heard:
    """One event. Thoughts of agents repeat what their messages say, and are skipped."""
    if not event.data.strip():  # `event: ping`
        return Heard()
    said = document(event.data)
    data = table(said, "data")
    match said.get("event"):
        case "message" | "agent_message":
            return Heard(text=words(said.get("answer")))
        case "text_chunk":
            return Heard(text=words(data.get("text")))
        case "message_replace":
            return Heard(text=words(said.get("answer")), replaces=True, fault=REPLACED)
        case "text_replace":
            return Heard(text=words(data.get("text")), replaces=True, fault=REPLACED)
        case "message_end":
            return _ended(said)
        case "node_finished":
            return Heard(claims=tuple(_claims(table(data, "process_data"))))
        case "workflow_finished":
            return _workflow_finished(data)
        case "error":
            return Heard(error=complaint({**said}) or "an error without words")
        case None:  # of a gateway before it, perhaps
            return Heard(error=failure(said))
    return Heard()


def _ended(said: Mapping[str, Any]) -> Heard:
    metadata = table(said, "metadata")
    listed = metadata.get("retriever_resources", said.get("retriever_resources"))
    return Heard(
        end=True,
        finish=finish(said.get("finish_reason")) or Finish.STOP,
        usage=usage(said),
        sources=sources(listed),
    )


def _workflow_finished(data: Mapping[str, Any]) -> Heard:
    """The end of a workflow; a chatflow sends `message_end` besides."""
    status = data.get("status")
    if status in _FAILED:
        return Heard(error=complaint(data.get("error")) or f"the workflow has {status}")
    return Heard(finish=Finish.STOP)


def _claims(process: Mapping[str, Any]) -> Iterator[Claim]:
    """The model that a node of the application ran, where the application shows it."""
    name = process.get("model_name")
    if name and isinstance(name, str):
        yield Claim(ClaimKind.SIBLING, "model_name", name)


# A node that fails may have a branch for that: its error is not one of the answer.
DIFY = Dialect(
    "dify", Framing.SSE, (SSE,), ask, hear, overhear, states_errors=True, stateful=parser
)

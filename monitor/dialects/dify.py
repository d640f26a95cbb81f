"""Dify applications: chat, agent, chatflow and workflow, by the `event` of each object.

Source: https://docs.dify.ai/api-reference
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from monitor.dialects.answer_metadata import finish, parse_headers, sources
from monitor.dialects.custom import filled
from monitor.dialects.json_fields import document, error_text_of, object_at, text_of
from monitor.dialects.requests import SSE, endpoint, extra, post
from monitor.dialects.stated_errors import failure
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

PATH = "v1/chat-messages"
REPLACED = "answer text replaced by the service"
_OUTPUTS = ("answer", "text", "output", "result", "response", "content")
_FAILED = frozenset({"failed", "stopped", "exception"})


def build_request(query: Query, target: Target) -> ProbeRequest:
    """One message in a new conversation. `{query}` in option `body` is filled in, too."""
    body = {
        "inputs": {},
        "query": query.text,
        "user": "rag-monitor",
        **filled(extra(target), query, target),
        "response_mode": "streaming",
    }
    return post(endpoint(target, PATH), target, body=body)


def parser() -> Callable[[StreamEvent], ParsedEvent]:
    """Parser of one stream: the text of the answer events, otherwise the workflow's outputs."""
    texts, node_error = False, None

    def parse_event_(event: StreamEvent) -> ParsedEvent:
        nonlocal texts, node_error
        parsed = parse_event(event)
        texts = texts or bool(parsed.text)
        if "node_finished" in event.data or "workflow_finished" in event.data:
            reported = document(event.data)
            data = object_at(reported, "data")
            if reported.get("event") == "node_finished":
                node_error = error_text_of(data.get("error")) or node_error
            elif reported.get("event") == "workflow_finished" and parsed.error is not None:
                parsed.error = error_text_of(data.get("error")) or node_error or parsed.error
            elif reported.get("event") == "workflow_finished" and not texts:
                parsed.text = _output(object_at(data, "outputs"))
                texts = bool(parsed.text)
        return parsed

    return parse_event_


def _output(outputs: Mapping[str, Any]) -> str:
    """The text among the outputs of a workflow: under a usual name, or the only one."""
    named = next((text_of(outputs[name]) for name in _OUTPUTS if text_of(outputs.get(name))), "")
    others = [text_of(value) for value in outputs.values()]
    return named or (others[0] if len(others) == 1 else "")


def parse_event(event: StreamEvent) -> ParsedEvent:
    """Parse one event. An agent's thoughts repeat its messages and are skipped."""
    if not event.data.strip():  # `event: ping`
        return ParsedEvent()
    reported = document(event.data)
    data = object_at(reported, "data")
    match reported.get("event"):
        case "message" | "agent_message":
            return ParsedEvent(text=text_of(reported.get("answer")))
        case "text_chunk":
            return ParsedEvent(text=text_of(data.get("text")))
        case "message_replace":
            return ParsedEvent(text=text_of(reported.get("answer")), replaces=True, fault=REPLACED)
        case "text_replace":
            return ParsedEvent(text=text_of(data.get("text")), replaces=True, fault=REPLACED)
        case "message_end":
            return _ended(reported)
        case "node_finished":
            return ParsedEvent(claims=tuple(_claims(object_at(data, "process_data"))))
        case "workflow_finished":
            return _workflow_finished(data)
        case "error":
            return ParsedEvent(error=error_text_of({**reported}) or "an error without a message")
        case None:  # may come from a gateway in front
            return ParsedEvent(error=failure(reported))
    return ParsedEvent()


def _ended(reported: Mapping[str, Any]) -> ParsedEvent:
    metadata = object_at(reported, "metadata")
    listed = metadata.get("retriever_resources", reported.get("retriever_resources"))
    return ParsedEvent(
        end=True,
        finish=finish(reported.get("finish_reason")) or Finish.STOP,
        usage=usage(reported),
        sources=sources(listed),
    )


def _workflow_finished(data: Mapping[str, Any]) -> ParsedEvent:
    """The end of a workflow. A chatflow also sends `message_end`."""
    status = data.get("status")
    if status in _FAILED:
        return ParsedEvent(error=error_text_of(data.get("error")) or f"the workflow has {status}")
    return ParsedEvent(finish=Finish.STOP)


def _claims(process: Mapping[str, Any]) -> Iterator[Claim]:
    """The model that a node of the application ran, if the application exposes it."""
    name = process.get("model_name")
    if name and isinstance(name, str):
        yield Claim(ClaimKind.SIBLING, "model_name", name)


# A node that fails may have an error branch: its error is not an error of the answer.
DIFY = Dialect(
    "dify",
    Framing.SSE,
    (SSE,),
    build_request,
    parse_event,
    parse_headers,
    states_errors=True,
    stateful=parser,
    address_words=r"dify|chat-messages",
)

"""Ollama chat: one JSON object a line, the last with `done` and the counts."""

from monitor.dialects.asking import NDJSON, endpoint, extra, model, post
from monitor.dialects.fields import claims, complaint, document, table, words
from monitor.dialects.finish import finish
from monitor.dialects.gateway import overhear
from monitor.dialects.usage import usage
from monitor.domain import Dialect, Event, Framing, Heard, Query, Target, WireRequest

PATH = "api/chat"


def ask(query: Query, target: Target) -> WireRequest:
    """A streamed answer to one user message."""
    body = {
        "model": model(target),
        "messages": [{"role": "user", "content": query.text}],
        **extra(target),
        "stream": True,
    }
    return post(endpoint(target, PATH), target, body=body, accept=NDJSON)


def hear(event: Event) -> Heard:
    """One line. Counts stand in the last; the prompt's is left out when it was cached."""
    said = document(event.data)
    message = table(said, "message")
    return Heard(
        text=words(message.get("content")) or words(said.get("response")),  # of api/generate
        reasoning=words(message.get("thinking")) or words(said.get("thinking")),
        end=said.get("done") is True,
        finish=finish(said.get("done_reason")),
        error=complaint(said.get("error")),
        claims=claims(said),
        usage=usage(said),
    )


OLLAMA = Dialect("ollama", Framing.NDJSON, (NDJSON,), ask, hear, overhear)

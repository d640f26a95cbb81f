"""Bali Zero chat, first wire format: untyped events, text numbered from 1.

Nothing on this stream says which model speaks. Events with a `type` (continuity checks,
memory notices) came later and are never answer text; `sources` follow the answer.
"""

from monitor.dialects.asking import SSE, endpoint, get, known_only
from monitor.dialects.fields import claims, complaint, count, document, instant, words
from monitor.dialects.sources import sources
from monitor.domain import Dialect, Event, Framing, Heard, Query, Target, WireRequest

PATH = "bali-zero/chat-stream"
OWN_RATE_BUCKET = {"X-User-ID": "rag-monitor"}  # the service limits by this header


def ask(query: Query, target: Target) -> WireRequest:
    """The stream of one query, without user, session or history: nothing is saved there."""
    known_only(target.options, ("path",))
    return get(endpoint(target, PATH, {"query": query.text}), target, headers=OWN_RATE_BUCKET)


def hear(event: Event) -> Heard:
    """One event: an error (it says `done` too), the end, text, or nothing to us."""
    said = document(event.data)
    number, at = count(said.get("sequenceNumber")), instant(said.get("timestamp"))
    named = claims(said)
    if error := complaint(said.get("error")):
        return Heard(error=error, number=number, server_at_s=at, claims=named)
    if said.get("done") is True:
        last = words(said.get("text"))  # never seen with the end, and lost if it came
        return Heard(text=last, end=True, number=number, server_at_s=at, claims=named)
    if "type" in said or "text" not in said:
        return Heard(server_at_s=at, claims=named, sources=sources(said.get("sources")))
    return Heard(text=words(said["text"]), number=number, server_at_s=at, claims=named)


BALI_ZERO = Dialect("bali_zero", Framing.SSE, (SSE,), ask, hear, lists_sources=True)

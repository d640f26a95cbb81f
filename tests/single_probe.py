"""One real probe of a local target, for tests."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

from monitor.dialects import dialect_of, read
from monitor.domain import Outcome, ProbeRequest, Query, Target, Timing, Transcript
from monitor.probing.client import ProbeClient, exchange
from monitor.probing.timing import outcome, timing

DEADLINES = ("connect_deadline", "first_token_deadline", "stall_deadline", "deadline")


def target_at(url: str, dialect: str = "bali_zero", **more: Any) -> Target:
    """A target at an address; deadlines are given in seconds."""
    times = {name: timedelta(seconds=more.pop(name)) for name in DEADLINES if name in more}
    return Target(name="t", url=url, dialect=dialect, queries=(), **times, **more)


async def probe_once(
    wire: ProbeClient,
    target: Target,
    *,
    request: ProbeRequest | None = None,
    stop_after_chars: int | None = None,
) -> Transcript:
    """What one probe of the target leaves behind; `request` in place of the dialect's own."""
    query = Query(id="hi", text="Hi", stop_after_chars=stop_after_chars)
    dialect = dialect_of(target)
    transcript = await exchange(
        request or dialect.build_request(query, target),
        dialect=dialect,
        target=target,
        query=query,
        probe=uuid4(),
        http=wire,
    )
    again = read(dialect, replace(transcript, heard=()))
    assert read(dialect, transcript) == again, "what was heard on arrival is what events say"
    return transcript


def outcome_and_timing(transcript: Transcript, target: Target) -> tuple[Outcome, Timing]:
    """What the rest of the monitor makes of it."""
    reply = read(dialect_of(target), transcript)
    return outcome(transcript, reply)[0], timing(transcript, reply)


def sse(*documents: dict[str, Any]) -> bytes:
    """Documents as server-sent events."""
    return b"".join(b"data: %b\n\n" % json.dumps(document).encode() for document in documents)


def event_data(transcript: Transcript) -> list[Any]:
    """The documents that were heard."""
    return [json.loads(event.data) for event in transcript.events]


HI = {"text": "Hi"}
THERE = {"text": " there"}
DONE = {"done": True}

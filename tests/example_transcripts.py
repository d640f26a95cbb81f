"""Streams for tests: a target in any dialect, and transcripts made of events."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from monitor.domain import Ending, Framing, Query, StreamEvent, Target, Transcript

HI = Query(id="hi", text="Hi & bye? 100%")
CUSTOM = {"path": "/ask", "query": {"q": "{query}"}, "text": "text", "done": "done"}


def target(dialect: str, url: str = "https://rag.example", **more: Any) -> Target:
    options = {"custom": CUSTOM}.get(dialect, {})
    given: dict[str, Any] = {"model": "m-1", "options": options} | more
    return Target(name="t", url=url, dialect=dialect, queries=(HI,), **given)


def transcript(
    events: list[tuple[str, str]], headers: Mapping[str, str] | None = None
) -> Transcript:
    """Events a millisecond apart, in a read of their own each."""
    return Transcript(
        id=UUID(int=1),
        started_at=datetime(2025, 11, 6, 23, 0, tzinfo=UTC),
        started_ns=0,
        ended_ns=10**9,
        ending=Ending.END,
        headers=tuple((headers or {}).items()),
        events=tuple(
            StreamEvent(n * 10**6, data, name, n) for n, (name, data) in enumerate(events)
        ),
    )


def split(raw: bytes, framing: Framing) -> Iterator[tuple[str, str]]:
    """Events of a recorded body that came whole, whose lines all end with LF."""
    if framing is Framing.NDJSON:
        yield from (("", line) for line in raw.decode().split("\n") if line)
        return
    for block in raw.decode().split("\n\n"):
        fields = [line.partition(":") for line in block.split("\n")]
        values = [(name, value.removeprefix(" ")) for name, _, value in fields]
        yield from (("error", value) for name, value in values if name == "error")
        data = [value for name, value in values if name == "data"]
        called = dict(values).get("event", "")
        if data or called:
            yield called, "\n".join(data)

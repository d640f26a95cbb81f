"""Everything a target can do to us, and the outcome each has by the table in the design."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from monitor.domain import Ending, Outcome
from monitor.probing.client import ProbeClient
from monitor.probing.limits import EVENT_BYTES, LINE_BYTES
from tests.scripted_server import (
    HANG,
    LAST,
    RESET,
    Drip,
    Forever,
    Pause,
    Step,
    chunk,
    full_reply,
    head,
    scripted_server,
)
from tests.single_probe import DONE, HI, THERE, outcome_and_timing, probe_once, sse, target_at

PING = chunk(b": ping\n\n")
SAYS_HI = chunk(sse(HI))
SAYS_DONE = chunk(sse(DONE)) + LAST
MEGABYTE = b"x" * 1024 * 1024


@dataclass(frozen=True)
class Fault:
    """What the target does, how the exchange ends, and whether a TTFT was measured."""

    name: str
    script: tuple[Step, ...]
    ending: Ending
    outcome: Outcome
    ttft: bool = False
    target: dict[str, Any] = field(default_factory=dict)


SOON = {"first_token_deadline": 0.15}
IMPATIENT = {"stall_deadline": 0.15}

FAULTS = [
    # nothing, or nothing but signs of life: neither is a first token
    Fault("silent head", (HANG,), Ending.SILENT, Outcome.TIMEOUT_FIRST_TOKEN, target=SOON),
    Fault("silent stream", (head(), HANG), Ending.SILENT, Outcome.TIMEOUT_FIRST_TOKEN, target=SOON),
    Fault("pings do not help", (head(), Forever(PING, 0.01)), Ending.SILENT,
          Outcome.TIMEOUT_FIRST_TOKEN, target=SOON),
    Fault("nor do bytes of an unended line", (head(), Forever(chunk(b"x"), 0.01)), Ending.SILENT,
          Outcome.TIMEOUT_FIRST_TOKEN, target=SOON),
    Fault("nor empty text", (head(), Forever(chunk(sse({"text": ""})), 0.01)), Ending.SILENT,
          Outcome.TIMEOUT_FIRST_TOKEN, target=SOON),
    Fault("nor a head that drips", (Drip(head(200, ("X-Slow", "x" * 400))),), Ending.SILENT,
          Outcome.TIMEOUT_FIRST_TOKEN, target=SOON),
    Fault("nor endless informational heads", (Forever(b"HTTP/1.1 103 Early\r\n\r\n", 0.01),),
          Ending.SILENT, Outcome.TIMEOUT_FIRST_TOKEN, target=SOON),
    # silence after text
    Fault("hangs after text", (head(), SAYS_HI, HANG), Ending.STALLED, Outcome.STALLED, ttft=True,
          target=IMPATIENT),
    Fault("pings after text", (head(), SAYS_HI, Forever(PING, 0.01)), Ending.STALLED,
          Outcome.STALLED, ttft=True, target=IMPATIENT),
    Fault("sources after text", (head(), SAYS_HI, Forever(chunk(sse({"sources": []})), 0.01)),
          Ending.STALLED, Outcome.STALLED, ttft=True, target=IMPATIENT),
    # without end
    Fault("drips text for ever", (head(), Forever(SAYS_HI, 0.01)), Ending.DEADLINE,
          Outcome.DEADLINE, ttft=True, target={"deadline": 0.3}),
    Fault("the whole deadline covers a silent head", (HANG,), Ending.DEADLINE, Outcome.DEADLINE,
          target={"deadline": 0.15}),
    Fault("pours text for ever", (head(), Forever(chunk(sse(HI) + sse({"n": "x" * 9000})))),
          Ending.TOO_LARGE, Outcome.TOO_LARGE, ttft=True),
    # errors in words
    Fault("error before text", (head(), chunk(sse({"error": "both are down", "done": True}))),
          Ending.END, Outcome.ERROR_EVENT),
    Fault("error after text", (head(), SAYS_HI, chunk(sse({"error": "529", "done": True}))),
          Ending.END, Outcome.ERROR_EVENT, ttft=True),
    # sizes
    Fault("giant line", (head(), SAYS_HI, Forever(chunk(b"x" * 65536))), Ending.TOO_LARGE,
          Outcome.TOO_LARGE, ttft=True),
    Fault("a line one byte too long", (head(), chunk(b"x" * (LINE_BYTES + 1)), HANG),
          Ending.TOO_LARGE, Outcome.TOO_LARGE),
    Fault("giant event", (head(), chunk((b"data: " + b"x" * 99993 + b"\n") * 11), HANG),
          Ending.TOO_LARGE, Outcome.TOO_LARGE),
    Fault("a million tiny events", (head(), Forever(chunk(b"data:{}\n\n" * 9000))),
          Ending.TOO_LARGE, Outcome.TOO_LARGE),
    Fault("giant head", (b"HTTP/1.1 200 OK\r\nX-Giant: ", Forever(b"x" * 65536)),
          Ending.PROTOCOL, Outcome.PROTOCOL),
    Fault("a head of many fields", (head(200, *[("X-Many", "1")] * 300), SAYS_HI, SAYS_DONE),
          Ending.PROTOCOL, Outcome.PROTOCOL),
    Fault("giant chunk extension", (head(), b"5;", Forever(b"x" * 65536)), Ending.PROTOCOL,
          Outcome.PROTOCOL),
    # compressed, though we asked for identity: never inflated
    Fault("gzip bomb", (head(200, ("Content-Encoding", "gzip")), Forever(MEGABYTE)),
          Ending.PROTOCOL, Outcome.PROTOCOL),
    Fault("unknown encoding", (head(200, ("Content-Encoding", "br")), SAYS_HI, SAYS_DONE),
          Ending.PROTOCOL, Outcome.PROTOCOL),
    # not what was asked for
    Fault("web page", (full_reply(200, b"<h1>It works</h1>", media="text/html"),),
          Ending.CONTENT_TYPE, Outcome.CONTENT_TYPE),
    Fault("error as JSON", (full_reply(200, b'{"detail":"no"}', media="application/json"),),
          Ending.CONTENT_TYPE, Outcome.CONTENT_TYPE),
    Fault("no media type", (full_reply(200, sse(HI, DONE)),), Ending.CONTENT_TYPE,
          Outcome.CONTENT_TYPE),
    Fault("not found", (full_reply(404, b"no"),), Ending.STATUS, Outcome.HTTP_STATUS),
    Fault("broken", (full_reply(500, b"Chat failed"),), Ending.STATUS, Outcome.HTTP_STATUS),
    Fault("another success", (head(204, media=None, chunked=False),), Ending.STATUS,
          Outcome.HTTP_STATUS),
    Fault("starting up", (full_reply(503, b"warming up"),), Ending.STATUS, Outcome.UNAVAILABLE),
    Fault("too often", (full_reply(429, b"limit"),), Ending.STATUS, Outcome.RATE_LIMITED),
    Fault("an error page that never ends", (head(502), Forever(chunk(b"x" * 999), 0.001)),
          Ending.STATUS, Outcome.HTTP_STATUS),
    Fault("not HTTP", (b"SSH-2.0-OpenSSH_9.6\r\n", HANG), Ending.PROTOCOL, Outcome.PROTOCOL),
    Fault("another protocol", (b"HTTP/1.1 101 Switch\r\nUpgrade: x\r\n\r\n",), Ending.PROTOCOL,
          Outcome.PROTOCOL),
    Fault("two lengths", (head(200, ("Content-Length", "5"), ("Content-Length", "6"),
          chunked=False), b"hello!"), Ending.PROTOCOL, Outcome.PROTOCOL),
    Fault("no chunks where chunks were announced", (head(), SAYS_HI, b"oops\r\n", HANG),
          Ending.PROTOCOL, Outcome.PROTOCOL),
    # cut short
    Fault("closed before the head", (), Ending.PROTOCOL, Outcome.PROTOCOL),
    Fault("closed within the head", (head()[:30],), Ending.PROTOCOL, Outcome.PROTOCOL),
    Fault("reset before the head", (RESET,), Ending.PROTOCOL, Outcome.PROTOCOL),
    Fault("closed without a last chunk", (head(), SAYS_HI), Ending.EOF, Outcome.TRUNCATED,
          ttft=True),
    Fault("whole body without an end", (head(), SAYS_HI, LAST), Ending.EOF, Outcome.TRUNCATED,
          ttft=True),
    Fault("closed within a chunk", (head(), SAYS_HI, SAYS_DONE[:9]), Ending.EOF,
          Outcome.TRUNCATED, ttft=True),
    Fault("reset after text", (head(), SAYS_HI, Pause(0.05), RESET), Ending.EOF,
          Outcome.TRUNCATED, ttft=True),
    Fault("closed before any text", (head(), PING), Ending.EOF, Outcome.TRUNCATED),
    Fault("shorter than announced",
          (head(200, ("Content-Length", "999"), chunked=False), sse(HI)), Ending.EOF,
          Outcome.TRUNCATED, ttft=True),
    # senseless events
    Fault("twenty-one events that are no JSON", (head(), chunk(b"data: {\n\n" * 21), HANG),
          Ending.PROTOCOL, Outcome.PROTOCOL),
    Fault("brackets nested without end", (head(), chunk(b"data: " + b"[" * 99999 + b"\n\n"),
          SAYS_HI, SAYS_DONE), Ending.END, Outcome.ANSWERED, ttft=True),
    # all well in the end
    Fault("twenty events that are no JSON", (head(), chunk(b"data: {\n\n" * 20), SAYS_HI,
          SAYS_DONE), Ending.END, Outcome.ANSWERED, ttft=True),
    Fault("no UTF-8", (head(), chunk(b'data: {"text":"\xff\xfe"}\n\n'), SAYS_DONE), Ending.END,
          Outcome.ANSWERED, ttft=True),
    Fault("comments and an end", (head(), PING, PING, SAYS_DONE), Ending.END, Outcome.EMPTY),
    Fault("an apology", (head(), chunk(sse({"text": "Sorry, both models are down."})),
          SAYS_DONE), Ending.END, Outcome.ANSWERED, ttft=True),
    Fault("done, and never closed", (head(), SAYS_HI, chunk(sse(DONE)), HANG), Ending.END,
          Outcome.ANSWERED, ttft=True),
    Fault("done, and reset", (head(), SAYS_HI, chunk(sse(DONE)), RESET), Ending.END,
          Outcome.ANSWERED, ttft=True),
    Fault("dripped byte by byte", (Drip(head() + SAYS_HI + SAYS_DONE, 0.0),), Ending.END,
          Outcome.ANSWERED, ttft=True),
    Fault("a body that lasts until the close", (head(chunked=False), sse(HI, DONE)), Ending.END,
          Outcome.ANSWERED, ttft=True),
    Fault("carriage returns only", (head(), chunk(sse(HI, THERE, DONE).replace(b"\n", b"\r"))),
          Ending.END, Outcome.ANSWERED, ttft=True),
    Fault("a byte order mark", (head(), chunk(b"\xef\xbb\xbf" + sse(HI, DONE))), Ending.END,
          Outcome.ANSWERED, ttft=True),
    Fault("a head after an early hint", (b"HTTP/1.1 103 Early\r\n\r\n" + head(), SAYS_HI,
          SAYS_DONE), Ending.END, Outcome.ANSWERED, ttft=True),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_every_fault_has_its_outcome(wire: ProbeClient, fault: Fault) -> None:
    async with scripted_server(*fault.script) as server:
        target = target_at(server.url, **fault.target)
        transcript = await probe_once(wire, target)
    outcome, timing = outcome_and_timing(transcript, target)
    assert (transcript.ending, outcome) == (fault.ending, fault.outcome), transcript.detail
    assert (timing.ttft_ms is not None) is fault.ttft
    assert server.connections == 1, "a probe is never retried"


def test_the_giant_event_is_over_its_cap_though_no_line_is() -> None:
    assert 100_000 < LINE_BYTES < EVENT_BYTES < 11 * 99_993

"""Streams without an end of their own, plain text and the worked example, on real sockets."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from monitor.dialects import dialect_of, read
from monitor.domain import Outcome, RetrievedSources, Target
from monitor.probing.client import ProbeClient
from monitor.probing.timing import outcome, timing
from tests.scripted_server import LAST, RESET, Pause, Step, chunk, head, scripted_server
from tests.single_probe import probe_once, target_at

DOCUMENT = (Path(__file__).parents[2] / "docs" / "dialects.md").read_text(encoding="utf-8")
ASKS = {"path": "/ask", "body": {"q": "{query}"}}
CLOSES = ASKS | {"text": "t", "done": "close"}
HI = b'data: {"t":"Hi"}\n\n'
LENGTH = ("Content-Length", str(len(HI)))
LONGER = ("Content-Length", str(len(HI) + 1))


def described(url: str, options: dict[str, Any], dialect: str = "custom") -> Target:
    return target_at(url, dialect, options=options)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ((head(), chunk(HI), LAST), Outcome.ANSWERED),
        ((head(200, LENGTH, chunked=False), HI), Outcome.ANSWERED),
        ((head(chunked=False), HI), Outcome.ANSWERED),  # HTTP knows no other end here
        ((head(), chunk(HI[:-2]), LAST), Outcome.ANSWERED),
        ((head(), LAST), Outcome.EMPTY),
        ((head(), chunk(HI)), Outcome.TRUNCATED),
        ((head(), chunk(HI), b"5\r\nda"), Outcome.TRUNCATED),
        ((head(200, LONGER, chunked=False), HI), Outcome.TRUNCATED),
        ((head(), chunk(HI), Pause(0.05), RESET), Outcome.TRUNCATED),
    ],
)
async def test_a_close_ends_an_answer_whose_body_is_whole(
    wire: ProbeClient, script: tuple[Step, ...], expected: Outcome
) -> None:
    async with scripted_server(*script) as server:
        target = described(server.url, CLOSES)
        transcript = await probe_once(wire, target)
    assert outcome(transcript, read(dialect_of(target), transcript))[0] is expected


@pytest.mark.parametrize("last", [LAST, b""])
async def test_plain_text_is_read_as_it_arrives(wire: ProbeClient, last: bytes) -> None:
    euro = "€ five".encode()
    plain = head(200, ("X-Model", "llama-4-scout"), media="text/plain; charset=utf-8")
    script = (plain, Pause(0.05), chunk(euro[:1]), Pause(0.05), chunk(euro[1:]), Pause(0.05),
              chunk(b" more"), last)  # fmt: skip
    async with scripted_server(*script) as server:
        target = described(server.url, ASKS | {"framing": "text", "model": '_headers."x-model"'})
        transcript = await probe_once(wire, target)
    reply = read(dialect_of(target), transcript)
    assert reply.text == "€ five more"
    assert [claim.value for claim in reply.claims] == ["llama-4-scout"]
    whole = Outcome.ANSWERED if last else Outcome.TRUNCATED
    assert outcome(transcript, reply)[0] is whole
    first = transcript.events[0]  # of the segment that completed the first character
    assert first.data.startswith("€")
    assert transcript.sent_ns is not None
    ttft = timing(transcript, reply).ttft_ms
    assert ttft == pytest.approx((first.arrived_ns - transcript.sent_ns) / 1e6)


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("text/event-stream", b'data: {"type":"text-delta","delta":"Hi"}\n\ndata: [DONE]\n\n'),
        ("text/plain; charset=utf-8", b'0:"Hi"\nd:{"finishReason":"stop"}\n'),
    ],
)
async def test_both_streams_of_the_vercel_ai_sdk_are_distinguished_by_their_media_type(
    wire: ProbeClient, media: str, body: bytes
) -> None:
    async with scripted_server(head(media=media), chunk(body), LAST) as server:
        target = described(server.url, {}, "vercel_ai")
        transcript = await probe_once(wire, target)
    reply = read(dialect_of(target), transcript)
    assert (reply.text, outcome(transcript, reply)[0]) == ("Hi", Outcome.ANSWERED)


async def test_the_worked_example_of_the_document_works(wire: ProbeClient) -> None:
    [raw] = re.findall(r"```text\n(event: stage.*?\n\n)```", DOCUMENT, re.DOTALL)
    examples = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
    [grove] = [tomllib.loads(text)["targets"]["grove"] for text in examples if ".grove]" in text]
    steps = [step for event in raw.split("\n\n") if event
             for step in (Pause(0.02), chunk(event.encode() + b"\n\n"))]  # fmt: skip
    async with scripted_server(head(), *steps, LAST) as server:
        target = described(f"{server.url}/v2", grove["options"])
        transcript = await probe_once(wire, target)
    [requested] = server.requests
    assert (requested.method, requested.target, requested.body) == (
        "POST",
        "/v2/ask",
        b'{"q": "Hi"}',
    )
    reply = read(dialect_of(target), transcript)
    assert outcome(transcript, reply)[0] is Outcome.ANSWERED
    assert reply.text == "Every customer may cancel."
    thoughts = [piece.reasoning for piece in reply.pieces if piece.reasoning]
    assert thoughts == ["The user asks", " about cancelling."]
    assert (reply.usage.prompt_tokens, reply.usage.answer_tokens) == (612, 7)
    assert str(reply.usage.cost_usd) == "0.000123"
    assert [claim.value for claim in reply.claims] == ["llama-4-scout"]
    assert isinstance(reply.sources, RetrievedSources)
    assert (reply.sources.count, reply.sources.best_score) == (2, 0.81)
    found = timing(transcript, reply)
    [first] = [event for event in transcript.events if event.data == '{"so_far":"Every customer"}']
    assert transcript.sent_ns is not None
    assert found.ttft_ms == pytest.approx((first.arrived_ns - transcript.sent_ns) / 1e6)

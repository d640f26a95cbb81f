"""Where an answer is whole, by the bytes of real connections."""

import json

import pytest

from monitor.dialects import dialect_of, read
from monitor.domain import Finish, Outcome
from monitor.probing.client import ProbeClient
from monitor.probing.timing import outcome, timing
from tests.scripted_server import LAST, RESET, Pause, Step, chunk, head, scripted_server
from tests.single_probe import probe_once, target_at


def choice(content: str | None = None, finish: str | None = None) -> bytes:
    delta = {} if content is None else {"content": content}
    chosen = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [chosen]}).encode() + b"\n\n"


HI, STOP, CUT = choice("Hi"), choice(finish="stop"), choice(finish="length")
DONE = b"data: [DONE]"


@pytest.mark.parametrize(
    ("script", "expected", "finish"),
    [
        ((head(), chunk(HI), chunk(STOP), LAST), Outcome.ANSWERED, Finish.STOP),
        ((head(), chunk(HI), chunk(CUT), LAST), Outcome.ANSWERED, Finish.LENGTH),
        ((head(chunked=False), HI, STOP), Outcome.ANSWERED, Finish.STOP),
        ((head(), chunk(HI), chunk(choice(finish="error")), LAST), Outcome.ERROR_EVENT,
         Finish.ERROR),
        ((head(), chunk(STOP), LAST), Outcome.EMPTY, Finish.STOP),
        # the last event lacks its blank line
        ((head(), chunk(HI), chunk(STOP + DONE), LAST), Outcome.ANSWERED, Finish.STOP),
        ((head(), chunk(HI), chunk(DONE + b"\n"), LAST), Outcome.ANSWERED, None),
        ((head(), chunk(HI), chunk(STOP[:-2]), LAST), Outcome.ANSWERED, Finish.STOP),
        # whole by its framing, and nothing says that the answer is
        ((head(), chunk(HI), LAST), Outcome.TRUNCATED, None),
        # broken off
        ((head(), chunk(HI), chunk(STOP)), Outcome.TRUNCATED, Finish.STOP),
        ((head(), chunk(HI), chunk(STOP), Pause(0.05), RESET), Outcome.TRUNCATED, Finish.STOP),
        ((head(), chunk(HI), chunk(DONE)), Outcome.TRUNCATED, None),
        ((head(200, ("Content-Length", "9999"), chunked=False), HI, STOP), Outcome.TRUNCATED,
         Finish.STOP),
    ],
)  # fmt: skip
async def test_an_answer_is_whole_with_a_finish_reason_and_a_whole_body(
    wire: ProbeClient, script: tuple[Step, ...], expected: Outcome, finish: Finish | None
) -> None:
    async with scripted_server(*script) as server:
        target = target_at(server.url, "openai_chat")
        transcript = await probe_once(wire, target)
    reply = read(dialect_of(target), transcript)
    assert (outcome(transcript, reply)[0], reply.finish) == (expected, finish)


async def test_ttft_is_taken_on_the_first_text_behind_the_thoughts(wire: ProbeClient) -> None:
    texts = ["<thi", "nk>", "hm ", "</think>", "\n\n", "Four."]
    steps = [step for text in texts for step in (chunk(choice(text)), Pause(0.02))]
    async with scripted_server(head(), *steps, chunk(STOP), LAST) as server:
        target = target_at(server.url, "openai_chat")
        transcript = await probe_once(wire, target)
    reply = read(dialect_of(target), transcript)
    found = timing(transcript, reply)
    assert reply.text == "Four."
    assert [piece.reasoning for piece in reply.pieces if piece.reasoning] == ["hm "]
    assert found.ttft_ms is not None
    assert found.ttft_any_ms is not None
    assert found.ttft_any_ms < found.ttft_ms
    [first] = [event for event in transcript.events if "Four." in event.data]
    assert transcript.sent_ns is not None
    assert found.ttft_ms == pytest.approx((first.arrived_ns - transcript.sent_ns) / 1e6)

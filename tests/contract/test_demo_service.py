"""The simulated service against its grammar, by raw socket, in every situation."""

import asyncio
import json
import re
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from monitor.simulator.answer_plan import AnswerRequest, PlaybackPace, play_stream
from monitor.simulator.service import SimulatedService
from monitor.simulator.service_state import ServiceState
from monitor.simulator.situations import COURSES, ServiceSituation, SimulatedModel
from tests.contract.stream_grammar import dechunked, exchange, get, parse, question_request, split

AT_ONCE = PlaybackPace(0, 0)
NOW = 1762470000.25
STATES = ServiceSituation
LLAMA, HAIKU = SimulatedModel.LLAMA, SimulatedModel.HAIKU
IDENTITY = "Who are you? Which AI model are you?"


def service(situation=ServiceSituation.HEALTHY, **options):
    options = {"pace": AT_ONCE, "rate_limited": False, "clock": lambda: NOW, **options}
    return SimulatedService(situation, **options)


async def test_an_empty_stream_is_these_bytes():
    async with service(STATES.EMPTY) as simulated:
        received = await exchange(simulated.url, question_request("Hi"))
    assert received == (
        b"HTTP/1.1 200 OK\r\n"
        b"content-type: text/event-stream; charset=utf-8\r\n"
        b"cache-control: no-cache\r\n"
        b"x-accel-buffering: no\r\n"
        b"transfer-encoding: chunked\r\n"
        b"access-control-allow-origin: *\r\n"
        b"x-ratelimit-limit: 30\r\n"
        b"x-ratelimit-remaining: 30\r\n"
        b"x-ratelimit-reset: 1762470060\r\n\r\n"
        b"8\r\n: ping\n\n\r\n8\r\n: ping\n\n\r\n8\r\n: ping\n\n\r\nc\r\n:keepalive\n\n\r\n"
        b'57\r\ndata: {"done":true,"sequenceNumber":0,"timestamp":1762470000.25,'
        b'"streamDuration":0.0}\n\n\r\n0\r\n\r\n'
    )


async def test_a_missing_query_is_an_error_after_a_200():
    async with service() as simulated:
        received = await exchange(simulated.url, get("/bali-zero/chat-stream"))
    blocks, ended = dechunked(split(received)[2])
    assert ended
    assert blocks == [b": ping\n\n"] * 3 + [
        b"data: {\"error\":\"Streaming failed: 'NoneType' object has no attribute 'lower'\","
        b'"done":true,"sequenceNumber":0,"timestamp":1762470000.25}\n\n'
    ]


async def test_an_empty_query_gets_a_real_answer():
    async with service() as simulated:
        received = await exchange(simulated.url, get("/bali-zero/chat-stream?query="))
    assert parse(received).number > 10


@pytest.mark.parametrize(
    ("situation", "query", "shape", "served"),
    [
        (STATES.HEALTHY, "Hi", "ppp t+ k d", {LLAMA}),  # nothing found: no sources
        (STATES.HEALTHY, "KBLI?", "ppp t+ k s d", {LLAMA}),
        (STATES.HEALTHY, "Hello there", "ppp t+ k s d", {LLAMA}),
        (STATES.HEALTHY, IDENTITY, "ppp t+ k s d", {LLAMA}),
        (STATES.KEY_REJECTED, "KBLI?", "ppp t+ k s d", {HAIKU}),
        (STATES.NO_OPENROUTER_KEY, "KBLI?", "ppp t+ k s d", {HAIKU}),
        (STATES.THROTTLED, "KBLI?", "ppp t+ k s d", {HAIKU}),
        (STATES.UPSTREAM_5XX, "KBLI?", "ppp t+ k s d", {HAIKU}),
        (STATES.ONE_5XX, "KBLI?", "ppp t+ k s d", {LLAMA}),
        (STATES.UPSTREAM_REFUSED, "KBLI?", "ppp t+ k s d", {HAIKU}),
        (STATES.SWITCH, "KBLI?", "ppp t+ k s d", {LLAMA, HAIKU}),
        (STATES.EMPTY, "KBLI?", "ppp k s d", {LLAMA}),
        (STATES.STALL, "KBLI?", "ppp ttttt k t+ k s d", {LLAMA}),
        (STATES.BOTH_REJECTED, "KBLI?", "ppp e", set()),
        (STATES.BOTH_OVERLOADED, "KBLI?", "ppp e", set()),
        (STATES.BOTH_LIMITED, "KBLI?", "ppp e", set()),
        (STATES.FALLBACK_BREAKS, "KBLI?", "ppp ttttt e", {HAIKU}),
        (STATES.SWITCH_BREAKS, "KBLI?", "ppp ttttt e", {LLAMA}),
        (STATES.NO_SEARCH, "KBLI?", "ppp t+ k d", {LLAMA}),
        (STATES.COLD_START, "KBLI?", "ppp t+ k s d", {LLAMA}),
        (STATES.KILLED, "KBLI?", "ppp ttttt x", {LLAMA}),
        (STATES.SLOW, "KBLI?", "ppp t+ k s d", {LLAMA}),
    ],
)
async def test_each_situation_follows_the_grammar(situation, query, shape, served):
    async with service(situation) as simulated:
        received = parse(await exchange(simulated.url, question_request(query)))
    assert re.fullmatch(shape.replace(" ", ""), received.shape), received.shape
    assert set(simulated.play.served) == served


@pytest.mark.parametrize(
    ("situation", "number", "error"),
    [
        (
            STATES.BOTH_REJECTED,
            0,
            "Streaming failed: Error code: 401 - {'type': 'error', 'error': {'type': "
            "'authentication_error', 'message': 'invalid x-api-key'}}",
        ),
        (
            STATES.FALLBACK_BREAKS,
            5,
            "Streaming failed: Error code: 529 - {'type': 'error', 'error': {'type': "
            "'overloaded_error', 'message': 'Overloaded'}}",
        ),
    ],
)
async def test_an_error_names_only_what_the_fallback_said(situation, number, error):
    async with service(situation) as simulated:
        received = parse(await exchange(simulated.url, question_request("Hi")))
    notified = {"error": error, "done": True, "sequenceNumber": number, "timestamp": NOW}
    assert received.data[-1] == notified


async def test_a_switch_appends_a_whole_second_answer_without_a_seam():
    async with service(STATES.SWITCH, seed=1) as simulated:
        received = parse(await exchange(simulated.url, question_request("Hi")))
    assert received.text.startswith("Hey there! 👋 WelcomeGood to hear from you. I'm ZANTARA")
    assert received.text.endswith("What can I do for you?")


async def test_emoji_travel_as_surrogate_pairs():
    async with service() as simulated:
        received = await exchange(simulated.url, question_request("Hi"))
    assert received.isascii()
    assert rb"\ud83d\u" in received


async def test_nothing_on_the_wire_names_the_model_unless_it_says_so_itself():
    text = re.compile(rb"llama|meta|haiku|claude|anthropic|openrouter|token|usage|cost", re.I)
    for situation in (STATES.HEALTHY, STATES.KEY_REJECTED):
        async with service(situation, play=ServiceState(candour={})) as simulated:
            for query in ("Hi", "Hello there", "KBLI?", IDENTITY):
                received = await exchange(simulated.url, question_request(query))
                assert not text.search(received), text.search(received)
    async with service(STATES.KEY_REJECTED, play=ServiceState(candour={HAIKU: 1.0})) as simulated:
        parsed = parse(await exchange(simulated.url, question_request(IDENTITY)))
    assert parsed.text.startswith("I'm Claude, an AI created by Anthropic")


async def test_a_reconnection_is_acknowledged():
    headers = ("X-Reconnection: true", "X-Continuity-Id: abc-1")
    async with service() as simulated:
        received = parse(await exchange(simulated.url, question_request("Hi", *headers)))
    assert received.shape.startswith("pppct")
    notified = {
        "type": "continuity_check",
        "streamId": "abc-1",
        "sequenceNumber": 0,
        "timestamp": NOW,
    }
    assert received.data[0] == notified


async def test_numbers_and_duration_agree_with_the_clock():
    async with service(clock=iter(NOW + n for n in range(10_000)).__next__) as simulated:
        received = parse(await exchange(simulated.url, question_request("Hi")))
    done, first = received.data[-1], received.data[0]
    began = done["timestamp"] - done["streamDuration"]
    assert first["timestamp"] - began == 4  # three pings and one text were cut since
    assert done["sequenceNumber"] == received.number


async def test_one_seed_gives_one_answer_and_seeds_differ():
    async def reported(seed):
        async with service(seed=seed) as simulated:
            return [
                parse(await exchange(simulated.url, question_request("KBLI?"))).text for _ in "12"
            ]

    assert await reported(1) == await reported(1)
    assert len({text for seed in range(6) for text in await reported(seed)}) == 12


class Segments:
    """A connection that keeps what each write held."""

    def __init__(self):
        self.written = []

    def write(self, data):
        self.written.append(data)

    async def drain(self):
        pass


async def test_blocks_share_segments_and_are_split_across_them():
    segments = Segments()
    requested = AnswerRequest(query="KBLI?", draw=Random(1), candour={})
    await play_stream(
        segments, COURSES[STATES.HEALTHY], requested=requested, pace=AT_ONCE, clock=lambda: NOW
    )
    blocks = [written.count(b"\n\n") for written in segments.written]
    assert max(blocks) >= 2
    assert any(not written.endswith(b"\r\n") for written in segments.written)
    assert dechunked(b"".join(segments.written))[1]


async def test_an_intermittent_fallback_takes_its_share():
    async with service(STATES.INTERMITTENT, play=ServiceState(share=0.25)) as simulated:
        for _ in range(40):
            parse(await exchange(simulated.url, question_request("Hi")))
    assert 5 <= simulated.play.served[HAIKU] <= 15
    assert simulated.play.served.total() == 40


async def test_the_module_serves_as_a_process_and_is_controlled_from_another():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "monitor.simulator.service", "--pace", "0", "--seed", "3",
        "--situation", "key_rejected", "--no-rate-limit",
        stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        url, control = [(await process.stdout.readline()).decode().split()[1] for _ in "12"]
        assert parse(await exchange(url, question_request("Hi"))).number > 5
        wanted = json.dumps({"situation": "healthy", "candour": {"haiku": 1}}).encode()
        changed = await exchange(control, get("/control", method="POST", body=wanted))
        assert json.loads(split(changed)[2])["situation"] == "healthy"
        await exchange(url, question_request("Hi"))
        notified = json.loads(split(await exchange(control, get("/control")))[2])
    finally:
        process.terminate()
        await process.wait()
    assert notified["served"] == {"haiku": 1, "llama": 1}
    assert Counter(notified["candour"]) == {"haiku": 1.0}

"""How the simulated service refuses, limits, hangs, dies and comes back."""

import asyncio

import pytest

from monitor.simulator.answer_plan import PlaybackPace
from monitor.simulator.service import SimulatedService
from monitor.simulator.situations import ServiceSituation
from tests.contract.stream_grammar import exchange, get, parse, question_request, split

AT_ONCE = PlaybackPace(0, 0)
UNHURRIED = PlaybackPace(0, 0.3)  # an answer to KBLI? takes about a second
STATES = ServiceSituation
STREAM = "/bali-zero/chat-stream"


def service(situation=ServiceSituation.HEALTHY, **options):
    return SimulatedService(situation, **{"pace": AT_ONCE, "rate_limited": False, **options})


async def reply(simulated, target, *headers, method="GET", body=b""):
    return split(await exchange(simulated.url, get(target, *headers, method=method, body=body)))


async def test_the_thirty_first_request_in_a_minute_is_refused():
    now = [1762470000.5]
    async with service(rate_limited=True, clock=lambda: now[0]) as simulated:
        for left in range(29, -1, -1):
            status, headers, _ = await reply(simulated, STREAM, method="HEAD")  # 405s count
            assert (status, headers["x-ratelimit-remaining"]) == (405, str(left))
        refused = await exchange(simulated.url, question_request("Hi"))
        assert refused == (
            b"HTTP/1.1 429 Too Many Requests\r\n"
            b"content-length: 124\r\n"
            b"content-type: application/json\r\n"
            b"retry-after: 60\r\n\r\n"
            b'{"error":"Rate limit exceeded","message":"Too many requests. Limit: 30 per 60s",'
            b'"limit":30,"remaining":0,"reset":1762470060}'
        )
        assert parse(
            await exchange(simulated.url, question_request("Hi", "X-User-ID: monitor"))
        ).number
        assert (await reply(simulated, "/health"))[0] == 200
        now[0] += 60
        assert parse(await exchange(simulated.url, question_request("Hi"))).number


@pytest.mark.parametrize("situation", [STATES.DEPLOY, STATES.DOWN])
async def test_new_connections_are_refused_until_it_is_back_on_the_same_port(situation):
    async with service() as simulated:
        simulated.situation = situation
        with pytest.raises(ConnectionRefusedError):
            await exchange(simulated.url, question_request("Hi"))
        simulated.situation = STATES.HEALTHY
        assert parse(await exchange(simulated.url, question_request("Hi"))).number


@pytest.mark.parametrize(("situation", "finished"), [(STATES.DEPLOY, True), (STATES.DOWN, False)])
async def test_a_running_answer_is_finished_by_a_deploy_and_cut_by_a_death(situation, finished):
    async with service(pace=UNHURRIED) as simulated:
        running = asyncio.create_task(exchange(simulated.url, question_request("KBLI?")))
        await asyncio.sleep(0.2)
        simulated.situation = situation
        received = parse(await running)
    assert received.shape.endswith("ksd" if finished else "x")
    assert received.number > 5


async def test_an_idle_connection_is_closed_by_a_deploy():
    async with service() as simulated:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulated.url.split(":")[2])
        writer.write(b"GET /health HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        simulated.situation = STATES.DEPLOY
        assert (await reader.read(-1)).endswith(b"}")
        writer.close()


async def test_a_blocked_process_says_nothing_on_any_path_until_it_is_free():
    async with service(STATES.BLOCKED) as simulated:
        waiting = [
            asyncio.create_task(exchange(simulated.url, request))
            for request in (get("/health"), question_request("Hi"))
        ]
        done, _ = await asyncio.wait(waiting, timeout=0.2)
        assert not done
        simulated.situation = STATES.HEALTHY
        health, stream = await asyncio.gather(*waiting)
    assert split(health)[0] == 200
    assert parse(stream).number


async def test_a_hang_is_pings_and_silence_and_a_leaving_client_is_noticed():
    async with service(STATES.HANG) as simulated:
        tasks = len(asyncio.all_tasks())
        reader, writer = await asyncio.open_connection("127.0.0.1", simulated.url.split(":")[2])
        writer.write(question_request("Hi"))
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(3 * 13) == b"8\r\n: ping\n\n\r\n" * 3
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.3)
        assert len(asyncio.all_tasks()) > tasks
        writer.close()
        async with asyncio.timeout(60):
            while len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110  its end wakes nobody
                await asyncio.sleep(0.02)


async def test_a_connection_serves_request_after_request():
    async with service() as simulated:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulated.url.split(":")[2])
        request = question_request("Hi").replace(b"connection: close\r\n", b"")
        writer.write(request + request.replace(b"Hi", b"Ciao"))  # one waits for the other
        for _ in "12":
            received = await reader.readuntil(b"\r\n0\r\n\r\n")
            assert parse(received).number > 5
        writer.close()


async def test_what_is_no_request_is_refused():
    async with service() as simulated:
        received = await exchange(simulated.url, b"hello\r\n\r\n")
    assert split(received)[::2] == (400, b"Invalid HTTP request received.")

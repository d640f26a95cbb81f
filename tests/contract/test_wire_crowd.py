"""Many probes at once: whose work is done when, and that no stamp and no deadline pays for it."""

import asyncio
import socket
import time
from contextlib import ExitStack
from uuid import uuid4

import pytest

from monitor.dialects import dialect_of
from monitor.domain import Ending, Query, StampSource
from monitor.probing import resources, timestamped_socket
from monitor.probing.client import ProbeClient, exchange
from monitor.probing.limits import FREE_BYTES
from monitor.probing.resources import FairQueue
from tests.scripted_server import HANG, LAST, Forever, Pause, chunk, head, scripted_server
from tests.single_probe import DONE, HI, THERE, event_data, probe_once, sse, target_at

TEXTS = [step for _ in range(5) for step in (Pause(0.02), chunk(sse(THERE)))]


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "PROBE_CROWD", 0)


async def test_between_two_turns_the_loop_looks_at_its_sockets() -> None:
    turns, loop, order = FairQueue(), asyncio.get_running_loop(), list[str]()
    mine, theirs = socket.socketpair()

    def arrived() -> None:
        mine.recv(1)
        order.append("arrival")

    async def work(nth: int) -> None:
        waiter = loop.create_future()
        turns.join(waiter)
        await waiter
        order.append(f"work {nth}")
        if nth == 0:
            theirs.send(b"x")

    with mine, theirs:
        loop.add_reader(mine, arrived)
        await asyncio.gather(*(work(nth) for nth in range(20)))
        loop.remove_reader(mine)
    works = [step for step in order if step != "arrival"]
    assert works == [f"work {nth}" for nth in range(20)], "in the order of joining"
    assert order.index("arrival") <= 3, "what arrives waits for one stream's work, not for all"


async def test_who_gave_up_waiting_is_passed_over() -> None:
    turns, loop = FairQueue(), asyncio.get_running_loop()
    gone, there = loop.create_future(), loop.create_future()
    turns.join(gone)
    turns.join(there)
    gone.cancel()
    assert await asyncio.wait_for(there, 60) is None


@pytest.mark.usefixtures("crowd")
async def test_texts_worked_on_together_keep_their_own_arrivals(wire: ProbeClient) -> None:
    async with scripted_server(head(), chunk(sse(HI)), *TEXTS, chunk(sse(DONE)), LAST) as server:
        transcript = await probe_once(wire, target_at(server.url))
    assert event_data(transcript) == [HI, *[THERE] * 5, DONE]
    arrivals = [event.arrived_ns for event in transcript.events]
    assert arrivals == sorted(arrivals)
    assert len({event.read for event in transcript.events[:6]}) == 6, "read as they came"
    assert len(set(arrivals[:6])) == 6


@pytest.mark.usefixtures("crowd")
async def test_what_waits_to_be_worked_on_is_no_silence(
    wire: ProbeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timestamped_socket, "GATHER_S", 0.4)
    texts = [step for _ in range(6) for step in (Pause(0.1), chunk(sse(THERE)))]
    async with scripted_server(head(), chunk(sse(HI)), *texts, chunk(sse(DONE)), LAST) as server:
        transcript = await probe_once(wire, target_at(server.url, stall_deadline=0.2))
    assert transcript.ending is Ending.END


@pytest.mark.usefixtures("crowd")
async def test_silence_in_a_crowd_is_silence(wire: ProbeClient) -> None:
    async with scripted_server(head(), chunk(sse(HI)), chunk(sse(THERE)), HANG) as server:
        transcript = await probe_once(wire, target_at(server.url, stall_deadline=0.2))
    assert transcript.ending is Ending.STALLED
    assert event_data(transcript) == [HI, THERE]


@pytest.mark.usefixtures("crowd")
async def test_the_end_of_the_connection_waits_for_no_one(
    wire: ProbeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timestamped_socket, "GATHER_S", 3600)
    async with scripted_server(
        head(), chunk(sse(HI)), chunk(sse(THERE)), chunk(sse(DONE))
    ) as server:
        transcript = await probe_once(wire, target_at(server.url))
    assert (transcript.ending, event_data(transcript)) == (Ending.END, [HI, THERE, DONE])


async def test_a_flood_is_held_in_the_kernel_not_in_memory(wire: ProbeClient) -> None:
    """Whoever works on nothing for a while finds a bounded pile, and then all of it."""
    held: list[int] = []
    hold = timestamped_socket.ReadQueue.hold

    def counted(self: timestamped_socket.ReadQueue, read: timestamped_socket.SocketRead) -> None:
        hold(self, read)
        held.append(self._bytes)

    flood = Forever(chunk(b": " + b"x" * 8000 + b"\n\n"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timestamped_socket.ReadQueue, "hold", counted)
        patch.setattr(wire.turns, "join", lambda waiter: _later(wire, waiter))
        async with scripted_server(head(), chunk(sse(HI)), flood) as server:
            transcript = await probe_once(wire, target_at(server.url))
    assert transcript.ending is Ending.TOO_LARGE, "4 MiB were taken in all the same"
    assert sum(held) > 0
    assert max(held) <= timestamped_socket.HELD_BYTES + 16 * 1024


def _later(wire: ProbeClient, waiter: asyncio.Future[None]) -> None:
    asyncio.get_running_loop().call_later(0.005, FairQueue.join, wire.turns, waiter)


@pytest.mark.usefixtures("crowd")
async def test_a_first_token_deadline_holds_while_pings_pour_in(wire: ProbeClient) -> None:
    pings = Forever(chunk(b": ping\n\n"), every_s=0.001)
    began = time.monotonic()
    async with scripted_server(head(), pings) as server:
        transcript = await probe_once(wire, target_at(server.url, first_token_deadline=0.3))
    assert transcript.ending is Ending.SILENT
    assert time.monotonic() - began < 10


async def test_a_first_text_behind_what_we_were_slow_to_work_through_is_degraded(
    wire: ProbeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender may have waited for us, and then the text did not arrive when it could have."""
    monkeypatch.setattr(wire.turns, "join", lambda waiter: _later(wire, waiter))
    junk = chunk(b": " + b"x" * 8000 + b"\n\n")
    async with scripted_server(head(), *[junk] * 400, chunk(sse(HI, DONE)), LAST) as server:
        transcript = await probe_once(wire, target_at(server.url))
    assert (transcript.ending, transcript.stamp) == (Ending.END, StampSource.DEGRADED)


async def test_an_answer_counts_as_memory_of_the_streams_until_it_was_interpreted(
    wire: ProbeClient,
) -> None:
    query, target = Query(id="hi", text="Hi"), target_at("")
    dialect = dialect_of(target)
    large = [chunk(sse({"text": "word " * 40_000}))] * 15
    async with scripted_server(head(), *large, chunk(sse(DONE)), LAST) as server:
        with ExitStack() as held:
            request = dialect.build_request(query, target_at(server.url))
            transcript = await exchange(
                request, dialect=dialect, target=target, query=query, probe=uuid4(), http=wire,
                raw=False, held=held,
            )  # fmt: skip
            assert transcript.ending is Ending.END
            assert wire.memory.held == pytest.approx(15 * 200_000 - FREE_BYTES, rel=0.05)
        assert wire.memory.held == 0

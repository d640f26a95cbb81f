"""What an exchange leaves behind: bodies that were no stream, orders to stop, no garbage."""

import asyncio
import gc

import pytest

from monitor.domain import Ending
from monitor.probing import garbage_collection
from monitor.probing.client import ProbeClient
from monitor.probing.garbage_collection import gc_paused
from tests.scripted_server import HANG, LAST, Pause, chunk, full_reply, head, scripted_server
from tests.single_probe import DONE, HI, THERE, event_data, probe_once, sse, target_at

ANSWER = (head(), chunk(sse(HI)), chunk(sse(THERE)), chunk(sse(DONE)), LAST)


@pytest.mark.parametrize(
    ("response", "kept"),
    [
        (full_reply(200, b"<h1>Hi</h1>", media="text/html"), "<h1>Hi</h1>"),
        (full_reply(401, b'{"detail":"no"}'), '{"detail":"no"}'),
        (full_reply(500, "ü".encode() * 5000), "ü" * 2000),  # the start, in whole characters
        (full_reply(500, b"\xff!"), "\ufffd!"),
        (full_reply(500, b""), None),
        (full_reply(500, b"\x1f\x8b", ("Content-Encoding", "gzip")), None),  # unreadable
    ],
)
async def test_the_start_of_a_body_that_is_no_stream_is_kept(
    wire: ProbeClient, response: bytes, kept: str | None
) -> None:
    async with scripted_server(response) as server:
        transcript = await probe_once(wire, target_at(server.url))
    assert transcript.body == kept
    assert transcript.events == ()


async def test_text_of_a_hostile_service_is_kept_as_it_stood(wire: ProbeClient) -> None:
    hostile = "<!channel> <https://evil|click> *_~`\x1b[2J\x1b]0;gone\x07\u202egnp.exe\u2028=1+1"
    async with scripted_server(head(), chunk(sse({"text": hostile}, DONE))) as server:
        transcript = await probe_once(wire, target_at(server.url))
    assert event_data(transcript)[0] == {"text": hostile}


@pytest.mark.parametrize("status", [429, 503])
async def test_being_asked_to_wait_is_noted(wire: ProbeClient, status: int) -> None:
    async with scripted_server(full_reply(status, b"", ("Retry-After", "60"))) as server:
        transcript = await probe_once(wire, target_at(server.url))
    assert transcript.retry_after_s == 60.0


async def test_abort_ends_what_is_under_way_and_nothing_else(wire: ProbeClient) -> None:
    async with scripted_server(head(), chunk(sse(HI)), HANG) as server:
        target = target_at(server.url)
        running = asyncio.create_task(probe_once(wire, target))
        await server.asked.wait()
        await asyncio.sleep(0.5)  # the words arrive, and the rest never does
        wire.abort()
        transcript = await running
        assert (transcript.ending, event_data(transcript)) == (Ending.ABORTED, [HI])
    async with scripted_server(*ANSWER) as server:
        transcript = await probe_once(wire, target_at(server.url))
    assert transcript.ending is Ending.END


async def test_a_cancelled_probe_is_cancelled_and_leaves_no_connection(wire: ProbeClient) -> None:
    async with scripted_server(head(), chunk(sse(HI)), HANG) as server:
        running = asyncio.create_task(probe_once(wire, target_at(server.url)))
        await server.asked.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        async with asyncio.timeout(60):
            await server.over.wait()


async def test_probes_side_by_side_do_not_mix(wire: ProbeClient) -> None:
    async with scripted_server(*ANSWER) as server:
        target = target_at(server.url)
        transcripts = await asyncio.gather(*(probe_once(wire, target) for _ in range(50)))
    assert {t.ending for t in transcripts} == {Ending.END}
    assert all(event_data(t) == [HI, THERE, DONE] for t in transcripts)
    ids = {requested.headers["x-request-id"] for requested in server.requests}
    assert ids == {str(t.id) for t in transcripts}


async def test_a_probe_leaves_no_garbage_that_only_a_collection_would_find(
    wire: ProbeClient,
) -> None:
    """In rounds nothing is collected: what a probe ties in knots would pile up."""
    async with scripted_server(*ANSWER) as server:
        await probe_once(wire, target_at(server.url))
        gc.collect()
        with gc_paused():
            gc.set_debug(gc.DEBUG_SAVEALL)
            await probe_once(wire, target_at(server.url))
            gc.collect()
            gc.set_debug(0)
            rooms = {type(thing).__module__.partition(".")[0] for thing in gc.garbage}
            gc.garbage.clear()
    assert rooms.isdisjoint({"monitor", "httpx", "httpcore", "h11", "ssl"})


async def test_a_collection_that_is_due_runs_while_no_first_text_is_awaited(
    wire: ProbeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second probe waits for the text of the first; both are measured without a pause."""
    monkeypatch.setattr(garbage_collection, "HOLD_S", 60.0)
    monkeypatch.setattr(garbage_collection, "LATEST_S", 1e18)
    awaited: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            waiting = garbage_collection._awaited.values()
            awaited.append(sum(not one.spoken for one in waiting))

    script = (head(), Pause(0.5), chunk(sse(HI)), Pause(0.5), chunk(sse(DONE)), LAST)
    async with scripted_server(*script) as server:
        target = target_at(server.url)
        with gc_paused():
            first = asyncio.create_task(probe_once(wire, target))
            await server.asked.wait()
            monkeypatch.setattr(garbage_collection, "_full_s", -1e9)
            gc.callbacks.append(note)
            try:
                second = await probe_once(wire, target)
            finally:
                gc.callbacks.remove(note)
            assert awaited == [0]
            assert second.started_ns > (await first).events[0].arrived_ns

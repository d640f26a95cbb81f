"""Stamps while our own loop stalls, on both loops; the server runs in a thread of its own."""

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import uvloop

from monitor.domain import Ending, StampSource, StreamEvent, Transcript
from monitor.probing.client import ProbeClient
from monitor.probing.resources import KernelClock
from tests.scripted_server import LAST, chunk, head
from tests.single_probe import DONE, HI, THERE, probe_once, sse, target_at

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel stamps on Linux only")

Loop = Callable[[], asyncio.AbstractEventLoop]
LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
STALL_S = 0.3
PING = chunk(b": ping\n\n")
END = chunk(sse(DONE)) + LAST


@dataclass
class Threaded:
    """A server in a thread. A script's floats are pauses, its callables are called."""

    script: tuple[bytes | float | Callable[[], object], ...]
    port: int = 0
    sent_ns: list[int] = field(default_factory=list)  # just before each send

    def serve(self, listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer.recv(65536)
            for step in self.script:
                if isinstance(step, bytes):
                    self.sent_ns.append(time.monotonic_ns())
                    peer.sendall(step)
                elif isinstance(step, float):
                    time.sleep(step)
                else:
                    step()


@contextmanager
def threaded(*script: bytes | float | Callable[[], object]) -> Iterator[Threaded]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Threaded(script, listener.getsockname()[1])
        thread = threading.Thread(target=server.serve, args=(listener,))
        thread.start()
        try:
            yield server
        finally:
            thread.join()


def heard(
    new_loop: Loop, *script: bytes | float | str, kernel: bool = True, **target: float
) -> tuple[Transcript, list[int]]:
    """A probe of the script, and when each of its pieces was sent. "stall": our loop stalls."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        loop = runner.get_loop()

        def stall() -> None:
            loop.call_soon_threadsafe(time.sleep, STALL_S)

        async def ask(url: str) -> Transcript:
            async with ProbeClient("test", kernel=kernel) as wire:
                return await probe_once(wire, target_at(url, **target))

        steps = [stall if step == "stall" else step for step in script]
        with threaded(*steps) as server:  # type: ignore[arg-type]
            transcript = runner.run(ask(f"http://127.0.0.1:{server.port}"))
        return transcript, server.sent_ns


def undisturbed(
    new_loop: Loop, *script: bytes | float | str, kernel: bool = True
) -> tuple[Transcript, list[int]]:
    """The same, tried again where a busy machine degraded the sample by itself."""
    for _ in range(5):
        transcript, sent_ns = heard(new_loop, *script, kernel=kernel)
        if transcript.stamp is not StampSource.DEGRADED:
            break
    return transcript, sent_ns


def first_text(transcript: Transcript) -> StreamEvent:
    return transcript.events[0]


@LOOPS
def test_a_stall_does_not_move_the_stamp_of_a_lone_first_text(new_loop: Loop) -> None:
    script = (head() + PING, 0.05, "stall", 0.05, chunk(sse(HI)), STALL_S, END)
    transcript, sent_ns = undisturbed(new_loop, *script)
    off_ns = first_text(transcript).arrived_ns - sent_ns[1]
    assert transcript.stamp is StampSource.KERNEL
    assert 0 <= off_ns < STALL_S * 1e9 / 4, "read long after, stamped in time"
    assert transcript.lag_ms is not None
    assert transcript.lag_ms > STALL_S * 1e3 / 2


@LOOPS
def test_texts_merged_during_a_stall_are_degraded(new_loop: Loop) -> None:
    texts = (chunk(sse(HI)), 0.05, chunk(sse(THERE)))
    script = (head() + PING, 0.05, "stall", 0.05, *texts, STALL_S, END)
    transcript, sent_ns = heard(new_loop, *script)
    assert first_text(transcript).read == transcript.events[1].read
    assert first_text(transcript).arrived_ns > sent_ns[2], "the kernel keeps the later stamp"
    assert transcript.stamp is StampSource.DEGRADED


@LOOPS
def test_a_text_merged_with_a_ping_after_it_is_degraded_too(new_loop: Loop) -> None:
    script = (head(), 0.05, "stall", 0.05, chunk(sse(HI)), 0.05, PING, STALL_S, END)
    assert heard(new_loop, *script)[0].stamp is StampSource.DEGRADED


@LOOPS
def test_texts_sent_together_are_no_stall_of_ours(new_loop: Loop) -> None:
    together = chunk(sse(HI)) + chunk(sse(THERE))
    transcript, _ = undisturbed(new_loop, head() + PING, 0.05, together, 0.05, END)
    assert first_text(transcript).read == transcript.events[1].read
    assert transcript.stamp is StampSource.KERNEL


@LOOPS
def test_a_stall_after_the_first_text_leaves_its_stamp_alone(new_loop: Loop) -> None:
    texts = (chunk(sse(THERE)), 0.05, chunk(sse(THERE)))
    script = (head() + PING, 0.05, chunk(sse(HI)), 0.05, "stall", 0.05, *texts, STALL_S, END)
    assert undisturbed(new_loop, *script)[0].stamp is StampSource.KERNEL


@LOOPS
def test_without_kernel_stamps_a_stall_degrades_every_first_text(new_loop: Loop) -> None:
    script = (head() + PING, 0.05, "stall", 0.05, chunk(sse(HI)), STALL_S, END)
    assert heard(new_loop, *script, kernel=False)[0].stamp is StampSource.DEGRADED


@LOOPS
def test_without_kernel_stamps_the_reader_stamps(new_loop: Loop) -> None:
    script = (head() + PING, 0.05, chunk(sse(HI)), 0.05, END)
    transcript, sent_ns = undisturbed(new_loop, *script, kernel=False)
    assert transcript.stamp is StampSource.USER
    assert first_text(transcript).arrived_ns > sent_ns[1]


@LOOPS
def test_a_stall_of_ours_is_not_held_against_the_target(new_loop: Loop) -> None:
    texts = [step for _ in range(6) for step in (0.05, chunk(sse(THERE)))]
    script = (head(), chunk(sse(HI)), 0.05, "stall", *texts, END)
    transcript, _ = heard(new_loop, *script, stall_deadline=STALL_S / 2)
    assert transcript.ending is Ending.END
    assert len(transcript.events) == 8


@pytest.mark.parametrize("step_s", [3600, -3600, 0.5, -0.5])
async def test_a_clock_that_steps_degrades_the_probe(step_s: float) -> None:
    stepped = threading.Event()

    def wall_ns() -> int:
        return time.time_ns() + (int(step_s * 1e9) if stepped.is_set() else 0)

    async with ProbeClient("test") as wire:
        wire.clock = KernelClock(wall_ns=wall_ns)
        with threaded(head() + PING, 0.05, stepped.set, chunk(sse(HI)), END) as server:
            transcript = await probe_once(wire, target_at(f"http://127.0.0.1:{server.port}"))
        assert transcript.stamp is StampSource.DEGRADED
        stepped.clear()  # back to the clock that the kernel stamps by
        with threaded(head(), chunk(sse(HI)), END) as server:
            later = await probe_once(wire, target_at(f"http://127.0.0.1:{server.port}"))
    assert later.sent_ns is not None
    off_ns = first_text(later).arrived_ns - later.sent_ns
    assert 0 < off_ns < 10**9, "the next probe goes by the clock as it is now"

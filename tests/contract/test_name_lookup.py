"""Name lookups that hang: they delay no other name, no work in threads, and no exit."""

import asyncio
import socket
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from monitor import network_settings
from monitor.domain import Ending, Outcome
from monitor.probing.client import ProbeClient
from tests.scripted_server import LAST, chunk, head, scripted_server
from tests.single_probe import DONE, HI, outcome_and_timing, probe_once, sse, target_at

ANSWER = (head(), chunk(sse(HI)), chunk(sse(DONE)), LAST)


class Resolver:
    """Answers as the system does, except that names under `.dead` hang until it is released."""

    def __init__(self) -> None:
        self.released, self.asked = threading.Event(), Counter[str]()
        self.hung = threading.Semaphore(0)  # released once for each that hangs
        self._real = socket.getaddrinfo

    def __call__(self, host: Any, *arguments: Any, **options: Any) -> Any:
        self.asked[host] += 1
        if str(host).endswith(".dead"):
            self.hung.release()
            self.released.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._real(host, *arguments, **options)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.released.set()


async def test_names_that_hang_delay_no_other_name_and_no_work_in_threads(
    wire: ProbeClient, resolver: Resolver
) -> None:
    dead = [
        asyncio.create_task(
            probe_once(wire, target_at(f"http://n{nth % 4}.dead", connect_deadline=60))
        )
        for nth in range(40)
    ]
    async with asyncio.timeout(60):
        for _ in range(4):
            await asyncio.to_thread(resolver.hung.acquire)
        async with scripted_server(*ANSWER) as server:
            transcript = await probe_once(wire, target_at(f"http://localhost:{server.port}"))
        assert transcript.ending is Ending.END
        assert await asyncio.to_thread(lambda: "written") == "written"
    assert not any(task.done() for task in dead)
    assert max(resolver.asked[f"n{nth}.dead"] for nth in range(4)) <= network_settings.PER_NAME
    resolver.released.set()
    transcripts = await asyncio.gather(*dead)
    assert {one.ending for one in transcripts} == {Ending.DNS}


async def test_a_deadline_that_passes_costs_no_one_else_the_lookup(
    wire: ProbeClient, resolver: Resolver
) -> None:
    impatient = target_at("http://n.dead", connect_deadline=0.05)
    waiting = asyncio.create_task(probe_once(wire, target_at("http://n.dead", connect_deadline=60)))
    for _ in range(5):
        transcript = await probe_once(wire, impatient)
        assert outcome_and_timing(transcript, impatient)[0] is Outcome.DNS
    assert not waiting.done()
    resolver.released.set()
    assert "Temporary failure" in str((await waiting).detail)
    assert resolver.asked["n.dead"] <= network_settings.PER_NAME


async def test_a_name_that_hung_is_looked_up_again(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver that is back answers a new question, while the old one still hangs."""
    monkeypatch.setattr(network_settings, "RENEWED_AFTER_S", 0.0)
    first = asyncio.create_task(network_settings.look_up("again.dead", 80))
    async with asyncio.timeout(60):
        await asyncio.to_thread(resolver.hung.acquire)
        real = resolver._real
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more: real("127.0.0.1", *more))
        assert await network_settings.look_up("again.dead", 80)
    assert not first.done()
    first.cancel()


def test_a_process_ends_although_a_lookup_hangs() -> None:
    """A library that asks the loop, as psycopg does, included."""
    program = """
        import asyncio, socket, threading
        from monitor import network_settings as name_lookup

        def hang(*_, **__):
            print("asked", flush=True)
            threading.Event().wait()

        async def main():
            socket.getaddrinfo = hang
            lookup = asyncio.get_running_loop().getaddrinfo("n.dead", 80, type=1)
            try:
                await asyncio.wait_for(lookup, 0.2)
            except TimeoutError:
                print("not delivered")

        factory = name_lookup.looking_up_names(asyncio.SelectorEventLoop)
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.split("\n") == ["asked", "not delivered", ""]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_address_is_looked_up_without_a_thread(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_settings, "in_thread", None)
    found = await network_settings.look_up(host, 80, type=socket.SOCK_STREAM)
    assert [address[4][:2] for address in found] == [(host, 80)]

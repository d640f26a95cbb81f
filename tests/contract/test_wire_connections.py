"""Ways to a target: names, both families, and what each failure is called."""

import resource
import socket
import threading

import pytest

from monitor.domain import Ending, Outcome, StampSource
from monitor.probing.client import ProbeClient
from monitor.probing.http_connection import SocketAddress, _reasons, first_connected
from monitor.probing.limits import ProbeError
from tests.scripted_server import LAST, chunk, head, scripted_server
from tests.single_probe import DONE, HI, outcome_and_timing, probe_once, sse, target_at

ANSWER = (head(), chunk(sse(HI)), chunk(sse(DONE)), LAST)


def nobody(family: socket.AddressFamily = socket.AF_INET) -> int:
    """A port on which nobody listens."""
    with socket.socket(family) as sock:
        sock.bind(("localhost" if family is socket.AF_INET else "::1", 0))
        port: int = sock.getsockname()[1]
        return port


async def test_no_one_listens(wire: ProbeClient) -> None:
    target = target_at(f"http://127.0.0.1:{nobody()}")
    transcript = await probe_once(wire, target)
    assert outcome_and_timing(transcript, target)[0] is Outcome.REFUSED
    assert transcript.detail is not None
    assert "Connection refused" in transcript.detail
    assert transcript.connected_ns is None
    assert transcript.sent_ns is None


async def test_a_lack_of_our_own_descriptors_is_not_counted_against_the_service(
    wire: ProbeClient,
) -> None:
    target = target_at(f"http://127.0.0.1:{nobody()}")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        transcript = await probe_once(wire, target)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert outcome_and_timing(transcript, target)[0] is Outcome.ABORTED
    assert transcript.detail == "the monitor: Too many open files"


async def test_a_name_that_does_not_exist(wire: ProbeClient) -> None:
    target = target_at("http://rag.invalid")
    transcript = await probe_once(wire, target)
    assert outcome_and_timing(transcript, target)[0] is Outcome.DNS
    assert transcript.detail is not None
    assert "rag.invalid" in transcript.detail
    assert transcript.dns_ns is None


async def test_a_name_is_resolved_and_that_takes_time_too(wire: ProbeClient) -> None:
    async with scripted_server(*ANSWER) as server:
        transcript = await probe_once(wire, target_at(f"http://localhost:{server.port}"))
    assert transcript.ending is Ending.END
    assert transcript.dns_ns is not None
    assert transcript.connected_ns is not None
    assert transcript.started_ns < transcript.dns_ns < transcript.connected_ns


async def test_the_newer_protocol_is_stamped_as_well(wire: ProbeClient) -> None:
    async with scripted_server(*ANSWER, host="::1") as server:
        transcript = await probe_once(wire, target_at(server.url))
        assert server.requests[0].headers["host"] == f"[::1]:{server.port}"
    assert transcript.ending is Ending.END
    assert transcript.stamp is not StampSource.USER


async def test_an_address_that_refuses_gives_way_to_the_next() -> None:
    async with scripted_server(*ANSWER) as server:
        refusing = SocketAddress(socket.AF_INET6, ("::1", server.port, 0, 0))
        answering = SocketAddress(socket.AF_INET, ("127.0.0.1", server.port))
        with await first_connected([refusing, answering], kernel=True) as sock:
            assert sock.family is socket.AF_INET


async def test_an_address_that_is_silent_gives_way_to_the_next() -> None:
    with socket.socket() as full:  # its queue is full: whoever knocks now waits
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = SocketAddress(socket.AF_INET, full.getsockname())
        queued = [socket.socket() for _ in range(3)]
        for sock in queued:
            sock.setblocking(False)
            sock.connect_ex(address.sockaddr)
        async with scripted_server(*ANSWER) as server:
            answering = SocketAddress(socket.AF_INET, ("127.0.0.1", server.port))
            with await first_connected([address, answering], kernel=True) as sock:
                assert sock.getpeername() == answering.sockaddr
        for sock in queued:
            sock.close()


async def test_every_refusal_is_named() -> None:
    ports = nobody(), nobody()
    with pytest.raises(ProbeError) as error_reason:
        await first_connected(
            [SocketAddress(socket.AF_INET, ("127.0.0.1", port)) for port in ports], kernel=True
        )
    assert error_reason.value.ending is Ending.REFUSED
    assert all(f"127.0.0.1:{port}" in error_reason.value.detail for port in ports)


@pytest.mark.parametrize(
    ("error", "reasons"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), "Connection refused"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed ('127.0.0.1', 1), "
                 "[Errno 101] Network is unreachable, [Errno 111] Connect call failed"),
         "Connection refused; Network is unreachable"),
        (RuntimeError("the loop is closed"), "the loop is closed"),
    ],
)  # fmt: skip
def test_each_reason_is_named_once(error: OSError | RuntimeError, reasons: str) -> None:
    assert _reasons(error) == reasons


async def test_connecting_has_a_deadline_of_its_own(wire: ProbeClient) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        queued = [socket.socket() for _ in range(3)]
        for sock in queued:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        target = target_at(f"http://127.0.0.1:{full.getsockname()[1]}", connect_deadline=0.1)
        transcript = await probe_once(wire, target)
        for sock in queued:
            sock.close()
    assert outcome_and_timing(transcript, target)[0] is Outcome.CONNECT
    assert transcript.detail == "connect: no TCP connection within 0.1 s"


async def test_a_name_without_an_address(
    wire: ProbeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: [])
    target = target_at("http://nowhere.example")
    transcript = await probe_once(wire, target)
    assert outcome_and_timing(transcript, target)[0] is Outcome.DNS
    assert transcript.detail == "nowhere.example: the name has no address"


@pytest.mark.parametrize("deadlines", [{"connect_deadline": 0.2}, {"deadline": 0.2}])
async def test_a_name_that_is_resolved_too_slowly(
    wire: ProbeClient, monkeypatch: pytest.MonkeyPatch, deadlines: dict[str, float]
) -> None:
    """Whichever deadline passes first: the connection never stood, so no token was late."""
    released = threading.Event()

    def getaddrinfo(*_args: object, **_options: object) -> list[object]:
        released.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    # Of its own: lookups of one name are shared, also with one that has just been released.
    target = target_at(f"http://{next(iter(deadlines))}.example".replace("_", "-"), **deadlines)
    transcript = await probe_once(wire, target)
    released.set()
    outcome, timing = outcome_and_timing(transcript, target)
    assert outcome is Outcome.DNS
    assert transcript.detail == "dns: the name was not resolved within 0.2 s"
    assert (timing.dns_ms, timing.connect_ms, timing.ttft_ms) == (None, None, None)

"""Ways to a target: names, both families, TLS, proxies; and what each failure is called."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from monitor.domain import Ending, Outcome, Stamp
from monitor.wire import Wire
from monitor.wire.dialling import Address, first_connected
from monitor.wire.trouble import Trouble
from tests.certificates import Authority, authority
from tests.scripted import HANG, LAST, RESET, Asked, chunk, head, scripted, whole
from tests.wired import DONE, HI, data, judged, probed, says, watched

ANSWER = (head(), chunk(says(HI)), chunk(says(DONE)), LAST)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with Wire("test") as wire:
        yield wire


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


def nobody(family: socket.AddressFamily = socket.AF_INET) -> int:
    """A port on which nobody listens."""
    with socket.socket(family) as sock:
        sock.bind(("localhost" if family is socket.AF_INET else "::1", 0))
        port: int = sock.getsockname()[1]
        return port


# --- names and addresses ---


async def test_nobody_listens(wire: Wire) -> None:
    target = watched(f"http://127.0.0.1:{nobody()}")
    transcript = await probed(wire, target)
    assert judged(transcript, target)[0] is Outcome.REFUSED
    assert transcript.detail is not None
    assert "Connection refused" in transcript.detail
    assert transcript.connected_ns is None
    assert transcript.sent_ns is None


async def test_a_name_that_does_not_exist(wire: Wire) -> None:
    target = watched("http://rag.invalid")
    transcript = await probed(wire, target)
    assert judged(transcript, target)[0] is Outcome.DNS
    assert transcript.detail is not None
    assert "rag.invalid" in transcript.detail
    assert transcript.dns_ns is None


async def test_a_name_is_resolved_and_that_takes_time_too(wire: Wire) -> None:
    async with scripted(*ANSWER) as server:
        transcript = await probed(wire, watched(f"http://localhost:{server.port}"))
    assert transcript.ending is Ending.END
    assert transcript.dns_ns is not None
    assert transcript.connected_ns is not None
    assert transcript.started_ns < transcript.dns_ns < transcript.connected_ns


async def test_the_newer_protocol_is_stamped_as_well(wire: Wire) -> None:
    async with scripted(*ANSWER, host="::1") as server:
        transcript = await probed(wire, watched(server.url))
        assert server.requests[0].headers["host"] == f"[::1]:{server.port}"
    assert transcript.ending is Ending.END
    assert transcript.stamp is not Stamp.USER


async def test_an_address_that_refuses_gives_way_to_the_next() -> None:
    async with scripted(*ANSWER) as server:
        refusing = Address(socket.AF_INET6, ("::1", server.port, 0, 0))
        answering = Address(socket.AF_INET, ("127.0.0.1", server.port))
        with await first_connected([refusing, answering], kernel=True) as sock:
            assert sock.family is socket.AF_INET


async def test_an_address_that_is_silent_gives_way_to_the_next() -> None:
    with socket.socket() as full:  # its queue is full: whoever knocks now waits
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = Address(socket.AF_INET, full.getsockname())
        queued = [socket.socket() for _ in range(3)]
        for sock in queued:
            sock.setblocking(False)
            sock.connect_ex(address.sockaddr)
        async with scripted(*ANSWER) as server:
            answering = Address(socket.AF_INET, ("127.0.0.1", server.port))
            with await first_connected([address, answering], kernel=True) as sock:
                assert sock.getpeername() == answering.sockaddr
        for sock in queued:
            sock.close()


async def test_every_refusal_is_named() -> None:
    ports = nobody(), nobody()
    with pytest.raises(Trouble) as trouble:
        await first_connected(
            [Address(socket.AF_INET, ("127.0.0.1", port)) for port in ports], kernel=True
        )
    assert trouble.value.ending is Ending.REFUSED
    assert all(f"127.0.0.1:{port}" in trouble.value.detail for port in ports)


async def test_connecting_has_a_deadline_of_its_own(wire: Wire) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        queued = [socket.socket() for _ in range(3)]
        for sock in queued:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        target = watched(f"http://127.0.0.1:{full.getsockname()[1]}", connect_deadline=0.1)
        transcript = await probed(wire, target)
        for sock in queued:
            sock.close()
    assert (transcript.ending, transcript.detail) == (Ending.REFUSED, "not connected within 0.1 s")


# --- TLS ---


async def test_stamps_over_tls_are_those_of_the_socket(wire: Wire, ours: Authority) -> None:
    async with scripted(*ANSWER, tls=ours.server("good")) as server:
        transcript = await probed(wire, watched(server.url, ca_file=ours.ca_file))
    assert transcript.ending is Ending.END
    assert transcript.stamp is not Stamp.USER
    assert data(transcript) == [HI, DONE]
    stamps = [transcript.connected_ns, transcript.tls_ns, transcript.sent_ns, transcript.head_ns]
    assert None not in stamps
    assert stamps == sorted(stamps)  # type: ignore[type-var]


async def test_a_stream_of_megabytes_over_tls_is_whole(wire: Wire, ours: Authority) -> None:
    long = {"text": "x" * 100_000}
    script = (head(), *[chunk(says(long))] * 30, chunk(says(DONE)), LAST)
    async with scripted(*script, tls=ours.server("good")) as server:
        transcript = await probed(wire, watched(server.url, ca_file=ours.ca_file))
    assert transcript.ending is Ending.END
    assert data(transcript) == [long] * 30 + [DONE]


@pytest.mark.parametrize(
    ("certificate", "why"),
    [
        ({"days": -1}, "certificate has expired"),
        ({"hosts": "DNS:elsewhere.example"}, "IP address mismatch"),
    ],
)
async def test_a_bad_certificate_is_no_connection(
    wire: Wire, ours: Authority, certificate: dict[str, object], why: str
) -> None:
    async with scripted(*ANSWER, tls=ours.server("bad", **certificate)) as server:  # type: ignore[arg-type]
        target = watched(server.url, ca_file=ours.ca_file)
        transcript = await probed(wire, target)
    assert judged(transcript, target)[0] is Outcome.TLS
    assert transcript.detail is not None
    assert why in transcript.detail
    assert (transcript.tls_ns, transcript.sent_ns) == (None, None)
    assert server.requests == []


async def test_an_authority_nobody_named_is_not_trusted(wire: Wire, ours: Authority) -> None:
    async with scripted(*ANSWER, tls=ours.server("good")) as server:
        transcript = await probed(wire, watched(server.url))
    assert transcript.ending is Ending.TLS
    assert transcript.detail is not None
    assert "certificate verify failed" in transcript.detail


async def test_a_ca_file_that_is_none(wire: Wire, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for path in (str(empty), str(tmp_path / "missing.pem")):
        transcript = await probed(wire, watched("https://127.0.0.1", ca_file=path))
        assert transcript.ending is Ending.TLS
        assert transcript.detail is not None
        assert path in transcript.detail


@pytest.mark.parametrize("script", [(b"HTTP/1.1 400 Speak plainly\r\n\r\n",), (RESET,), ()])
async def test_a_peer_that_does_not_speak_tls(wire: Wire, script: tuple[bytes, ...]) -> None:
    async with scripted(*script, deaf=True) as server:
        transcript = await probed(wire, watched(server.url.replace("http", "https")))
    assert transcript.ending is Ending.TLS


async def test_a_silent_handshake_ends_with_the_connect_deadline(wire: Wire) -> None:
    async with scripted(HANG, deaf=True) as server:
        url = server.url.replace("http", "https")
        transcript = await probed(wire, watched(url, connect_deadline=0.1))
    assert transcript.ending is Ending.TLS
    assert transcript.connected_ns is not None


async def test_a_tls_stream_cut_short_is_truncated(wire: Wire, ours: Authority) -> None:
    async with scripted(head(), chunk(says(HI)), RESET, tls=ours.server("good")) as server:
        target = watched(server.url, ca_file=ours.ca_file)
        transcript = await probed(wire, target)
    assert judged(transcript, target)[0] is Outcome.TRUNCATED


# --- proxies ---


@asynccontextmanager
async def tunnelling(status: int = 200) -> AsyncIterator[tuple[str, list[str]]]:
    """A proxy that opens tunnels, or answers with another status; what it was asked."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 %d Said\r\n\r\n" % status)
        if status == 200:
            host, _, port = asked[-1].split(" ")[1].rpartition(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        else:
            await pump(reader, writer)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while some := await source.read(65536):
            sink.write(some)
        sink.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", asked


async def test_an_https_target_is_reached_through_a_tunnel(wire: Wire, ours: Authority) -> None:
    async with tunnelling() as (proxy, asked), scripted(*ANSWER, tls=ours.server("good")) as server:
        proxy = proxy.replace("://", "://user:pass%40word@")
        target = watched(server.url, ca_file=ours.ca_file, proxy=proxy)
        transcript = await probed(wire, target)
    assert transcript.ending is Ending.END
    assert transcript.stamp is not Stamp.USER
    assert asked[0].startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic dXNlcjpwYXNzQHdvcmQ=\r\n" in asked[0]
    assert "proxy-authorization" not in server.requests[0].headers


async def test_certificates_are_checked_behind_a_proxy_too(wire: Wire, ours: Authority) -> None:
    async with tunnelling() as (proxy, _), scripted(*ANSWER, tls=ours.server("good")) as server:
        transcript = await probed(wire, watched(server.url, proxy=proxy))
    assert transcript.ending is Ending.TLS


async def test_an_http_target_is_asked_for_by_its_absolute_address(wire: Wire) -> None:
    async with scripted(*ANSWER) as proxy:
        target = watched("http://rag.example:8080", proxy=proxy.url)
        transcript = await probed(wire, target)
        (asked,) = proxy.requests
    assert transcript.ending is Ending.END
    assert isinstance(asked, Asked)
    assert asked.target.startswith("http://rag.example:8080/bali-zero/chat-stream?")
    assert asked.headers["host"] == "rag.example:8080"


async def test_a_proxy_that_declines_is_named_without_its_password(wire: Wire) -> None:
    async with tunnelling(407) as (proxy, _):
        named = proxy.replace("://", "://user:secret@")
        transcript = await probed(wire, watched("https://rag.example", proxy=named))
    assert transcript.ending is Ending.REFUSED
    assert transcript.detail is not None
    assert "407" in transcript.detail
    assert "secret" not in transcript.detail


async def test_a_name_that_no_certificate_can_bear(wire: Wire) -> None:
    async with scripted(b"HTTP/1.1 200 Open\r\n\r\n", HANG) as proxy:
        transcript = await probed(wire, watched("https://.example", proxy=proxy.url))
    assert transcript.ending is Ending.TLS


@pytest.mark.parametrize("port", [0, 65536, 99999])
async def test_a_port_that_does_not_exist(wire: Wire, port: int) -> None:
    transcript = await probed(wire, watched(f"http://127.0.0.1:{port}"))
    assert transcript.ending is Ending.REFUSED


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "https://127.0.0.1:1", "ftp://x", "x"])
async def test_other_proxies_are_refused_in_words(wire: Wire, proxy: str) -> None:
    transcript = await probed(wire, watched("http://127.0.0.1:1", proxy=proxy))
    assert transcript.ending is Ending.REFUSED
    assert transcript.detail is not None
    assert "proxy" in transcript.detail or "proxies" in transcript.detail


async def test_proxies_of_the_environment_are_not_used(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{nobody()}")
    async with scripted(*ANSWER) as server:
        transcript = await probed(wire, watched(server.url))
    assert transcript.ending is Ending.END


async def test_an_answer_that_is_not_from_the_target_is_a_status(wire: Wire) -> None:
    async with scripted(whole(502, b"no route")) as proxy:
        transcript = await probed(wire, watched("http://rag.example", proxy=proxy.url))
    assert (transcript.ending, transcript.body) == (Ending.STATUS, "no route")

"""Proxies: used where a target names one, and never otherwise."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from monitor.domain import Ending, Outcome, StampSource
from monitor.probing.client import ProbeClient
from tests.certificates import Authority
from tests.raw_server import hang_up, serving
from tests.scripted_server import (
    HANG,
    LAST,
    ScriptedRequest,
    chunk,
    full_reply,
    head,
    scripted_server,
)
from tests.single_probe import DONE, HI, outcome_and_timing, probe_once, sse, target_at

ANSWER = (head(), chunk(sse(HI)), chunk(sse(DONE)), LAST)


@asynccontextmanager
async def tunnelling(status: int = 200) -> AsyncIterator[tuple[str, list[str]]]:
    """A proxy that opens tunnels, or answers with another status; what it was asked."""
    requested: list[str] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requested.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 %d Said\r\n\r\n" % status)
        if status == 200:
            host, _, port = requested[-1].split(" ")[1].rpartition(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            try:
                await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
            finally:
                await hang_up([far_writer])
        else:
            await pump(reader, writer)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while some := await source.read(65536):
            sink.write(some)
        sink.close()

    async with serving(carry) as port:
        yield f"http://127.0.0.1:{port}", requested


async def test_an_https_target_is_reached_through_a_tunnel(
    wire: ProbeClient, ours: Authority
) -> None:
    async with (
        tunnelling() as (proxy, requested),
        scripted_server(*ANSWER, tls=ours.server("good")) as server,
    ):
        proxy = proxy.replace("://", "://user:pass%40word@")
        target = target_at(server.url, ca_file=ours.ca_file, proxy=proxy)
        transcript = await probe_once(wire, target)
    assert transcript.ending is Ending.END
    assert transcript.stamp is not StampSource.USER
    assert requested[0].startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic dXNlcjpwYXNzQHdvcmQ=\r\n" in requested[0]
    assert "proxy-authorization" not in server.requests[0].headers


async def test_certificates_are_checked_behind_a_proxy_too(
    wire: ProbeClient, ours: Authority
) -> None:
    async with (
        tunnelling() as (proxy, _),
        scripted_server(*ANSWER, tls=ours.server("good")) as server,
    ):
        transcript = await probe_once(wire, target_at(server.url, proxy=proxy))
    assert transcript.ending is Ending.TLS


async def test_an_http_target_is_asked_for_by_its_absolute_address(wire: ProbeClient) -> None:
    async with scripted_server(*ANSWER) as proxy:
        target = target_at("http://rag.example:8080", proxy=proxy.url)
        transcript = await probe_once(wire, target)
        (requested,) = proxy.requests
    assert transcript.ending is Ending.END
    assert isinstance(requested, ScriptedRequest)
    assert requested.target.startswith("http://rag.example:8080/bali-zero/chat-stream?")
    assert requested.headers["host"] == "rag.example:8080"


async def test_a_proxy_that_declines_is_named_without_its_password(wire: ProbeClient) -> None:
    async with tunnelling(407) as (proxy, _):
        named = proxy.replace("://", "://user:secret@")
        transcript = await probe_once(wire, target_at("https://rag.example", proxy=named))
    assert transcript.ending is Ending.REFUSED
    assert transcript.detail is not None
    assert "407" in transcript.detail
    assert "secret" not in transcript.detail


@pytest.mark.parametrize("deadline", ["connect_deadline", "deadline"])
async def test_a_proxy_that_never_opens_the_tunnel(wire: ProbeClient, deadline: str) -> None:
    async with scripted_server(HANG) as proxy:
        target = target_at("https://rag.example", proxy=proxy.url, **{deadline: 0.2})
        transcript = await probe_once(wire, target)
        assert proxy.requests[0].method == "CONNECT"
    assert outcome_and_timing(transcript, target)[0] is Outcome.CONNECT
    assert transcript.detail == "connect: the proxy opened no tunnel within 0.2 s"
    assert transcript.sent_ns is None


async def test_a_handshake_that_hangs_behind_a_proxy(wire: ProbeClient) -> None:
    async with scripted_server(b"HTTP/1.1 200 Open\r\n\r\n", HANG) as proxy:
        target = target_at("https://rag.example", proxy=proxy.url, connect_deadline=0.2)
        transcript = await probe_once(wire, target)
    assert outcome_and_timing(transcript, target)[0] is Outcome.TLS
    assert transcript.detail == "tls: the handshake was not finished within 0.2 s"


async def test_a_name_that_no_certificate_can_bear(wire: ProbeClient) -> None:
    async with scripted_server(b"HTTP/1.1 200 Open\r\n\r\n", HANG) as proxy:
        transcript = await probe_once(wire, target_at("https://.example", proxy=proxy.url))
    assert transcript.ending is Ending.TLS


@pytest.mark.parametrize("port", [0, 65536, 99999])
async def test_a_port_that_does_not_exist(wire: ProbeClient, port: int) -> None:
    transcript = await probe_once(wire, target_at(f"http://127.0.0.1:{port}"))
    assert transcript.ending is Ending.REFUSED


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "https://127.0.0.1:1", "ftp://x", "x"])
async def test_other_proxies_are_refused_in_words(wire: ProbeClient, proxy: str) -> None:
    transcript = await probe_once(wire, target_at("http://127.0.0.1:1", proxy=proxy))
    assert transcript.ending is Ending.REFUSED
    assert transcript.detail is not None
    assert "proxy" in transcript.detail or "proxies" in transcript.detail


async def test_proxies_of_the_environment_are_not_used(
    wire: ProbeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with scripted_server(*ANSWER) as server:
        transcript = await probe_once(wire, target_at(server.url))
    assert transcript.ending is Ending.END


async def test_an_answer_that_is_not_from_the_target_is_a_status(wire: ProbeClient) -> None:
    async with scripted_server(full_reply(502, b"no route")) as proxy:
        transcript = await probe_once(wire, target_at("http://rag.example", proxy=proxy.url))
    assert (transcript.ending, transcript.body) == (Ending.STATUS, "no route")

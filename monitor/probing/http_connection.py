"""One HTTP/1.1 request over one new connection; h11 writes and parses the headers.

httpcore's own connection is built for sharing and reuse: its locks, traces and states cost more
than the whole exchange, and its pool scans them all for every request.
"""

import base64
import errno
import ipaddress
import os
import re
import socket
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import h11
import httpcore
import httpx
from aiohappyeyeballs import AddrInfoType, start_connection

from monitor.domain import Ending
from monitor.network_settings import look_up
from monitor.probing.http_message import ChunkedBody, HttpBody, SizedBody, UnsizedBody
from monitor.probing.limits import HEAD_BYTES, ProbeError, reason
from monitor.probing.resources import ProbeResources
from monitor.probing.timestamped_socket import (
    ConnectionTimes,
    TimestampedStream,
    enable_kernel_timestamps,
)
from monitor.probing.tls import context

READ_BYTES = 64 * 1024
Fields = list[tuple[bytes, bytes]]


class ProbeConnection(httpx.AsyncByteStream):
    """A connected stream for one request. Iterating over it yields the body as it arrives."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
        self._body: HttpBody = SizedBody(0)

    async def ask(self, method: str, target: bytes, fields: Fields, body: bytes) -> h11.Response:
        """Send the request in one piece; return the response's head, whatever its status.

        Raises ProbeError, and what httpcore's streams and h11 raise.
        """
        request = h11.Request(method=method, target=target, headers=fields)
        events = [request, h11.Data(data=body), h11.EndOfMessage()]
        with suppress(httpcore.WriteError):  # the server may already have answered
            await self._stream.write(b"".join(self._http.send(event) or b"" for event in events))
        head = await self._head()
        self._body = framed(head)
        return head

    async def _head(self) -> h11.Response:
        first = b""
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Response):
                return event
            if event is h11.NEED_DATA:
                data = await self._stream.read(READ_BYTES)
                if not data:
                    raise ProbeError(Ending.PROTOCOL, "the connection closed before the head's end")
                first = first or data
                if not first.startswith(b"HTTP/"[: len(first)]):
                    raise ProbeError(Ending.PROTOCOL, "the answer is not HTTP")
                self._http.receive_data(data)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        data, _ = self._http.trailing_data
        while True:
            if piece := self._body.feed(data):
                yield piece
            if self._body.ended:
                return
            data = await self._stream.read(READ_BYTES)
            if not data:
                break
        if not self._body.open_ended:
            raise ProbeError(Ending.EOF, "the connection closed before the body's end")


def framed(head: h11.Response) -> HttpBody:
    """The framing of this response's body; h11 has rejected contradictions already."""
    if head.status_code in (204, 304):
        return SizedBody(0)
    fields = dict(head.headers)
    if b"transfer-encoding" in fields:
        return ChunkedBody()
    if b"content-length" in fields:
        return SizedBody(int(fields[b"content-length"]))
    return UnsizedBody()


# From a host name to a connected socket: all addresses of both families, the first one wins.


HEAD_START_S = 0.25  # delay before the next address is tried in parallel (RFC 8305)


# Resources of our own machine: their lack says nothing about the service.
OWN_LIMITS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class SocketAddress(NamedTuple):
    family: socket.AddressFamily
    sockaddr: tuple[Any, ...]

    def __str__(self) -> str:
        host, port = self.sockaddr[:2]
        return f"[{host}]:{port}" if self.family is socket.AF_INET6 else f"{host}:{port}"


def literal(host: str, port: int) -> SocketAddress | None:
    """The address if `host` is one, not a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if address.version == 4:
        return SocketAddress(socket.AF_INET, (host, port))
    return None if "%" in host else SocketAddress(socket.AF_INET6, (host, port, 0, 0))


async def resolved(host: str, port: int) -> list[SocketAddress]:
    """The addresses of a name. Raises ProbeError where there are none."""
    try:
        found = await look_up(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        cause = reason(error) if isinstance(error, OSError) else str(error)
        raise ProbeError(Ending.DNS, f"{host}: {cause}") from error
    if not found:
        raise ProbeError(Ending.DNS, f"{host}: the name has no address")
    return [SocketAddress(family, sockaddr) for family, _, _, _, sockaddr in found]


async def first_connected(addresses: list[SocketAddress], *, kernel: bool) -> socket.socket:
    """A socket to whichever address answers first; families take turns (RFC 8305).

    Raises ProbeError with every address and reason where none answers: `aborted` if our own
    machine lacks a resource.
    """

    def prepared(info: AddrInfoType) -> socket.socket:
        sock = socket.socket(info[0], socket.SOCK_STREAM)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if kernel:
            enable_kernel_timestamps(sock)
        return sock

    infos = [(a.family, socket.SOCK_STREAM, 0, "", a.sockaddr) for a in addresses]
    try:
        return await start_connection(
            infos, happy_eyeballs_delay=HEAD_START_S, socket_factory=prepared
        )
    except (OSError, RuntimeError) as error:
        if OWN_LIMITS.intersection(_numbers(error)):
            raise ProbeError(Ending.ABORTED, f"the monitor: {_reasons(error)}") from error
        where = ", ".join(map(str, addresses))
        raise ProbeError(Ending.REFUSED, f"{where}: {_reasons(error)}") from error


def _numbers(error: OSError | RuntimeError) -> list[int]:
    """The error numbers of all addresses; the library puts several errors into one message."""
    if isinstance(error, OSError) and error.errno is not None:
        return [error.errno]
    return [int(number) for number in re.findall(r"\[Errno (\d+)\]", str(error))]


def _reasons(error: OSError | RuntimeError) -> str:
    """Why no address answered, each reason once."""
    if isinstance(error, OSError) and error.errno is not None:
        return reason(error)
    return "; ".join(dict.fromkeys(map(os.strerror, _numbers(error)))) or str(error)


# HTTP proxies, used only if a target names one.
#
# An `https` target is reached through a tunnel (CONNECT), so its certificate is verified as usual.
# An `http` target is requested by its absolute URL. The connection to the proxy itself is plain
# HTTP. Proxies in the environment are ignored.


@dataclass(frozen=True, slots=True)
class HttpProxy:
    """The proxy's address, and the header field with its credentials."""

    host: str
    port: int
    fields: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)


def proxied(url: str) -> HttpProxy:
    """The proxy of an address like `http://user:password@host:3128`. Raises ProbeError."""
    try:
        named = httpx.Proxy(url)
    except (ValueError, httpx.InvalidURL) as error:
        raise ProbeError(Ending.REFUSED, "the proxy's address cannot be read") from error
    if named.url.scheme != "http" or not named.url.host:
        raise ProbeError(Ending.REFUSED, "only proxies at http:// addresses are supported")
    fields: tuple[tuple[bytes, bytes], ...] = ()
    if named.raw_auth is not None:
        credentials = base64.b64encode(b":".join(named.raw_auth))
        fields = ((b"Proxy-Authorization", b"Basic " + credentials),)
    return HttpProxy(named.url.raw_host.decode(), named.url.port or 80, fields)


async def tunnelled(
    stream: httpcore.AsyncNetworkStream, proxy: HttpProxy, *, host: str, port: int
) -> None:
    """Request a tunnel from the proxy at the end of the stream. Raises ProbeError if it refuses."""
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    fields = [(b"Host", authority.encode()), *proxy.fields]
    head = await ProbeConnection(stream).ask("CONNECT", authority.encode(), fields, b"")
    if not 200 <= head.status_code < 300:
        where = f"{proxy.host}:{proxy.port}"
        raise ProbeError(Ending.REFUSED, f"proxy {where} declined the tunnel: {head.status_code}")


# Our network backend for httpcore: the connection of one probe, timestamped at every stage.


@dataclass(slots=True)
class NetworkBackend(httpcore.AsyncNetworkBackend):
    """Connects once, directly or through a proxy's tunnel, and closes what it connected.

    `secure`: a TLS handshake follows, so a failure before its end is a TLS failure.
    """

    stamps: ConnectionTimes
    http: ProbeResources
    secure: bool = False
    tunnel: HttpProxy | None = None
    stream: TimestampedStream | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A timestamped stream to the host. The exchange enforces deadlines. Raises ProbeError."""
        through = (self.tunnel.host, self.tunnel.port) if self.tunnel else (host, port)
        if not 0 < through[1] < 65536:
            raise ProbeError(Ending.REFUSED, f"{through[0]}: there is no port {through[1]}")
        address = literal(*through)
        addresses = [address] if address else await resolved(*through)
        if not address:
            self.stamps.dns_ns = time.monotonic_ns()
        self.stamps.stage = Ending.REFUSED
        sock = await first_connected(addresses, kernel=self.http.kernel)
        self.stream = TimestampedStream(sock, self.stamps, self.http)
        if self.tunnel:
            self.stamps.tunnelling = True
            await tunnelled(self.stream, self.tunnel, host=host, port=port)
            self.stamps.tunnelling = False
        self.stamps.connected_ns = time.monotonic_ns()
        self.stamps.stage = Ending.TLS if self.secure else Ending.PROTOCOL
        return self.stream

    async def aclose(self) -> None:
        """Close the connection, at whatever stage it is."""
        if self.stream is not None:
            await self.stream.aclose()


# An httpx transport for one request over one new connection: no pool, no reuse.


PORTS = {"http": 80, "https": 443}


class ProbeTransport(httpx.AsyncBaseTransport):
    """Sends one probe's request to its target, through the target's proxy if it has one.

    Closing it closes the connection.
    """

    def __init__(self, backend: NetworkBackend, *, ca_file: str | None, proxy: str | None) -> None:
        self._backend = backend
        self._ca_file = ca_file
        self._proxy = proxy

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Connect, send, and return with the response's head."""
        url = request.url
        if url.scheme not in PORTS or not url.host:
            raise ProbeError(Ending.PROTOCOL, "the address is not an http(s) URL")
        host, port = url.raw_host.decode("ascii"), url.port or PORTS[url.scheme]
        fields, path = request.headers.raw, url.raw_path
        secure = url.scheme == "https"
        trust = context(self._ca_file) if secure else None
        self._backend.secure = secure
        if self._proxy is not None:
            proxy = proxied(self._proxy)
            if secure:
                self._backend.tunnel = proxy
            else:
                host, port = proxy.host, proxy.port
                fields = [*fields, *proxy.fields]
                path = b"http://" + url.netloc + path
        stream = await self._backend.connect_tcp(host, port)
        if trust is not None:
            stream = await stream.start_tls(trust, host)
        connection = ProbeConnection(stream)
        head = await connection.ask(request.method, path, fields, request.content)
        return httpx.Response(head.status_code, headers=head.headers.raw_items(), stream=connection)

    async def aclose(self) -> None:
        """Close the connection, at whatever stage it is."""
        await self._backend.aclose()

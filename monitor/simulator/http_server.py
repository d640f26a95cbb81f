"""A small HTTP/1.1 server: requests parsed from a stream, replies as exact bytes.

A framework would choose headers and chunk boundaries itself; here they are part of what is
simulated.
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

LAST_CHUNK = b"0\r\n\r\n"


class MalformedRequest(ValueError):
    """The bytes received are not a valid HTTP/1.1 request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One request. Header names are in lower case; of repeated ones the last counts."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    peer: str

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def parameters(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def keep_alive(self) -> bool:
        return self.headers.get("connection", "").lower() != "close"


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A complete reply that is not a stream."""

    status: int
    body: bytes = b""
    media_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(status: int, reported: Any, headers: Mapping[str, str] | None = None) -> HttpReply:
    """A reply in compact JSON; like the real service's, in raw UTF-8 (its stream is ASCII)."""
    body = json.dumps(reported, separators=(",", ":"), ensure_ascii=False).encode()
    return HttpReply(status, body, "application/json", headers or {})


async def read_request(reader: asyncio.StreamReader, ahead: bytes, peer: str) -> HttpRequest | None:
    """The next request of a connection, or None if the client closed it.

    `ahead` are bytes that were read before. Raises MalformedRequest.
    """
    try:
        head = ahead + await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as fault:
        raise MalformedRequest("request head too large") from fault
    lines = head.decode("latin-1").split("\r\n")[:-2]
    try:
        method, target, version = lines[0].split(" ")
        pairs = [line.split(":", 1) for line in lines[1:]]
        headers = {name.lower(): value.strip() for name, value in pairs}
        length = int(headers.get("content-length", "0"))
    except ValueError as fault:
        raise MalformedRequest("request head cannot be read") from fault
    if version != "HTTP/1.1" or "transfer-encoding" in headers or length < 0:
        raise MalformedRequest("only HTTP/1.1 with a plain body is supported")
    body = await reader.readexactly(length)
    return HttpRequest(method=method, target=target, headers=headers, body=body, peer=peer)


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Status line and headers, in the order given."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def whole(reply: HttpReply, extra: Mapping[str, str], *, bodiless: bool = False) -> bytes:
    """A reply as bytes, with extra headers last. A HEAD request gets no body."""
    headers: dict[str, str] = {}
    if reply.status != HTTPStatus.NO_CONTENT:
        headers["content-length"] = str(len(reply.body))
    if reply.media_type is not None:
        headers["content-type"] = reply.media_type
    body = b"" if bodiless else reply.body
    return head(reply.status, {**headers, **reply.headers, **extra}) + body


def http_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return f"{len(data):x}\r\n".encode("ascii") + data + b"\r\n"


# A loopback port that can refuse connections, and the connections to it.


Answer = Callable[[HttpRequest, asyncio.StreamWriter], Awaitable[bool]]


class SimulatorServer:
    """Accepts connections on one port while open; keeps the port reserved while closed.

    `answer` writes one complete reply and returns whether the connection may stay open. It is
    cancelled as soon as the client closes the connection.
    """

    def __init__(self, answer: Answer, port: int = 0) -> None:
        self._answer = answer
        self._kept = _bound(port)  # never listens: connections to it are refused
        self.port: int = self._kept.getsockname()[1]
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._conversations: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.StreamWriter] = set()  # connections that wait for a request

    def open(self) -> None:
        """Accept connections from now on."""
        if self._listener is None:
            self._listener = _bound(self.port)
            self._listener.listen(1024)
            self._accepting = asyncio.get_running_loop().create_task(self._accept(self._listener))

    def shut(self) -> None:
        """Refuse connections from now on; answers in progress are finished."""
        if self._listener is not None and self._accepting is not None:
            self._accepting.cancel()
            self._listener.close()
            self._listener = self._accepting = None
        for writer in self._idle:
            writer.close()

    def close_connections(self) -> None:
        """End every connection at once, as the death of the process would."""
        for conversation in self._conversations:
            conversation.cancel()

    async def aclose(self) -> None:
        self.shut()
        self.close_connections()
        await asyncio.gather(*self._conversations, return_exceptions=True)
        self._kept.close()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listener)
            conversation = loop.create_task(self._converse(connection))
            self._conversations.add(conversation)
            conversation.add_done_callback(self._conversations.discard)

    async def _converse(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        peer = writer.get_extra_info("peername")[0]
        ahead: bytes | None = b""
        try:
            while ahead is not None and self._listener is not None:
                self._idle.add(writer)
                request = await read_request(reader, ahead, peer)
                self._idle.discard(writer)
                ahead = None if request is None else await self._reply(request, reader, writer)
        except MalformedRequest:
            invalid = HttpReply(400, b"Invalid HTTP request received.", "text/plain; charset=utf-8")
            writer.write(whole(invalid, {"connection": "close"}))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client is gone
        finally:
            self._idle.discard(writer)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _reply(
        self, request: HttpRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes | None:
        """Answer while reading: bytes already read of the next request; None is the end."""
        answering = asyncio.ensure_future(self._answer(request, writer))
        listening = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait((answering, listening), return_when=asyncio.FIRST_COMPLETED)
            ahead = await listening if listening.done() else b""
            if listening.done() and not ahead:
                return None
            lives_on = await answering
            await writer.drain()
            if listening.done() and not ahead:
                ahead = await listening
            return ahead if lives_on and request.keep_alive else None
        finally:
            for task in (answering, listening):
                task.cancel()
            await asyncio.gather(answering, listening, return_exceptions=True)


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # beside the one kept
    bound.setblocking(False)
    bound.bind(("127.0.0.1", port))
    return bound

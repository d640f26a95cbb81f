"""A scripted server: plays bytes, pauses and worse at whoever asks, and remembers what was asked.

    async with scripted(head(), chunk(b"data: a\\n\\n"), Pause(0.2), RESET) as server:
        ... server.url ...

Every connection is played the same script, after its request was read. When the script is
over the connection is closed, with whatever framing the script gave it.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Drip:
    """Bytes one by one, a moment apart."""

    data: bytes
    every_s: float = 0.001


@dataclass(frozen=True, slots=True)
class Forever:
    """The same bytes again and again, until nobody takes them."""

    data: bytes
    every_s: float = 0.0


class ServerAction(Enum):
    RESET = "the connection is torn down"
    HALF_CLOSE = "no more is sent, and nothing is closed"
    HANG = "nothing more happens until the peer leaves"


RESET, HALF_CLOSE, HANG = ServerAction.RESET, ServerAction.HALF_CLOSE, ServerAction.HANG
Step = bytes | Pause | Drip | Forever | ServerAction


@dataclass(frozen=True, slots=True)
class ScriptedRequest:
    """A request as it came. Header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Server:
    """What was asked so far. `asked` is set by a request, `over` when a script has ended."""

    host: str
    port: int
    scheme: str
    requests: list[ScriptedRequest] = field(default_factory=list)
    connections: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@asynccontextmanager
async def scripted_server(
    *script: Step,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    deaf: bool = False,
) -> AsyncIterator[Server]:
    """A server playing the script. `deaf`: it does not wait for a request."""
    playing: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        playing.add(task)
        server.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if not deaf:
                server.requests.append(await _asked(reader))
                server.asked.set()
            await _play(script, reader, writer)
        server.over.set()
        writer.transport.abort() if writer.is_closing() else writer.close()
        playing.discard(task)

    listener = await asyncio.start_server(serve, host, 0, ssl=tls)
    port = listener.sockets[0].getsockname()[1]
    server = Server(host, port, "https" if tls else "http")
    try:
        yield server
    finally:
        listener.close()
        for task in playing:
            task.cancel()
        if playing:
            await asyncio.wait(playing)
        await asyncio.sleep(0)


async def _asked(reader: asyncio.StreamReader) -> ScriptedRequest:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    method, target, _ = first.split(" ")
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return ScriptedRequest(method, target, headers, body)


async def _play(
    script: Iterable[Step], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    for step in script:
        match step:
            case bytes():
                writer.write(step)
                await writer.drain()
            case Pause():
                await asyncio.sleep(step.seconds)
            case Drip():
                for byte in step.data:
                    writer.write(bytes([byte]))
                    await asyncio.sleep(step.every_s)
            case Forever():
                while not writer.is_closing() and not reader.at_eof():
                    writer.write(step.data)
                    await writer.drain()
                    await asyncio.sleep(step.every_s)
            case ServerAction.RESET:
                sock: socket.socket = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return
            case ServerAction.HALF_CLOSE:
                writer.write_eof()
            case ServerAction.HANG:
                await reader.read()


def head(
    status: int = 200,
    *fields: tuple[str, str],
    media: str | None = "text/event-stream",
    chunked: bool = True,
) -> bytes:
    """A response's head. Without `chunked` and `Content-Length` the body ends by closing."""
    lines = [f"HTTP/1.1 {status} Scripted"]
    if media is not None:
        lines.append(f"Content-Type: {media}")
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """Data as one HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST = b"0\r\n\r\n"


def full_reply(
    status: int, body: bytes, *fields: tuple[str, str], media: str | None = None
) -> bytes:
    """A whole response of known length."""
    length = ("Content-Length", str(len(body)))
    return head(status, length, *fields, media=media, chunked=False) + body

"""A provider's API on loopback: returns what a test configures and records the requests."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.raw_server import serving


@dataclass(frozen=True)
class ProviderRequest:
    """One request as it arrived: path with parameters, headers in lower case."""

    path: str
    headers: dict[str, str]


@dataclass
class Provider:
    """A running server. Its replies are used up in order; the last one is repeated."""

    address: str
    asked: list[ProviderRequest] = field(default_factory=list)


def reply(
    status: int = 200, body: object = None, *, headers: dict[str, str] | None = None
) -> bytes:
    """A whole HTTP reply; a body that is no bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Type": "application/json", "Content-Length": str(len(content))}
    fields |= headers or {}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + content


class HeldReply(bytes):
    """Said, and then silence on an open connection."""


class SlowReply(bytes):
    """Said byte by byte, fifty a second: never silent, never done."""


@asynccontextmanager
async def provider(
    *replies: bytes | Callable[[ProviderRequest], bytes], ssl_context: ssl.SSLContext | None = None
) -> AsyncIterator[Provider]:
    """Serve replies on a free port until left."""
    running: Provider
    served = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.split(": ", 1) for line in head[1:] if line)
        requested = ProviderRequest(
            head[0].split(" ")[1], {name.lower(): value for name, value in pairs}
        )
        running.asked.append(requested)
        chosen = replies[min(served, len(replies) - 1)]
        served += 1
        reported = chosen if isinstance(chosen, bytes) else chosen(requested)
        for part in (
            [bytes([b]) for b in reported] if isinstance(reported, SlowReply) else [reported]
        ):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02 if isinstance(reported, SlowReply) else 0)
        if isinstance(reported, HeldReply):
            await reader.read()  # until the client hangs up

    async with serving(serve, tls=ssl_context) as port:
        running = Provider(f"{'https' if ssl_context else 'http'}://127.0.0.1:{port}")
        yield running

"""A web server for a few small pages: GET and HEAD, one request per connection, with limits."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus

HEAD_BYTES = 8 * 1024
PATIENCE_S = 5.0
AT_ONCE = 32  # connections; further ones are closed at once


@dataclass(frozen=True, slots=True)
class EndpointReply:
    status: int
    content_type: str
    body: bytes
    fields: Mapping[str, str] = field(default_factory=dict)  # further header fields


Ask = Callable[[str, str], Awaitable[EndpointReply]]  # path, what is accepted


@asynccontextmanager
async def listening(host: str, port: int, answer: Ask) -> AsyncIterator[int]:
    """Serve while the body runs; yields the port, which is a free one for port 0."""
    open_now: set[asyncio.StreamWriter] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        writer.transport.set_write_buffer_limits(0)  # `drain` returns when all is sent
        try:
            if len(open_now) <= AT_ONCE:
                async with asyncio.timeout(PATIENCE_S):
                    writer.write(await _written(await _read(reader), answer))
                    await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            # The client is gone, or does not read. `close` would wait for it without a limit.
            writer.transport.abort()
        finally:
            open_now.discard(writer)
            writer.close()

    server = await asyncio.start_server(converse, host, port, limit=HEAD_BYTES)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in tuple(open_now):
            writer.transport.abort()
        with suppress(TimeoutError):  # not wait_for: before 3.12 it may swallow a cancellation
            async with asyncio.timeout(1.0):
                await server.wait_closed()


async def _read(reader: asyncio.StreamReader) -> list[str] | None:
    """The lines of a request head; None if it is too long."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return None
    return head.decode("latin-1").split("\r\n")


async def _written(head: list[str] | None, answer: Ask) -> bytes:
    text = head[0].split(" ") if head else []
    if head is None or len(text) != 3 or not text[2].startswith("HTTP/1."):
        return _whole(EndpointReply(400, "text/plain; charset=utf-8", b"not a request\n"))
    method, target, _ = text
    if method not in ("GET", "HEAD"):
        return _whole(EndpointReply(405, "text/plain; charset=utf-8", b"GET or HEAD\n"))
    fields = dict(line.lower().split(":", 1) for line in head[1:] if ":" in line)
    return _whole(
        await answer(target.partition("?")[0], fields.get("accept", "").strip()),
        bodiless=method == "HEAD",
    )


_ALWAYS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "connection": "close",
}


def _whole(reply: EndpointReply, *, bodiless: bool = False) -> bytes:
    fields = {
        "content-type": reply.content_type,
        "content-length": f"{len(reply.body)}",
        **_ALWAYS,
        **reply.fields,
    }
    head = f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
    return head.encode("latin-1") + (b"" if bodiless else reply.body)


# The lag of our own event loop: a sleep of one second, and by how much it was late.


PERIOD_S = 1.0


@asynccontextmanager
async def measure_lag(tell: Callable[[float], None]) -> AsyncIterator[None]:
    """Report the lag of every second, in seconds, while the body runs."""
    feeling = asyncio.create_task(_measure_lag(tell))
    try:
        yield
    finally:
        feeling.cancel()
        with suppress(asyncio.CancelledError):
            await feeling


async def _measure_lag(tell: Callable[[float], None]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + PERIOD_S
        await asyncio.sleep(PERIOD_S)
        tell(max(loop.time() - due, 0.0))

"""A small web server that returns what a test configures and records the requests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.raw_server import serving


@dataclass(slots=True)
class Site:
    """`status` and `body` are the next reply's; `asked` are whole request heads, in order."""

    url: str = ""
    status: int = 200
    body: bytes = b"{}"
    asked: list[str] = field(default_factory=list)


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    made = Site()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        head = f"HTTP/1.1 {made.status} X\r\ncontent-length: {len(made.body)}\r\n"
        writer.write(head.encode() + b"connection: close\r\n\r\n" + made.body)
        await writer.drain()

    async with serving(converse) as port:
        made.url = f"http://127.0.0.1:{port}"
        yield made

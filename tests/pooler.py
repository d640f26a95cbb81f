"""A strict pooler before a real Postgres: it lends a session for one transaction only.

    async with pooled(url) as address: ... connect to address ...

Like PgBouncer in transaction mode it refuses start-up parameters it does not track, and
nothing set for a session outlives the transaction: after each the session is discarded.
Source: www.postgresql.org/docs/current/protocol-message-formats.html
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import make_url

from tests.raw_server import hang_up, serving

TRACKED = {"user", "database", "client_encoding", "DateStyle", "TimeZone", "application_name",
           "standard_conforming_strings"}  # fmt: skip
_NO_ENCRYPTION = (80877103, 80877104)  # SSLRequest, GSSENCRequest
_CANCEL = 80877102
_IDLE, _READY, _DISCARD = b"I", b"Z", b"Q\0\0\0\x10DISCARD ALL\0"


@asynccontextmanager
async def pooled(url: str) -> AsyncIterator[str]:
    """The address of the pooler before the server at `url`, which listens on a socket file."""
    real = make_url(url)
    path = f"{real.query['host']}/.s.PGSQL.{real.query.get('port') or real.port or 5432}"

    async def lend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _lend(reader, writer, path)

    async with serving(lend) as port:
        yield f"postgresql+psycopg://{real.username}@127.0.0.1:{port}/{real.database}"


async def _lend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
    while True:
        size, code = struct.unpack("!ii", await reader.readexactly(8))
        rest = await reader.readexactly(size - 8)
        if code not in _NO_ENCRYPTION:
            break
        writer.write(b"N")
    text = rest.split(b"\0")
    untracked = [] if code == _CANCEL else [w for w in text[:-2:2] if w.decode() not in TRACKED]
    if untracked:
        writer.write(_refusal(f"unsupported startup parameter: {untracked[0].decode()}"))
        return
    session, to_server = await asyncio.open_unix_connection(path)
    to_server.write(struct.pack("!ii", size, code) + rest)
    idle = asyncio.Event()
    talks = [
        asyncio.create_task(_up(reader, to_server, idle)),
        asyncio.create_task(_down(session, writer, to_server, idle)),
    ]
    try:
        await asyncio.wait(talks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await hang_up([to_server])


async def _up(
    reader: asyncio.StreamReader, to_server: asyncio.StreamWriter, idle: asyncio.Event
) -> None:
    """What the client says, once the session before it is forgotten."""
    while True:
        message = await _message(reader)
        await idle.wait()
        to_server.write(message)
        if message[:1] in (b"Q", b"S"):  # Query, Sync: answered by ReadyForQuery
            idle.clear()


async def _down(
    session: asyncio.StreamReader, writer: asyncio.StreamWriter, to_server: asyncio.StreamWriter,
    idle: asyncio.Event,
) -> None:  # fmt: skip
    """What the server says; between two transactions, its forgetting is kept from the client."""
    idle.set()  # to let the client log in
    while True:
        message = await _message(session)
        writer.write(message)
        if message[:1] == _READY:
            idle.clear()
            if message[-1:] == _IDLE:
                to_server.write(_DISCARD)
                while (await _message(session))[:1] != _READY:
                    pass
            idle.set()


async def _message(reader: asyncio.StreamReader) -> bytes:
    start = await reader.readexactly(5)
    (size,) = struct.unpack("!i", start[1:])
    return start + await reader.readexactly(size - 4)


def _refusal(text: str) -> bytes:
    fields = f"SFATAL\0VFATAL\0C08P01\0M{text}\0\0".encode()
    return b"E" + struct.pack("!i", len(fields) + 4) + fields

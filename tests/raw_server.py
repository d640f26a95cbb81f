"""A server of raw bytes whose connections all end with it.

A connection that outlives its loop is closed by the garbage collector, some tests later, and
its warning fails a test that has nothing to do with it.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress

Converse = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(
    converse: Converse, host: str = "127.0.0.1", *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve on a free port, which it yields; at the end cancel every conversation.

    A client that leaves in the middle ends its conversation quietly.
    """
    running: set[asyncio.Task[None]] = set()
    writers: set[asyncio.StreamWriter] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        writers.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await converse(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(one, host, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in running:
            task.cancel()
        results = await asyncio.gather(*running, return_exceptions=True)
        await hang_up(writers)
        for result in results:
            if isinstance(result, Exception):
                raise result


async def hang_up(writers: Iterable[asyncio.StreamWriter]) -> None:
    """Close connections at once, whatever is still to be written, and wait until they are."""
    for writer in writers:
        writer.transport.abort()
    for writer in writers:
        with suppress(OSError):
            await writer.wait_closed()

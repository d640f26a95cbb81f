"""The wire as the rest of the monitor holds it: open for the life of the process, and warm."""

import asyncio
import socket
from contextlib import suppress
from types import TracebackType
from uuid import uuid4

from monitor.domain import (
    Dialect,
    Framing,
    ParsedEvent,
    ProbeRequest,
    Query,
    StampSource,
    StreamEvent,
    Target,
)
from monitor.probing.exchange import exchange
from monitor.probing.resources import ProbeResources
from monitor.probing.timestamped_socket import enable_kernel_timestamps
from monitor.probing.tls import context

REHEARSALS = 20


class ProbeClient(ProbeResources):
    """Opened once per process; `exchange(..., http=wire)` then measures with it."""

    async def __aenter__(self) -> "ProbeClient":
        # The kernel stamps nothing until some socket asks: this one asks while we are open.
        self._asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.kernel = self.kernel and enable_kernel_timestamps(self._asking)
        context(None)
        "rehearsal".encode("idna")  # loads what getaddrinfo will use
        with suppress(OSError):
            await self._rehearse()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()
        self._asking.close()

    async def _rehearse(self) -> None:
        """Whole exchanges with ourselves, so that no probe pays for first times.

        One is enough but where the kernel is still about to begin stamping.
        """
        server = await asyncio.start_server(_answer, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            query = Query(id="rehearsal", text="")
            target = Target(name="rehearsal", url=url, dialect="rehearsal", queries=(query,))
            for _ in range(REHEARSALS):
                transcript = await exchange(
                    REHEARSAL.build_request(query, target),
                    dialect=REHEARSAL,
                    target=target,
                    query=query,
                    probe=uuid4(),
                    http=self,
                )
                if transcript.stamp is not StampSource.USER or not self.kernel:
                    return
                await asyncio.sleep(0.01)


def _parse_event(event: StreamEvent) -> ParsedEvent:
    return ParsedEvent(text=event.data, end=event.name == "end")


REHEARSAL = Dialect(
    name="rehearsal",
    framing=Framing.SSE,
    media_types=("text/event-stream",),
    build_request=lambda query, target: ProbeRequest("GET", target.url),
    parse_event=_parse_event,
)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    body = b"data: a word\n\nevent: end\ndata: \n\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked"
    writer.write(b"%b\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (head, len(body), body))
    writer.close()
    await writer.wait_closed()

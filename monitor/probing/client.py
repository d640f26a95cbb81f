"""The request of a probe: what the dialect builds, with the headers that every probe carries."""

import asyncio
import socket
from contextlib import ExitStack, suppress
from functools import lru_cache
from types import TracebackType
from uuid import UUID

import h11
import httpcore
import httpx

from monitor.domain import (
    Dialect,
    Ending,
    Framing,
    ParsedEvent,
    ProbeRequest,
    Query,
    StampSource,
    StreamEvent,
    Target,
    Transcript,
)
from monitor.probing.garbage_collection import collection_gap, first_text_awaited
from monitor.probing.http_connection import NetworkBackend, ProbeTransport
from monitor.probing.limits import SLICE_BYTES, ProbeDeadline, ProbeError
from monitor.probing.probe_ids import new_probe_id
from monitor.probing.progress import BODY_TIME, ExchangeProgress
from monitor.probing.resources import ProbeResources
from monitor.probing.timestamped_socket import EnoughReceived, enable_kernel_timestamps
from monitor.probing.tls import context


def with_probe_headers(
    request: ProbeRequest, dialect: Dialect, *, target: Target, probe: UUID, version: str
) -> httpx.Request:
    """The complete request. The dialect's headers win over the defaults, the target's over both.

    The user agent, the request id and `Accept-Encoding: identity` cannot be overridden. Raises
    ProbeError, without quoting values, if HTTP cannot carry the request.
    """
    try:
        headers = (
            ("Accept", ", ".join(dialect.media_types)),
            *request.headers,
            *target.headers.items(),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
            ("User-Agent", f"rag-monitor/{version}"),
            ("X-Request-Id", str(probe)),
        )
        last = {name.lower(): (name, value) for name, value in headers}
        return httpx.Request(
            request.method, _url(request.url), headers=list(last.values()), content=request.body
        )
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ProbeError(
            Ending.PROTOCOL, "the request's address or headers are not HTTP"
        ) from error


@lru_cache(maxsize=64)
def _url(text: str) -> httpx.URL:
    """The parsed URL, cached: a target has few URLs and is probed again and again."""
    return httpx.URL(text)


# One exchange with a target: the request is sent, the response is read with timestamps and limits.


CAPPED = (Ending.TOO_LARGE, Ending.PROTOCOL)  # the parser must get no more data
EXPECTED = (
    *(ProbeError, EnoughReceived, httpcore.NetworkError, h11.ProtocolError, OSError),
    *(httpx.HTTPError, httpx.InvalidURL),
)


async def exchange(
    request: ProbeRequest,
    *,
    dialect: Dialect,
    target: Target,
    query: Query,
    probe: UUID,
    http: ProbeResources,
    raw: bool = True,
    held: ExitStack | None = None,
) -> Transcript:
    """Send one request and read until the dialect's end, a deadline or a limit. No retries.

    `raw`: the transcript keeps the data of its events, for recording or for parsing it again.
    `held`: the transcript counts as memory of the streams until this stack is closed; without it,
    until the transcript is returned.
    Expected failures are endings, not exceptions; only cancellation is raised.
    """
    await collection_gap()
    if http.crowded:  # starting costs CPU too, and many probes may start at once
        await http.turns.wait_turn()
    progress = ExchangeProgress(dialect, target, query, http, raw=raw)
    step = min(target.first_token_deadline, target.stall_deadline, BODY_TIME)
    limit = ProbeDeadline(progress.due, progress.unheard, step=step)
    with http.pulse.running(), http.stoppable(limit), first_text_awaited(progress.stamps):
        try:
            async with limit:
                sent = with_probe_headers(
                    request, dialect, target=target, probe=probe, version=http.version
                )
                await _converse(sent, progress, target=target, http=http)
            ending = progress.ending(None)
        except TimeoutError:
            ending = progress.overdue(limit.ending)
        except EXPECTED as error:
            ending = progress.ending(error)
        finally:
            if held is None:
                progress.hearing.release()
            else:
                held.callback(progress.hearing.release)
        return progress.transcript(probe, *ending)


async def _converse(
    request: httpx.Request, progress: ExchangeProgress, *, target: Target, http: ProbeResources
) -> None:
    # Only httpx's transport: its client would add cookies, credentials and redirects.
    stamps = progress.stamps
    transport = ProbeTransport(
        NetworkBackend(stamps, http), ca_file=target.ca_file, proxy=target.proxy
    )
    async with transport:
        response = await transport.handle_async_request(request)
        progress.take_head(response.status_code, response.headers.raw)
        worked = 0  # bytes since the last turn
        async for piece in response.stream:  # type: ignore[union-attr]
            if progress.verdict is not None:
                progress.take_body(piece)
                continue
            for start in range(0, len(piece), SLICE_BYTES):
                part = piece[start : start + SLICE_BYTES]
                if worked and worked + len(part) > SLICE_BYTES:  # let other streams run
                    await http.turns.wait_turn()
                    worked = 0
                worked += len(part)
                progress.hearing.take(part, stamps)
                stamps.spoken = progress.hearing.first_text is not None
                stamps.enough = progress.hearing.ending is not None
                if progress.hearing.ending in CAPPED:
                    break
    if progress.verdict is None:
        progress.hearing.close(stamps)
        progress.body_complete = True


# The probing client as the rest of the monitor uses it: open for the life of the process, warmed
# up.


REHEARSALS = 20


class ProbeClient(ProbeResources):
    """Opened once per process; `exchange(..., http=wire)` then measures with it."""

    async def __aenter__(self) -> "ProbeClient":
        # The kernel timestamps nothing until a socket asks for it. This one does, as long as we
        # run.
        self._asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.kernel = self.kernel and enable_kernel_timestamps(self._asking)
        context(None)
        "rehearsal".encode("idna")  # loads the libraries that getaddrinfo needs
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
        """Complete exchanges with a local server, so that no probe pays for first-time costs.

        One is enough, except while the kernel is still switching timestamps on.
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
                    probe=new_probe_id(),
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

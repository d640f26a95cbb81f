"""One exchange with a target: a request out, a stream in, everything stamped and bounded."""

from uuid import UUID

import h11
import httpcore
import httpx

from monitor.domain import Dialect, Ending, ProbeRequest, Query, Target, Transcript
from monitor.probing.connection_times import EnoughReceived
from monitor.probing.deadline import ProbeDeadline
from monitor.probing.errors import ProbeError
from monitor.probing.httpx_transport import ProbeTransport
from monitor.probing.limits import SLICE_BYTES
from monitor.probing.network_backend import NetworkBackend
from monitor.probing.progress import BODY_TIME, ExchangeProgress
from monitor.probing.request_headers import with_probe_headers
from monitor.probing.resources import ProbeResources

CAPPED = (Ending.TOO_LARGE, Ending.PROTOCOL)  # nothing may be fed to the parser any more
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
) -> Transcript:
    """Ask once and listen until the dialect's end, a deadline or a cap. Nothing is retried.

    `raw`: the transcript keeps the data of its events, to be recorded or heard again.

    Expected trouble is an ending, not an exception; only cancellation passes through.
    """
    if http.crowded:  # beginning is work as well, and a crowd begins all at once
        await http.turns.wait_turn()
    progress = ExchangeProgress(dialect, target, query, http, raw=raw)
    step = min(target.first_token_deadline, target.stall_deadline, BODY_TIME)
    limit = ProbeDeadline(progress.due, progress.unheard, step=step)
    with http.pulse.running(), http.stoppable(limit):
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
            progress.hearing.release()
        return progress.transcript(probe, *ending)


async def _converse(
    request: httpx.Request, progress: ExchangeProgress, *, target: Target, http: ProbeResources
) -> None:
    # Of httpx the transport alone: its client would look for cookies, passwords and redirects.
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
                if worked and worked + len(part) > SLICE_BYTES:  # others get their turn
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

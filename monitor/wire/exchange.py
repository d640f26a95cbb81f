"""One exchange with a target: a request out, a stream in, everything stamped and bounded."""

from uuid import UUID

import h11
import httpcore
import httpx

from monitor.domain import Dialect, Query, Target, Transcript, WireRequest
from monitor.wire.asking import asked
from monitor.wire.backend import Backend
from monitor.wire.instruments import Instruments
from monitor.wire.limit import Limit
from monitor.wire.progress import BODY_TIME, Progress
from monitor.wire.stamps import Enough
from monitor.wire.transport import Transport
from monitor.wire.trouble import Trouble

UNTIMED = httpx.Timeout(None)  # deadlines are the exchange's own
# A response and its stream hold each other, and with them the socket's and TLS's memory; in
# rounds nothing is collected. Whoever is done with a response gives it this stream instead.
SPENT = httpx.ByteStream(b"")
EXPECTED = (
    *(Trouble, Enough, httpcore.NetworkError, h11.ProtocolError, OSError),
    *(httpx.HTTPError, httpx.InvalidURL),
)


async def exchange(
    request: WireRequest,
    *,
    dialect: Dialect,
    target: Target,
    query: Query,
    probe: UUID,
    http: Instruments,
) -> Transcript:
    """Ask once and listen until the dialect's end, a deadline or a cap. Nothing is retried.

    Expected trouble is an ending, not an exception; only cancellation passes through.
    """
    progress = Progress(dialect, target, query, http)
    step = min(target.first_token_deadline, target.stall_deadline, BODY_TIME)
    limit = Limit(progress.due, step=step)
    with http.pulse.felt(), http.stoppable(limit):
        try:
            async with limit:
                sent = asked(request, dialect, target=target, probe=probe, version=http.version)
                await _converse(sent, progress, target=target, http=http)
            ending = progress.ending(None)
        except TimeoutError:
            ending = progress.overdue(limit.ending)
        except EXPECTED as error:
            ending = progress.ending(error)
        return progress.transcript(probe, *ending)


async def _converse(
    request: httpx.Request, progress: Progress, *, target: Target, http: Instruments
) -> None:
    stamps = progress.stamps
    backend = Backend(stamps, http.clock, http.pulse, kernel=http.kernel)
    transport = Transport(backend, ca_file=target.ca_file, proxy=target.proxy)

    async def heed(response: httpx.Response) -> None:  # before httpx looks where a redirect leads
        progress.take_head(response.status_code, response.headers.raw)

    # A client of its own for every probe: no cookie of one answer rides on the next request.
    client = httpx.AsyncClient(
        transport=transport, timeout=UNTIMED, trust_env=False, event_hooks={"response": [heed]}
    )
    async with client:
        response = await client.send(request, stream=True)
        try:
            async for piece in response.aiter_raw():
                if progress.verdict is not None:
                    progress.take_body(piece)
                else:
                    progress.hearing.take(piece, stamps)
                    stamps.enough = progress.hearing.ending is not None
        finally:
            response.stream = SPENT
    if progress.verdict is None:
        progress.hearing.close(stamps)

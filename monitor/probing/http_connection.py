"""One HTTP/1.1 request over one fresh connection, its head spoken and read by h11.

httpcore's own connection is made to be shared and used again: its locks, traces and states
cost more than the whole exchange, and its pool scans them all for every request.
"""

from collections.abc import AsyncIterator
from contextlib import suppress

import h11
import httpcore
import httpx

from monitor.domain import Ending
from monitor.probing.http_message import ChunkedBody, HttpBody, SizedBody, UnsizedBody
from monitor.probing.limits import HEAD_BYTES, ProbeError

READ_BYTES = 64 * 1024
Fields = list[tuple[bytes, bytes]]


class ProbeConnection(httpx.AsyncByteStream):
    """A connected stream that is asked once. Iterated, it gives the body as it arrives."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
        self._body: HttpBody = SizedBody(0)

    async def ask(self, method: str, target: bytes, fields: Fields, body: bytes) -> h11.Response:
        """Send the request in one piece; return the response's head, whatever its status.

        Raises Trouble, and what httpcore's streams and h11 raise.
        """
        request = h11.Request(method=method, target=target, headers=fields)
        events = [request, h11.Data(data=body), h11.EndOfMessage()]
        with suppress(httpcore.WriteError):  # an early answer may be waiting all the same
            await self._stream.write(b"".join(self._http.send(event) or b"" for event in events))
        head = await self._head()
        self._body = framed(head)
        return head

    async def _head(self) -> h11.Response:
        first = b""
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Response):
                return event
            if event is h11.NEED_DATA:
                data = await self._stream.read(READ_BYTES)
                if not data:
                    raise ProbeError(Ending.PROTOCOL, "the connection closed before the head's end")
                first = first or data
                if not first.startswith(b"HTTP/"[: len(first)]):
                    raise ProbeError(Ending.PROTOCOL, "the answer is not HTTP")
                self._http.receive_data(data)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        data, _ = self._http.trailing_data
        while True:
            if piece := self._body.feed(data):
                yield piece
            if self._body.ended:
                return
            data = await self._stream.read(READ_BYTES)
            if not data:
                break
        if not self._body.open_ended:
            raise ProbeError(Ending.EOF, "the connection closed before the body's end")


def framed(head: h11.Response) -> HttpBody:
    """How the body of this response is framed; h11 has refused contradictions already."""
    if head.status_code in (204, 304):
        return SizedBody(0)
    fields = dict(head.headers)
    if b"transfer-encoding" in fields:
        return ChunkedBody()
    if b"content-length" in fields:
        return SizedBody(int(fields[b"content-length"]))
    return UnsizedBody()

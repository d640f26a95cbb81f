"""Stamped sockets: a network stream for httpcore that knows when its bytes arrived.

The loop's reader callback takes bytes with `recvmsg` together with the kernel's receive
stamp (`SO_TIMESTAMPNS`), so arrival does not depend on how busy the loop is. When we come
late the kernel may have merged segments, and keeps the later stamp; the kernel's count of
segments (`TCP_INFO`) tells, and the pulse bounds how far off the stamp can be.
"""

import asyncio
import socket
import struct
import sys
import time
from ssl import SSLContext
from typing import Any

import httpcore

from monitor.domain import Ending
from monitor.probing.connection_times import ConnectionTimes, EnoughReceived
from monitor.probing.errors import reason
from monitor.probing.read_queue import ReadQueue, SocketRead
from monitor.probing.resources import ProbeResources
from monitor.probing.tls import TlsStream

READ_BYTES = 16 * 1024
PAUSE_NS = 200_000  # a read that took this long was interrupted, and may hold what came meanwhile
SO_TIMESTAMPNS = 35  # asm-generic/socket.h; not named by Python's socket module
TIMESPEC = struct.Struct("@ll")
SEGMENTS_IN = struct.Struct("@I")  # tcp_info.tcpi_data_segs_in
SEGMENTS_IN_AT = 152


class TimestampedStream(httpcore.AsyncNetworkStream):
    """A connected socket. Takes possession of it."""

    def __init__(self, sock: socket.socket, stamps: ConnectionTimes, http: ProbeResources) -> None:
        self.stamps = stamps
        self._sock = sock
        self._http = http
        self._loop = asyncio.get_running_loop()
        self._reads = ReadQueue(stamps, http)
        self._segments = 0  # received before the last read
        self._emptied_ns = time.monotonic_ns()  # nothing waited in the kernel then
        self._watched_ns: int | None = None  # the loop has looked at the socket since
        self._left_ns = 0
        self._away_ns = 0  # looked away for so long, which may have held up the sender
        self._over = False  # the peer closed or reset
        self._error: OSError | None = None
        self._watch()

    def _watch(self) -> None:
        self._watched_ns = time.monotonic_ns()
        self._loop.add_reader(self._sock.fileno(), self._readable)

    def _stop_watching(self) -> None:
        self._watched_ns, self._left_ns = None, time.monotonic_ns()
        self._loop.remove_reader(self._sock.fileno())

    def _watch_again(self) -> None:
        self._away_ns += time.monotonic_ns() - self._left_ns
        self._watch()

    def _readable(self) -> None:
        began = time.monotonic_ns()
        try:
            segments = 0 if self.stamps.spoken else self._segments_in()
            data, ancillary, _, _ = self._sock.recvmsg(READ_BYTES, 64)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._error = error
            data = b""
        if not data:
            self._over = True
            self._stop_watching()
            self._reads.call()
            return
        now = time.monotonic_ns()
        read = segments if now - began < PAUSE_NS else self._segments_in()
        merged = read - self._segments > 1
        self._reads.hold(self._stamped(data, ancillary, now=now, merged=merged))
        if len(data) < READ_BYTES:
            self._segments, self._emptied_ns = segments, began
        if self._reads.full:
            self._stop_watching()

    def _segments_in(self) -> int:
        """Data segments received so far. Counted before a read, so never too many."""
        if sys.platform != "linux":
            return 0
        info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
        if len(info) < SEGMENTS_IN_AT + SEGMENTS_IN.size:
            return 0
        return int(SEGMENTS_IN.unpack_from(info, SEGMENTS_IN_AT)[0])

    def _stamped(self, data: bytes, ancillary: list[Any], *, now: int, merged: bool) -> SocketRead:
        """The read with its arrival: by the kernel's stamp, or else by when we came for it."""
        since = self._emptied_ns
        if self._watched_ns is not None and self._http.pulse.polled_ns > self._watched_ns:
            since = max(since, self._http.pulse.polled_ns)
        for level, kind, stamp in ancillary:
            if (level, kind) != (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                continue
            seconds, nanoseconds = TIMESPEC.unpack_from(stamp)
            arrived = self._http.clock.arrival(seconds * 1_000_000_000 + nanoseconds, now)
            if arrived is None:
                break
            self.stamps.late_ns = max(self.stamps.late_ns, now - arrived)
            doubt = max(arrived - since, 0) if merged else 0
            return SocketRead(data, arrived, doubt + self._away_ns, kernel=True)
        return SocketRead(data, now, now - since + self._away_ns, kernel=False)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The bytes of the next read, whole; empty at the end. `stamps` then speaks of them.

        Deadlines are the exchange's: `timeout` is not looked at, and reads are smaller than
        `max_bytes`. Raises Enough once the exchange has heard enough.
        """
        if self.stamps.enough:
            raise EnoughReceived
        while (data := self._reads.take()) is None:
            if self._error is not None:
                raise httpcore.ReadError(reason(self._error))
            if self._over:
                return b""
            await self._reads.called()
        if self._watched_ns is None and not self._over and not self._reads.full:
            self._watch_again()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send everything. Of a request, the instant before the last `send()` stays."""
        while buffer:
            before = time.monotonic_ns()
            try:
                sent = self._sock.send(buffer)
            except (BlockingIOError, InterruptedError):
                await self._writable()
                continue
            except OSError as error:
                raise httpcore.WriteError(reason(error)) from error
            if self.stamps.stage is Ending.PROTOCOL:
                self.stamps.sent_ns = before
                self.stamps.sending_ns = time.monotonic_ns() - before
            buffer = buffer[sent:]

    async def _writable(self) -> None:
        writable = self._loop.create_future()
        self._loop.add_writer(self._sock.fileno(), _settle, writable)
        try:
            await writable
        finally:
            self._loop.remove_writer(self._sock.fileno())

    async def aclose(self) -> None:
        """Close the socket, once."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()

    async def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Shake hands and return the encrypted stream over this socket."""
        stream = TlsStream(self, ssl_context, host=server_hostname)
        await stream.handshake()
        self.stamps.tls_ns = time.monotonic_ns()
        self.stamps.stage = Ending.PROTOCOL
        return stream

    def get_extra_info(self, info: str) -> Any:
        return self._sock if info == "socket" else None


def enable_kernel_timestamps(sock: socket.socket) -> bool:
    """Have the kernel stamp what this socket receives. False where it cannot."""
    if sys.platform != "linux":
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)

"""The timestamps and the stage of one probe's connection, and the socket that records them."""

import asyncio
import socket
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any, NamedTuple

import httpcore

from monitor.domain import Ending
from monitor.probing.limits import reason
from monitor.probing.resources import ProbeResources
from monitor.probing.tls import TlsStream


@dataclass(slots=True)
class ConnectionTimes:
    """Written by the connection, read by the exchange. All instants are monotonic.

    `stage` is how the exchange ends if the connection fails now. Data sent before stage PROTOCOL
    belongs to the connection and not to the request. `arrived_ns`, `read`, `doubt_ns` and `kernel`
    describe the read whose bytes were returned last; `doubt_ns` is how much earlier some of them
    may have arrived. `unheard_ns` is when the oldest read arrived that is not processed yet.
    """

    stage: Ending = Ending.DNS
    tunnelling: bool = False  # the proxy has not answered the request for a tunnel yet
    dns_ns: int | None = None
    connected_ns: int | None = None
    tls_ns: int | None = None
    sent_ns: int | None = None
    sending_ns: int = 0  # duration of the last send(): the true start may be that much later
    arrived_ns: int = 0
    read: int = 0
    doubt_ns: int = 0
    kernel: bool = False
    late_ns: int = 0  # the longest that bytes waited for us, as far as the kernel tells
    unheard_ns: int | None = None
    spoken: bool = False  # the first text has arrived: no later arrival is urgent
    enough: bool = False  # no further read is needed


class EnoughReceived(Exception):
    """The exchange has all it needs, and every read has been used."""


# Reads of one stream that are not processed yet, and the streams that wait to process them.


HELD_BYTES = 64 * 1024  # beyond these the kernel keeps the data
HELD_READS = 64
GATHER_S = 0.1  # in a crowd, how long reads that are not urgent wait to be batched


class SocketRead(NamedTuple):
    """Bytes with their arrival, and how much earlier some of them may have arrived."""

    data: bytes
    arrived_ns: int
    doubt_ns: int
    kernel: bool


class ReadQueue:
    """A queue of reads, timestamped when they were made and returned when their turn comes."""

    def __init__(self, stamps: ConnectionTimes, http: ProbeResources) -> None:
        self._stamps = stamps
        self._http = http
        self._held: deque[SocketRead] = deque()
        self._bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._in_line = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        return self._bytes > HELD_BYTES or len(self._held) > HELD_READS

    def hold(self, read: SocketRead) -> None:
        """Queue a read for processing: at once, or batched if nothing is urgent."""
        if not self._held:
            self._stamps.unheard_ns = read.arrived_ns
        self._held.append(read)
        self._bytes += len(read.data)
        if self._waiter is None or self._in_line:
            return
        if self.full or not (self._stamps.spoken and self._http.crowded):
            self.call()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self.call)

    def call(self) -> None:
        """Join the queue of waiting streams."""
        if self._waiter is not None and not self._in_line:
            self._in_line = True
            self._http.turns.join(self._waiter)

    async def called(self) -> None:
        """Wait for a turn."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter, self._in_line = None, False
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def take(self) -> bytes | None:
        """The oldest read's bytes, which the timestamps then describe; None if there is none."""
        if not self._held:
            return None
        stamps = self._stamps
        data, stamps.arrived_ns, stamps.doubt_ns, stamps.kernel = self._held.popleft()
        stamps.read += 1
        stamps.unheard_ns = self._held[0].arrived_ns if self._held else None
        self._bytes -= len(data)
        return data


# Timestamped sockets: a network stream for httpcore that knows when its bytes arrived.
#
# The loop's reader callback receives bytes with `recvmsg`, together with the kernel's receive
# timestamp (`SO_TIMESTAMPNS`), so the arrival time does not depend on how busy the loop is. When we
# read late, the kernel may have merged segments, and keeps the later timestamp. The kernel's count
# of segments (`TCP_INFO`) shows this, and the loop monitor bounds how wrong the timestamp can be.


READ_BYTES = 16 * 1024
PAUSE_NS = 200_000  # a read that took this long was interrupted and may include later bytes
SO_TIMESTAMPNS = 35  # asm-generic/socket.h; not named by Python's socket module
TIMESPEC = struct.Struct("@ll")
SEGMENTS_IN = struct.Struct("@I")  # tcp_info.tcpi_data_segs_in
SEGMENTS_IN_AT = 152


class TimestampedStream(httpcore.AsyncNetworkStream):
    """A connected socket, which it owns from now on."""

    def __init__(self, sock: socket.socket, stamps: ConnectionTimes, http: ProbeResources) -> None:
        self.stamps = stamps
        self._sock = sock
        self._http = http
        self._loop = asyncio.get_running_loop()
        self._reads = ReadQueue(stamps, http)
        self._segments = 0  # received before the last read
        self._emptied_ns = time.monotonic_ns()  # the kernel had no more data then
        self._watched_ns: int | None = None  # the loop has checked the socket since
        self._left_ns = 0
        self._away_ns = 0  # not read for so long that it may have slowed the sender down
        self._over = False  # closed or reset by the peer
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
        """The read with its arrival: the kernel's timestamp, or else the time of the read."""
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
        """The bytes of the next read, complete; empty at the end. `stamps` then describes them.

        The exchange enforces deadlines: `timeout` is ignored, and reads are smaller than
        `max_bytes`. Raises EnoughReceived once the exchange has all it needs.
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
        """Send everything. The instant before the request's last `send()` is kept."""
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
        """Do the TLS handshake and return the encrypted stream over this socket."""
        stream = TlsStream(self, ssl_context, host=server_hostname)
        await stream.handshake()
        self.stamps.tls_ns = time.monotonic_ns()
        self.stamps.stage = Ending.PROTOCOL
        return stream

    def get_extra_info(self, info: str) -> Any:
        return self._sock if info == "socket" else None


def enable_kernel_timestamps(sock: socket.socket) -> bool:
    """Make the kernel timestamp what this socket receives. False if it cannot."""
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

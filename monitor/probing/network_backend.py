"""Our network backend for httpcore: one probe's way to its target, stamped at every stage."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import httpcore

from monitor.domain import Ending
from monitor.probing.connect import first_connected, literal, resolved
from monitor.probing.limits import ProbeError
from monitor.probing.proxy import HttpProxy, tunnelled
from monitor.probing.resources import ProbeResources
from monitor.probing.timestamped_socket import ConnectionTimes, TimestampedStream


@dataclass(slots=True)
class NetworkBackend(httpcore.AsyncNetworkBackend):
    """Connects once, directly or through a proxy's tunnel, and closes what it connected.

    `secure`: a TLS handshake follows, so until then trouble is TLS trouble.
    """

    stamps: ConnectionTimes
    http: ProbeResources
    secure: bool = False
    tunnel: HttpProxy | None = None
    stream: TimestampedStream | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A stamped stream to the host. Deadlines are the exchange's. Raises Trouble."""
        through = (self.tunnel.host, self.tunnel.port) if self.tunnel else (host, port)
        if not 0 < through[1] < 65536:
            raise ProbeError(Ending.REFUSED, f"{through[0]}: there is no port {through[1]}")
        address = literal(*through)
        addresses = [address] if address else await resolved(*through)
        if not address:
            self.stamps.dns_ns = time.monotonic_ns()
        self.stamps.stage = Ending.REFUSED
        sock = await first_connected(addresses, kernel=self.http.kernel)
        self.stream = TimestampedStream(sock, self.stamps, self.http)
        if self.tunnel:
            self.stamps.tunnelling = True
            await tunnelled(self.stream, self.tunnel, host=host, port=port)
            self.stamps.tunnelling = False
        self.stamps.connected_ns = time.monotonic_ns()
        self.stamps.stage = Ending.TLS if self.secure else Ending.PROTOCOL
        return self.stream

    async def aclose(self) -> None:
        """Close the connection, however far it got."""
        if self.stream is not None:
            await self.stream.aclose()

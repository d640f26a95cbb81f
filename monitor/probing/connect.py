"""From a host's name to a connected socket: every address, either family, the first wins."""

import asyncio
import ipaddress
import socket
from itertools import chain, zip_longest
from typing import Any, NamedTuple

from monitor.domain import Ending
from monitor.name_lookup import look_up
from monitor.probing.limits import ProbeError, reason
from monitor.probing.timestamped_socket import enable_kernel_timestamps

HEAD_START_S = 0.25  # what an address gets before the next is tried beside it (RFC 8305)


class SocketAddress(NamedTuple):
    family: socket.AddressFamily
    sockaddr: tuple[Any, ...]

    def __str__(self) -> str:
        host, port = self.sockaddr[:2]
        return f"[{host}]:{port}" if self.family is socket.AF_INET6 else f"{host}:{port}"


def literal(host: str, port: int) -> SocketAddress | None:
    """The address that `host` is, if it is no name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if address.version == 4:
        return SocketAddress(socket.AF_INET, (host, port))
    return None if "%" in host else SocketAddress(socket.AF_INET6, (host, port, 0, 0))


async def resolved(host: str, port: int) -> list[SocketAddress]:
    """The addresses of a name, families taking turns. Raises Trouble where there are none."""
    try:
        found = await look_up(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        cause = reason(error) if isinstance(error, OSError) else str(error)
        raise ProbeError(Ending.DNS, f"{host}: {cause}") from error
    addresses = [SocketAddress(family, sockaddr) for family, _, _, _, sockaddr in found]
    first = [a for a in addresses if a.family == addresses[0].family]
    other = [a for a in addresses if a.family != addresses[0].family]
    return [a for a in chain.from_iterable(zip_longest(first, other)) if a is not None]


async def first_connected(addresses: list[SocketAddress], *, kernel: bool) -> socket.socket:
    """A socket to whichever address answers first, each with a head start on the next.

    Raises Trouble, naming every refusal, where none does.
    """
    if len(addresses) == 1:
        return await _connected(addresses[0], kernel=kernel)
    waiting = list(addresses)
    trying: set[asyncio.Task[socket.socket]] = set()
    refusals: list[str] = []
    try:
        while waiting or trying:
            if waiting:
                trying.add(asyncio.create_task(_connected(waiting.pop(0), kernel=kernel)))
            head_start = HEAD_START_S if waiting else None
            await asyncio.wait(trying, timeout=head_start, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in trying if task.done()]:
                trying.remove(task)
                try:
                    return task.result()
                except ProbeError as refusal:
                    refusals.append(refusal.detail)
    finally:
        for task in trying:
            task.add_done_callback(_discard)
            task.cancel()
    raise ProbeError(Ending.REFUSED, "; ".join(refusals))


def _discard(task: asyncio.Task[socket.socket]) -> None:
    """Close the socket of a race already won."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connected(address: SocketAddress, *, kernel: bool) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if kernel:
            enable_kernel_timestamps(sock)
        await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
    except OSError as error:
        sock.close()
        raise ProbeError(Ending.REFUSED, f"{address}: {reason(error)}") from error
    except BaseException:
        sock.close()
        raise
    return sock

"""HTTP proxies, used where a target names one and never otherwise.

An `https` target is reached through a tunnel (CONNECT), so its certificate is checked as
ever; an `http` target is asked for by its absolute address. The proxy itself is spoken to
over plain HTTP. Proxies in the environment are not looked at.
"""

import base64
from dataclasses import dataclass, field

import httpcore
import httpx

from monitor.domain import Ending
from monitor.probing.http_connection import ProbeConnection
from monitor.probing.limits import ProbeError


@dataclass(frozen=True, slots=True)
class HttpProxy:
    """Where the proxy is, and the header field that lets us in."""

    host: str
    port: int
    fields: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)


def proxied(url: str) -> HttpProxy:
    """The proxy of an address like `http://user:password@host:3128`. Raises Trouble."""
    try:
        named = httpx.Proxy(url)
    except (ValueError, httpx.InvalidURL) as error:
        raise ProbeError(Ending.REFUSED, "the proxy's address cannot be read") from error
    if named.url.scheme != "http" or not named.url.host:
        raise ProbeError(Ending.REFUSED, "only proxies at http:// addresses are supported")
    fields: tuple[tuple[bytes, bytes], ...] = ()
    if named.raw_auth is not None:
        credentials = base64.b64encode(b":".join(named.raw_auth))
        fields = ((b"Proxy-Authorization", b"Basic " + credentials),)
    return HttpProxy(named.url.raw_host.decode(), named.url.port or 80, fields)


async def tunnelled(
    stream: httpcore.AsyncNetworkStream, proxy: HttpProxy, *, host: str, port: int
) -> None:
    """Ask the proxy at the stream's other end for a tunnel. Raises Trouble if it declines."""
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    fields = [(b"Host", authority.encode()), *proxy.fields]
    head = await ProbeConnection(stream).ask("CONNECT", authority.encode(), fields, b"")
    if not 200 <= head.status_code < 300:
        where = f"{proxy.host}:{proxy.port}"
        raise ProbeError(Ending.REFUSED, f"proxy {where} declined the tunnel: {head.status_code}")

"""The end of a target's certificate, read by a TLS handshake on the way of its probes."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta

import h11
import httpcore
import httpx

from monitor.domain import Target, TryLater
from monitor.probing.http_connection import PORTS, NetworkBackend, proxied
from monitor.probing.limits import ProbeError
from monitor.probing.resources import ProbeResources
from monitor.probing.timestamped_socket import ConnectionTimes
from monitor.probing.tls import context

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)  # the year 9999 cannot be shown in every zone


def certificate_host(target: Target) -> str | None:
    """Host and port of an https target, `host:port`; None: the target has no certificate."""
    try:
        url = httpx.URL(target.url)
    except (httpx.InvalidURL, UnicodeError):
        return None
    if url.scheme != "https" or not url.host:
        return None
    return f"{url.raw_host.decode('ascii')}:{url.port or PORTS['https']}"


async def certificate_end(
    target: Target, *, http: ProbeResources, timeout_s: float = 10
) -> datetime | TryLater:
    """When the certificate of an https target ends. No request is sent."""
    named = certificate_host(target)
    if named is None:
        return TryLater("the target has no certificate")
    host, _, port = named.rpartition(":")
    backend = NetworkBackend(ConnectionTimes(), http, secure=True)
    try:
        if target.proxy is not None:
            backend.tunnel = proxied(target.proxy)
        async with asyncio.timeout(timeout_s):
            stream = await backend.connect_tcp(host, int(port))
            secure = await stream.start_tls(context(target.ca_file), host)
            shown = secure.get_extra_info("ssl_object").getpeercert()
        ends_at = _EPOCH + timedelta(seconds=ssl.cert_time_to_seconds(shown["notAfter"]))
        return min(ends_at, _LATEST)
    except ProbeError as error:
        return TryLater(error.detail)
    except TimeoutError:
        return TryLater(f"no handshake within {timeout_s:g} s")
    except (httpcore.NetworkError, h11.ProtocolError, OSError) as error:
        return TryLater(str(error) or "the connection was lost")
    except (KeyError, ValueError, OverflowError):
        return TryLater("the certificate states no readable end")
    finally:
        await backend.aclose()

"""An httpx transport of one request over one fresh connection: no pool, nothing reused."""

import httpx

from monitor.domain import Ending
from monitor.probing.http_connection import ProbeConnection
from monitor.probing.limits import ProbeError
from monitor.probing.network_backend import NetworkBackend
from monitor.probing.proxy import proxied
from monitor.probing.tls import context

PORTS = {"http": 80, "https": 443}


class ProbeTransport(httpx.AsyncBaseTransport):
    """Carries one probe's request to its target, through the target's proxy if it names one.

    Closing it closes the connection.
    """

    def __init__(self, backend: NetworkBackend, *, ca_file: str | None, proxy: str | None) -> None:
        self._backend = backend
        self._ca_file = ca_file
        self._proxy = proxy

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Connect, send, and return with the response's head."""
        url = request.url
        if url.scheme not in PORTS or not url.host:
            raise ProbeError(Ending.PROTOCOL, "the address to ask is not an http(s) URL")
        host, port = url.raw_host.decode("ascii"), url.port or PORTS[url.scheme]
        fields, path = request.headers.raw, url.raw_path
        secure = url.scheme == "https"
        trust = context(self._ca_file) if secure else None
        self._backend.secure = secure
        if self._proxy is not None:
            proxy = proxied(self._proxy)
            if secure:
                self._backend.tunnel = proxy
            else:
                host, port = proxy.host, proxy.port
                fields = [*fields, *proxy.fields]
                path = b"http://" + url.netloc + path
        stream = await self._backend.connect_tcp(host, port)
        if trust is not None:
            stream = await stream.start_tls(trust, host)
        connection = ProbeConnection(stream)
        head = await connection.ask(request.method, path, fields, request.content)
        return httpx.Response(head.status_code, headers=head.headers.raw_items(), stream=connection)

    async def aclose(self) -> None:
        """Close the connection, however far it got."""
        await self._backend.aclose()

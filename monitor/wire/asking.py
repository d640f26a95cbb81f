"""The request a probe sends: what the dialect asks, with the headers every probe carries."""

from uuid import UUID

import httpx

from monitor.domain import Dialect, Ending, Target, WireRequest
from monitor.wire.trouble import Trouble


def asked(
    request: WireRequest, dialect: Dialect, *, target: Target, probe: UUID, version: str
) -> httpx.Request:
    """The whole request. The dialect's headers win over ours, the target's over both, but who
    asks, under which id, and that nothing may be compressed stands fast.

    Raises Trouble, silent about values, where HTTP cannot carry it.
    """
    try:
        headers = httpx.Headers({"Accept": ", ".join(dialect.media_types)})
        headers.update(httpx.Headers(list(request.headers)))
        headers.update(httpx.Headers(target.headers))
        headers.update(
            {
                "Accept-Encoding": "identity",
                "Connection": "close",
                "User-Agent": f"rag-monitor/{version}",
                "X-Request-Id": str(probe),
            }
        )
        return httpx.Request(request.method, request.url, headers=headers, content=request.body)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise Trouble(Ending.PROTOCOL, "the request's address or headers are not HTTP") from error

"""The request a probe sends: what the dialect asks, with the headers every probe carries."""

from functools import lru_cache
from uuid import UUID

import httpx

from monitor.domain import Dialect, Ending, ProbeRequest, Target
from monitor.probing.errors import ProbeError


def with_probe_headers(
    request: ProbeRequest, dialect: Dialect, *, target: Target, probe: UUID, version: str
) -> httpx.Request:
    """The whole request. The dialect's headers win over ours, the target's over both, but who
    asks, under which id, and that nothing may be compressed stands fast.

    Raises Trouble, silent about values, where HTTP cannot carry it.
    """
    try:
        headers = (
            ("Accept", ", ".join(dialect.media_types)),
            *request.headers,
            *target.headers.items(),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
            ("User-Agent", f"rag-monitor/{version}"),
            ("X-Request-Id", str(probe)),
        )
        last = {name.lower(): (name, value) for name, value in headers}
        return httpx.Request(
            request.method, _url(request.url), headers=list(last.values()), content=request.body
        )
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ProbeError(
            Ending.PROTOCOL, "the request's address or headers are not HTTP"
        ) from error


@lru_cache(maxsize=64)
def _url(text: str) -> httpx.URL:
    """The URL parsed; a target is asked at a few addresses, again and again."""
    return httpx.URL(text)

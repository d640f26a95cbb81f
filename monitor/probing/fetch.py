"""One small request: a JSON document by GET, for accounts, health pages and the like, or a message
by POST. Never for probes.

Limited in time and size. Certificates are verified, redirects are not followed (they would pass on
keys), nothing is decompressed. Error texts never contain request or response data.
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NoReturn

import httpx

from monitor import __version__
from monitor.domain import Target
from monitor.network_settings import environment_proxy, variable_of
from monitor.probing import tls
from monitor.probing.limits import ProbeError, reason

# They log addresses, which may be secret.
for _library in ("httpx", "httpcore"):
    logging.getLogger(_library).setLevel(logging.WARNING)

_OURS = {"User-Agent": f"rag-monitor/{__version__}", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class FetchedDocument:
    """The response. `error` says why it is not complete; `status` may be set as well.

    `json` is None if the body is not JSON. Its decimal numbers are Decimal. Header names are in
    lower case.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Any = field(default=None, repr=False)
    text: str = field(default="", repr=False)
    error: str | None = None
    sent: bool = True  # False: the request was certainly not sent


async def fetch(
    url: str,
    *,
    headers: Mapping[str, str],
    timeout_s: float = 10,
    max_bytes: int = 1_048_576,
    target: Target | None = None,
    message: bytes | None = None,
) -> FetchedDocument:
    """Get a document. Expected failures are values; nothing is retried.

    A `message` is sent by POST; the body of the response is not read.

    With a `target` it takes the way of that target's probes: its proxy or none, its `ca_file`.
    Without one it uses the environment's proxies, as Slack does. Loopback is always reached
    directly.
    """
    through = ""
    try:
        proxy = environment_proxy(url) if target is None else target.proxy
    except ValueError as error:
        return FetchedDocument(error=str(error), sent=False)
    if proxy is not None:
        through = f" through the proxy ({variable_of(url) if target is None else 'proxy'})"
    try:
        async with asyncio.timeout(timeout_s):
            client = httpx.AsyncClient(
                headers={**_OURS, **headers},
                verify=tls.context(target.ca_file if target else None),
                trust_env=False,
                proxy=proxy,
                follow_redirects=False,
                timeout=timeout_s,
            )
            return await _fetched(client, url, max_bytes, message)
    except ProbeError as error_reason:
        return FetchedDocument(error=error_reason.detail, sent=False)
    except httpx.ConnectTimeout:
        return FetchedDocument(error=f"no connection within {timeout_s:g} s{through}", sent=False)
    except (TimeoutError, httpx.TimeoutException):
        return FetchedDocument(error=f"no complete reply within {timeout_s:g} s{through}")
    except httpx.ProxyError:
        return FetchedDocument(
            error=f"no connection{through}, which refused: check its address and credentials",
            sent=False,
        )
    except httpx.ConnectError as error:
        return FetchedDocument(error=f"no connection{through}: {_reason(error)}", sent=False)
    except httpx.RemoteProtocolError:
        return FetchedDocument(error="the reply is not complete HTTP")
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, ValueError):
        error_text = "the request is not valid HTTP: check the address and the key"
        return FetchedDocument(error=error_text, sent=False)
    except httpx.TransportError:
        return FetchedDocument(error="the connection was lost")


async def _fetched(
    client: httpx.AsyncClient, url: str, max_bytes: int, message: bytes | None
) -> FetchedDocument:
    method = "GET" if message is None else "POST"
    async with client, client.stream(method, url, content=message) as reply:
        status, got = reply.status_code, {k.lower(): v for k, v in reply.headers.items()}
        if message is not None:
            return FetchedDocument(status, got)
        if got.get("content-encoding", "identity") != "identity":
            return FetchedDocument(
                status, got, error="the reply is compressed, which was not requested"
            )
        body = bytearray()
        async for piece in reply.aiter_raw():
            body += piece
            if len(body) > max_bytes:
                return FetchedDocument(status, got, error=f"the reply exceeds {max_bytes} bytes")
    text = body.decode("utf-8", "replace")
    return FetchedDocument(status, got, _json(text), text)


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, ArithmeticError, RecursionError):
        return None


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and the infinities are not JSON


def _reason(error: BaseException) -> str:
    """The message of the system or of OpenSSL, unwrapped from the exceptions of libraries."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None:
            return reason(cause)
        cause = cause.__cause__ or cause.__context__
    return "the address cannot be reached"

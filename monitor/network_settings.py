"""Name lookups, and the proxies of the environment."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from ipaddress import ip_address
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

# Name lookups in separate threads: a lookup that hangs delays no other and no exit.
#
# `getaddrinfo` cannot be cancelled, and an unreachable resolver blocks it for minutes. In asyncio's
# default threads a few of these would leave no room for other lookups, files and notices, and the
# process could not end before they do.


T = TypeVar("T")
Found = list[tuple[Any, ...]]  # (family, kind, protocol, canonical name, address)

PER_NAME = 2  # simultaneous lookups of one name
# after this time a new lookup is started instead of waiting, while there is room
RENEWED_AFTER_S = 5.0


class NameLookup(NamedTuple):
    """One lookup in progress. Further requests for the same name get its result."""

    result: Future[Found]
    began_s: float


_under_way: dict[tuple[object, ...], list[NameLookup]] = {}
_lock = threading.RLock()  # an immediate result is forgotten immediately


async def look_up(
    host: str | bytes | None,
    port: str | bytes | int | None,
    *,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> Found:
    """The addresses of a name, as `socket.getaddrinfo` gives them. Raises what it raises."""
    if _is_address(host) and isinstance(port, int | None):  # an address needs no lookup: no thread
        return _found(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
    requested = (host, port, family, type, proto, flags)
    with _lock:
        waiting = _under_way.setdefault(requested, [])
        if not _joined(waiting):
            result = in_thread(partial(_found, *requested), name=f"lookup {host!r}")
            waiting.append(NameLookup(result, time.monotonic()))
            result.add_done_callback(lambda done: _forget(requested, done))
        lookup = waiting[-1]
    return await asyncio.wrap_future(lookup.result)


def _is_address(host: str | bytes | None) -> bool:
    if not isinstance(host, str):
        return False
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _found(*requested: Any) -> Found:
    return list(socket.getaddrinfo(*requested))


def _joined(waiting: list[NameLookup]) -> bool:
    """Whether to wait for the latest lookup of a name rather than to start another one."""
    if not waiting:
        return False
    return len(waiting) >= PER_NAME or time.monotonic() - waiting[-1].began_s < RENEWED_AFTER_S


def _forget(requested: tuple[object, ...], done: Future[Found]) -> None:
    with _lock:
        left = [lookup for lookup in _under_way[requested] if lookup.result is not done]
        _under_way[requested] = left
        if not left:
            del _under_way[requested]


def in_thread(call: Callable[[], T], *, name: str) -> Future[T]:
    """The result of `call`, from a separate thread that does not delay the exit."""
    result: Future[T] = Future()
    result.set_running_or_notify_cancel()  # if one caller is cancelled, others still get the result

    def work() -> None:
        try:
            found = call()
        except BaseException as error:
            result.set_exception(error)
        else:
            result.set_result(found)

    threading.Thread(target=work, name=name, daemon=True).start()
    return result


def looking_up_names(
    loop: type[asyncio.AbstractEventLoop],
) -> Callable[[], asyncio.AbstractEventLoop]:
    """Creates event loops that use these lookups, for libraries that use the loop's own."""

    class Loop(loop):  # type: ignore[valid-type,misc]
        async def getaddrinfo(self, *arguments: Any, **options: Any) -> Found:
            return await look_up(*arguments, **options)

    return Loop


# The proxy that the environment names for an address, read in one place.
#
# Provider accounts, price list, heartbeat and Slack use it; targets never do.


VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_FORM = "write http://proxy:3128, or name the hosts that need no proxy in NO_PROXY"


def environment_proxy(url: str) -> str | None:
    """The proxy for this address by HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY; None: none.

    Also None for an unreadable address: the HTTP client refuses it. Raises ValueError with the
    variable and the remedy if it names no usable proxy.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    host = parts.hostname or ""
    if host in _LOOPBACK or proxy_bypass(host):
        return None
    named = getproxies()
    scheme = parts.scheme if named.get(parts.scheme) else "all"
    found = named.get(scheme)
    if not found:
        return None
    if fault := _fault(found):
        raise ValueError(f"{scheme.upper()}_PROXY: {fault}")
    return found if "://" in found else f"http://{found}"


def faults() -> list[str]:
    """A sentence for each variable that names no usable proxy, without its value."""
    named = getproxies()
    found = {name: _fault(named.get(name.partition("_")[0].lower(), "")) for name in VARIABLES}
    return [f"{name}: {fault}" for name, fault in found.items() if fault]


def variable_of(url: str) -> str:
    """The name of the variable that `environment_proxy` read, as it is spelled."""
    scheme = urlsplit(url).scheme
    name = f"{scheme}_proxy" if getproxies().get(scheme) else "all_proxy"
    return name if name in os.environ else name.upper()


def _fault(proxy: str) -> str | None:
    if not proxy:
        return None
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # the port is no number, or out of range
        return f"the proxy's address cannot be read: {_FORM}"
    if parts.scheme not in ("http", "https"):
        return f"only http:// and https:// proxies are supported: {_FORM}"
    return None if usable else f"the proxy's address cannot be read: {_FORM}"

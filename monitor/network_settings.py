"""How this machine reaches others: name lookup, and the proxies of the environment."""

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

# Name lookups in threads of their own: a name that hangs delays no other and no exit.
#
# `getaddrinfo` cannot be cancelled, and an unreachable resolver blocks it for minutes. In asyncio's
# default threads a few of these leave no room for other lookups, for files and for notices, and the
# process does not end before they do.


T = TypeVar("T")
Found = list[tuple[Any, ...]]  # (family, kind, protocol, canonical name, address)

PER_NAME = 2  # lookups of one name at once
RENEWED_AFTER_S = 5.0  # a lookup that lasts longer is not joined any more, while there is room


class NameLookup(NamedTuple):
    """One lookup under way. A request for the same name meanwhile gets its result."""

    result: Future[Found]
    began_s: float


_under_way: dict[tuple[object, ...], list[NameLookup]] = {}
_lock = threading.RLock()  # a result that is there at once is forgotten at once


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
    if _is_address(host) and isinstance(port, int | None):  # nothing to wait for: no thread
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
    """Whether the latest lookup of a name is to be waited for, rather than another begun."""
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
    """What `call` returns, from a thread of its own that no exit waits for."""
    result: Future[T] = Future()
    result.set_running_or_notify_cancel()  # a caller that gives up does not cancel it for others

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
    """Makes such loops with these lookups in place of their own, for libraries that use those."""

    class Loop(loop):  # type: ignore[valid-type,misc]
        async def getaddrinfo(self, *arguments: Any, **options: Any) -> Found:
            return await look_up(*arguments, **options)

    return Loop


# The proxy that the environment names for an address: one reading of it for everything.
#
# Provider accounts, price list, heartbeat and Slack go through it; targets never do.


VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_FORM = "write http://proxy:3128, or name the hosts that need no proxy in NO_PROXY"


def environment_proxy(url: str) -> str | None:
    """What HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say of this address; None: no proxy.

    None also for an address that cannot be read: the HTTP client refuses it.
    Raises ValueError with the variable and the remedy where it names no usable proxy.
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
    """A sentence for each variable that names no proxy that can be used, without its value."""
    named = getproxies()
    found = {name: _fault(named.get(name.partition("_")[0].lower(), "")) for name in VARIABLES}
    return [f"{name}: {fault}" for name, fault in found.items() if fault]


def variable_of(url: str) -> str:
    """The name of the variable that `environment_proxy` read, as it is written."""
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

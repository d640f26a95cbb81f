"""The proxy that the environment names for an address: one reading of it for everything.

Provider accounts, price list, heartbeat and Slack go through it; targets never do.
"""

import os
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

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

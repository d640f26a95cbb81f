"""Requests as dialects write them: where to, with which headers, with which JSON."""

import json
import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from monitor.domain import Target, WireRequest

SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
VERSION = re.compile(r"v[0-9]{1,3}[a-z0-9]{0,10}")  # a segment such as v1, v4 or v1beta
NONE: Mapping[str, str] = MappingProxyType({})


def endpoint(target: Target, path: str, parameters: Mapping[str, str] = NONE) -> str:
    """The address a built-in dialect requests: the target's URL and the endpoint's path.

    A URL that ends in the endpoint's last segments (`…/chat/completions`, `…/messages`) is used
    as it is, query string included: providers put them behind paths of their own. Option `path`
    takes the place of the endpoint's path. Where the URL ends in a version (and `openai` after it)
    or in an Azure deployment, the endpoint's own version is left out.
    """
    scheme, host, there, query, _ = urlsplit(target.url)
    have = [part for part in there.split("/") if part]
    if "path" in target.options:
        return address(target.url, _own_path(target.options["path"]), parameters)
    want = path.split("/")
    last = want[1:] if VERSION.fullmatch(want[0]) else want
    if have[-len(last) :] == last:
        queries = "&".join(part for part in (query, urlencode(parameters)) if part)
        return urlunsplit((scheme, host, there, queries, ""))
    behind = have[:-1] if have[-1:] == ["openai"] else have  # …/v1beta/openai, but …/openai
    versioned = behind and VERSION.fullmatch(behind[-1])
    if versioned or have[-2:-1] == ["deployments"]:
        return address(target.url, "/".join(last), parameters)
    return address(target.url, path, parameters)


def _own_path(path: object) -> str:
    if isinstance(path, str) and path.strip("/"):
        return path
    raise ValueError(f'options.path = {path!r}: must be the path of the endpoint, e.g. "v1/chat"')


def address(url: str, path: str, parameters: Mapping[str, str] = NONE) -> str:
    """A URL with the path of an endpoint, as much of it as the URL does not have.

    `…/v1` and `v1/chat/completions` make `…/v1/chat/completions`; a URL that already is
    the whole address stays so. Parameters are encoded behind those that are there.
    """
    scheme, host, there, query, _ = urlsplit(url)
    have, want = there.strip("/").split("/"), path.strip("/").split("/")
    shared = max(n for n in range(len(want) + 1) if have[len(have) - n :] == want[:n])
    whole = "/".join(part for part in (*have, *want[shared:]) if part)
    last = "/" if whole and (path or there).endswith("/") else ""
    queries = "&".join(part for part in (query, urlencode(parameters)) if part)
    return urlunsplit((scheme, host, f"/{whole}{last}", queries, ""))


def get(url: str, target: Target, *, accept: str = SSE,
        headers: Mapping[str, str] = NONE) -> WireRequest:  # fmt: skip
    """A GET request. Headers of the target win over the dialect's own."""
    return WireRequest("GET", url, _headers(target, {"Accept": accept, **headers}))


def post(url: str, target: Target, *, body: object, accept: str = SSE,
         headers: Mapping[str, str] = NONE) -> WireRequest:  # fmt: skip
    """A POST request of JSON. Headers of the target win over the dialect's own."""
    own = {"Accept": accept, "Content-Type": "application/json", **headers}
    try:
        said = json.dumps(body, allow_nan=False).encode("ascii")
    except TypeError as error:
        raise ValueError(f"options.body: {error}; JSON has text, numbers and booleans") from error
    return WireRequest("POST", url, _headers(target, own), said)


def _headers(target: Target, own: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    theirs = {name.lower() for name in target.headers}
    kept = ((name, value) for name, value in own.items() if name.lower() not in theirs)
    return (*kept, *target.headers.items())


def known_only(
    options: Mapping[str, Any], known: Collection[str] = (), *, within: str = "options"
) -> Mapping[str, Any]:
    """The options as they are. Raises ValueError naming those that no one would read."""
    if unknown := sorted(set(options) - set(known)):
        keys = ", ".join(f"{within}.{key}" for key in unknown)
        remedy = f"known: {', '.join(sorted(known))}" if known else "this dialect has no options"
        raise ValueError(f"{keys}: unknown; {remedy}")
    return options


def extra(target: Target, *others: str) -> Mapping[str, Any]:
    """Option `body`: fields of the JSON body besides the dialect's own, or instead of them.

    `others` names the dialect's own options besides `body` and `path`.
    """
    body = known_only(target.options, ("body", "path", *others)).get("body", {})
    if isinstance(body, Mapping):
        return body
    raise ValueError(f"options.body = {body!r}: must be a table of fields of the JSON body")


def model(target: Target) -> str:
    """The model to ask for. Raises ValueError where none is configured."""
    if not target.model:
        raise ValueError(f'{target.dialect} must name a model: add model = "…" to the target')
    return target.model

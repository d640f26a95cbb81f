"""Requests as dialects write them: where to, with which headers, with which JSON."""

import json
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from monitor.dialects.base_urls import missing
from monitor.domain import ProbeRequest, Target

SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
NONE: Mapping[str, str] = MappingProxyType({})


def endpoint(target: Target, path: str, parameters: Mapping[str, str] = NONE) -> str:
    """The address a built-in dialect requests: the target's URL and what it lacks of the path.

    A URL that is the whole address of an endpoint is used as it is, query string included. Option
    `path` takes the place of the endpoint's path; `path = ""` says that the URL is the address.
    """
    if "path" in target.options:
        lacking = _own_path(target.options["path"])
    else:
        lacking = missing(target.url, path, target.dialect)
    if lacking:
        return address(target.url, lacking, parameters)
    return with_parameters(target.url, parameters)


def with_parameters(url: str, parameters: Mapping[str, str] = NONE) -> str:
    """The URL as it is, without its fragment, and further parameters behind those it has."""
    scheme, host, path, query, _ = urlsplit(url)
    queries = "&".join(part for part in (query, urlencode(parameters)) if part)
    return urlunsplit((scheme, host, path, queries, ""))


def _own_path(path: object) -> str:
    if isinstance(path, str):
        return path.strip(" ")
    raise ValueError(
        f'options.path = {path!r}: must be the path of the endpoint, e.g. "v1/chat", or "" where '
        "url is the whole address"
    )


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
        headers: Mapping[str, str] = NONE) -> ProbeRequest:  # fmt: skip
    """A GET request. Headers of the target win over the dialect's own."""
    return ProbeRequest("GET", url, _headers(target, {"Accept": accept, **headers}))


def post(url: str, target: Target, *, body: object, accept: str = SSE,
         headers: Mapping[str, str] = NONE) -> ProbeRequest:  # fmt: skip
    """A POST request of JSON. Headers of the target win over the dialect's own."""
    own = {"Accept": accept, "Content-Type": "application/json", **headers}
    try:
        reported = json.dumps(body, allow_nan=False).encode("ascii")
    except TypeError as error:
        raise ValueError(f"options.body: {error}; JSON has text, numbers and booleans") from error
    return ProbeRequest("POST", url, _headers(target, own), reported)


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

"""Requests as dialects build them: URL, headers and JSON body."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from monitor.data_files import DataTable, data_file
from monitor.domain import ProbeRequest, Target

Path = tuple[str, ...]


def path(text: str) -> Path:
    """The names in a dotted path such as `usage.prompt_tokens` or `choices.0.usage`."""
    return tuple(text.split(".")) if text else ()


def at(held: object, place: Path) -> Any:
    """The value at the end of a path; None if there is none.

    In a list, a number is an index, and `name=value` selects the first object with that value.
    """
    for name in place:
        if isinstance(held, dict):
            held = held.get(name)
        elif isinstance(held, list):
            held = _element(held, name)
        else:
            return None
    return held


def _element(held: list[Any], name: str) -> Any:
    if name.isdecimal():
        return held[int(name)] if int(name) < len(held) else None
    key, _, wanted = name.partition("=")
    return next((one for one in held if isinstance(one, dict) and one.get(key) == wanted), None)


# Which part of an endpoint's path a configured URL lacks; `base_urls.toml` lists the exceptions.
#
# People configure a host, a base URL as their SDK expects it, or the whole URL. A whole URL is
# requested as it is. A base URL is followed by the path of the endpoint, without its version if the
# URL already has one.


VERSION = re.compile(r"v[0-9]{1,3}[a-z0-9]{0,10}", re.IGNORECASE)  # such as v1, v4 or v1beta
_METHOD = re.compile(r".*:[A-Za-z]+")  # Google's method calls: models/m:rawPredict


@dataclass(frozen=True, slots=True)
class _Base:
    """One row of the table."""

    host: str  # the host's name, with `*`, or its end; "" for any host
    path: tuple[str, ...]  # the last segments; empty: no path at all
    query: str
    dialects: frozenset[str]  # empty: all dialects
    append: str

    def fits(self, host: str, have: Sequence[str], query: str, dialect: str) -> bool:
        if self.dialects and dialect not in self.dialects:
            return False
        if self.host and not (fnmatchcase(host, self.host) or host.endswith(f".{self.host}")):
            return False
        return self.query in query and (_ends(have, self.path) if self.path else not have)


@lru_cache(maxsize=1_024)  # needed for each request, and the table is long
def missing(url: str, path: str, dialect: str) -> str:
    """The part of an endpoint's path that the URL lacks; "" if the URL is complete."""
    parts = urlsplit(url)
    have = [segment for segment in parts.path.split("/") if segment]
    want = path.split("/")
    versioned = VERSION.fullmatch(want[0]) is not None
    last = want[1:] if versioned else want
    if have[-len(last) :] == last or is_whole(have):
        return ""
    host = (parts.hostname or "").lower()
    row = next((row for row in _BASES if row.fits(host, have, parts.query, dialect)), None)
    if row:
        return row.append.format(path=path, endpoint="/".join(last))
    return "/".join(last) if versioned and _has_version(have) else path


def is_whole(have: Sequence[str]) -> bool:
    """Whether a path is the complete path of an endpoint of any service."""
    if have and _METHOD.fullmatch(have[-1]):
        return True
    return any(_ends(have, ending) for ending in _ENDINGS)


def _has_version(have: Sequence[str]) -> bool:
    """Whether the path has a version, or an Azure deployment, whose version is a parameter."""
    return have[-2:-1] == ["deployments"] or any(VERSION.fullmatch(part) for part in have)


def _ends(have: Sequence[str], pattern: tuple[str, ...]) -> bool:
    """Whether the last segments match a pattern; `*` is any text within a segment."""
    last = have[-len(pattern) :]
    return len(last) == len(pattern) and all(map(_matches, last, pattern))


def _matches(segment: str, pattern: str) -> bool:
    if pattern == "v*":
        return VERSION.fullmatch(segment) is not None
    start, star, _ = pattern.partition("*")
    return segment.startswith(start) if star else segment == pattern


def _base(row: DataTable) -> _Base:
    row.knows("name", "source", "host", "path", "query", "dialects", "append")
    path = row.text("path")
    return _Base(
        host=row.text("host", ""),
        path=tuple(path.split("/")) if path else (),
        query=row.text("query", ""),
        dialects=row.words("dialects", optional=True),
        append=row.text("append"),
    )


_TABLE = data_file(__package__, "base_urls.toml")
_BASES = tuple(map(_base, _TABLE.rows("base")))
_ENDINGS = tuple(tuple(ending.split("/")) for ending in _TABLE.texts("whole"))
del _TABLE  # the parsed file is not needed any longer


SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
NONE: Mapping[str, str] = MappingProxyType({})


def endpoint(target: Target, path: str, parameters: Mapping[str, str] = NONE) -> str:
    """The URL of a built-in dialect: the target's URL and the part of the path that it lacks.

    A URL that already is an endpoint is used as it is, with its query string. Option `path`
    replaces the endpoint's path; `path = ""` means that the URL is complete.
    """
    if "path" in target.options:
        lacking = _own_path(target.options["path"])
    else:
        lacking = missing(target.url, path, target.dialect)
    if lacking:
        return address(target.url, lacking, parameters)
    return with_parameters(target.url, parameters)


def with_parameters(url: str, parameters: Mapping[str, str] = NONE) -> str:
    """The URL without its fragment, with parameters appended to its own."""
    scheme, host, path, query, _ = urlsplit(url)
    queries = "&".join(part for part in (query, urlencode(parameters)) if part)
    return urlunsplit((scheme, host, path, queries, ""))


def _own_path(path: object) -> str:
    if isinstance(path, str):
        return path.strip(" ")
    raise ValueError(
        f'options.path = {path!r}: must be the path of the endpoint, e.g. "v1/chat", or "" if '
        "url is the complete address"
    )


def address(url: str, path: str, parameters: Mapping[str, str] = NONE) -> str:
    """A URL completed by as much of a path as it does not have.

    `…/v1` and `v1/chat/completions` make `…/v1/chat/completions`; a complete URL stays as it is.
    Parameters are encoded and appended to those of the URL.
    """
    scheme, host, there, query, _ = urlsplit(url)
    have, want = there.strip("/").split("/"), path.strip("/").split("/")
    shared = max(n for n in range(len(want) + 1) if have[len(have) - n :] == want[:n])
    whole = "/".join(part for part in (*have, *want[shared:]) if part)
    last = "/" if whole and (path or there).endswith("/") else ""
    queries = "&".join(part for part in (query, urlencode(parameters)) if part)
    return urlunsplit((scheme, host, f"/{whole}{last}", queries, ""))


def get(
    url: str, target: Target, *, accept: str = SSE, headers: Mapping[str, str] = NONE
) -> ProbeRequest:
    """A GET request. The target's headers win over the dialect's."""
    return ProbeRequest("GET", url, _headers(target, {"Accept": accept, **headers}))


def post(
    url: str, target: Target, *, body: object, accept: str = SSE, headers: Mapping[str, str] = NONE
) -> ProbeRequest:
    """A POST request with a JSON body. The target's headers win over the dialect's."""
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
    """The options unchanged. Raises ValueError naming those that are unknown."""
    if unknown := sorted(set(options) - set(known)):
        keys = ", ".join(f"{within}.{key}" for key in unknown)
        remedy = f"known: {', '.join(sorted(known))}" if known else "this dialect has no options"
        raise ValueError(f"{keys}: unknown; {remedy}")
    return options


def extra(target: Target, *others: str) -> Mapping[str, Any]:
    """Option `body`: additional fields of the JSON body, or replacements.

    `others` names the dialect's own options besides `body` and `path`.
    """
    body = known_only(target.options, ("body", "path", *others)).get("body", {})
    if isinstance(body, Mapping):
        return body
    raise ValueError(f"options.body = {body!r}: must be a table of fields of the JSON body")


def model(target: Target) -> str:
    """The model to request. Raises ValueError if none is configured."""
    if not target.model:
        raise ValueError(f'{target.dialect} must name a model: add model = "…" to the target')
    return target.model

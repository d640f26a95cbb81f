"""Compares a service's own health page with what is expected of it. Pure.

Expectations are JMESPath expressions over the page's JSON. One is met if its result is not null,
`false` or empty.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin

import jmespath
from jmespath.exceptions import JMESPathError, JMESPathTypeError

from monitor.redaction import plain

REMEDY = "write a JMESPath expression such as status == 'healthy'"
LONGEST = 200  # characters of a fact
STATUS = "HTTP 200"  # what is expected of every page

# Kinds of expression whose parts also refer to the whole document.
_FROM_THE_ROOT = frozenset(
    ("comparator", "and_expression", "or_expression", "not_expression", "function_expression")
)

Said = str | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPage:
    """A page to read: its complete URL, its interval, and the expressions it should meet."""

    url: str
    every: timedelta
    expect: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthStatement:
    """The result of one reading. `healthy` None: it cannot be judged.

    `facts` are the fields that the expectations refer to, if they are text, true, false or null.
    Numbers are left out: they change all the time without meaning.
    """

    http_status: int | None
    healthy: bool | None
    unmet: tuple[str, ...] = ()
    facts: Mapping[str, Said] = field(default_factory=dict)


def expectation(text: str) -> str:
    """The expression itself if it is valid. Raises ValueError with the remedy."""
    try:
        expression = jmespath.compile(text)
        with suppress(JMESPathTypeError):
            expression.search({})
    except JMESPathError as error:
        raise ValueError(f"{' '.join(str(error).split())}; {REMEDY}") from None
    return text


def address(target_url: str, url: str) -> str:
    """The complete URL of a page given as a path from the host's root, or the URL as it is."""
    return urljoin(f"{target_url}/", url)


def statement(page: HealthPage, *, http_status: int | None, document: Any) -> HealthStatement:
    """Judge one reading. `document`: the body's JSON; None if it is not JSON.

    Any status other than 200 means not healthy. Without an answer, or without the JSON that the
    expectations need, the state is unknown.
    """
    if http_status is None or (document is None and page.expect and http_status == 200):
        return HealthStatement(http_status=http_status, healthy=None)
    unmet = [text for text in page.expect if not _met(text, document)]
    if http_status != 200:
        unmet.insert(0, STATUS)
    facts = {
        name: value
        for text in page.expect
        for path in _paths(jmespath.compile(text).parsed)
        for name, value in [(path, _fact(jmespath.search(path, document)))]
        if value is not _FIGURE
    }
    return HealthStatement(
        http_status=http_status, healthy=not unmet, unmet=tuple(unmet), facts=facts
    )


def _met(text: str, document: Any) -> bool:
    try:
        found = jmespath.search(text, document)
    except (JMESPathError, TypeError, ArithmeticError, RecursionError):
        return False
    return found is not None and found is not False and found not in ("", [], {})


def _paths(node: Mapping[str, Any]) -> Iterator[str]:
    """The plain paths in an expression: `services.router`, not computed values."""
    path = _path(node)
    if path is not None:
        yield path
        return
    if node["type"] in _FROM_THE_ROOT:
        for child in node["children"]:
            yield from _paths(child)


def _path(node: Mapping[str, Any]) -> str | None:
    if node["type"] == "field":
        return f'"{node["value"]}"' if not node["value"].isidentifier() else str(node["value"])
    if node["type"] == "subexpression":
        parts = [_path(child) for child in node["children"]]
        return ".".join(part for part in parts if part) if all(parts) else None
    return None


_FIGURE = object()


def _fact(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value, LONGEST)
    return value if value is None or isinstance(value, bool) else _FIGURE

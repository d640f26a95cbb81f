"""Any other SSE or NDJSON service, described in options: a request, and JMESPath expressions.

Expressions look at the JSON object of one event. Beside its own fields they see `_event`
(the SSE name), `_data` (the data as text) and `_json` (the data parsed, if it is no
object). In the response head they see `_headers` alone, names in lower case.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError, JMESPathTypeError

from monitor.dialects.asking import NDJSON, SSE, address, get, known_only, post
from monitor.dialects.fields import complaint, count, money, parsed, words
from monitor.dialects.finish import finish
from monitor.dialects.gateway import overhear
from monitor.dialects.sources import sources
from monitor.dialects.template import asks_query, filled, filled_path
from monitor.domain import (
    Claim,
    ClaimKind,
    Dialect,
    Event,
    Framing,
    Heard,
    Query,
    Target,
    Usage,
    WireRequest,
)

Expression = Callable[[Mapping[str, Any]], Any]

REQUEST = ("method", "path", "query", "body", "framing", "media_types")
NEEDED = ("text", "done")
SINGLE = (*NEEDED, "reasoning", "error", "finish", "sources", "model", "id")
TABLES = ("claims", "usage")
USAGE = tuple(field.name for field in fields(Usage))
REMEDY = "see JMESPath in docs/dialects.md; try it on one event at jmespath.org"
MEDIA = {
    Framing.SSE: (SSE,),
    Framing.NDJSON: (NDJSON, "application/ndjson", "application/jsonl"),
}


@dataclass(frozen=True, slots=True)
class Expressions:
    """Compiled expressions: one each for `SINGLE` names, and those of the two tables."""

    single: Mapping[str, Expression]
    claims: Mapping[str, Expression]
    usage: Mapping[str, Expression]


def custom(options: Mapping[str, Any]) -> Dialect:
    """The dialect that options describe. Raises ValueError naming the first thing wrong."""
    known_only(options, (*REQUEST, *SINGLE, *TABLES))
    try:
        framing = Framing(options.get("framing", Framing.SSE))
    except ValueError as error:
        raise ValueError(f'options.framing = {options["framing"]!r}: "sse" or "ndjson"') from error
    media = _media_types(options.get("media_types", MEDIA[framing]))
    form = _form(options)
    for name in NEEDED:
        if name not in options:
            raise ValueError(f"options.{name}: missing; an expression must find it in the events")
    known_only(_table(options, "usage"), USAGE, within="options.usage")
    said = Expressions(
        single={name: _compiled(name, options[name]) for name in SINGLE if name in options},
        claims=_compiled_table(options, "claims"),
        usage=_compiled_table(options, "usage"),
    )
    return Dialect("custom", framing, media, partial(_ask, form, media[0]),
                   partial(_hear, said), partial(_overhear, said), takes_empty_events=True,
                   states_errors="error" in options)  # fmt: skip


def _form(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The request's template, its method settled by the presence of a body."""
    body, query = options.get("body"), _table(options, "query")
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except ValueError as error:
            raise ValueError(f"options.body: {error}; write a table, or JSON as text") from error
    path = str(options.get("path", ""))
    method = options.get("method", "GET" if body is None else "POST")
    if method not in ("GET", "POST") or (method == "GET" and body is not None):
        raise ValueError(f'options.method = {method!r}: "GET" without a body, or "POST"')
    if not asks_query(path, query, body):
        raise ValueError("options.query: {query} stands nowhere; put it into query, body or path")
    return {"method": method, "path": path, "query": query, "body": body}


def _media_types(given: object) -> tuple[str, ...]:
    if isinstance(given, list | tuple) and given and all(isinstance(t, str) for t in given):
        return tuple(given)
    raise ValueError(f'options.media_types = {given!r}: must be a list such as ["text/plain"]')


def _ask(form: Mapping[str, Any], accept: str, query: Query, target: Target) -> WireRequest:
    parameters = {key: str(value) for key, value in filled(form["query"], query, target).items()}
    url = address(target.url, filled_path(form["path"], query, target), parameters)
    if form["method"] == "GET":
        return get(url, target, accept=accept)
    return post(url, target, body=filled(form["body"] or {}, query, target), accept=accept)


def _table(options: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = options.get(name, {})
    if isinstance(value, Mapping):
        return value
    raise ValueError(f"options.{name} = {value!r}: must be a table")


def _compiled_table(options: Mapping[str, Any], name: str) -> Mapping[str, Expression]:
    return {key: _compiled(f"{name}.{key}", text) for key, text in _table(options, name).items()}


def _compiled(key: str, text: object) -> Expression:
    """A ready expression; tried on nothing, for unknown functions show only when run."""
    if not isinstance(text, str):  # faults of options are ValueErrors, whatever they are
        raise ValueError(f"options.{key} = {text!r}: must be text in quotes; {REMEDY}")  # noqa: TRY004
    try:
        search: Expression = jmespath.compile(text).search
        with suppress(JMESPathTypeError):
            search({"_event": "", "_data": "", "_json": None, "_headers": {}})
    except JMESPathError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"options.{key} = {text!r}: {reason}; {REMEDY}") from error
    return search


def _found(expression: Expression, seen: Mapping[str, Any]) -> Any:
    """What an expression finds; nothing in an event that it does not fit."""
    try:
        return expression(seen)
    except (JMESPathError, TypeError, ArithmeticError, RecursionError):
        return None


def _hear(said: Expressions, event: Event) -> Heard:
    try:
        value = parsed(event.data)
    except ValueError:
        value = None
    seen = {**(value if isinstance(value, dict) else {"_json": value}),
            "_event": event.name, "_data": event.data}  # fmt: skip
    found = {name: _found(expression, seen) for name, expression in said.single.items()}
    heard = Heard(
        text=words(found["text"]),
        reasoning=words(found.get("reasoning")),
        end=bool(found["done"]),
        error=complaint(found.get("error")),
        finish=finish(found.get("finish")),
        sources=sources(found.get("sources")),
        claims=tuple(_claims(said, seen)),
        usage=_usage(said, seen),
    )
    unread = value is None and event.data.strip() != "null" and heard == Heard()
    return Heard(malformed=True) if unread else heard


def _overhear(said: Expressions, headers: Mapping[str, str]) -> Heard:
    seen = {"_headers": headers}
    stated = tuple(replace(c, kind=ClaimKind.HEADER) for c in _claims(said, seen))
    usual = overhear(headers)
    return Heard(claims=(*stated, *usual.claims), usage=_usage(said, seen) or usual.usage)


def _claims(said: Expressions, seen: Mapping[str, Any]) -> Iterator[Claim]:
    named = {name: said.single[name] for name in ("model", "id") if name in said.single}
    for source, expression in (*named.items(), *said.claims.items()):
        kind = {"model": ClaimKind.FIELD, "id": ClaimKind.HEADER}.get(source, ClaimKind.SIBLING)
        found = _found(expression, seen)
        for value in found if isinstance(found, list) else [found]:
            if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
                yield Claim(kind, source, str(value))


def _usage(said: Expressions, seen: Mapping[str, Any]) -> Usage | None:
    found = {name: _found(expression, seen) for name, expression in said.usage.items()}
    read: dict[str, Any] = {name: money(value) if name.endswith("_usd") else count(value)
                            for name, value in found.items()}  # fmt: skip
    usage = Usage(**read)
    return None if usage == Usage() else usage

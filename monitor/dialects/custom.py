"""Dialect `custom`: a request from templates, a stream described by JMESPath expressions."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

from monitor.dialects.answer_metadata import parse_headers
from monitor.dialects.event_rules import (
    CLOSE,
    SINGLE,
    TABLES,
    EventReader,
    EventRule,
    attempt,
    claims,
    event_rules,
    table,
    usage,
)
from monitor.dialects.requests import NDJSON, SSE, address, get, known_only, model, post
from monitor.domain import (
    ClaimKind,
    Dialect,
    Framing,
    ParsedEvent,
    ProbeRequest,
    Query,
    StreamEvent,
    Target,
)

_PLACE = re.compile(r"\{(query|model|id)\}")


def filled(template: Any, query: Query, target: Target) -> Any:
    """A copy of a JSON-like value with the placeholders in its texts filled; keys are unchanged.

    Inserted text is not searched again, so a query may contain `{model}`. Raises ValueError if
    `{model}` is used and the target has no model.
    """
    if isinstance(template, str):
        return _PLACE.sub(lambda place: _value(place[1], query, target), template)
    if isinstance(template, Mapping):
        return {key: filled(value, query, target) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return [filled(value, query, target) for value in template]
    return template


def filled_path(template: str, query: Query, target: Target) -> str:
    """A path with its placeholders filled and percent-encoded: they cannot add a segment."""
    return _PLACE.sub(lambda place: quote(_value(place[1], query, target), safe=""), template)


def asks_query(*templates: Any) -> bool:
    """Whether `{query}` occurs anywhere in the texts of the templates."""
    return any(
        "{query}" in template
        if isinstance(template, str)
        else asks_query(*(template.values() if isinstance(template, Mapping) else template))
        for template in templates
        if isinstance(template, str | Mapping | list | tuple)
    )


def _value(place: str, query: Query, target: Target) -> str:
    if place == "model":
        return model(target)
    return query.text if place == "query" else query.id


# Expressions search the JSON object of one event. Beside its own fields they see `_event` (the SSE
# event name), `_data` (the data as text), `_json` (the parsed data, if it is not an object) and
# `_prefix` (the prefix that was removed). In the response head they see only `_headers`, with names
# in lower case.


PLAIN = "text/plain"
REQUEST = ("method", "path", "query", "body", "framing", "media_types")
EVENTS = ("cumulative", "prefix", "rules", *SINGLE, *TABLES)
WITHOUT_EVENTS = ("done", "model", "id", *TABLES)  # the options that framing "text" leaves open
MEDIA = {
    Framing.SSE: (SSE,),
    Framing.NDJSON: (NDJSON, "application/ndjson", "application/jsonl"),
    Framing.TEXT: (PLAIN,),
}


def custom(options: Mapping[str, Any]) -> Dialect:
    """The dialect that the options describe. Raises ValueError with every error, one a line."""
    faults: list[str] = []
    attempt(faults, known_only, options, (*REQUEST, *EVENTS))
    framing = attempt(faults, _framing, options) or Framing.SSE
    default = (PLAIN, *MEDIA[framing]) if "prefix" in options else MEDIA[framing]
    media = attempt(faults, _media_types, options.get("media_types", default)) or default
    form = attempt(faults, _form, options)
    rules, beside = event_rules(options, faults)
    prefixes = attempt(faults, _prefixes, options.get("prefix", ())) or ()
    faults += _missing(options, framing)
    if faults or form is None:
        raise ValueError("\n".join(dict.fromkeys(faults)))
    closed = framing is Framing.TEXT or options.get("done") == CLOSE
    known_errors = framing is Framing.TEXT or "error" in beside.single
    head = partial(_parse_headers, beside)
    requested = partial(_build_request, form, media[0])
    if framing is Framing.TEXT:
        return Dialect(
            "custom",
            framing,
            media,
            requested,
            _plain_text,
            head,
            never_lists_sources=True,
            states_errors=True,
            ends_by_close=True,
        )
    reader = EventReader(rules, beside, prefixes)
    return Dialect(
        "custom",
        framing,
        media,
        requested,
        lambda event: reader.parser()(event),
        head,
        stateful=reader.parser,
        never_lists_sources=all("sources" not in rule.single for rule in (beside, *rules)),
        takes_empty_events=True,
        states_errors=known_errors,
        ends_by_close=closed,
        explain=reader.explain,
    )


def _framing(options: Mapping[str, Any]) -> Framing:
    try:
        return Framing(options.get("framing", Framing.SSE))
    except ValueError as error:
        known = '"sse", "ndjson" or "text"'
        raise ValueError(f"options.framing = {options['framing']!r}: {known}") from error


def _missing(options: Mapping[str, Any], framing: Framing) -> list[str]:
    """Errors about options that are missing or do not go together."""
    if framing is Framing.TEXT:
        given = {name for name in EVENTS if name in options} - {*WITHOUT_EVENTS}
        unfit = sorted(given - ({"text"} if options.get("text") == "_data" else set()))
        faults = [f"options.{name}: a plain text stream has no events" for name in unfit]
        if options.get("done", CLOSE) != CLOSE:
            faults.append('options.done: must be "close" or left out for framing = "text"')
        return faults
    rules = options.get("rules", [])
    tables = [r for r in rules if isinstance(r, Mapping)] if isinstance(rules, list | tuple) else []
    remedies = {
        "text": "an expression must find it in the events",
        "done": 'an expression must find it in the events; or "close", where only the end of the '
        "body is an end",
    }
    return [
        f"options.{name}: missing; {remedy}"
        for name, remedy in remedies.items()
        if not any(name in one for one in (options, *tables))
    ]


def _form(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The request template; its method follows from whether it has a body."""
    body, query = options.get("body"), table(options, "query")
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
        raise ValueError("options.query: {query} is missing; put it into query, body or path")
    return {"method": method, "path": path, "query": query, "body": body}


def _media_types(given: object) -> tuple[str, ...]:
    if isinstance(given, list | tuple) and given and all(isinstance(t, str) for t in given):
        return tuple(given)
    raise ValueError(f'options.media_types = {given!r}: must be a list such as ["text/plain"]')


def _prefixes(given: object) -> tuple[str, ...]:
    """The prefixes, longest first, so that the most specific one is removed."""
    several = (given,) if isinstance(given, str) else given
    if isinstance(several, list | tuple) and all(isinstance(p, str) and p for p in several):
        return tuple(sorted(several, key=len, reverse=True))
    raise ValueError(f'options.prefix = {given!r}: must be text such as "0:", or a list of such')


def _build_request(
    form: Mapping[str, Any], accept: str, query: Query, target: Target
) -> ProbeRequest:
    parameters = {key: str(value) for key, value in filled(form["query"], query, target).items()}
    url = address(target.url, filled_path(form["path"], query, target), parameters)
    if form["method"] == "GET":
        return get(url, target, accept=accept)
    return post(url, target, body=filled(form["body"] or {}, query, target), accept=accept)


def _plain_text(event: StreamEvent) -> ParsedEvent:
    return ParsedEvent(text=event.data)


def _parse_headers(rule: EventRule, headers: Mapping[str, str]) -> ParsedEvent:
    seen = {"_headers": headers}
    stated = tuple(replace(c, kind=ClaimKind.HEADER) for c in claims(rule, seen))
    usual = parse_headers(headers)
    return ParsedEvent(claims=(*stated, *usual.claims), usage=usage(rule, seen) or usual.usage)

"""Requests from a template: `{query}`, `{model}` and `{id}` put into texts, never into JSON."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from monitor.dialects.requests import model
from monitor.domain import Query, Target

_PLACE = re.compile(r"\{(query|model|id)\}")


def filled(template: Any, query: Query, target: Target) -> Any:
    """A copy of a JSON-like value with the places in its texts filled, once, keys untouched.

    What is put in is never looked at again, so a query may contain `{model}`. Raises
    ValueError if `{model}` is wanted and the target names none.
    """
    if isinstance(template, str):
        return _PLACE.sub(lambda place: _value(place[1], query, target), template)
    if isinstance(template, Mapping):
        return {key: filled(value, query, target) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return [filled(value, query, target) for value in template]
    return template


def filled_path(template: str, query: Query, target: Target) -> str:
    """A path with its places filled and percent-encoded: they cannot add a segment."""
    return _PLACE.sub(lambda place: quote(_value(place[1], query, target), safe=""), template)


def asks_query(*templates: Any) -> bool:
    """Whether `{query}` stands anywhere in the texts of the templates."""
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

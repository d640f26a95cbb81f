"""Tokens and charges that services report; `usage.toml` lists their field names.

Vendors differ in whether `completion_tokens` includes reasoning and `prompt_tokens` includes cached
tokens. The table records what each documents; `reported_usage` converts to one definition.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

from monitor.dialects.json_fields import count
from monitor.dialects.reported_usage import Charge, charge_in, settled
from monitor.dialects.requests import Path, at
from monitor.dialects.requests import path as _path
from monitor.domain import Counts, Usage

FIGURES = ("prompt", "answer", "total", "reasoning", "cached", "written", "written_1h")


# A figure, its alternatives, whether it is separate from others, whether it hides reasoning.
_Figure = tuple[str, tuple[tuple[Path, ...], ...], bool, bool]


@dataclass(frozen=True, slots=True)
class _Format:
    """One vendor's field names. A figure has alternatives, each a sum of paths."""

    names: Mapping[str, tuple[tuple[Path, ...], ...]]
    beside: frozenset[str]
    hidden: bool
    where: str | None  # a key that must be present


@dataclass(frozen=True, slots=True)
class _Group:
    """Formats with the same prompt figure. Their objects always have one of `keys`."""

    formats: tuple[_Format, ...]
    keys: frozenset[str]


@dataclass(slots=True)
class _Place:
    """A name on the path to the objects that hold counts: most events have none of them."""

    below: dict[str, "_Place"]
    order: int | None = None  # rank in the table, if such an object is here

    def collect(self, value: object, found: list[tuple[int, Mapping[str, Any]]]) -> None:
        """Append the objects here and below, each with its rank."""
        if isinstance(value, dict):
            if self.order is not None:
                found.append((self.order, value))
            if not self.below.keys().isdisjoint(value):
                for name, place in self.below.items():
                    if inner := value.get(name):
                        place.collect(inner, found)
        elif isinstance(value, list) and (first := self.below.get("0")):
            first.collect(value[0], found)


def may_report(event: Mapping[str, Any], data: str) -> bool:
    """False for nearly every event of a stream with `choices`: these need no search."""
    return (
        "usage" in data or "etadata" in data or not event.keys().isdisjoint(_NAMES_BESIDE_CHOICES)
    )


def usage(event: Mapping[str, Any]) -> Usage | None:
    """Tokens and charge that the JSON object of an event reports; None if it reports none."""
    if event.keys().isdisjoint(_NAMES):
        return None
    places: list[tuple[int, Mapping[str, Any]]] = []
    for name in event:
        if (place := _PLACES.get(name)) and (value := event[name]):
            place.collect(value, places)
    if not event.keys().isdisjoint(_ROOT_KEYS):
        places.append((_LAST, event))  # its own keys are those of a usage object
    if len(places) > 1:
        places.sort(key=_order)
    counts = next((found for _, one in places if (found := _counts(one))), None)
    charge = next((charged for _, one in places if (charged := _charge(one))), None)
    if counts is None:
        return charge
    counted = settled(counts)
    if charge is None:
        return counted
    return replace(
        counted,
        cost_usd=charge.cost_usd,
        upstream_cost_usd=charge.upstream_cost_usd,
        faults=(*counted.faults, *charge.faults),
    )


def _order(found: tuple[int, Mapping[str, Any]]) -> int:
    return found[0]


def _counts(held: Mapping[str, Any]) -> Counts | None:
    """Token counts of a usage object, by the first group of formats that matches."""
    for group in _reading_of(_known(held)):
        found: dict[str, int] = {}
        beside: frozenset[str] = frozenset()
        hidden = False
        for figure, sums, is_beside, is_hidden in group:
            if found.get(figure):
                continue  # another name may replace a zero
            value = next((n for paths in sums if (n := _sum(held, paths)) is not None), None)
            if value is not None and (value or figure not in found):
                found[figure] = value
                hidden |= is_hidden
                if is_beside:
                    beside |= {figure}
        if "prompt" in found or "answer" in found:
            return Counts(**found, beside=beside, hidden=hidden)
    return None


def _charge(held: Mapping[str, Any]) -> Usage | None:
    rows = _charges_of(_known(held))
    return charge_in(held, rows) if rows else None


def _known(held: Mapping[str, Any]) -> tuple[str, ...]:
    """An object's names that are in the table. Vendors write them in a constant order."""
    return tuple(name for name in held if name in _FIRST_NAMES)


@lru_cache(maxsize=256)
def _reading_of(names: tuple[str, ...]) -> tuple[tuple[_Figure, ...], ...]:
    """The figures to read in an object with these names, by group in the order of the table."""
    held = frozenset(names)
    groups = (
        tuple(
            (figure, kept, figure in layout.beside, layout.hidden and figure == "total")
            for layout in group.formats
            if layout.where is None or layout.where in held
            for figure, sums in layout.names.items()
            if (kept := _present(sums, held))
        )
        for group in _GROUPS
        if not group.keys.isdisjoint(held)
    )
    return tuple(filter(None, groups))


def _present(
    sums: tuple[tuple[Path, ...], ...], held: frozenset[str]
) -> tuple[tuple[Path, ...], ...]:
    """The alternatives whose paths can exist in an object with these names."""
    return tuple(
        kept for paths in sums if (kept := tuple(path for path in paths if path[0] in held))
    )


@lru_cache(maxsize=256)
def _charges_of(names: tuple[str, ...]) -> tuple[Charge, ...]:
    """The rows of the table that may find a charge in an object with these names."""
    held = frozenset(names)
    return tuple(row for row in _CHARGES if not held.isdisjoint(row.names))


def _sum(held: Mapping[str, Any], paths: tuple[Path, ...]) -> int | None:
    if len(paths) == 1:
        path = paths[0]
        return count(held.get(path[0]) if len(path) == 1 else at(held, path))
    values = [n for path in paths if (n := count(at(held, path))) is not None]
    return sum(values) if values else None


def _listed(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _sums(value: str | list[str] | None) -> tuple[tuple[Path, ...], ...]:
    """Alternatives, each a sum of paths."""
    return tuple(
        tuple(_path(part.strip()) for part in alternative.split("+"))
        for alternative in _listed(value)
    )


def _format(row: Mapping[str, Any]) -> _Format:
    names = {figure: _sums(row[figure]) for figure in FIGURES if figure in row}
    beside = frozenset(row.get("beside", ()))
    return _Format(names, beside, row.get("hidden", False), row.get("where"))


def _groups(rows: list[Mapping[str, Any]]) -> tuple[_Group, ...]:
    """Formats with the same prompt figure, grouped, in the order of the table."""
    by_prompt: dict[str, list[_Format]] = {}
    for row in rows:
        by_prompt.setdefault(row["prompt"], []).append(_format(row))
    return tuple(
        _Group(
            tuple(formats),
            frozenset(
                path[0]
                for layout in formats
                for figure in ("prompt", "answer")
                for alternative in layout.names[figure]
                for path in alternative
            ),
        )
        for formats in by_prompt.values()
    )


_TABLE = tomllib.loads(files("monitor.dialects").joinpath("usage.toml").read_text("utf-8"))
_GROUPS = _groups(_TABLE["format"])
_CHARGES = tuple(
    Charge(
        paths=tuple(map(_path, _listed(row["path"]))),
        exponent=row.get("exponent", 0),
        currency=_path(row["currency"]) if "currency" in row else None,
        upstream=_sums(row.get("upstream")),
        own_key=_path(row["own_key"]) if "own_key" in row else None,
        zero_is_unknown=row.get("zero_is_unknown", False),
    )
    for row in _TABLE["charge"]
)
_LAST = len(_TABLE["containers"])
_PLACES: dict[str, _Place] = {}
for _number, _container in enumerate(map(_path, _TABLE["containers"])):
    _places = _PLACES
    for _name in _container:
        _place = _places.setdefault(_name, _Place({}))
        _places = _place.below
    _place.order = _number
# Names that start an object of counts or charges.
_FIRST_NAMES = frozenset(
    name
    for group in _GROUPS
    for layout in group.formats
    for name in (
        layout.where or "",
        *(path[0] for sums in layout.names.values() for paths in sums for path in paths),
    )
) | frozenset(name for row in _CHARGES for name in row.names)
_ROOT_KEYS = frozenset().union(
    *(group.keys for group in _GROUPS),
    (path[0] for charge in _CHARGES for path in charge.paths),
)
_NAMES = _PLACES.keys() | _ROOT_KEYS
_NAMES_BESIDE_CHOICES = _NAMES - {"choices"}

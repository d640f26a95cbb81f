"""Tokens and charges as services report them, in whatever spelling: `usage.toml` has the table.

Vendors disagree whether `completion_tokens` holds the reasoning and `prompt_tokens` what came from
the cache. The table says what each documents; a total that it reports decides. What adds up neither
way is named in the faults of the usage.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from importlib.resources import files
from typing import Any

from monitor.dialects.fields import count, money
from monitor.domain import Usage

MOST_TOKENS = 100_000_000  # ten times the largest context window there is
FIGURES = ("prompt", "answer", "total", "reasoning", "cached", "written")
_TOTALS = ("total_cost", "total", "amount", "value", "usd", "total_price", "cost")
_CURRENCIES = ("currency", "currency_code", "unit")
_USD = frozenset({"usd", "$", "us$", "us dollar", "dollars"})
_WRITTEN = re.compile(
    r"([A-Z]{3}|[$€£¥])?\s*(-?[0-9.]+(?:[eE]-?[0-9]{1,2})?)\s*([A-Za-z]{3}|[$€£¥])?"
)

Path = tuple[str, ...]
Reading = tuple[bool, bool]  # whether reasoning, and what went through the cache, are beside
_READINGS = ((False, False), (True, False), (False, True), (True, True))


@dataclass(frozen=True, slots=True)
class _Format:
    """One vendor's names. A figure has alternatives, each a sum of paths."""

    names: Mapping[str, tuple[tuple[Path, ...], ...]]
    beside: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Group:
    """Formats with the same prompt. One of `keys` stands in every object of theirs."""

    formats: tuple[_Format, ...]
    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Charge:
    paths: tuple[Path, ...]
    exponent: int
    currency: Path | None
    upstream: Path | None  # what a provider charges for whose key the user pays
    own_key: Path | None
    zero_is_unknown: bool


@dataclass(slots=True)
class _Place:
    """A name on the way to the objects that hold counts: most events have none of them."""

    below: dict[str, "_Place"]
    order: int | None = None  # in the table, where such an object stands here

    def collect(self, value: object, found: list[tuple[int, Mapping[str, Any]]]) -> None:
        """Add the objects that stand here and below, each with its order."""
        if isinstance(value, dict):
            if self.order is not None:
                found.append((self.order, value))
            for name, place in self.below.items():
                if inner := value.get(name):
                    place.collect(inner, found)
        elif isinstance(value, list) and (first := self.below.get("0")):
            first.collect(value[0], found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Tokens as a vendor reports them; None: not reported.

    `beside`: which of `reasoning`, `cached` and `written` the vendor counts beside `answer` and
    `prompt`, as far as its documentation goes.
    """

    prompt: int | None = None
    answer: int | None = None
    total: int | None = None
    reasoning: int | None = None
    cached: int | None = None
    written: int | None = None
    beside: frozenset[str] = frozenset()


def usage(event: Mapping[str, Any]) -> Usage | None:
    """Tokens and charge that the JSON object of an event reports; None where it reports none."""
    places: list[tuple[int, Mapping[str, Any]]] = []
    for name in event:
        if (place := _PLACES.get(name)) and (value := event[name]):
            place.collect(value, places)
    if not event.keys().isdisjoint(_ROOT_KEYS):
        places.append((_LAST, event))  # where its own keys are those of a usage
    if not places:
        return None
    held = [one for _, one in sorted(places, key=_order)]
    counts = next((found for one in held if (found := _counts(one))), None)
    charge = next((charged for one in held if (charged := _charge(one))), None)
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


def settled(counts: Counts) -> Usage:
    """Counts in our definition: reasoning is part of the answer, cached and written tokens are
    part of the prompt. Where `total` fits only one reading of the counts, that one is taken.
    """
    prompt, answer = _likely(counts.prompt), _likely(counts.answer)
    reasoning = _likely(counts.reasoning)
    in_cache = _likely(counts.cached) + _likely(counts.written)

    def total(reading: Reading) -> int:
        return prompt + answer + reasoning * reading[0] + in_cache * reading[1]

    def possible(reading: Reading) -> bool:
        return (reading[0] or reasoning <= answer) and (reading[1] or in_cache <= prompt)

    # No part is larger than the whole, whatever is documented.
    larger = counts.prompt is not None and in_cache > prompt
    reading = (
        "reasoning" in counts.beside,
        larger or not counts.beside.isdisjoint({"cached", "written"}),
    )
    faults: tuple[str, ...] = ()
    whole = counts.prompt is not None and counts.answer is not None
    if whole and counts.total is not None and total(reading) != counts.total:
        fitting = [other for other in _READINGS if possible(other) and total(other) == counts.total]
        if fitting:
            reading = fitting[0]
        else:
            faults = (f"total of {counts.total} tokens: the parts add up to {total(reading)}",)
    return Usage(
        prompt_tokens=None if counts.prompt is None else counts.prompt + in_cache * reading[1],
        answer_tokens=_with_reasoning(counts) if reading[0] else counts.answer,
        reasoning_tokens=counts.reasoning,
        cached_tokens=counts.cached,
        cache_write_tokens=counts.written,
        faults=faults,
    )


def _order(found: tuple[int, Mapping[str, Any]]) -> int:
    return found[0]


def _likely(tokens: int | None) -> int:
    """A count to add up; none where it cannot be true, which is for the reply to say."""
    return tokens if tokens is not None and 0 <= tokens <= MOST_TOKENS else 0


def _with_reasoning(counts: Counts) -> int | None:
    if counts.reasoning is None:
        return counts.answer
    return (counts.answer or 0) + _likely(counts.reasoning)


def _counts(held: Mapping[str, Any]) -> Counts | None:
    """Tokens in the object that holds them, by the first group of formats that fits it."""
    for group in _GROUPS:
        if group.keys.isdisjoint(held):
            continue
        found: dict[str, int] = {}
        beside: set[str] = set()
        for layout in group.formats:
            for figure, alternatives in layout.names.items():
                if found.get(figure):
                    continue  # a zero may be filled in by another name
                value = next(
                    (n for sum_ in alternatives if (n := _sum(held, sum_)) is not None), None
                )
                if value is not None and (value or figure not in found):
                    found[figure] = value
                    beside |= layout.beside & {figure}
        if "prompt" in found or "answer" in found:
            return Counts(**found, beside=frozenset(beside))
    return None


def _sum(held: Mapping[str, Any], paths: tuple[Path, ...]) -> int | None:
    values = [n for path in paths if (n := count(_at(held, path))) is not None]
    return sum(values) if values else None


def _charge(held: Mapping[str, Any]) -> Usage | None:
    """The charge in an object, in USD; a fault where it is in another currency."""
    for charge in _CHARGES:
        value = next((v for path in charge.paths if (v := _at(held, path)) is not None), None)
        currency = _at(held, charge.currency) if charge.currency else None
        upstream = money(_at(held, charge.upstream)) if charge.upstream else None
        amount, currency = _amount(value, currency)
        if (amount is None and upstream is None) or (amount == 0 and charge.zero_is_unknown):
            continue
        if amount is not None and currency is not None and currency.strip().lower() not in _USD:
            return Usage(faults=(f"charge of {amount} {currency[:20]} is not in USD",))
        if amount is not None:
            amount = amount.scaleb(charge.exponent)
            if amount and upstream and charge.own_key and _at(held, charge.own_key) is True:
                amount += upstream  # with a key of one's own, this is the gateway's fee alone
        return Usage(cost_usd=amount, upstream_cost_usd=upstream)
    return None


def _amount(value: object, currency: object) -> tuple[Decimal | None, str | None]:
    """An amount of money and its currency, as far as they are stated."""
    named = currency if isinstance(currency, str) and currency.strip() else None
    if isinstance(value, dict):
        own = next((value[key] for key in _CURRENCIES if isinstance(value.get(key), str)), named)
        stated = (money(value.get(key)) for key in _TOTALS)
        total = next((amount for amount in stated if amount is not None), None)
        if total is None:
            parts = [m for key, v in value.items()
                     if key.endswith("_cost") and (m := money(v)) is not None]  # fmt: skip
            total = sum(parts, Decimal(0)) if parts else None
        return total, own
    if isinstance(value, str) and (written := _WRITTEN.fullmatch(value.strip())):
        return money(written[2]), written[1] or written[3] or named
    return money(value), named


def _at(held: object, path: Path) -> Any:
    """What stands at the end of a path; a number in it is the place in a list."""
    for name in path:
        if isinstance(held, dict):
            held = held.get(name)
        elif isinstance(held, list) and name.isdecimal() and int(name) < len(held):
            held = held[int(name)]
        else:
            return None
    return held


def _path(text: str) -> Path:
    return tuple(text.split(".")) if text else ()


def _listed(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _format(row: Mapping[str, Any]) -> _Format:
    names = {
        figure: tuple(
            tuple(_path(part.strip()) for part in alternative.split("+"))
            for alternative in _listed(row.get(figure))
        )
        for figure in FIGURES
        if figure in row
    }
    return _Format(names, frozenset(row.get("beside", ())))


def _groups(rows: list[Mapping[str, Any]]) -> tuple[_Group, ...]:
    """Formats of the same prompt together, in the order of the table."""
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
    _Charge(
        paths=tuple(map(_path, _listed(row["path"]))),
        exponent=row.get("exponent", 0),
        currency=_path(row["currency"]) if "currency" in row else None,
        upstream=_path(row["upstream"]) if "upstream" in row else None,
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
_ROOT_KEYS = frozenset().union(
    *(group.keys for group in _GROUPS),
    (path[0] for charge in _CHARGES for path in charge.paths),
)

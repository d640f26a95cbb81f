"""Token counts of vendors, converted to one definition.

In ours, the answer includes reasoning, and the prompt includes cached and cache-written tokens.
Vendors differ. `usage.toml` records what each documents; a reported total decides.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any

from monitor.dialects.json_fields import count, money
from monitor.dialects.requests import Path, at
from monitor.domain import Counts, Usage

MOST_TOKENS = 100_000_000  # ten times the largest known context window
_PARTS = ("reasoning", "cached", "written")

Reading = tuple[bool, bool]  # whether reasoning and cached tokens are counted separately
_READINGS = ((False, False), (True, False), (False, True), (True, True))
_FIGURES = tuple(
    field.name for field in fields(Counts) if field.name not in ("beside", "hidden", "total")
)


def settled(counts: Counts) -> Usage:
    """Counts in our definition. If `total` fits only one interpretation, that one is used.

    A part larger than its whole is counted separately, whatever is documented; for reasoning only
    if no total contradicts that.
    """
    if _is_settled(counts):
        return Usage(
            prompt_tokens=counts.prompt,
            answer_tokens=counts.answer,
            reasoning_tokens=counts.reasoning,
            cached_tokens=counts.cached,
            cache_write_tokens=counts.written,
            cache_write_1h_tokens=counts.written_1h,
            counts=counts,
        )
    counts = _with_hidden(counts)
    reasoning, in_cache = _likely(counts.reasoning), _in_cache(counts)
    reading = _documented(counts)
    faults: tuple[str, ...] = ()
    whole = counts.prompt is not None and counts.answer is not None
    if whole and counts.total is not None and _total(counts, reading) != counts.total:
        fitting = [
            other
            for other in _READINGS
            if _possible(counts, other) and _total(counts, other) == counts.total
        ]
        if fitting:
            reading = fitting[0]
        else:
            parts = _total(counts, reading)
            faults = (f"total of {counts.total} tokens: the parts add up to {parts}",)
    answer = counts.answer
    if reading[0] and counts.reasoning is not None:
        answer = (counts.answer or 0) + reasoning
    return Usage(
        prompt_tokens=None if counts.prompt is None else counts.prompt + in_cache * reading[1],
        answer_tokens=answer,
        reasoning_tokens=counts.reasoning,
        cached_tokens=counts.cached,
        cache_write_tokens=counts.written,
        cache_write_1h_tokens=counts.written_1h,
        counts=counts,
        faults=faults,
    )


def _is_settled(counts: Counts) -> bool:
    """Whether nothing needs deciding, as in most events: no parts, and a total that fits."""
    prompt, answer, total = counts.prompt, counts.answer, counts.total
    if counts.reasoning or counts.cached or counts.written:
        return False
    if total is None or prompt is None:
        return True
    if answer is None:
        return total == prompt or not counts.hidden
    return total == prompt + answer and prompt >= 0 and answer >= 0


def merged(earlier: Counts | None, later: Counts) -> Counts:
    """The counts of two events of one stream, figure by figure: the later one wins.

    A total that was stated with other figures is dropped.
    """
    if earlier is None:
        return later
    lost = earlier.total is not None and later.total is None
    if not lost and all(
        getattr(later, name) is not None or getattr(earlier, name) is None for name in _FIGURES
    ):
        return later
    values = {
        name: getattr(earlier, name) if (found := getattr(later, name)) is None else found
        for name in _FIGURES
    }
    same = (values["prompt"], values["answer"]) == (earlier.prompt, earlier.answer)
    beside = {
        part
        for part in _PARTS
        if part in (earlier if getattr(later, part) is None else later).beside
    }
    keeps = later.total is None and same
    return Counts(
        **values,
        total=earlier.total if keeps else later.total,
        beside=frozenset(beside),
        hidden=earlier.hidden if keeps else later.hidden,
    )


def _with_hidden(counts: Counts) -> Counts:
    """The counts with reasoning that only the total includes, for vendors known to omit it."""
    if not counts.hidden or counts.total is None or counts.prompt is None or counts.reasoning:
        return counts
    in_cache = _in_cache(counts) * _documented(counts)[1]
    rest = _likely(counts.total) - _likely(counts.prompt) - _likely(counts.answer) - in_cache
    beside_cache = not _documented(counts)[1] and rest == _in_cache(counts)
    if rest <= 0 or beside_cache:
        return counts
    if counts.answer is None:
        return replace(counts, answer=rest)
    return replace(counts, reasoning=rest, beside=counts.beside | {"reasoning"})


def _documented(counts: Counts) -> Reading:
    """What is counted separately: by documentation, or because a part exceeds its whole."""
    larger = counts.prompt is not None and _in_cache(counts) > _likely(counts.prompt)
    more = counts.answer is not None and _likely(counts.reasoning) > _likely(counts.answer)
    return (
        "reasoning" in counts.beside or (more and counts.total is None),
        larger or not counts.beside.isdisjoint({"cached", "written"}),
    )


def _total(counts: Counts, reading: Reading) -> int:
    beside = _likely(counts.reasoning) * reading[0] + _in_cache(counts) * reading[1]
    return _likely(counts.prompt) + _likely(counts.answer) + beside


def _possible(counts: Counts, reading: Reading) -> bool:
    within = reading[0] or _likely(counts.reasoning) <= _likely(counts.answer)
    return within and (reading[1] or _in_cache(counts) <= _likely(counts.prompt))


def _in_cache(counts: Counts) -> int:
    return _likely(counts.cached) + _likely(counts.written)


def _likely(tokens: int | None) -> int:
    """A count that can be added; 0 if it is impossible, which the reply reports."""
    return tokens if tokens is not None and 0 <= tokens <= MOST_TOKENS else 0


# What services say they charged, in any form. `usage.toml` lists the names. A stated value that
# cannot be an amount of USD is named in the faults and is not used as a charge.


_TOTALS = ("total_cost", "total", "amount", "value", "usd", "total_price", "cost")
_CURRENCIES = ("currency", "currency_code", "currencyCode", "unit")
_USD = frozenset({"usd", "$", "us$", "us dollar", "us dollars", "dollar", "dollars"})
_NANOS = -9
_NUMBER = r"[-+]?[0-9][0-9., \u00a0_]{0,40}(?:[eE][-+]?[0-9]{1,2})?"
_WRITTEN = re.compile(
    rf"(US\$|[A-Za-z]{{3}}|[$€£¥₹])?\s?({_NUMBER})\s?(US\$|[A-Za-z]{{3,7}}|[$€£¥₹])?"
)
_SIGNED = re.compile(r"([-+])\s?(US\$|[A-Za-z]{3}|[$€£¥₹])(?=[0-9])")  # -$0.01
_NO_NUMBER = re.compile(r"[-+]?(?:nan|inf|infinity)", re.IGNORECASE)
_POINT = re.compile(r"[-+]?[0-9]{1,15}(?:\.[0-9]{1,30})?(?:[eE][-+]?[0-9]{1,2})?")
_COMMA = re.compile(r"[-+]?(?:0,[0-9]{1,30}|[0-9]{1,15},(?:[0-9]{1,2}|[0-9]{4,30}))")
_GROUPED = re.compile(r"[-+]?[0-9]{1,3}(?:,[0-9]{3}){1,4}\.[0-9]{1,30}")
_GROUPED_COMMA = re.compile(r"[-+]?[0-9]{1,3}(?:\.[0-9]{3}){1,4},[0-9]{1,30}")


@dataclass(frozen=True, slots=True)
class Charge:
    """One row of the table: where a service states what it charged.

    `upstream`: what the provider charges when the user pays with their own key. Alternatives, each
    a sum of paths.
    """

    paths: tuple[Path, ...]
    exponent: int
    currency: Path | None
    upstream: tuple[tuple[Path, ...], ...]
    own_key: Path | None
    zero_is_unknown: bool

    @property
    def names(self) -> frozenset[str]:
        """The names in an object by which the charge is recognised."""
        places = (*self.paths, *(path for paths in self.upstream for path in paths))
        return frozenset(place[0] for place in places)


@dataclass(frozen=True, slots=True)
class StatedAmount:
    """A stated amount in USD. `fault`: why the stated value is not an amount of USD."""

    usd: Decimal | None = None
    fault: str | None = None


def charge_in(held: Mapping[str, Any], rows: tuple[Charge, ...]) -> Usage | None:
    """The charge in an object, in USD; a fault where the stated value is not an amount of USD."""
    for row in rows:
        value = next((v for path in row.paths if (v := at(held, path)) is not None), None)
        stated = amount(value, at(held, row.currency) if row.currency else None)
        upstream = _upstream(held, row)
        if stated.fault is not None:
            return Usage(upstream_cost_usd=upstream, faults=(stated.fault,))
        usd = stated.usd
        if (usd is None and upstream is None) or (usd == 0 and row.zero_is_unknown):
            continue
        if usd is not None:
            usd = usd.scaleb(row.exponent)
            if usd > 0 and upstream and row.own_key and at(held, row.own_key) is True:
                usd += upstream  # with the user's own key this is only the gateway's fee
        return Usage(cost_usd=usd, upstream_cost_usd=upstream)
    return None


def amount(value: object, currency: object = None) -> StatedAmount:
    """An amount of money: a number, a text or an object. `currency` is the field beside it."""
    named = currency if isinstance(currency, str) and currency.strip() else None
    if isinstance(value, dict):
        return _object(value, named)
    if not isinstance(value, str):
        return _in_usd(money(value), named)
    text = value.strip()
    if _NO_NUMBER.fullmatch(text):
        return StatedAmount(fault=f"charge of {text} is not an amount")
    written = _WRITTEN.fullmatch(_SIGNED.sub(r"\2\1", text, count=1)) if len(text) < 80 else None
    found = _number(written[2]) if written else None
    if written is None or found is None:
        stated = any(character.isdigit() for character in text[:200])
        return StatedAmount(fault=f"charge of {text[:40]} cannot be read" if stated else None)
    return _in_usd(found, written[1] or written[3] or named)


def _in_usd(found: Decimal | None, currency: str | None) -> StatedAmount:
    if found and currency is not None and currency.strip().lower() not in _USD:
        return StatedAmount(fault=f"charge of {found} {currency[:20]} is not in USD")
    return StatedAmount(found)


def _object(value: Mapping[str, Any], currency: str | None) -> StatedAmount:
    named = next((value[key] for key in _CURRENCIES if isinstance(value.get(key), str)), currency)
    if "nanos" in value:  # https://cloud.google.com/apis/design/design_patterns: Money
        units, nanos = count(value.get("units")) or 0, count(value["nanos"])
        found = None if nanos is None else units + Decimal(nanos).scaleb(_NANOS)
        return _in_usd(found, named)
    for key in _TOTALS:
        inner = value.get(key)
        if inner is not None and not isinstance(inner, dict):
            stated = amount(inner, named)
            if stated.usd is not None or stated.fault is not None:
                return stated
    parts = [m for key, v in value.items() if key.endswith("_cost") and (m := money(v)) is not None]
    return _in_usd(sum(parts, Decimal(0)) if parts else None, named)


def _number(text: str) -> Decimal | None:
    """A number with a decimal point or comma; None where `1,234` is ambiguous."""
    digits = text.replace(" ", "").replace("\u00a0", "").replace("_", "")
    if _POINT.fullmatch(digits):
        return Decimal(digits)
    if _COMMA.fullmatch(digits):
        return Decimal(digits.replace(",", "."))
    if _GROUPED.fullmatch(digits):
        return Decimal(digits.replace(",", ""))
    if _GROUPED_COMMA.fullmatch(digits):
        return Decimal(digits.replace(".", "").replace(",", "."))
    return None


def _upstream(held: Mapping[str, Any], row: Charge) -> Decimal | None:
    own_key = row.own_key is not None and at(held, row.own_key) is True
    for paths in row.upstream:
        if len(paths) > 1 and not own_key:
            continue  # parts of this charge
        parts = [part for path in paths if (part := money(at(held, path))) is not None]
        if parts:
            return sum(parts, Decimal(0))
    return None

"""A changed list price in words: old and new rates, and what a day costs with each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from monitor.domain import Unpriced, usd_text
from monitor.pricing.cost import TokenUse, cost
from monitor.pricing.price_table import RATES, BadPrices, rows

_NAMES = {
    "cached": "cached input",
    "cache_write": "cache writes",
    "cache_write_1h": "cache writes for 1 h",
}


@dataclass(frozen=True, slots=True)
class DailyUse:
    """Answers of a model in a day, probes and traffic together, and the tokens of the mean one."""

    answers: Decimal
    each: TokenUse


def effective(rates: Mapping[str, str]) -> Mapping[str, Decimal]:
    """The rates as amounts, whatever their notation; those of tiers as `input@200000`."""
    named = {name: usd for name, usd in rates.items() if name.partition("@")[0] in RATES}
    amounts = {name: Decimal(usd) for name, usd in named.items()}
    return {name: usd for name, usd in amounts.items() if usd or name != "request"}


def changed_rates(
    before: Mapping[str, str], after: Mapping[str, str]
) -> Mapping[str, tuple[Decimal | None, Decimal | None]]:
    """The rates that differ, before and after; None: no such rate."""
    old, new = effective(before), effective(after)
    return {
        name: (old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys(), key=_order)
        if old.get(name) != new.get(name)
    }


def price_change(
    before: Mapping[str, str], after: Mapping[str, str], uses: Sequence[DailyUse]
) -> str:
    """Old and new rates, and the cost of a day of `uses`, in two sentences without the last stop.

    Rates: USD per million tokens, `request` per request, as text. `input@200000`: from a prompt of
    so many tokens on.
    """
    changed = changes_text(changed_rates(before, after))
    if not uses:
        return f"{changed}. The model gave no answer in the last 24 h"
    then, now = day_usd(before, uses), day_usd(after, uses)
    if then is None or now is None:
        return f"{changed}. The cost of a day is not known"
    costs = f"costs {usd_text(now, beside=then)}, before {usd_text(then, beside=now)}"
    return f"{changed}. A day like the last one {costs}"


def day_usd(rates: Mapping[str, str], uses: Sequence[DailyUse]) -> Decimal | None:
    """What a day costs at these rates; None: they are not a price."""
    amounts = effective(rates)
    base = {name: usd for name, usd in amounts.items() if "@" not in name}
    tiers: dict[int, dict[str, Decimal]] = {}
    for name, usd in amounts.items():
        rate, _, start = name.partition("@")
        if start:
            tiers.setdefault(int(start), dict(base))[rate] = usd
    ascending = [{**tiers[start], "min_prompt_tokens": start} for start in sorted(tiers)]
    try:
        [price] = rows({"model": {**base, "tiers": ascending}}, source="list")
    except BadPrices:  # -1 stands for "depends on where it is routed"
        return None
    total = Decimal(0)
    for use in uses:
        each = cost(use.each, price)
        if isinstance(each, Unpriced):
            return None
        total += each.usd * use.answers
    return total


def _order(name: str) -> tuple[int, int]:
    rate, _, start = name.partition("@")
    return int(start or 0), RATES.index(rate)


def changes_text(changes: Mapping[str, tuple[Decimal | None, Decimal | None]]) -> str:
    """`input $0.08 → $0.10 per million tokens`, each tier by itself."""
    starts = dict.fromkeys(name.partition("@")[2] for name in changes)
    return "; ".join(_of_tier(start, changes) for start in starts)


def _of_tier(start: str, changes: Mapping[str, tuple[Decimal | None, Decimal | None]]) -> str:
    """`start`: the smallest prompt of the tier; empty: the rates of all other prompts."""
    said = {
        rate: f"{_usd(before)} → {_usd(after)}"
        for name, (before, after) in changes.items()
        for rate, _, of in [name.partition("@")]
        if of == start
    }
    request = said.pop("request", None)
    tokens = ", ".join(f"{_NAMES.get(name, name)} {change}" for name, change in said.items())
    parts = [f"{tokens} per million tokens"] * bool(tokens)
    parts += [f"{request} per request"] * (request is not None)
    return (f"from {int(start):,} prompt tokens on " if start else "") + " and ".join(parts)


def _usd(rate: Decimal | None) -> str:
    return "none" if rate is None else usd_text(rate, exact=True)

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
    """The rates as amounts, comparable whatever their notation."""
    amounts = {name: Decimal(rates[name]) for name in RATES if name in rates}
    return {name: usd for name, usd in amounts.items() if usd or name != "request"}


def price_change(
    before: Mapping[str, str], after: Mapping[str, str], uses: Sequence[DailyUse]
) -> str:
    """Old and new rates, and the cost of a day of `uses`, in two sentences without the last stop.

    Rates: USD per million tokens, `request` per request, as text.
    """
    changed = _changed(effective(before), effective(after))
    if not uses:
        return f"{changed}. The model gave no answer in the last 24 h"
    then, now = day_usd(before, uses), day_usd(after, uses)
    if then is None or now is None:
        return f"{changed}. The cost of a day is not known"
    costs = f"costs {usd_text(now, beside=then)}, before {usd_text(then, beside=now)}"
    return f"{changed}. A day like the last one {costs}"


def day_usd(rates: Mapping[str, str], uses: Sequence[DailyUse]) -> Decimal | None:
    """What a day costs at these rates; None: they are not a price."""
    try:
        [price] = rows({"model": dict(effective(rates))}, source="list")
    except BadPrices:  # -1 stands for "depends on where it is routed"
        return None
    total = Decimal(0)
    for use in uses:
        each = cost(use.each, price)
        if isinstance(each, Unpriced):
            return None
        total += each.usd * use.answers
    return total


def _changed(before: Mapping[str, Decimal], after: Mapping[str, Decimal]) -> str:
    changes = {
        name: f"{_usd(before.get(name))} → {_usd(after.get(name))}"
        for name in RATES
        if before.get(name) != after.get(name)
    }
    request = changes.pop("request", None)
    tokens = ", ".join(f"{_NAMES.get(name, name)} {change}" for name, change in changes.items())
    parts = [f"{tokens} per million tokens"] * bool(tokens)
    parts += [f"{request} per request"] * (request is not None)
    return " and ".join(parts)


def _usd(rate: Decimal | None) -> str:
    return "none" if rate is None else usd_text(rate, exact=True)

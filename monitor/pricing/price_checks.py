"""Doubts about the price book: rows read long ago, and rows a provider's own list contradicts."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from monitor.pricing.price import RATES, Price
from monitor.pricing.published import Same, variant

STALE_AFTER = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class PriceDifference:
    """A rate of ours that a provider's list states otherwise, USD per million tokens."""

    price: Price
    rate: str  # a name of Rates
    ours: Decimal
    theirs: Decimal
    prompt_tokens: int = 0  # the smallest prompt it is true of


def stale(
    prices: Iterable[Price], *, on: date, after: timedelta = STALE_AFTER
) -> tuple[Price, ...]:
    """Prices read longer ago than that. A price nobody dated is not judged."""
    return tuple(p for p in prices if p.checked is not None and on - p.checked > after)


def differences(
    prices: Iterable[Price], listed: Iterable[Price], *, same: Same
) -> tuple[PriceDifference, ...]:
    """Where a provider's list disagrees with prices in use, as far as both state a rate.

    `listed` are rows of one provider; a price that another provider bills is not compared.
    """
    theirs = tuple(listed)
    found: list[PriceDifference] = []
    for price in prices:
        twin = _twin(price, theirs, same=same)
        if twin is not None:
            found += _between(price, twin)
    return tuple(found)


def _twin(price: Price, listed: tuple[Price, ...], *, same: Same) -> Price | None:
    alike = [
        row
        for row in listed
        if price.provider in (None, row.provider)
        and variant(row.model) == variant(price.model)
        and (row.model == price.model or same(row.model, price.model))
    ]
    return min(alike, key=lambda row: row.model != price.model, default=None)


def _between(price: Price, twin: Price) -> Iterator[PriceDifference]:
    starts = {0} | {tier.min_prompt_tokens for tier in (*price.tiers, *twin.tiers)}
    for start in sorted(starts):
        ours, theirs = price.rates_for(start), twin.rates_for(start)
        for name in RATES:
            one, other = getattr(ours, name), getattr(theirs, name)
            if one is not None and other is not None and one != other:
                yield PriceDifference(price, name, one, other, start)

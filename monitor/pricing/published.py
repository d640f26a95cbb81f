"""Prices of models that neither the operator nor this package lists: from `genai-prices`.

Its data are inside the wheel, so a bill can be reproduced from the lock file; its updater is never
started. Imported on first use: most monitors never need it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from monitor.pricing.price_table import RATES, Price, PriceRates, PriceTier

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

Same = Callable[[str, str], bool | None]

_APART = {"free", "batch", "extended", "online", "thinking"}  # neither versions nor sizes
_HOST = "openrouter"  # lists nearly every model, including open weights
_COLUMNS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached": "cache_read_mtok",
    "reasoning": "output_reasoning_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
}


def variant(name: str) -> str:
    """The part of a name that changes the price and not the model: `free`, `batch`, …"""
    suffix = name.rpartition(":")[2].casefold()
    return suffix if suffix in _APART else ""


def published(model: str, *, at: datetime, provider: str | None, same: Same) -> Price | None:
    """The package's price at that instant; None if it has none.

    Without a provider: the maker's own price, else OpenRouter's.
    """
    found = _found(model, provider, same)
    if found is None:
        return None
    home, listed = found
    return _price(listed.get_prices(at), home=home.id, model=listed.id)


def prepare() -> None:
    """Load the package's data: up to half a second of CPU, once, that no answer should take."""
    _snapshot()


@cache
def _snapshot() -> "DataSnapshot":
    from genai_prices.data import providers
    from genai_prices.data_snapshot import DataSnapshot

    return DataSnapshot(providers=providers, from_auto_update=False)


@lru_cache(maxsize=512)
def _found(model: str, provider: str | None, same: Same) -> "tuple[Provider, ModelInfo] | None":
    """By the package's own matching if our comparison agrees; else by our comparison alone."""
    bare = model.rpartition("/")[2]
    for name, where in ((bare, provider), (model, provider or _HOST)):
        try:
            home, listed = _snapshot().find_provider_model(name, None, where, None)
        except LookupError:
            continue
        if variant(listed.id) == variant(model) and same(listed.id, model) is not False:
            return home, listed
    try:
        home = _snapshot().find_provider(None, provider or _HOST, None)
    except LookupError:
        return None
    alike = [m for m in home.models if variant(m.id) == variant(model) and same(m.id, model)]
    alike = [m for m in alike if m.id.rpartition("/")[2] == bare.lower()] or alike
    if not alike or any(m.prices != alike[0].prices for m in alike):
        return None  # several models have this name at different prices: ambiguous
    return home, alike[0]


def _price(rates: "ModelPrice", *, home: str, model: str) -> Price | None:
    from genai_prices import __version__

    base = _rates(rates, prompt_tokens=0)
    if base is None and variant(model) == "free" and not vars(rates):
        base = PriceRates(input=Decimal(0), output=Decimal(0))
    if base is None:
        return None
    tiers = (
        PriceTier(min_prompt_tokens=start, rates=higher)
        for start in _starts(rates)
        if (higher := _rates(rates, prompt_tokens=start)) is not None
    )
    return Price(
        model=model,
        rates=base,
        source=f"genai-prices {__version__}",
        provider=home,
        tiers=tuple(tiers),
    )


def _starts(rates: "ModelPrice") -> list[int]:
    """Smallest prompt of each tier; the package counts from the number of tokens exceeded."""
    values = [getattr(rates, column) for column in _COLUMNS.values()]
    return sorted({t.start + 1 for value in values for t in getattr(value, "tiers", ())})


def _rates(rates: "ModelPrice", *, prompt_tokens: int) -> PriceRates | None:
    stated = {
        ours: _rate(getattr(rates, theirs), prompt_tokens) for ours, theirs in _COLUMNS.items()
    }
    known = {name: rate for name, rate in stated.items() if rate is not None}
    if not {"input", "output"} <= known.keys():
        return None  # priced by the hour, the page or the image
    thousand = rates.requests_kcount
    return PriceRates(**known, request=thousand / 1000 if isinstance(thousand, Decimal) else None)


def _rate(value: "Decimal | TieredPrices | None", prompt_tokens: int) -> Decimal | None:
    if value is None or isinstance(value, Decimal):
        return value
    reached = [tier.price for tier in value.tiers if prompt_tokens > tier.start]
    return reached[-1] if reached else value.base


# Checks of the price book: rows that are old, and rows that a provider's own list contradicts.


STALE_AFTER = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class PriceDifference:
    """A rate of ours that differs from a provider's list, in USD per million tokens."""

    price: Price
    rate: str  # a name of Rates
    ours: Decimal
    theirs: Decimal
    prompt_tokens: int = 0  # the smallest prompt to which it applies


def stale(
    prices: Iterable[Price], *, on: date, after: timedelta = STALE_AFTER
) -> tuple[Price, ...]:
    """Prices read longer ago than that. A price without a date is not reported."""
    return tuple(p for p in prices if p.checked is not None and on - p.checked > after)


def differences(
    prices: Iterable[Price], listed: Iterable[Price], *, same: Same
) -> tuple[PriceDifference, ...]:
    """Where a provider's list differs from prices in use, for rates that both have.

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

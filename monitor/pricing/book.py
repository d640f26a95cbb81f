"""The price book: a model's token prices on a day, from the most trusted list that has them.

Lists, in order: the operator's overrides, the data file beside this module, and the `genai-prices`
package. The caller decides which names mean the same model.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from importlib.resources import files

from monitor.domain import Unpriced
from monitor.pricing.price_table import Price, rows
from monitor.pricing.published import Same, published, variant
from monitor.pricing.published import prepare as prepare_published
from monitor.redaction import plain

OVERRIDES = "monitor.toml"  # the source of a row that names none


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Lists of prices, most trusted first.

    `same` compares two names: True for one model, False for two, None if unknown. It must be a pure
    function: its results are cached.
    """

    lists: tuple[tuple[Price, ...], ...]
    same: Same

    def price(self, model: str, *, at: datetime, provider: str | None = None) -> Price | Unpriced:
        """The price of a model at an instant; with a provider, the price that this provider bills.

        A row without a provider applies to every provider. Without a requested provider, the first
        row of the list is used, from any provider.
        """
        for listed in self.lists:
            alike = self._alike(listed, model, at=at, provider=provider)
            if alike:
                return self._one(alike, model)
        return published(model, at=at, provider=provider, same=self.same) or Unpriced(
            f"no price for {plain(model, 80)}" + (f" at {plain(provider, 40)}" if provider else "")
        )

    def prepare(self, models: Iterable[str | None], *, at: datetime) -> None:
        """Load what pricing these models needs and is not loaded yet; only the first call is slow.

        Call it before work with a limit of CPU time.
        """
        if any(
            model
            and not any(self._alike(listed, model, at=at, provider=None) for listed in self.lists)
            for model in models
        ):
            prepare_published()

    def provider(self, model: str, *, at: datetime) -> str | None:
        """The provider that bills for a model: the first list that names one; None if none does."""
        for listed in self.lists:
            for row in self._alike(listed, model, at=at, provider=None):
                if row.provider:
                    return row.provider
        price = published(model, at=at, provider=None, same=self.same)
        return price.provider if price else None

    def _alike(
        self, listed: tuple[Price, ...], model: str, *, at: datetime, provider: str | None
    ) -> list[Price]:
        """Rows of the model that apply at that instant, the most specific first."""
        day = at.astimezone(UTC).date()
        alike = [
            price
            for price in listed
            if price.holds(day)
            and variant(price.model) == variant(model)
            and (None in (price.provider, provider) or _equal(price.provider, provider))
            and (_equal(price.model, model) or self.same(price.model, model))
        ]
        alike.sort(
            key=lambda price: (
                provider is not None and price.provider is None,
                not _equal(price.model, model),
                -price.valid_from.toordinal() if price.valid_from else 0,
            )
        )
        return alike

    def _one(self, alike: list[Price], model: str) -> Price | Unpriced:
        """The most specific row, unless a vague name matched the prices of several models."""
        first = alike[0]
        for other in alike[1:]:
            one = _equal(first.model, model) or _equal(first.model, other.model)
            if not one and other.rates != first.rates and not self.same(first.model, other.model):
                meant = " or ".join(sorted({price.model for price in alike}))
                return Unpriced(f"{plain(model, 80)} may be {meant}, at different prices")
        return first


def price_book(overrides: Mapping[str, object], *, same: Same) -> PriceBook:
    """The book with an operator's `[prices]` on top. Raises BadPrices with every error."""
    return PriceBook((rows(overrides, source=OVERRIDES), shipped()), same)


def shipped() -> tuple[Price, ...]:
    """The rows of the data file in this package."""
    text = files("monitor.pricing").joinpath("prices.toml").read_text(encoding="utf-8")
    return rows(tomllib.loads(text, parse_float=Decimal))


def _equal(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one.casefold() == other.casefold()

"""One row of the price book: what a model's tokens cost, since when, and who says so."""

from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRates:
    """USD per million tokens; `request` is USD per request. None: no rate of its own.

    Without `cached` or `cache_write`, prompt tokens read from the cache or written to it cost
    `input`; without `reasoning`, reasoning tokens cost `output`. `cache_write` is for what is kept
    five minutes or for an unstated time; without `cache_write_1h` it is for an hour as well.
    """

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    reasoning: Decimal | None = None
    cache_write: Decimal | None = None  # kept five minutes
    cache_write_1h: Decimal | None = None
    request: Decimal | None = None


RATES = tuple(field.name for field in fields(PriceRates))


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTier:
    """Other rates for the whole request, from a prompt of so many tokens on."""

    min_prompt_tokens: int
    rates: PriceRates


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one model costs. `provider` is who bills; None: whoever does.

    `valid_from` and `valid_to` are UTC days, both included; tiers stand in rising order.
    `checked` None: nobody says when the price was read.
    """

    model: str
    rates: PriceRates
    source: str
    provider: str | None = None
    checked: date | None = None
    valid_from: date | None = None
    valid_to: date | None = None
    tiers: tuple[PriceTier, ...] = ()

    def holds(self, day: date) -> bool:
        """Whether this is the price of that UTC day."""
        begun = self.valid_from is None or self.valid_from <= day
        return begun and (self.valid_to is None or day <= self.valid_to)

    def rates_for(self, prompt_tokens: int) -> PriceRates:
        """The rates of a request with a prompt of that size."""
        reached = [t.rates for t in self.tiers if t.min_prompt_tokens <= prompt_tokens]
        return reached[-1] if reached else self.rates

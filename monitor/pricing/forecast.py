"""Projected spend for each model that may answer, and what one model saves against another."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from monitor.domain import Query, Target, Unpriced
from monitor.pricing.book import PriceBook
from monitor.pricing.cost import cost, estimate, expected
from monitor.pricing.meters import UsdAmount
from monitor.pricing.price_table import Price, rounded

MONTH_DAYS = 30
# 2,319 characters: the longest mean that the service's operators measured
ASSUMED_ANSWER_TOKENS = 600

_DAY, _TICK = timedelta(days=1), timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendForecast:
    """Dollars a day if one model answers everything: probes and traffic separately.

    `query`: one canned query, the mean over all of them. `round`: all of them once. A lower bound
    if the size of a prompt was not stated.
    """

    model: str
    price: Price
    query: UsdAmount
    round: UsdAmount
    probes: UsdAmount
    traffic: UsdAmount

    @property
    def per_day(self) -> UsdAmount:
        return self.probes + self.traffic

    @property
    def per_month(self) -> UsdAmount:
        day = self.per_day
        return UsdAmount(day.usd * MONTH_DAYS, day.at_least)


@dataclass(frozen=True, slots=True, kw_only=True)
class Savings:
    """What so many queries cost, and what they would have cost on one model alone."""

    queries: int
    spent_usd: Decimal
    all_expected_usd: Decimal
    all_fallback_usd: Decimal

    @property
    def against_fallback_usd(self) -> Decimal:
        """Saved because the fallback does not answer everything; negative: lost."""
        return self.all_fallback_usd - self.spent_usd

    @property
    def against_expected_usd(self) -> Decimal:
        """Saved against the expected model answering everything; negative: the fallback's price."""
        return self.all_expected_usd - self.spent_usd

    def over(self, queries: int) -> "Savings":
        """The same for another number of queries with the same mix of models."""
        return Savings(
            queries=queries,
            spent_usd=rounded(self.spent_usd * queries / self.queries),
            all_expected_usd=rounded(self.all_expected_usd * queries / self.queries),
            all_fallback_usd=rounded(self.all_fallback_usd * queries / self.queries),
        )


def projected(
    target: Target, *, book: PriceBook, at: datetime, answer_tokens: Mapping[str, int] | None = None
) -> dict[str, SpendForecast | Unpriced]:
    """Project a target on each expected and each fallback model, in the order declared.

    `answer_tokens`: by query id, as observed. Queries without answers are projected with 600, or
    fewer if the query stops reading early.
    """
    received = answer_tokens or {}
    found: dict[str, SpendForecast | Unpriced] = {}
    for model in (*target.expected_models, *target.fallback_models):
        price = book.price(model, at=at)
        found[model] = (
            price
            if isinstance(price, Unpriced)
            else _projection(target, price, model=model, received=received)
        )
    return found


def savings(
    answers: Mapping[str, int], mean_usd: Mapping[str, Decimal], *, expected: str, fallback: str
) -> Savings | Unpriced:
    """Compare what was spent with one model answering everything.

    `answers`: number of queries by answering model; `mean_usd`: cost of a canned query on each
    model, the only fair comparison across tokenizers.
    """
    queries = sum(answers.values())
    missing = sorted({expected, fallback, *answers} - mean_usd.keys())
    if missing:
        return Unpriced("unknown cost of a query on " + ", ".join(missing))
    if queries <= 0:
        return Unpriced("no probe was answered")
    spent = sum((mean_usd[model] * count for model, count in answers.items()), Decimal(0))
    return Savings(
        queries=queries,
        spent_usd=rounded(spent),
        all_expected_usd=rounded(mean_usd[expected] * queries),
        all_fallback_usd=rounded(mean_usd[fallback] * queries),
    )


def _projection(
    target: Target, price: Price, *, model: str, received: Mapping[str, int]
) -> SpendForecast | Unpriced:
    whole = UsdAmount()
    for query in target.queries:
        used = expected(query, target, answer=_answer(query, target, received=received))
        charge = cost(used, price)
        if isinstance(charge, Unpriced):
            return charge
        whole += UsdAmount(charge.usd, used.prompt_at_least)
    mean = whole.usd / max(len(target.queries), 1)
    rounds = Decimal(_DAY // _TICK) / (target.every // _TICK)
    return SpendForecast(
        model=model,
        price=price,
        query=UsdAmount(rounded(mean), whole.at_least),
        round=whole,
        probes=UsdAmount(rounded(whole.usd * rounds), whole.at_least),
        traffic=UsdAmount(
            rounded(mean * target.daily_queries), whole.at_least and target.daily_queries > 0
        ),
    )


def _answer(query: Query, target: Target, *, received: Mapping[str, int]) -> int:
    if query.id in received:
        return received[query.id]
    if query.stop_after_chars is None:
        return ASSUMED_ANSWER_TOKENS
    return min(ASSUMED_ANSWER_TOKENS, estimate(query.stop_after_chars, target.chars_per_token))

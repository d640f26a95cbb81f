"""What probing and traffic of a target will cost, as `monitor check` and `init` print it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

from monitor.domain import Target, Unpriced, amount_text, usd_text
from monitor.pricing.book import PriceBook
from monitor.pricing.forecast import SpendForecast
from monitor.pricing.forecast import projected as projected_spend
from monitor.pricing.meters import UsdAmount


def projection(target: Target, book: PriceBook, budget: Decimal) -> Iterator[str]:
    """The cost of probing and traffic, on the expected model and on each fallback."""
    yield f"projected spend of {target.name} (a month is 30 days):"
    found = projected_spend(target, book=book, at=datetime.now(UTC))
    if not found:
        yield (
            "  cannot be projected, because no model is declared: add "
            f"targets.{target.name}.expected_models"
        )
    for model, forecast in found.items():
        role = "expected" if model in target.expected_models else "fallback"
        if isinstance(forecast, Unpriced):
            yield (
                f"  {role} {model}: cannot be projected: {forecast.reason}. Add "
                f'[prices."{model}"] with input and output in USD per million tokens'
            )
            continue
        held = f"; the probe budget stops probes at ${budget}/day"
        yield f"  {role} {model}: {_spend(forecast)}{held * (forecast.probes.usd > budget)}"
    yield from _unknown(target, book)


def _unknown(target: Target, book: PriceBook) -> Iterator[str]:
    """The assumed cost of an answer by an unknown model."""
    found = projected_spend(target, book=book, at=datetime.now(UTC)).values()
    priced = [item.query.usd for item in found if isinstance(item, SpendForecast)]
    if priced:
        cost = amount_text(min(priced), max(priced))
        yield f"  model unknown: {cost} an answer"


def _spend(forecast: SpendForecast) -> str:
    probes, traffic = _usd(forecast.probes), _usd(forecast.traffic)
    return (
        f"probes {probes}/day + traffic {traffic}/day = {_usd(forecast.per_day)}/day, "
        f"{_usd(forecast.per_month)}/month"
    )


def _usd(amount: UsdAmount) -> str:
    return f"{'at least ' if amount.at_least else ''}{usd_text(amount.usd)}"

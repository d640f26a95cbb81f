"""What one probe cost: tokens × price, or what the provider says it charged."""

from datetime import datetime
from decimal import Decimal

from monitor.domain import Cost, CostSource, Query, Target, Unpriced, Usage
from monitor.pricing.book import Book
from monitor.pricing.money import exact
from monitor.pricing.price import Price
from monitor.pricing.tokens import Tokens, tokens


def priced(
    usage: Usage,
    *,
    model: str | None,
    text: str,
    query: Query,
    target: Target,
    book: Book,
    at: datetime,
    cut: bool,
) -> Cost | Unpriced:
    """The cost of a probe from the most trusted source that knows it.

    The provider's charge → reported tokens × price book → estimated tokens × price book.
    `text`, `cut`: see `tokens`. A stream that was cut is never more than an estimate.
    """
    charge = _charge(usage)
    if charge is not None:
        return Cost(charge, CostSource.ESTIMATED if cut else CostSource.PROVIDER)
    if model is None:
        return Unpriced("no one can tell which model answered")
    price = book.price(model, at=at)
    if isinstance(price, Unpriced):
        return price
    return cost(tokens(usage, text=text, query=query, target=target, cut=cut), price)


def cost(used: Tokens, price: Price) -> Cost | Unpriced:
    """Tokens × price, with everything needed to do the sum again in `rates`."""
    rates = price.rates_for(used.prompt)
    cached = rates.input if rates.cached is None else rates.cached
    written = rates.input if rates.cache_write is None else rates.cache_write
    reasoning = rates.output if rates.reasoning is None else rates.reasoning
    usd = exact(
        (
            (used.prompt - used.cached - used.written) * rates.input
            + used.cached * cached
            + used.written * written
            + (used.answer - used.reasoning) * rates.output
            + used.reasoning * reasoning
        ).scaleb(-6)
        + (rates.request or 0)
    )
    if usd is None:
        return Unpriced("tokens × price is no amount of money that can be")
    shown: dict[str, object] = {"input": rates.input, "output": rates.output}
    if used.cached:
        shown["cached"] = cached
    if used.written:
        shown["cache_write"] = written
    if used.reasoning:
        shown["reasoning"] = reasoning
    if rates.request:
        shown["request"] = rates.request
    shown |= {"model": price.model, "source": price.source}
    if used.estimated:
        least = "at least " if used.prompt_at_least else ""
        shown |= {"prompt_tokens": f"{least}{used.prompt}", "answer_tokens": used.answer}
    source = CostSource.ESTIMATED if used.estimated else CostSource.REPORTED
    return Cost(usd, source, {name: str(value) for name, value in shown.items()})


def _charge(usage: Usage) -> Decimal | None:
    """What the provider says it charged; None where it says nothing we may believe.

    With a key of one's own the gateway charges nothing, or its fee, and the money goes
    upstream; without one it states the same charge twice. The larger is right in both. A
    charge of zero is believed only if the price book says so too: feeds that lost their
    figures look exactly like that, and a silent zero blinds the spend rule.
    """
    stated = [exact(usd) for usd in (usage.cost_usd, usage.upstream_cost_usd) if usd is not None]
    charge = max((usd for usd in stated if usd is not None), default=Decimal(0))
    return charge or None

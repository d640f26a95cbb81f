"""The tokens of a probe, reported or estimated from its texts, and what they cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, Decimal

from monitor.domain import Cost, CostRange, CostSource, Query, Target, Unpriced, Usage
from monitor.pricing.book import PriceBook
from monitor.pricing.price_table import Price, PriceRates, exact
from monitor.redaction import plain

LIMIT = 1_000_000_000  # more than any request can have; a larger count is an error


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUse:
    """Tokens of one request. `cached` and `written` are parts of `prompt`; `reasoning` of `answer`.

    `cached` was read from the provider's cache, `written` was written to it; `written_1h` is part
    of `written`. `estimated`: at least one of the two counts was estimated from characters.
    `prompt_at_least`: only the query's own words are counted, because the size of the prompt around
    them is unknown.
    """

    prompt: int
    answer: int
    cached: int = 0
    written: int = 0
    written_1h: int = 0
    reasoning: int = 0
    estimated: bool = False
    prompt_at_least: bool = False


def tokens(usage: Usage, *, chars: int, query: Query, target: Target, cut: bool) -> TokenUse:
    """Count a probe's tokens.

    `chars`: of everything the model wrote, including reasoning. `cut`: the stream stopped before
    its own end; then the reported answer tokens are only a lower bound.
    """
    prompt, sized = _prompt(query, target)
    reported_prompt, reported_answer = _count(usage.prompt_tokens), _count(usage.answer_tokens)
    received = estimate(chars, target.chars_per_token)
    if reported_answer is None:
        answer = received
    else:
        answer = max(reported_answer, received) if cut else reported_answer
    known_prompt = reported_prompt is not None
    cached = min(_count(usage.cached_tokens) or 0, reported_prompt or 0)
    written = min(_count(usage.cache_write_tokens) or 0, (reported_prompt or 0) - cached)
    return TokenUse(
        prompt=prompt if reported_prompt is None else reported_prompt,
        answer=answer,
        cached=cached,
        written=written,
        written_1h=min(_count(usage.cache_write_1h_tokens) or 0, written),
        reasoning=min(_count(usage.reasoning_tokens) or 0, answer),
        estimated=cut or not known_prompt or reported_answer is None,
        prompt_at_least=not known_prompt and not sized,
    )


def expected(query: Query, target: Target, *, answer: int) -> TokenUse:
    """The tokens of a query with an answer of that length, before the answer arrives."""
    prompt, sized = _prompt(query, target)
    return TokenUse(prompt=prompt, answer=answer, estimated=True, prompt_at_least=not sized)


def estimate(characters: int, chars_per_token: Decimal) -> int:
    """Tokens in so many characters, rounded up."""
    return int((characters / chars_per_token).to_integral_value(ROUND_CEILING))


def _prompt(query: Query, target: Target) -> tuple[int, bool]:
    """The prompt's tokens, and whether its size was stated."""
    if query.prompt_tokens is not None:
        return query.prompt_tokens, True
    return estimate(len(query.text), target.chars_per_token), False


def _count(reported: int | None) -> int | None:
    return reported if reported is not None and 0 <= reported < LIMIT else None


# The cost of one probe: tokens × price, the provider's own charge, or a range.


UNDECLARED = "undeclared models"  # that may have answered where no fallback is declared
_COUNTED = ("prompt_tokens", "answer_tokens")
WRITTEN_1H = "cache_write_1h_tokens"  # in `rates`: of the probe's tokens, those cached for an hour
_NOTED = (*_COUNTED, WRITTEN_1H)


def priced(
    usage: Usage,
    *,
    model: str | None,
    chars: int,
    query: Query,
    target: Target,
    book: PriceBook,
    at: datetime,
    cut: bool,
) -> Cost | Unpriced:
    """The cost of a probe from the most trusted source that has it.

    Order: the provider's charge; reported tokens × price book; estimated tokens × price book.
    `chars`, `cut`: see `tokens`. The cost of an incomplete stream is always an estimate.
    """
    charge = _charge(usage)
    if charge is not None:
        source = CostSource.ESTIMATED if cut else CostSource.PROVIDER
        listed = _list_rates(
            usage, model, chars=chars, query=query, target=target, book=book, at=at, cut=cut
        )
        return Cost(charge, source, listed)
    if model is None:
        return Unpriced("the model could not be identified")
    price = book.price(model, at=at)
    if isinstance(price, Unpriced):
        return price
    return cost(tokens(usage, chars=chars, query=query, target=target, cut=cut), price)


def priced_or_ranged(
    usage: Usage,
    *,
    model: str | None,
    judged: bool,
    chars: int,
    query: Query,
    target: Target,
    book: PriceBook,
    at: datetime,
    cut: bool,
) -> Cost | CostRange | Unpriced:
    """The cost as `priced` gives it, or a range over the declared models if the model is unknown.

    The range covers the expected models and the fallbacks. The model is unknown if it has no name,
    or a name without a price, unless the answer was `judged` to be the expected model's or a
    fallback's. The reason names declared models without a price; the low end is then zero, because
    their price is unknown. So it is where no fallback is declared: the price of one model says
    nothing of another. If no declared model has a price there is no range.
    """
    found = priced(
        usage, model=model, chars=chars, query=query, target=target, book=book, at=at, cut=cut
    )
    if isinstance(found, Cost) or (judged and model is not None):
        return found
    used = tokens(usage, chars=chars, query=query, target=target, cut=cut)
    costs: dict[str, Cost] = {}
    without = []
    for declared in dict.fromkeys((*target.expected_models, *target.fallback_models)):
        price = book.price(declared, at=at)
        charge = price if isinstance(price, Unpriced) else cost(used, price)
        if isinstance(charge, Unpriced):
            without.append(declared)
        else:
            costs[declared] = charge
    if not costs:
        return found
    complete = bool(target.fallback_models)
    return _range(costs, without, fallbacks_declared=complete, cause=found.reason)


def _range(
    costs: Mapping[str, Cost], without: Sequence[str], *, fallbacks_declared: bool, cause: str
) -> CostRange:
    highest = max(costs, key=lambda name: costs[name].usd)
    lowest = min(costs, key=lambda name: costs[name].usd)
    high, low = costs[highest], costs[lowest]
    lacks = [] if fallbacks_declared else ["no fallback model is declared"]
    if without:
        lacks.append(f"{', '.join(without)} {'has' if len(without) == 1 else 'have'} no price")
    ends = {"high": high} if lacks else {"low": low, "high": high}
    rates = {
        f"{end}_{name}": rate
        for end, of in ends.items()
        for name, rate in of.rates.items()
        if name not in _NOTED
    }
    rates |= {name: high.rates[name] for name in _NOTED if name in high.rates}
    if not lacks:
        reason = f"{cause}: priced as a range, from {lowest} to {highest}"
        return CostRange(low.usd, high.usd, plain(reason), rates)
    rates["without_price"] = ", ".join(without) or UNDECLARED
    reason = f"{cause}: priced as a range, from zero, because {' and '.join(lacks)}, to {highest}"
    return CostRange(Decimal(0), high.usd, plain(reason), rates)


def cost(used: TokenUse, price: Price) -> Cost | Unpriced:
    """Tokens × price, with everything needed to repeat the calculation in `rates`."""
    rates = price.rates_for(used.prompt)
    cached = rates.input if rates.cached is None else rates.cached
    reasoning = rates.output if rates.reasoning is None else rates.reasoning
    usd = exact(
        (
            (used.prompt - used.cached - used.written) * rates.input
            + used.cached * cached
            + _written(used, rates)
            + (used.answer - used.reasoning) * rates.output
            + used.reasoning * reasoning
        ).scaleb(-6)
        + (rates.request or 0)
    )
    if usd is None:
        return Unpriced("tokens × price is not a valid amount of money")
    shown: dict[str, object] = {"input": rates.input, "output": rates.output}
    if used.cached:
        shown["cached"] = cached
    if used.written:
        shown["cache_write"] = _written(used, rates) / used.written
    if used.written_1h:  # read by `monitor derive`
        shown[WRITTEN_1H] = used.written_1h
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


def _written(used: TokenUse, rates: PriceRates) -> Decimal:
    """Cache-write tokens × their rates, for the five-minute and the one-hour cache."""
    minutes = rates.input if rates.cache_write is None else rates.cache_write
    hour = minutes if rates.cache_write_1h is None else rates.cache_write_1h
    return (used.written - used.written_1h) * minutes + used.written_1h * hour


def _list_rates(
    usage: Usage,
    model: str | None,
    *,
    chars: int,
    query: Query,
    target: Target,
    book: PriceBook,
    at: datetime,
    cut: bool,
) -> Mapping[str, str]:
    """The price book's rates, beside a provider's own charge; empty if it has none."""
    price = book.price(model, at=at) if model is not None else None
    if not isinstance(price, Price):
        return {}
    listed = cost(tokens(usage, chars=chars, query=query, target=target, cut=cut), price)
    if isinstance(listed, Unpriced):
        return {}
    return {name: rate for name, rate in listed.rates.items() if name not in _COUNTED}


def _charge(usage: Usage) -> Decimal | None:
    """The provider's charge; None if it states none, or an implausible one.

    With the user's own provider key, the gateway charges nothing or only its fee, and the cost is
    upstream; without it, the gateway states the same charge twice. The larger value is right in
    both cases. A charge of zero counts only if the price book agrees: feeds that lost their figures
    look exactly like that, and a silent zero would blind the spend rule.
    """
    stated = [exact(usd) for usd in (usage.cost_usd, usage.upstream_cost_usd) if usd is not None]
    charge = max((usd for usd in stated if usd is not None), default=Decimal(0))
    return charge or None

"""What one probe cost: whom we believe, how tokens are counted, and to which digit."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from monitor.domain import Cost, CostSource, Query, Target, Unpriced, Usage
from monitor.pricing.book import price_book
from monitor.pricing.cost import TokenUse, cost, priced, tokens
from monitor.pricing.price_table import Price, PriceRates, PriceTier, exact
from tests.case_tables import each

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SIZED = Query(id="hi", text="Hi", prompt_tokens=1000)
UNSIZED = Query(id="kbli", text="KBLI?")
TARGET = Target(name="t", url="http://t", dialect="d", queries=(SIZED, UNSIZED))
DOLLAR = Price(model="acme/one", source="s", rates=PriceRates(input=Decimal(1), output=Decimal(10)))
UNREPORTED = Usage()
TEN_LETTERS = "abcdefghij"  # 2.5, so 3 tokens at four characters each


def exactly(one: str, other: str) -> bool | None:
    return one == other


BOOK = price_book(
    {
        "acme/one": {"input": "1", "output": "10"},
        "acme/thinker": {"input": "1", "output": "10", "cached": "0.10", "reasoning": "20",
                         "cache_write": "1.25"},
        "acme/hours": {"input": "1", "output": "10", "cache_write": "1.25", "cache_write_1h": "2"},
        "acme/charged": {"input": "1", "output": "1", "request": "0.005"},
        "acme/gratis": {"input": "0", "output": "0"},
    },
    same=exactly,
)  # fmt: skip


def probe_cost(
    usage: Usage = UNREPORTED,
    *,
    model: str | None = "acme/one",
    text: str = TEN_LETTERS,
    query: Query = SIZED,
    cut: bool = False,
) -> Cost | Unpriced:
    return priced(
        usage, model=model, chars=len(text), query=query, target=TARGET, book=BOOK, at=NOON, cut=cut
    )


def told(found: Cost | Unpriced) -> tuple[str, str]:
    assert isinstance(found, Cost), found
    return f"{found.usd.normalize():f}", found.source.value


def money(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


@each(
    ("charged", "upstream", "usd", "source"),
    [
        ("0.02", None, "0.02", "provider"),
        ("0", "0.03", "0.03", "provider"),  # a key of one's own: the money goes upstream
        (None, "0.03", "0.03", "provider"),
        ("0.0015", "0.03", "0.03", "provider"),  # the gateway's fee on top
        ("0.02", "0.02", "0.02", "provider"),  # stated twice, charged once
        ("0.02", "0", "0.02", "provider"),
        ("0", None, "0.0011", "reported"),  # a silent zero: the book has another opinion
        ("0", "0", "0.0011", "reported"),
        ("-1", None, "0.0011", "reported"),
        ("NaN", None, "0.0011", "reported"),
        ("Infinity", None, "0.0011", "reported"),
        ("100000000", None, "0.0011", "reported"),
        (None, None, "0.0011", "reported"),
    ],
)
def test_the_providers_own_charge_is_believed_first(
    charged: str | None, upstream: str | None, usd: str, source: str
) -> None:
    usage = Usage(
        prompt_tokens=1000,
        answer_tokens=10,
        cost_usd=money(charged),
        upstream_cost_usd=money(upstream),
    )
    assert told(probe_cost(usage)) == (usd, source)


def test_the_list_price_stands_beside_the_providers_own_charge() -> None:
    usage = Usage(prompt_tokens=1000, answer_tokens=100, cached_tokens=10, cost_usd=Decimal("0.02"))
    found = probe_cost(usage, model="acme/thinker")
    assert isinstance(found, Cost)
    assert (found.usd, found.source) == (Decimal("0.02"), "provider")
    assert {name: found.rates[name] for name in ("input", "output", "cached")} == {
        "input": "1", "output": "10", "cached": "0.10",
    }  # fmt: skip
    assert probe_cost(usage, model="acme/unlisted") == Cost(Decimal("0.02"), CostSource.PROVIDER)
    estimated = probe_cost(Usage(cost_usd=Decimal("0.02")))
    assert isinstance(estimated, Cost)
    assert not {"prompt_tokens", "answer_tokens"} & estimated.rates.keys()


def test_a_charge_needs_no_known_model() -> None:
    assert told(probe_cost(Usage(cost_usd=Decimal("0.02")), model=None)) == ("0.02", "provider")


def test_a_charge_of_zero_is_believed_where_the_book_says_it_is_free() -> None:
    usage = Usage(prompt_tokens=9, answer_tokens=9, cost_usd=Decimal(0))
    assert told(probe_cost(usage, model="acme/gratis")) == ("0", "reported")


def test_no_one_prices_an_unknown_model() -> None:
    assert probe_cost(model=None) == Unpriced("the model could not be identified")
    assert probe_cost(model="acme/none") == Unpriced("no price for acme/none")
    assert probe_cost(Usage(cost_usd=Decimal(0)), model=None) == Unpriced(
        "the model could not be identified"
    )


@pytest.mark.parametrize(
    ("prompt", "answer", "usd", "source"),
    [
        (1000, 10, "0.0011", "reported"),
        (0, 0, "0", "reported"),
        (1000, None, "0.00103", "estimated"),  # three tokens in ten letters
        (None, 10, "0.0011", "estimated"),  # the query's own prompt size
        (None, None, "0.00103", "estimated"),
        (-5, 10, "0.0011", "estimated"),
        (1000, 10**12, "0.00103", "estimated"),
    ],
)
def test_reported_tokens_come_before_estimated_ones(
    prompt: int | None, answer: int | None, usd: str, source: str
) -> None:
    assert told(probe_cost(Usage(prompt_tokens=prompt, answer_tokens=answer))) == (usd, source)


def test_an_unknown_prompt_size_is_said_and_not_guessed() -> None:
    found = probe_cost(query=UNSIZED)
    assert isinstance(found, Cost)
    assert told(found) == ("0.000032", "estimated")  # two tokens of query, three of answer
    assert found.rates["prompt_tokens"] == "at least 2"
    assert found.rates["answer_tokens"] == "3"


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        (Usage(), "0.00103"),
        (Usage(prompt_tokens=500), "0.00053"),
        (Usage(prompt_tokens=500, answer_tokens=1), "0.00053"),  # counted when it began
        (Usage(prompt_tokens=500, answer_tokens=5), "0.00055"),
        (Usage(cost_usd=Decimal("0.02")), "0.02"),
    ],
)
def test_an_answer_cut_early_is_an_estimate_whatever_was_reported(usage: Usage, usd: str) -> None:
    assert told(probe_cost(usage, cut=True)) == (usd, "estimated")


def test_cached_and_reasoning_tokens_are_parts_at_rates_of_their_own() -> None:
    usage = Usage(prompt_tokens=1000, cached_tokens=400, answer_tokens=100, reasoning_tokens=60)
    # 600 × 1 + 400 × 0.10 + 40 × 10 + 60 × 20 = 600 + 40 + 400 + 1200
    assert told(probe_cost(usage, model="acme/thinker")) == ("0.00224", "reported")
    # without rates of their own: 1000 × 1 + 100 × 10
    assert told(probe_cost(usage)) == ("0.002", "reported")


def test_tokens_written_to_the_cache_are_more_expensive_than_those_that_were_not() -> None:
    usage = Usage(prompt_tokens=1000, cached_tokens=400, cache_write_tokens=500, answer_tokens=0)
    found = probe_cost(usage, model="acme/thinker")
    # 100 × 1 + 400 × 0.10 + 500 × 1.25
    assert told(found) == ("0.000765", "reported")
    assert isinstance(found, Cost)
    assert found.rates["cache_write"] == "1.25"
    assert told(probe_cost(usage)) == ("0.001", "reported"), "without a rate of their own: input"


def test_tokens_kept_an_hour_in_the_cache_have_a_rate_of_their_own() -> None:
    usage = Usage(prompt_tokens=1000, cache_write_tokens=500, cache_write_1h_tokens=200,
                  answer_tokens=0)  # fmt: skip
    found = probe_cost(usage, model="acme/hours")
    # 500 × 1 + 300 × 1.25 + 200 × 2
    assert told(found) == ("0.001275", "reported")
    assert isinstance(found, Cost)
    # the mean rate of the 500, so that tokens × rates remains the cost
    assert (found.rates["cache_write"], found.rates["cache_write_1h_tokens"]) == ("1.55", "200")
    assert told(probe_cost(usage, model="acme/thinker")) == ("0.001125", "reported"), (
        "no rate: 1.25"
    )
    every = replace(usage, cache_write_1h_tokens=500)
    assert told(probe_cost(every, model="acme/hours")) == ("0.0015", "reported")


def test_written_tokens_are_no_more_than_the_cached_ones_leave_of_the_prompt() -> None:
    usage = Usage(prompt_tokens=1000, cached_tokens=900, cache_write_tokens=800, answer_tokens=0)
    # 900 × 0.10 + 100 × 1.25
    assert told(probe_cost(usage, model="acme/thinker")) == ("0.000215", "reported")


def test_parts_larger_than_the_whole_count_as_the_whole() -> None:
    usage = Usage(prompt_tokens=1000, cached_tokens=5000, answer_tokens=100, reasoning_tokens=900)
    # 1000 × 0.10 + 100 × 20
    assert told(probe_cost(usage, model="acme/thinker")) == ("0.0021", "reported")


def test_a_price_per_request_is_added_once() -> None:
    usage = Usage(prompt_tokens=1000, answer_tokens=1000)
    assert told(probe_cost(usage, model="acme/charged")) == ("0.007", "reported")


@pytest.mark.parametrize(("prompt", "usd"), [(100_000, "0.1"), (100_001, "0.200002")])
def test_a_tier_prices_the_whole_request(prompt: int, usd: str) -> None:
    higher = PriceTier(
        min_prompt_tokens=100_001, rates=PriceRates(input=Decimal(2), output=Decimal(20))
    )
    found = cost(TokenUse(prompt=prompt, answer=0), replace(DOLLAR, tiers=(higher,)))
    assert told(found) == (usd, "reported")


def test_the_rates_used_are_kept_with_their_source() -> None:
    usage = Usage(prompt_tokens=1000, cached_tokens=400, answer_tokens=100, reasoning_tokens=60)
    found = probe_cost(usage, model="acme/thinker")
    assert isinstance(found, Cost)
    assert found.rates == {
        "input": "1",
        "output": "10",
        "cached": "0.10",
        "reasoning": "20",
        "model": "acme/thinker",
        "source": "monitor.toml",
    }


@pytest.mark.parametrize(
    ("characters", "divisor", "answer"),
    [(0, "4", 0), (1, "4", 1), (4, "4", 1), (5, "4", 2), (10, "2.5", 4), (10, "1", 10)],
)
def test_a_begun_token_counts_whole(characters: int, divisor: str, answer: int) -> None:
    target = replace(TARGET, chars_per_token=Decimal(divisor))
    used = tokens(Usage(), chars=characters, query=SIZED, target=target, cut=False)
    assert used.answer == answer


def test_three_hundred_thousand_probes_at_seven_millionths_sum_to_the_last_digit() -> None:
    sample = Price(
        model="llama", source="s", rates=PriceRates(input=Decimal("0.20"), output=Decimal("0.20"))
    )
    one = cost(TokenUse(prompt=27, answer=8), sample)  # 35 tokens
    assert isinstance(one, Cost)
    assert one.usd == Decimal("0.000007")
    assert sum([one.usd] * 300_000) == Decimal("2.1")


@each(
    ("usd", "stored"),
    [
        ("0.0000000000005", "0"),  # half a unit goes to the even neighbour
        ("0.0000000000015", "0.000000000002"),
        ("0.0000000000025", "0.000000000002"),
        ("-0", "0"),
        ("99999999.999999999999", "99999999.999999999999"),
        ("99999999.9999999999996", None),  # would round up to what the column refuses
        ("100000000", None),
        ("-0.01", None),
        ("NaN", None),
        ("sNaN", None),
        ("Infinity", None),
        ("1E+999999", None),
    ],
)
def test_money_is_rounded_to_twelve_places_or_refused(usd: str, stored: str | None) -> None:
    assert exact(Decimal(usd)) == money(stored)
    assert str(exact(Decimal("-0")))[0] == "0"


def test_a_cost_no_column_holds_is_no_cost() -> None:
    dear = Price(
        model="gold", source="s", rates=PriceRates(input=Decimal(99_999_999), output=Decimal(1))
    )
    found = cost(TokenUse(prompt=900_000_000, answer=1), dear)
    assert isinstance(found, Unpriced)

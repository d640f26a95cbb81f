"""Spend to come on each model, and what one saves against another."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from monitor.domain import Query, Target, Unpriced
from monitor.pricing.book import price_book
from monitor.pricing.forecast import Savings, SpendForecast, projected, savings
from monitor.pricing.meters import UsdAmount

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HI = Query(id="hi", text="Hi", prompt_tokens=600)
KBLI = Query(id="kbli", text="KBLI?", prompt_tokens=1000)
TARGET = Target(
    name="t",
    url="http://t",
    dialect="d",
    queries=(HI, KBLI),
    every=timedelta(minutes=6),  # 240 rounds a day
    expected_models=("acme/cheap",),
    fallback_models=("acme/dear", "acme/none"),
    daily_queries=1000,
)
BOOK = price_book(
    {"acme/cheap": {"input": "1", "output": "1"}, "acme/dear": {"input": "2", "output": "10"}},
    same=lambda one, other: one == other,
)


def usd(text: str, *, at_least: bool = False) -> UsdAmount:
    return UsdAmount(Decimal(text), at_least)


def projection(target: Target, model: str = "acme/cheap", **received: int) -> SpendForecast:
    found = projected(target, book=BOOK, at=NOON, answer_tokens=received)[model]
    assert isinstance(found, SpendForecast)
    return found


def test_each_model_that_may_answer_is_projected_in_the_order_declared() -> None:
    found = projected(TARGET, book=BOOK, at=NOON)
    assert list(found) == ["acme/cheap", "acme/dear", "acme/none"]
    assert found["acme/none"] == Unpriced("no price for acme/none")


def test_probes_and_traffic_are_projected_apart() -> None:
    found = projection(TARGET, hi=400, kbli=1000)  # 1,000 and 2,000 tokens at a dollar a million
    assert found.round == usd("0.003")
    assert found.query == usd("0.0015")
    assert found.probes == usd("0.72")  # 240 rounds
    assert found.traffic == usd("1.5")  # 1,000 queries
    assert found.per_day == usd("2.22")
    assert found.per_month == usd("66.6")


def test_the_fallback_costs_what_the_fallback_costs() -> None:
    found = projection(TARGET, "acme/dear", hi=400, kbli=1000)
    assert found.round == usd("0.0172")  # 1,600 in at 2, 1,400 out at 10
    assert found.price.source == "monitor.toml"


def test_an_answer_not_received_yet_is_taken_to_be_long() -> None:
    assert projection(TARGET).round == usd("0.0028")  # 600 tokens each


@pytest.mark.parametrize(
    ("stop", "round_usd"),
    [(40, "0.00221"), (2400, "0.0028"), (99_999, "0.0028"), (None, "0.0028")],
)
def test_hanging_up_early_makes_a_cheaper_projection(stop: int | None, round_usd: str) -> None:
    hasty = replace(TARGET, queries=(replace(HI, stop_after_chars=stop), KBLI))
    assert projection(hasty).round == usd(round_usd)


def test_a_prompt_of_unknown_size_makes_a_projection_a_floor() -> None:
    unsized = replace(TARGET, queries=(HI, replace(KBLI, prompt_tokens=None)))
    found = projection(unsized, hi=400, kbli=1000)
    assert found.round == usd("0.002002", at_least=True)  # "KBLI?" alone is two tokens
    assert found.per_month.at_least


def test_a_switched_off_traffic_meter_projects_no_traffic() -> None:
    found = projection(replace(TARGET, daily_queries=0))
    assert found.traffic == usd("0")
    assert found.per_day == found.probes


def test_rounds_that_do_not_divide_the_day_are_counted_in_parts() -> None:
    odd = replace(TARGET, every=timedelta(seconds=7))
    assert projection(odd, hi=400, kbli=1000).probes == usd("37.028571428571")


MEAN = {"cheap": Decimal("0.0002"), "dear": Decimal("0.0020")}


@pytest.mark.parametrize(
    ("answers", "spent", "against_fallback", "against_expected"),
    [
        ({"cheap": 1000}, "0.2", "1.8", "0"),
        ({"dear": 1000}, "2", "0", "-1.8"),
        ({"cheap": 900, "dear": 100}, "0.38", "1.62", "-0.18"),
    ],
)
def test_savings_compare_the_mix_with_one_model_answering_all(
    answers: dict[str, int], spent: str, against_fallback: str, against_expected: str
) -> None:
    found = savings(answers, MEAN, expected="cheap", fallback="dear")
    assert isinstance(found, Savings)
    assert found.spent_usd == Decimal(spent)
    assert found.against_fallback_usd == Decimal(against_fallback)
    assert found.against_expected_usd == Decimal(against_expected)


def test_savings_are_reported_for_any_number_of_queries() -> None:
    found = savings({"cheap": 900, "dear": 100}, MEAN, expected="cheap", fallback="dear")
    assert isinstance(found, Savings)
    assert found.over(333).against_fallback_usd == Decimal("0.53946")
    assert found.over(333 * 30).spent_usd == Decimal("3.7962")


def test_savings_without_a_price_or_an_answer_are_not_zero() -> None:
    unknown = savings({"cheap": 1, "odd": 1}, MEAN, expected="cheap", fallback="dear")
    assert unknown == Unpriced("unknown cost of a query on odd")
    nothing = savings({}, MEAN, expected="cheap", fallback="dear")
    assert nothing == Unpriced("no probe was answered")

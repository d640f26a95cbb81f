"""An answer of unknown model costs a range: the cheapest to the most expensive declared model."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import monitor
from monitor.domain import Cost, CostRange, Query, Target, Unpriced, Usage, amount_text, usd_text
from monitor.pricing.book import price_book
from monitor.pricing.cost import priced_or_ranged
from tests.case_tables import each

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HI = Query(id="hi", text="Hi", prompt_tokens=1000)
SCOUT, HAIKU, OPUS = "acme/scout", "acme/haiku", "acme/opus"
TARGET = Target(name="rag", url="http://rag", dialect="d", queries=(HI,),
                expected_models=(SCOUT,), fallback_models=(HAIKU,))  # fmt: skip
BOOK = price_book(
    {SCOUT: {"input": "0.20", "output": "0.20"}, HAIKU: {"input": "1", "output": "5"},
     OPUS: {"input": "5", "output": "25"}},
    same=lambda one, other: one == other,
)  # fmt: skip
FORTY = 40  # characters


def found(
    usage: Usage | None = None, *, model: str | None = None, judged: bool = False,
    target: Target = TARGET,
) -> Cost | CostRange | Unpriced:  # fmt: skip
    return priced_or_ranged(usage or Usage(), model=model, judged=judged, chars=FORTY, query=HI,
                            target=target, book=BOOK, at=NOON, cut=False)  # fmt: skip


def ends(cost: Cost | CostRange | Unpriced) -> tuple[Decimal, Decimal]:
    assert isinstance(cost, CostRange), cost
    return cost.low, cost.high


def test_estimated_tokens_are_priced_on_the_cheapest_and_on_the_most_expensive_model() -> None:
    # 1,000 + 10 tokens: 1,010 × $0.20, and 1,000 × $1 + 10 × $5 a million.
    assert ends(found()) == (Decimal("0.000202"), Decimal("0.001050"))


def test_reported_tokens_are_taken_where_the_service_reports_them() -> None:
    usage = Usage(prompt_tokens=100, answer_tokens=100)
    assert ends(found(usage)) == (Decimal("0.000040"), Decimal("0.000600"))


def test_the_cheapest_model_depends_on_the_tokens_and_need_not_be_the_expected_one() -> None:
    flat = price_book({SCOUT: {"input": "2", "output": "0.10"},
                       HAIKU: {"input": "1", "output": "5"}},
                same=lambda one, other: one == other)  # fmt: skip
    usage = Usage(prompt_tokens=1000, answer_tokens=10)
    cost = priced_or_ranged(usage, model=None, judged=False, chars=0, query=HI, target=TARGET,
                            book=flat, at=NOON, cut=False)  # fmt: skip
    assert ends(cost) == (Decimal("0.001050"), Decimal("0.002001"))


def test_a_range_says_between_which_models_and_shows_its_rates() -> None:
    cost = found()
    assert isinstance(cost, CostRange)
    reason = "the model could not be identified"
    assert cost.reason == f"{reason}: priced as a range, from {SCOUT} to {HAIKU}"
    assert cost.rates == {
        "low_input": "0.20", "low_output": "0.20", "low_model": SCOUT, "low_source": "monitor.toml",
        "high_input": "1", "high_output": "5", "high_model": HAIKU, "high_source": "monitor.toml",
        "prompt_tokens": "1000", "answer_tokens": "10",
    }  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"fallback_models": (HAIKU, "acme/unlisted")},
        {"expected_models": ("acme/unlisted",)},  # often cheap and hosted by oneself
        {"expected_models": ("acme/unlisted", SCOUT)},
    ],
)
def test_nothing_is_certain_where_a_declared_model_has_no_price(changes: dict[str, Any]) -> None:
    cost = found(target=replace(TARGET, **changes))
    assert ends(cost) == (0, Decimal("0.001050"))
    assert isinstance(cost, CostRange)
    assert cost.reason.endswith(f": priced as a range, from zero, because acme/unlisted has no "
                                f"price, to {HAIKU}")  # fmt: skip
    assert cost.rates == {
        "high_input": "1", "high_output": "5", "high_model": HAIKU, "high_source": "monitor.toml",
        "prompt_tokens": "1000", "answer_tokens": "10", "without_price": "acme/unlisted",
    }  # fmt: skip


@pytest.mark.parametrize(("expected", "high", "reason", "without"), [
    ((SCOUT,), "0.000202", "no fallback model is declared", "undeclared models"),
    ((SCOUT, HAIKU), "0.001050", "no fallback model is declared", "undeclared models"),
    ((SCOUT, "acme/unlisted"), "0.000202",
     "no fallback model is declared and acme/unlisted has no price", "acme/unlisted"),
])  # fmt: skip
def test_the_expected_models_price_is_not_certain_for_an_unknown_model(
    expected: tuple[str, ...], high: str, reason: str, without: str
) -> None:
    cost = found(target=replace(TARGET, expected_models=expected, fallback_models=()))
    assert ends(cost) == (0, Decimal(high))
    assert isinstance(cost, CostRange)
    assert f"priced as a range, from zero, because {reason}, to " in cost.reason
    assert cost.rates["without_price"] == without


@pytest.mark.parametrize("expected", [(), ("acme/unlisted",)])
def test_without_any_price_there_is_no_range(expected: tuple[str, ...]) -> None:
    nothing = replace(TARGET, expected_models=expected, fallback_models=())
    assert found(target=nothing) == Unpriced("the model could not be identified")


def test_a_known_model_and_a_charge_of_the_provider_are_exact() -> None:
    by_name, by_charge = found(model=HAIKU), found(Usage(cost_usd=Decimal("0.5")))
    assert isinstance(by_name, Cost) and by_name.usd == Decimal("0.001050")
    assert isinstance(by_charge, Cost) and by_charge.usd == Decimal("0.5")


def test_a_fallback_known_by_name_without_a_price_has_no_range() -> None:
    assert found(model="acme/new", judged=True) == Unpriced("no price for acme/new")


def test_a_name_no_one_knows_is_an_unknown_model() -> None:
    cost = found(model="prod-7")
    assert ends(cost) == (Decimal("0.000202"), Decimal("0.001050"))
    assert isinstance(cost, CostRange)
    assert cost.reason.startswith("no price for prod-7: priced as a range, from ")


@each(
    ("low", "high", "at_least", "text"),
    [
        ("0.40", "0.40", False, "$0.40"),
        ("0.40", "0.40", True, "at least $0.40"),
        ("0.40", "2.10", False, "between $0.40 and $2.10"),
        ("0.40", "2.10", True, "between $0.40 and at least $2.10"),
        ("0", "2.10", False, "between $0.00 and $2.10"),
        ("0.401", "0.402", False, "between $0.401 and $0.402"),
        ("1.001", "1.002", False, "$1.00"),
        ("0", "0.0002", False, "between $0.0000 and $0.0002"),  # zero is zero
        ("0.000012", "0.0002", False, "between $0.000012 and $0.000200"),
        ("0.00000012345", "2", False, "between $0.0000001234 and $2.0000000000"),
    ],
)
def test_an_amount_names_both_ends_where_they_differ(
    low: str, high: str, at_least: bool, text: str
) -> None:
    assert amount_text(Decimal(low), Decimal(high), at_least=at_least) == text


@each(
    ("usd", "text"),
    [
        ("0", "$0.00"), ("0.4", "$0.40"), ("0.004", "$0.004"), ("0.000152", "$0.000152"),
        ("0.00001", "$0.00001"), ("1234.5", "$1,234.50"), ("-0.25", "-$0.25"),
        ("0.12345678", "$0.1235"), ("0.99999", "$1.00"), ("1E-12", "$0.000000000001"),
        ("1E-40", "less than $0.000000000001"), ("2.003", "$2.00"),
    ],
)  # fmt: skip
def test_an_amount_has_cents_and_as_many_digits_as_mean_something(usd: str, text: str) -> None:
    assert usd_text(Decimal(usd)) == text
    assert usd_text(float(usd)) == text


@each("digits", range(1, 30))
def test_no_positive_amount_reads_as_zero(digits: int) -> None:
    usd = Decimal(3).scaleb(-digits)
    for text in (usd_text(usd), amount_text(Decimal(0), usd), usd_text(usd, exact=True)):
        assert any(figure in text for figure in "13")


@pytest.mark.parametrize(
    ("usd", "beside", "text"),
    [
        ("2.000001", "2", "$2.000001"), ("2.03", "2", "$2.03"), ("2", "2.000001", "$2.00"),
        ("0.004001", "0.004", "$0.004001"), ("1.9999", "2.00", "$1.9999"),
    ],
)  # fmt: skip
def test_an_amount_that_differs_from_its_limit_reads_otherwise(
    usd: str, beside: str, text: str
) -> None:
    assert usd_text(Decimal(usd), beside=Decimal(beside)) == text


def test_both_ends_of_a_range_have_as_many_digits() -> None:
    ends = Decimal("2.003"), Decimal("2.50")
    assert amount_text(*ends, beside=Decimal("2.00")) == "between $2.003 and $2.500"


def test_money_is_formatted_in_one_place_only() -> None:
    private = re.compile(r"\$\{[^{}]*:[^{}]*f\}")  # `${usd:.4f}`
    sources = Path(monitor.__file__).parent.rglob("*.py")
    found = [path.name for path in sources if private.search(path.read_text(encoding="utf-8"))]
    assert found == ["text_formats.py"]

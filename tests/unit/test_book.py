"""The price book: which list is asked first, which row holds, and what a row may say."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from monitor.domain import Unpriced
from monitor.pricing.book import PriceBook, price_book, shipped
from monitor.pricing.price_table import BadPrices, Price, PriceRates, rows
from monitor.pricing.published import differences, stale, variant
from tests.case_tables import each

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
OPERATORS = {
    "meta-llama/llama-4-scout": {"input": "0.20", "output": "0.20"},
    "anthropic/claude-3-5-haiku-20241022": {"input": "1.00", "output": "5.00"},
}


def same(one: str, other: str) -> bool | None:
    """A coarse judge of names: vendor, dots, dates and the colon's tail do not matter."""
    keys = [_key(name) for name in (one, other)]
    return None if "claude" in keys else keys[0] == keys[1]


def _key(name: str) -> str:
    bare = name.lower().rpartition("/")[2].partition(":")[0].replace(".", "-")
    return re.sub(r"(-17b-16e|-(20\d{6}|latest|instruct)$)", "", bare)


OURS = price_book({}, same=same)


def per_million(found: Price | Unpriced) -> str:
    assert isinstance(found, Price), found
    return f"{found.rates.input:f}/{found.rates.output:f}"


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("meta-llama/llama-4-scout", "0.08/0.30"),
        ("Llama-4-Scout", "0.08/0.30"),
        ("claude-3-5-haiku-20241022", "0.80/4.00"),
        ("anthropic/claude-3.5-haiku", "0.80/4.00"),
        ("claude-haiku-4-5-20251001", "1.00/5.00"),
        ("claude-haiku-5-5", "0.10/0.50"),
    ],
)
def test_our_data_file_prices_the_models_this_service_uses(model: str, price: str) -> None:
    assert per_million(OURS.price(model, at=NOON)) == price


@each(
    "model",
    [
        "openai/gpt-5",
        "gpt-4o-mini",
        "google/gemini-2.5-flash",
        "gemini-2.5-flash",
        "anthropic/claude-sonnet-4.5",
        "meta-llama/llama-3.3-70b-instruct",
        "llama-4-maverick",
        "mistralai/mistral-large",
        "deepseek/deepseek-chat-v3-0324",
        "deepseek-chat",
        "qwen/qwen3-235b-a22b",
        "qwen3-235b-a22b",
    ],
)
def test_models_of_other_makers_are_priced_by_the_package(model: str) -> None:
    found = OURS.price(model, at=NOON)
    assert isinstance(found, Price)
    assert found.source.startswith("genai-prices 0.2")
    assert found.rates.input > 0
    assert found.rates.output > 0


def test_the_operators_word_stands_above_ours_and_ours_above_the_packages() -> None:
    operators = price_book(OPERATORS, same=same)
    assert per_million(operators.price("llama-4-scout", at=NOON)) == "0.20/0.20"
    assert per_million(operators.price("claude-3-5-haiku-latest", at=NOON)) == "1.00/5.00"
    assert per_million(operators.price("claude-haiku-4-5", at=NOON)) == "1.00/5.00"
    found = operators.price("meta-llama/llama-4-scout", at=NOON)
    assert isinstance(found, Price)
    assert found.source == "monitor.toml"


def test_every_row_of_our_data_file_names_its_source_and_day() -> None:
    for row in shipped():
        assert row.source.startswith("https://"), row.model
        assert row.checked, row.model


@pytest.mark.parametrize(
    ("prompt", "price"),
    [(1, "0.10/0.50"), (100_000, "0.10/0.50"), (100_001, "0.50/2.50"), (900_000, "0.50/2.50")],
)
@pytest.mark.parametrize("model", ["claude-haiku-5-5", "anthropic/claude-haiku-5.5:batch"])
def test_a_tier_begins_above_its_threshold(model: str, prompt: int, price: str) -> None:
    found = OURS.price(model, at=NOON)
    assert isinstance(found, Price)
    rates = found.rates_for(prompt)
    halved = 2 if model.endswith(":batch") else 1  # by the package, at half the price
    assert f"{rates.input * halved:.2f}/{rates.output * halved:.2f}" == price


DATED = {
    "acme/one": [
        {"input": "1", "output": "1", "valid_to": date(2026, 11, 9)},
        {"input": "2", "output": "2", "valid_from": date(2026, 11, 10)},
        {"input": "3", "output": "3", "valid_from": date(2026, 11, 20), "valid_to": "2026-11-21"},
    ]
}


@pytest.mark.parametrize(
    ("at", "price"),
    [
        ("2026-11-09T23:59:59+00:00", "1/1"),
        ("2026-11-10T00:00:00+00:00", "2/2"),
        ("2026-11-10T07:59:59+08:00", "1/1"),  # still the ninth in UTC
        ("2026-11-20T00:00:00+00:00", "3/3"),  # the row that began last
        ("2026-11-21T23:59:59+00:00", "3/3"),
        ("2026-11-22T00:00:00+00:00", "2/2"),
    ],
)
def test_the_price_is_that_of_the_utc_day(at: str, price: str) -> None:
    dated = price_book(DATED, same=same)
    assert per_million(dated.price("acme/one", at=datetime.fromisoformat(at))) == price


def test_a_row_without_a_provider_holds_for_all_and_a_provider_has_its_own() -> None:
    listed = price_book(
        {
            "acme/one": [
                {"input": "1", "output": "1"},
                {"input": "2", "output": "2", "provider": "Groq"},
            ]
        },
        same=same,
    )
    assert per_million(listed.price("acme/one", at=NOON, provider="groq")) == "2/2"
    assert per_million(listed.price("acme/one", at=NOON, provider="together")) == "1/1"
    assert per_million(listed.price("acme/one", at=NOON)) == "1/1"


def test_another_providers_price_is_not_the_price() -> None:
    found = OURS.price("meta-llama/llama-4-scout", at=NOON, provider="groq")
    assert isinstance(found, Price)
    assert found.provider == "groq"
    assert per_million(found) != "0.08/0.30"
    assert OURS.price("llama-4-scout", at=NOON, provider="nobody") == Unpriced(
        "no price for llama-4-scout at nobody"
    )


def test_the_biller_is_named_by_the_first_list_that_names_one() -> None:
    operators = price_book(OPERATORS, same=same)
    assert operators.provider("llama-4-scout", at=NOON) == "openrouter"
    assert operators.provider("claude-3-5-haiku", at=NOON) == "anthropic"
    assert operators.provider("gpt-5", at=NOON) == "openai"
    assert operators.provider("nobody/knows", at=NOON) is None


@pytest.mark.parametrize("model", ["nobody/knows", "claude", "", "gpt-\x1b[31m99"])
def test_an_unknown_model_is_unpriced_and_never_free(model: str) -> None:
    found = OURS.price(model, at=NOON)
    assert isinstance(found, Unpriced)
    assert "\x1b" not in found.reason


def test_a_vague_name_is_priced_only_where_all_it_may_mean_cost_the_same() -> None:
    def vague(one: str, other: str) -> bool | None:
        return (other == "haiku" and "haiku" in one) or same(one, other)

    haiku = {"input": "1", "output": "5"}
    one_price = price_book({"claude-3-5-haiku": haiku, "claude-haiku-4-5": haiku}, same=vague)
    assert per_million(one_price.price("haiku", at=NOON)) == "1/5"
    found = PriceBook((shipped(),), vague).price("haiku", at=NOON)
    assert found == Unpriced(
        "haiku may be anthropic/claude-3-5-haiku or anthropic/claude-haiku-4-5 "
        "or anthropic/claude-haiku-5-5, at different prices"
    )


def test_free_and_batch_variants_do_not_take_the_price_of_the_model() -> None:
    assert per_million(OURS.price("meta-llama/llama-4-scout:free", at=NOON)) == "0/0"
    assert per_million(OURS.price("anthropic/claude-haiku-4.5:batch", at=NOON)) == "0.5/2.5"
    assert variant("anthropic.claude-3-5-haiku-20241022-v1:0") == ""
    assert variant("llama3:8b") == ""


@each(
    ("table", "fault"),
    [
        ({"input": "1"}, "prices.m.output: missing; write USD per million tokens"),
        (
            {"input": "-1", "output": "1"},
            "prices.m.input = -1: must be a finite amount, zero or more",
        ),
        (
            {"input": "NaN", "output": "1"},
            "prices.m.input = NaN: must be a finite amount, zero or more",
        ),
        (
            {"input": "cheap", "output": "1"},
            'prices.m.input = cheap: write dollars in quotes as "0.20": digits and a '
            "point, without a sign or a unit",
        ),
        (
            {"input": 0.2, "output": "1"},
            'prices.m.input = 0.2: write dollars in quotes as "0.20": digits and a '
            "point, without a sign or a unit",
        ),
        (
            {"input": "1", "output": "1", "checked": "soon"},
            "prices.m.checked = soon: write a day such as 2026-11-22",
        ),
        (
            {"input": "1", "output": "1", "provider": " "},
            "prices.m.provider =  : must be a non-empty text",
        ),
        (
            {
                "input": "1",
                "output": "1",
                "valid_from": date(2026, 2, 2),
                "valid_to": date(2026, 2, 1),
            },
            "prices.m.valid_to = 2026-02-01: is before valid_from; swap them",
        ),
        (
            {"input": "1", "output": "1", "tiers": 7},
            "prices.m.tiers = 7: must be a list of tables",
        ),
        (
            {
                "input": "1",
                "output": "1",
                "tiers": [{"min_prompt_tokens": 0, "input": "1", "output": "1"}],
            },
            "prices.m.tiers.0.min_prompt_tokens = 0: write whole tokens, rising from tier to tier",
        ),
        ("0.20", "prices.m: must be a table with input and output"),
    ],
)
def test_a_faulty_row_is_refused_with_key_value_and_remedy(table: object, fault: str) -> None:
    with pytest.raises(BadPrices) as refused:
        rows({"m": table}, source="monitor.toml")
    assert fault in refused.value.faults


def test_all_faults_of_all_rows_are_reported_together() -> None:
    with pytest.raises(BadPrices) as refused:
        rows({"a": {"output": "1"}, "b": {"input": "1", "output": "1", "colour": "red"}})
    text = "\n".join(refused.value.faults)
    assert len(refused.value.faults) == 4
    assert "prices.a.input: missing" in text
    assert "prices.a.source: missing" in text
    assert "prices.b.colour: unknown key; known here: input, output, cached" in text


def test_none_in_a_row_means_not_given() -> None:
    (row,) = rows({"m": {"input": "1", "output": "2", "cached": None}}, source="monitor.toml")
    assert row.rates == PriceRates(input=Decimal(1), output=Decimal(2))


@pytest.mark.parametrize(("age", "is_stale"), [(0, False), (60, False), (61, True)])
def test_a_price_is_stale_after_sixty_days(age: int, is_stale: bool) -> None:
    checked = date(2026, 11, 23) - timedelta(days=age)
    (row,) = rows({"m": {"input": "1", "output": "1", "checked": checked}}, source="x")
    assert stale([row], on=date(2026, 11, 23)) == ((row,) if is_stale else ())


def test_a_price_no_one_dated_is_not_judged_stale() -> None:
    (row,) = rows({"m": {"input": "1", "output": "1"}}, source="monitor.toml")
    assert stale([row], on=date(2030, 1, 1)) == ()


def test_differences_to_a_providers_list_are_reported_rate_by_rate_and_tier_by_tier() -> None:
    tier = {"min_prompt_tokens": 100_001, "input": "5", "output": "9"}
    ours = rows(
        {
            "acme/one": {"input": "1", "output": "2", "cached": "0.1", "provider": "openrouter"},
            "acme/two": {"input": "1", "output": "2", "tiers": [tier]},
            "acme/three": {"input": "1", "output": "2", "provider": "groq"},
        },
        source="ours",
    )
    theirs = rows(
        {
            "acme/one-20261001": {"input": "1", "output": "3", "provider": "openrouter"},
            "acme/one:free": {"input": "0", "output": "0", "provider": "openrouter"},
            "acme/two": {"input": "1", "output": "2", "provider": "openrouter"},
            "acme/three": {"input": "8", "output": "8", "provider": "openrouter"},
        },
        source="theirs",
    )
    notified = [
        (d.price.model, d.rate, int(d.ours), int(d.theirs), d.prompt_tokens)
        for d in differences(ours, theirs, same=same)
    ]
    assert notified == [
        ("acme/one", "output", 2, 3, 0),
        ("acme/two", "input", 5, 1, 100_001),
        ("acme/two", "output", 9, 2, 100_001),
    ]


def test_published_prices_are_loaded_before_an_answer_needs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr("monitor.pricing.book.prepare_published", lambda: loaded.append("all"))
    at = datetime(2026, 11, 30, tzinfo=UTC)
    book = price_book({}, same=same)
    book.prepare([None, "meta-llama/llama-4-scout", "anthropic/claude-haiku-4-5"], at=at)
    assert not loaded, "the data file of this package lists them"
    book.prepare(["meta-llama/llama-4-scout", "gpt-4o-mini"], at=at)
    assert loaded == ["all"]

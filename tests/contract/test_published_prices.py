"""The real `genai-prices` package and our real judge of names, behind the price book."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from monitor.domain import Unpriced
from monitor.identity.model_names.compare import same
from monitor.pricing.book import price_book
from monitor.pricing.price_table import Price

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BOOK = price_book({}, same=same)

WATCHED = """
import sys
from datetime import UTC, datetime
seen = []
sys.addaudithook(lambda name, args: seen.append(name) if name.startswith(
    ("socket.", "urllib.", "_thread.start", "subprocess.", "os.system")) else None)
from monitor.pricing.book import price_book
prices = price_book({}, same=lambda one, other: one == other)
own = prices.price("meta-llama/llama-4-scout", at=datetime(2026, 11, 23, tzinfo=UTC))
print("own:", own.source, "genai_prices" in sys.modules)
other = prices.price("gpt-5", at=datetime(2026, 11, 23, tzinfo=UTC))
print("other:", other.source.split()[0])
print("seen:", seen)
"""


def test_the_package_is_loaded_when_needed_and_opens_neither_socket_nor_thread() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WATCHED], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.splitlines() == [
        "own: https://openrouter.ai/meta-llama/llama-4-scout False",
        "other: genai-prices",
        "seen: []",
    ]


@pytest.mark.parametrize(
    ("model", "priced_as", "provider"),
    [
        ("Llama-4-Scout-17B-16E-Instruct", "meta-llama/llama-4-scout", "openrouter"),
        ("us.anthropic.claude-3-5-haiku-20241022-v1:0", "anthropic/claude-3-5-haiku", "anthropic"),
        ("claude-haiku-4-5-20251001", "anthropic/claude-haiku-4-5", "anthropic"),
        ("anthropic/claude-haiku-5.5", "anthropic/claude-haiku-5-5", "anthropic"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini", "openai"),
        ("models/gemini-2.5-flash", "gemini-2.5-flash", "google"),
        ("qwen3-235b-a22b", "qwen/qwen3-235b-a22b", "openrouter"),
        ("Llama-3.3-70B-Instruct", "meta-llama/llama-3.3-70b-instruct", "openrouter"),
    ],
)
def test_spellings_as_they_come_off_the_wire_find_their_price(
    model: str, priced_as: str, provider: str
) -> None:
    found = BOOK.price(model, at=NOON)
    assert isinstance(found, Price)
    assert (found.model, found.provider) == (priced_as, provider)


@pytest.mark.parametrize("model", ["claude", "haiku", "llama", "llama-4-scout-error", "nobody/x"])
def test_a_name_that_means_no_one_model_has_no_price(model: str) -> None:
    assert BOOK.price(model, at=NOON) == Unpriced(f"no price for {model}")

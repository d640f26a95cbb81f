"""What `check` says of provider accounts and price lists, against a provider on loopback."""

from pathlib import Path

import pytest

from monitor import identity
from monitor.cli import provider_checks
from monitor.domain import Unpriced
from monitor.pricing.book import price_book
from monitor.pricing.price_table import Price
from tests.contract.open_context import settings
from tests.contract.provider_api import SlowReply, provider, reply
from tests.contract.test_accounts import KEY, NOON

CANARY = "sk-or-canary-1b2c"


def price(model: str, **rates: str) -> Price:
    found = price_book({model: rates} if rates else {}, same=identity.same).price(model, at=NOON)
    assert not isinstance(found, Unpriced)
    return found


async def accounts(home: Path, reported: bytes, **keys: str) -> list[str]:
    async with provider(reported) as served:
        given = {"OPENROUTER_BASE_URL": served.address, "ANTHROPIC_BASE_URL": served.address}
        environment = settings(home, **given, **keys).environment
        return [str(line) async for line in provider_checks.accounts(environment)]


async def prices(home: Path, reported: bytes, *used: Price) -> list[str]:
    async with provider(reported) as served:
        environment = settings(home, OPENROUTER_BASE_URL=served.address).environment
        return [str(line) async for line in provider_checks.prices(used, environment)]


@pytest.mark.parametrize(
    ("reported", "line"),
    [
        (reply(200, {"data": KEY}), "ok      account openrouter: the key is accepted, "
         "$0.1235 spent today (UTC), $12.50 left, expires 2026-12-07 12:00 UTC"),
        (reply(401, {}),
         "FAULT   account openrouter: HTTP 401: the key is rejected: expired, disabled or wrong"),
        (reply(402, {}), "FAULT   account openrouter: HTTP 402: the account is out of credit"),
        (reply(429, {}), "warning account openrouter: HTTP 429: rate limited"),
        (reply(503, {}), "warning account openrouter: HTTP 503"),
        (reply(200, b"<html>"),
         "warning account openrouter: the reply is not in the documented form"),
    ],
)  # fmt: skip
async def test_a_refused_key_is_a_fault_and_a_failing_provider_a_warning(
    tmp_path: Path, reported: bytes, line: str
) -> None:
    assert await accounts(tmp_path, reported, OPENROUTER_API_KEY=CANARY) == [line]


async def test_each_key_that_is_set_has_a_line_and_no_other(tmp_path: Path) -> None:
    refused = reply(401, {"error": f"{CANARY} is wrong"})
    lines = await accounts(tmp_path, refused, OPENROUTER_API_KEY=CANARY, ANTHROPIC_ADMIN_KEY="sk-x")
    assert [line.split(":")[0] for line in lines] == [
        "FAULT   account openrouter", "FAULT   account anthropic",
    ]  # fmt: skip
    assert CANARY not in "".join(lines)
    assert await accounts(tmp_path, refused) == []


LIST = {
    "data": [
        {"id": "meta-llama/llama-4-scout",
         "pricing": {"prompt": "0.00000008", "completion": "0.0000003"}},
        {"id": "anthropic/claude-haiku-4.5",
         "pricing": {"prompt": "0.000001", "completion": "0.000005"}},
    ]
}  # fmt: skip


async def test_a_rate_the_list_states_otherwise_is_a_warning_each(tmp_path: Path) -> None:
    scout = price("Llama-4-Scout-17B-16E-Instruct", input="0.20", output="0.30", source="operators")
    assert await prices(tmp_path, reply(200, LIST), scout) == [
        "warning price of Llama-4-Scout-17B-16E-Instruct: input is $0.20 in operators, "
        "$0.08 in OpenRouter's list"
    ]


async def test_prices_that_agree_are_said_to(tmp_path: Path) -> None:
    haiku = price("anthropic/claude-haiku-4-5", input="1.00", output="5.00")
    assert await prices(tmp_path, reply(200, LIST), haiku) == [
        "ok      price list: OpenRouter's list has the same rates"
    ]


@pytest.mark.parametrize(
    ("reported", "reason"),
    [
        (reply(503, {}), "HTTP 503"),
        (reply(429, {}), "HTTP 429: rate limited"),
        (reply(200, {"data": "soon"}), "the reply is not in the documented form"),
        (SlowReply(reply(200, LIST)), "no complete reply within 0.3 s"),
    ],
)
async def test_a_list_that_cannot_be_had_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reported: bytes, reason: str
) -> None:
    monkeypatch.setattr(provider_checks, "READ_TIMEOUT_S", 0.3)
    haiku = price("anthropic/claude-haiku-4-5", input="1.00", output="5.00")
    [line] = await prices(tmp_path, reported, haiku)
    assert line == f"skipped price list: OpenRouter's list was not compared: {reason}"

"""The account job: gently, by one worker, and each provider for itself."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor.accounts import ACCOUNTS
from monitor.storage import Database
from monitor.worker import account_polling, evaluation
from monitor.worker.context import WorkerState
from tests.contract.open_context import open_context, settings
from tests.contract.provider_api import provider, reply
from tests.e2e.worker_process import rows

READINGS = "SELECT provider, state, spent_today_usd::text FROM account_readings ORDER BY id"
KEY = {"data": {"usage_daily": 0.5, "limit_remaining": None, "expires_at": None}}
COSTS = {"data": [{"results": [{"amount": {"value": 1.25, "currency": "usd"}}]}],
         "has_more": False, "next_page": None}  # fmt: skip
CENTS = {"data": [{"results": [{"amount": "250.5", "currency": "USD"}]}],
         "has_more": False, "next_page": None}  # fmt: skip
REPLIES = {"openrouter": (KEY, "0.500000000000"), "anthropic": (CENTS, "2.505000000000"),
           "openai": (COSTS, "1.250000000000")}  # fmt: skip
THROTTLED = reply(429, {"error": {}}, headers={"Retry-After": "600"})


def keys(*addresses: str) -> dict[str, Any]:
    names = ("OPENROUTER", "ANTHROPIC", "OPENAI")
    secrets = ("OPENROUTER_API_KEY", "ANTHROPIC_ADMIN_KEY", "OPENAI_ADMIN_KEY")
    bases = {f"{name}_BASE_URL": url for name, url in zip(names, addresses, strict=False)}
    return bases | dict.fromkeys(secrets[: len(addresses)], "canary-0815")


async def test_each_account_is_read_and_kept_whatever_the_others_say(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with (
        provider(reply(200, KEY)) as openrouter,
        provider(reply(503)) as anthropic,
        provider(reply(200, COSTS)) as openai,
    ):
        given = keys(openrouter.address, anthropic.address, openai.address)
        async with open_context(settings(tmp_path, **given), database) as context:
            assert await account_polling.poll(context) == 3
    assert rows(database_url, READINGS) == [
        ("openrouter", "ok", "0.500000000000"),
        ("anthropic", "failing", None),
        ("openai", "ok", "1.250000000000"),
    ]


@pytest.mark.parametrize("name", ACCOUNTS)
async def test_the_key_of_each_account_leads_to_a_stored_reading(
    database: Database, database_url: str, tmp_path: Path, name: str
) -> None:
    assert name in REPLIES, f"add a row for {name} to REPLIES"
    body, spent = REPLIES[name]
    async with provider(reply(200, body)) as served:
        given = {ACCOUNTS[name].key_variable: "canary-0815"}
        given[f"{name.upper()}_BASE_URL"] = served.address
        async with open_context(settings(tmp_path, **given), database) as context:
            assert await account_polling.poll(context) == 1
    assert rows(database_url, READINGS) == [(name, "ok", spent)]


async def test_who_asks_us_to_wait_is_not_asked_and_the_others_are(
    database: Database, tmp_path: Path
) -> None:
    async with provider(THROTTLED) as openrouter, provider(reply(200, CENTS)) as anthropic:
        given = keys(openrouter.address, anthropic.address)
        async with open_context(settings(tmp_path, **given), database) as context:
            assert [await account_polling.poll(context) for _ in range(3)] == [2, 1, 1]
    readings = [one for one in anthropic.asked if "ending_at" not in one.path]  # a bill has an end
    assert (len(openrouter.asked), len(readings)) == (1, 3)


async def test_one_worker_reads_the_accounts(database: Database, tmp_path: Path) -> None:
    async with (
        provider(reply(200, KEY)) as openrouter,
        open_context(settings(tmp_path, **keys(openrouter.address)), database) as context,
    ):
        other = replace(context, worker="w2", state=WorkerState())
        read = [await account_polling.poll(one) for one in (context, other, context, other)]
    assert read == [1, 0, 1, 0]


async def test_without_a_key_no_one_is_asked(database: Database, tmp_path: Path) -> None:
    async with open_context(settings(tmp_path), database) as context:
        assert await account_polling.poll(context) == 0


async def test_a_rejected_key_is_reported_with_the_reading_that_finds_it(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    refused = reply(401, {"error": {"message": "canary-0815 expired"}})
    async with (
        provider(refused) as openrouter,
        open_context(settings(tmp_path, **keys(openrouter.address)), database) as context,
    ):
        await account_polling.poll(context)
        await evaluation.evaluate(context)
    ((notified,),) = rows(database_url, "SELECT notice->>'sentence' FROM outbox")
    assert notified == "openrouter: HTTP 401: the key is rejected: expired, disabled or wrong."

"""The receipts job against a provider on loopback: it lags, refuses, fails, and then decides."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from monitor import identity
from monitor.domain import (
    AccountReading,
    AccountState,
    Claim,
    ClaimKind,
    CostSource,
    Identity,
    Usage,
)
from monitor.pricing.book import price_book
from monitor.storage import (
    Database,
    account_readings,
    leases,
    observations,
    rederive,
    rollup_rows,
    schema,
)
from monitor.worker import account_polling as job
from monitor.worker import rederivation
from monitor.worker.context import WorkerContext
from tests.contract.open_context import open_context, settings
from tests.contract.provider_api import Provider, ProviderRequest, SlowReply, provider, reply
from tests.e2e.worker_process import rows
from tests.example_data import HAIKU, LLAMA, observation

CANARY = "sk-or-canary-7d1f"
GENERATION = "gen-1763800000-AbC"
RECORD = {
    "id": GENERATION, "model": "anthropic/claude-haiku-4.5", "total_cost": 0.002,
    "upstream_inference_cost": 0.002, "is_byok": False, "native_tokens_prompt": 700,
    "native_tokens_completion": 260, "native_tokens_reasoning": 0, "native_tokens_cached": None,
}  # fmt: skip
WHO = "SELECT identity, fallback, model_detected, cost_usd, cost_source FROM observations"
STATE = "SELECT tries, settled_at IS NOT NULL, last_error, model FROM receipts"
WAIT = "SELECT round(extract(epoch FROM due_at - now())) FROM receipts"


def answered(**changes: Any) -> Any:
    """An answer that says it is the expected model's, and discloses its id twice."""
    now = datetime.now(UTC).replace(microsecond=0)
    ids = (Claim(ClaimKind.HEADER, "id", GENERATION), Claim(ClaimKind.FIELD, "id", GENERATION))
    claims = (*observation().claims, *ids)
    return replace(observation(slot=now, started_at=now, claims=claims), **changes)


@asynccontextmanager
async def served(
    database: Database, home: Path, *replies: Any
) -> AsyncIterator[tuple[WorkerContext, Provider]]:
    async with provider(*replies) as account:
        configured = settings(
            home, OPENROUTER_API_KEY=CANARY, OPENROUTER_BASE_URL=account.address + "/api/v1"
        )
        async with open_context(configured, database) as context:
            yield context, account


async def store(database: Database, *seen: Any) -> None:
    async with database.begin() as connection:
        assert await observations.add(connection, seen) == len(seen)


async def make_due(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(
            account_readings.receipts.update().values(due_at=datetime.now(UTC))
        )


async def test_a_record_outranks_what_the_answer_said_of_itself(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, answered())
    raw = "SELECT claims, answer_tokens, model_disclosed, recorded_at FROM observations"
    before = rows(database_url, raw)
    async with served(database, tmp_path, reply(body={"data": RECORD})) as (context, account):
        assert await job.fetch_receipts(context) == 1
        assert await job.fetch_receipts(context) == 0, "what is settled is not asked again"
    assert [requested.path for requested in account.asked] == [
        f"/api/v1/generation?id={GENERATION}"
    ]
    assert account.asked[0].headers["authorization"] == f"Bearer {CANARY}"
    assert rows(database_url, WHO) == [
        ("fallback", True, "anthropic/claude-haiku-4.5", Decimal("0.002"), "provider")
    ]
    assert rows(database_url, STATE) == [(1, True, None, "anthropic/claude-haiku-4.5")]
    kinds = "SELECT evidence->0->>'kind', confidence > 0.99, identity_reason FROM observations"
    why = "The provider's record names this model."
    assert rows(database_url, kinds) == [("receipt", True, why)]
    assert rows(database_url, raw) == before, "raw facts stay"


async def test_a_record_that_agrees_makes_sure_and_brings_the_charge(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, answered())
    own = {**RECORD, "model": LLAMA, "total_cost": 0, "is_byok": True,
           "upstream_inference_cost": 0.00003}  # fmt: skip
    async with served(database, tmp_path, reply(body={"data": own})) as (context, _):
        assert await job.fetch_receipts(context) == 1
    assert rows(database_url, WHO) == [("expected", False, LLAMA, Decimal("0.00003"), "provider")]


async def test_a_record_without_a_charge_has_its_own_tokens_priced(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, answered())
    free = {**RECORD, "total_cost": 0, "upstream_inference_cost": 0}
    async with served(database, tmp_path, reply(body={"data": free})) as (context, _):
        await job.fetch_receipts(context)
    [(usd, source, rates)] = rows(
        database_url, "SELECT cost_usd, cost_source, rates FROM observations"
    )
    assert (usd, source) == (Decimal("0.002"), CostSource.REPORTED)  # 700 × $1 + 260 × $5
    assert (rates["prompt_tokens"], rates["answer_tokens"]) == ("700", "260")


@pytest.mark.parametrize(
    ("reported", "reason", "wait_s"),
    [
        (reply(404, {}), "HTTP 404: not recorded yet", 30),
        (reply(402, {}), "HTTP 402: the account is out of credit", 30),
        (reply(429, {}, headers={"Retry-After": "90"}), "HTTP 429: rate limited", 90),
        (reply(502, b"<html>"), "HTTP 502", 30),
        (b"HTTP/9 what", "the reply is not complete HTTP", 30),
    ],
)
async def test_what_may_come_later_is_asked_for_later(
    database: Database, database_url: str, tmp_path: Path, reported: bytes, reason: str, wait_s: int
) -> None:
    await store(database, answered())
    async with served(database, tmp_path, reported) as (context, account):
        assert await job.fetch_receipts(context) == 0
        assert await job.fetch_receipts(context) == 0
    assert len(account.asked) == 1, "not before its time"
    assert rows(database_url, STATE) == [(1, False, reason, None)]
    [(due_s,)] = rows(database_url, WAIT)
    assert wait_s - 5 <= due_s <= wait_s
    assert rows(database_url, WHO)[0][0] == "expected"


async def test_a_record_that_lags_is_found_by_a_later_try(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, answered())
    lag, record = reply(404, {}), reply(body={"data": RECORD})
    async with served(database, tmp_path, lag, lag, record) as (context, _):
        await job.fetch_receipts(context)
        await make_due(database)
        await job.fetch_receipts(context)
        [(due_s,)] = rows(database_url, WAIT)
        assert 55 <= due_s <= 60, "twice as long after each try"
        await make_due(database)
        assert await job.fetch_receipts(context) == 1
    assert rows(database_url, STATE) == [(3, True, None, "anthropic/claude-haiku-4.5")]


async def test_a_record_that_never_comes_is_asked_for_a_few_times_and_no_more(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, answered())
    async with served(database, tmp_path, reply(404, {})) as (context, account):
        for _ in range(account_readings.TRIES + 3):
            await job.fetch_receipts(context)
            await make_due(database)
    assert len(account.asked) == account_readings.TRIES
    assert rows(database_url, STATE) == [(8, True, "HTTP 404: not recorded yet", None)]


@pytest.mark.parametrize(
    ("reported", "reason"),
    [
        (reply(401, {}), "HTTP 401: the key is rejected: expired, disabled or wrong"),
        (reply(200, b"{"), "the record names no model"),
        (reply(200, {"data": {"model": 7}}), "the record names no model"),
    ],
)
async def test_what_will_never_come_is_given_up(
    database: Database, database_url: str, tmp_path: Path, reported: bytes, reason: str
) -> None:
    await store(database, answered())
    async with served(database, tmp_path, reported) as (context, account):
        await job.fetch_receipts(context)
        await make_due(database)
        await job.fetch_receipts(context)
    assert len(account.asked) == 1
    assert rows(database_url, STATE) == [(1, True, reason, None)]


def several(count: int) -> list[Any]:
    now = datetime.now(UTC)
    return [
        answered(slot=now - timedelta(minutes=i), query=f"q{i}", id=observation().id,
                 claims=(Claim(ClaimKind.FIELD, "id", f"gen-{i}"),))
        for i in range(count)
    ]  # fmt: skip


async def test_trouble_of_the_provider_ends_the_run_and_a_lag_does_not(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, *several(4))
    async with served(
        database, tmp_path, reply(404, {}), reply(429, {}, headers={"Retry-After": "5"})
    ) as (context, account):
        await job.fetch_receipts(context)
    assert len(account.asked) == 2


async def test_a_slow_provider_holds_no_one_up_for_long(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.worker.account_polling.READ_TIMEOUT_S", 0.3)
    await store(database, *several(3))
    slow = SlowReply(reply(body={"data": RECORD}))
    async with served(database, tmp_path, slow) as (context, account):
        await job.fetch_receipts(context)
    assert len(account.asked) == 1
    reason = "SELECT last_error FROM receipts WHERE tries > 0"
    assert rows(database_url, reason) == [("no complete reply within 0.3 s",)]


async def test_a_run_asks_for_so_many_and_no_more(database: Database, tmp_path: Path) -> None:
    await store(database, *several(job.MOST + 3))
    async with served(database, tmp_path, reply(404, {})) as (context, account):
        await job.fetch_receipts(context)
        assert len(account.asked) == job.MOST
        await job.fetch_receipts(context)
        assert len(account.asked) == job.MOST + 3


async def test_a_rejected_key_is_not_used(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, answered())
    reported = AccountReading(
        provider="openrouter", at=datetime.now(UTC), state=AccountState.REJECTED
    )
    async with database.begin() as connection:
        await account_readings.add(connection, reported)
    async with served(database, tmp_path, reply(body={"data": RECORD})) as (context, account):
        assert await job.fetch_receipts(context) == 0
    assert account.asked == []
    assert rows(database_url, STATE) == [(0, False, None, None)]


async def test_a_key_of_which_nothing_recent_is_known_is_tried(
    database: Database, tmp_path: Path
) -> None:
    """It was rejected hours ago, and its readings stopped then."""
    await store(database, answered())
    long_ago = datetime.now(UTC) - timedelta(hours=6)
    reported = AccountReading(provider="openrouter", at=long_ago, state=AccountState.REJECTED)
    async with database.begin() as connection:
        await account_readings.add(connection, reported)
    async with served(database, tmp_path, reply(body={"data": RECORD})) as (context, account):
        await job.fetch_receipts(context)
    assert len(account.asked) == 1


async def test_one_worker_asks(database: Database, tmp_path: Path) -> None:
    await store(database, answered())
    async with database.begin() as connection:
        await leases.hold(connection, "receipts", holder="w2", span=job.LEASE)
    async with served(database, tmp_path, reply(body={"data": RECORD})) as (context, account):
        assert await job.fetch_receipts(context) == 0
    assert account.asked == []


async def test_without_a_key_no_one_is_asked(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, answered())
    async with open_context(settings(tmp_path), database) as context:
        assert await job.fetch_receipts(context) == 0
    assert rows(database_url, STATE) == []


@pytest.mark.parametrize(
    "claim",
    [
        Claim(ClaimKind.FIELD, "id", "chatcmpl-123"),
        Claim(ClaimKind.FIELD, "id", "gen-../../key?x=1"),
        Claim(ClaimKind.FIELD, "model", "gen-1"),
    ],
)
async def test_only_ids_of_the_providers_shape_are_asked_for(
    database: Database, tmp_path: Path, claim: Claim
) -> None:
    await store(database, answered(claims=(claim,)))
    async with served(database, tmp_path, reply(404, {})) as (context, account):
        await job.fetch_receipts(context)
    assert account.asked == []


async def test_an_id_given_out_twice_proves_nothing_about_the_second_answer(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    first = answered()
    later = first.slot + timedelta(seconds=1)
    second = replace(answered(), slot=later, started_at=later)
    await store(database, second, first)
    async with served(database, tmp_path, reply(body={"data": RECORD})) as (context, account):
        await job.fetch_receipts(context)
    assert len(account.asked) == 1
    found = rows(database_url, f"{WHO} ORDER BY slot")
    assert [row[0] for row in found] == [Identity.FALLBACK, Identity.EXPECTED]


async def test_one_answer_is_asked_for_under_three_ids_at_most(
    database: Database, tmp_path: Path
) -> None:
    many = tuple(Claim(ClaimKind.FIELD, "id", f"gen-{i}") for i in range(50))
    await store(database, answered(claims=many))
    async with served(database, tmp_path, reply(404, {})) as (context, account):
        await job.fetch_receipts(context)
    assert len(account.asked) == account_readings.PER_ANSWER


async def test_two_records_of_one_answer_contradict_and_add_up(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    both = tuple(Claim(ClaimKind.FIELD, "id", f"gen-{i}") for i in (1, 2))
    await store(database, answered(claims=both))

    def reported(requested: ProviderRequest) -> bytes:
        model = LLAMA if requested.path.endswith("gen-1") else HAIKU
        return reply(body={"data": {**RECORD, "model": model}})

    async with served(database, tmp_path, reported) as (context, _):
        assert await job.fetch_receipts(context) == 2
    who, _, _, usd, _ = rows(database_url, WHO)[0]
    assert (who, usd) == ("disputed", Decimal("0.004"))


async def test_what_the_record_names_is_stored_without_our_secrets(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await store(database, answered())
    echoed = {**RECORD, "model": f"x/{CANARY}\u0007"}
    async with served(database, tmp_path, reply(body={"data": echoed})) as (context, _):
        await job.fetch_receipts(context)
    assert rows(database_url, "SELECT model FROM receipts") == [("x/***",)]
    assert CANARY not in str(rows(database_url, "SELECT o::text FROM observations AS o"))


async def test_an_hour_rolled_up_before_its_receipt_is_rolled_up_again(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    ago = datetime.now(UTC) - timedelta(minutes=100)
    await store(database, answered(slot=ago, started_at=ago))
    async with database.begin() as connection:
        while await rollup_rows.advance(connection):
            pass
    fell = "SELECT model, usd FROM answers_hourly"
    assert rows(database_url, fell) == [(LLAMA, Decimal("0.000007"))]
    async with served(database, tmp_path, reply(body={"data": RECORD})) as (context, _):
        assert await job.fetch_receipts(context) == 1
    async with database.begin() as connection:
        while await rollup_rows.advance(connection):
            pass
    assert rows(database_url, fell) == [("anthropic/claude-haiku-4.5", Decimal("0.002"))]


async def test_the_role_of_the_worker_may_do_all_of_it(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """It may not change what was observed: tests/contract/test_roles.py."""
    assert schema.ensure(database_url) is None
    configured = settings(tmp_path)
    target, book = configured.targets["rag"], price_book({}, same=identity.same)
    seen = answered()
    record = account_readings.ReceiptRecord(
        Claim(ClaimKind.RECEIPT, "openrouter generation", HAIKU), Usage()
    )
    async with database.begin() as connection:
        await connection.execute(text("SET LOCAL ROLE monitor_writer"))
        assert await observations.add(connection, [seen]) == 1
        assert await account_readings.expect(connection, within=job.RECEIPT_LATE) == 1
        [item] = await account_readings.due(connection, most=1)
        await account_readings.keep_receipt(connection, item.generation, record)
        stored = await rederive.some(connection, seen.target, [(seen.slot, seen.id)])
        assert len(await rederivation.derive(connection, stored, target, book)) == 1
        await rollup_rows.forget_rounds(connection)
    assert rows(database_url, WHO)[0][:2] == ("fallback", True)

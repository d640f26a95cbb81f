"""The likely cause in a message, from what the database holds of a target's last hour."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.domain import (
    AccountReading,
    AccountState,
    Claim,
    ClaimKind,
    Identity,
    Outcome,
    ProviderAttempt,
    Usage,
)
from monitor.storage import (
    Database,
    account_readings,
    answer_routes,
    observations,
    provider_models,
)
from monitor.storage.provider_models import ModelListing
from monitor.storage.tables import observations as table
from monitor.worker import evaluation
from tests.contract.open_context import open_context, settings
from tests.e2e.worker_process import rows
from tests.example_data import HAIKU, LLAMA, observation

TOLD = "SELECT rule, finding->>'cause' FROM incidents ORDER BY rule"
PAGE = "http://rag.example/health"


async def fell(database: Database, now: datetime, *, hashes: str = "aaaa", **more: Any) -> None:
    """Rounds ten minutes apart of two queries each, all of them fallbacks, a hash a round."""
    seen: list[Any] = []
    for nth, config_hash in enumerate(reversed(hashes)):
        at = now - timedelta(minutes=10 * nth + 1)
        fallen = {"identity": Identity.FALLBACK, "model_detected": HAIKU}
        seen += [
            observation(
                slot=at, started_at=at, query=query, config_hash=config_hash, **fallen | more
            )
            for query in ("hi", "kbli")
        ]
    async with database.begin() as connection:
        await observations.add(connection, seen)
        await connection.execute(table.update().values(recorded_at=table.c.started_at))


async def page(database: Database, at: datetime, status: int | None = 200, **facts: Any) -> None:
    async with database.begin() as connection:
        await account_readings.keep(
            connection, "rag", PAGE, at=at, http_status=status, healthy=True, unmet=[], facts=facts
        )


async def test_a_health_page_that_changed_before_the_fallback_is_its_likely_cause(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with open_context(settings(tmp_path), database) as context:
        now = context.now()
        await fell(database, now)
        await page(database, now - timedelta(hours=9), version="5.2", region="fra", up=True)
        await page(database, now - timedelta(minutes=40), version="5.3", region="sin", up=False)
        await evaluation.evaluate(context)
        ago = now - timedelta(minutes=40)
        assert rows(database_url, TOLD) == [(
            "fallback", "its health page changed, as after a deployment: "
            f"version 5.3, before 5.2, region sin, before fra and 1 more, at {ago:%H:%M} UTC",
        )]  # fmt: skip
        await page(database, now + timedelta(minutes=5), version="5.4")
        await evaluation.evaluate(context)
        assert rows(database_url, TOLD)[0][1].endswith(f"at {ago:%H:%M} UTC"), "that came after it"


@pytest.mark.parametrize(
    ("readings", "hashes", "cause"),
    [
        ([], "aaaa", None),
        ([(40, 200)], "aaaa", None),  # the first reading is no change
        ([(120, 200), (92, 503)], "aaaa", None),  # too long ago
        ([(50, 200), (35, 503)], "aaaa", "its health page returned 503, before 200, at "),
        ([(50, 200), (25, 503)], "aaaa", None),  # after the first fallback
        ([(50, 200), (35, None)], "aaaa", "its health page returned nothing, before 200, at "),
        ([], "aabb", None),  # the change came after the first fallback
    ],
)
async def test_what_is_not_known_is_not_reported(
    database: Database, database_url: str, tmp_path: Path,
    readings: list[tuple[int, int | None]], hashes: str, cause: str | None,
) -> None:  # fmt: skip
    async with open_context(settings(tmp_path), database) as context:
        now = context.now()
        await fell(database, now, hashes=hashes)
        for minutes, status in readings:
            await page(database, now - timedelta(minutes=minutes), status)
        await evaluation.evaluate(context)
    [(rule, notified)] = rows(database_url, TOLD)
    assert rule == "fallback"
    assert notified is None if cause is None else notified.startswith(cause)


async def key(database: Database, at: datetime, state: AccountState, **more: Any) -> None:
    async with database.begin() as connection:
        reading = AccountReading(provider="openrouter", at=at, state=state, **more)
        await account_readings.add(connection, reading)


async def recorded(database: Database, *attempts: ProviderAttempt) -> None:
    """A record of each answer, with these attempts before the good one."""
    good = ProviderAttempt(200, "Anthropic", HAIKU)
    record = account_readings.ReceiptRecord(
        Claim(ClaimKind.RECEIPT, "openrouter generation", HAIKU), Usage(), [*attempts, good]
    )
    async with database.begin() as connection:
        await account_readings.expect(connection, within=timedelta(hours=2))
        for item in await account_readings.due(connection, most=100):
            await account_readings.keep_receipt(connection, item.generation, record)


OWNER = "SELECT rule, likely_cause, cause_owner FROM report.incidents"


@pytest.mark.parametrize("source", ["key", "credit", "records", "gateway", "configuration", "none"])
async def test_each_stored_source_names_cause_and_owner(
    database: Database, database_url: str, tmp_path: Path, source: str
) -> None:
    async with open_context(settings(tmp_path), database) as context:
        now = context.now()
        begun = now - timedelta(minutes=31)
        claims = observation().claims
        match source:
            case "key":
                await key(database, begun - timedelta(minutes=9), AccountState.OK,
                          expires_at=begun - timedelta(minutes=2))  # fmt: skip
                await key(database, begun + timedelta(minutes=2), AccountState.REJECTED)
                expected = ("the key of openrouter expired, at ", "billing")
            case "credit":
                await key(database, begun - timedelta(minutes=4), AccountState.OK)
                await key(database, begun + timedelta(minutes=1), AccountState.OUT_OF_CREDIT)
                expected = ("openrouter: no credit left, at ", "billing")
            case "records":
                expected = (
                    "OpenRouter's records of 1 of 1 answer have failed attempts: HTTP 503 (Groq)",
                    "provider",
                )
                claims = (*claims, Claim(ClaimKind.HEADER, "id", "gen-1763800000-AbC"))
            case "gateway":
                count = Claim(ClaimKind.HEADER, "x-litellm-attempted-fallbacks", "1")
                claims, expected = (*claims, count), ("the gateway fell back after ", "cannot tell")
            case "configuration":
                before = [
                    observation(slot=at, started_at=at, config_hash=config_hash)
                    for minutes, config_hash in ((9, "a"), (4, "b"))
                    for at in [begun - timedelta(minutes=minutes)]
                ]
                async with database.begin() as connection:
                    await observations.add(connection, before)
                expected = ("the monitor's configuration changed, at ", "us")
            case _:
                expected = ("", "cannot tell")
        await fell(database, now, hashes="bbbb", claims=claims)
        if source == "records":
            await recorded(database, ProviderAttempt(503, "Groq", LLAMA))
        await evaluation.evaluate(context)
    [(rule, cause, owner)] = rows(database_url, OWNER)
    assert (rule, owner) == ("fallback", expected[1])
    assert (cause or "").startswith(expected[0]) and bool(cause) is bool(expected[0])


@pytest.mark.parametrize(("hashes", "ago"), [("aab", 4), ("aba", 4), ("abb", 9), ("aaa", None)])
async def test_a_configuration_that_comes_back_is_a_change(
    database: Database, database_url: str, tmp_path: Path, hashes: str, ago: int | None
) -> None:
    async with open_context(settings(tmp_path), database) as context:
        now = context.now()
        begun = now - timedelta(minutes=31)
        good = [
            observation(slot=at, started_at=at, config_hash=config_hash)
            for minutes, config_hash in zip((14, 9, 4), hashes, strict=True)
            for at in [begun - timedelta(minutes=minutes)]
        ]
        async with database.begin() as connection:
            await observations.add(connection, good)
        await fell(database, now, hashes=4 * hashes[-1])
        await evaluation.evaluate(context)
    [(_, cause, _)] = rows(database_url, OWNER)
    if ago is None:
        assert cause is None
    else:
        at = begun - timedelta(minutes=ago)
        assert cause == f"the monitor's configuration changed, at {at:%H:%M} UTC"


W1, W2, W3 = "one", "two", "three"


@pytest.mark.parametrize(
    ("rounds", "changed"),  # worker, hash and region of each round
    [
        ([(W1, h, "") for h in "abababab"], []),
        ([(W1, "a", ""), (W2, "b", "")] * 4, []),
        ([(W1, "a", "fra"), (W2, "b", "sin")] * 4, []),
        ([(w, "ab"[w == W2], "") for w in (W1, W1, W2, W2, W1, W2, W2, W1)], []),
        ([(W1, "a", "")] * 2 + [(W2, "b", "")] * 2, [2]),  # a restart
        ([(W1, "a", "")] * 2 + [(W2, "b", "")] * 2 + [(W3, "a", "")] * 2, [2, 4]),  # and back
        ([(W1, "a", "")] * 2 + [(W2, "b", "")], []),  # its first round so far
        ([(W1, h, "") for h in "aabbaa"], [2, 4]),
        ([(W1, h, r) for h in "aab" for r in ("fra", "sin")] + [(W1, "b", "fra")], [4]),
        ([(W1, h, "") if h != "c" else (W2, h, "") for h in "acacbcbc"], [4]),
        # both workers are replaced, one after the other
        ([(W1, "a", ""), (W2, "a", ""), (W3, "b", ""), (W2, "a", ""), (W3, "b", ""),
          ("four", "b", ""), (W3, "b", "")], []),
    ],
)  # fmt: skip
async def test_workers_of_two_configurations_at_a_time_are_no_change(
    database: Database, rounds: list[tuple[str, str, str]], changed: list[int]
) -> None:
    start = datetime.now().astimezone() - timedelta(hours=1)
    slots = [start + timedelta(minutes=5 * nth) for nth in range(len(rounds))]
    seen = [
        observation(slot=at, started_at=at, query=query, config_hash=config_hash, worker=worker,
                    region=region or "fra")
        for at, (worker, config_hash, region) in zip(slots, rounds, strict=True)
        for query in ("hi", "kbli")
    ]  # fmt: skip
    async with database.begin() as connection:
        await observations.add(connection, seen)
        found = await answer_routes.configurations(
            connection, "rag", since=start - timedelta(minutes=1), until=slots[-1]
        )
    assert found == [slots[nth] for nth in changed]


async def test_a_list_price_that_rose_is_the_cause_of_a_fallback(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with open_context(settings(tmp_path), database) as context:
        now = context.now()
        for ago, usd in ((timedelta(hours=20), "0.08"), (timedelta(minutes=35), "0.9")):
            listing = ModelListing(LLAMA, LLAMA, None, {"input": usd, "output": "0.3"})
            async with database.begin() as connection:
                await provider_models.keep_listing(connection, "openrouter", listing, at=now - ago)
        await fell(database, now)
        await evaluation.evaluate(context)
    [(_, cause, owner)] = rows(database_url, OWNER)
    assert cause.startswith(
        f"the list price of {LLAMA} changed: input $0.08 → $0.90 per million tokens, at "
    )
    assert owner == "provider"


async def test_refusals_are_reported_in_the_message(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with open_context(settings(tmp_path), database) as context:
        now = context.now()
        await fell(database, now - timedelta(minutes=1))
        await fell(database, now, outcome=Outcome.RATE_LIMITED, ttft_ms=None,
                   identity=Identity.UNKNOWN, model_detected=None)  # fmt: skip
        await evaluation.evaluate(context)
    notified = rows(database_url, "SELECT notice->'finding'->>'cause' FROM outbox")
    assert notified == [("the service is rate limiting: 6 of 12 probes got HTTP 429",)]

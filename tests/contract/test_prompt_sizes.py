"""`monitor check` says where prompt sizes come from: configured, reported or learnt."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from monitor.cli import check_details
from monitor.domain import CostSource, Query
from monitor.storage import Database
from monitor.storage.baseline_answers import sizes
from tests.contract.past_day import RAG, row_at, run, store

NOW = datetime.now(UTC).replace(microsecond=0)


async def said(database: Database, configured: int | None) -> str:
    target = replace(RAG, queries=(Query(id="hi", text="Hi", prompt_tokens=configured),))
    async with database.begin() as connection:
        found = await sizes(connection, "rag")
    [line] = check_details.lines(target, found)
    return str(line)


async def learnt(database: Database, tokens: int) -> None:
    probe = row_at(NOW, cost_source=CostSource.ESTIMATED, prompt_tokens=30)
    await store(database, probe)
    async with database.begin() as connection:
        await run(
            connection, "INSERT INTO receipts (generation, observation, slot, due_at, settled_at, "
            "source, model, prompt_tokens) VALUES ('gen-1', :id, :slot, now(), now(), "
            "'openrouter', 'm', :tokens)", id=probe.id, slot=probe.slot, tokens=tokens,
        )  # fmt: skip


async def test_a_configured_size_is_named_so(database: Database) -> None:
    assert await said(database, 680) == (
        "ok      prompt size of rag/hi: 680 tokens, configured (prompt_tokens)"
    )


async def test_an_unknown_size_is_a_warning(database: Database) -> None:
    found = await said(database, None)
    assert found.startswith("warning prompt size of rag/hi: not known: only the query's own text")


async def test_what_the_service_reports_outranks_what_is_configured(database: Database) -> None:
    await store(database, *(row_at(NOW, origin="burst", prompt_tokens=n) for n in (1140, 1160)))
    assert await said(database, 680) == (
        "ok      prompt size of rag/hi: 1150 tokens, reported by the service (mean of 2 answers "
        "in 7 days)"
    )


@pytest.mark.parametrize(
    ("configured", "starts", "ends"),
    [
        (1000, "ok      prompt size of rag/hi: 1000 tokens, configured; 1150 tokens, from the",
         "(mean of 1 answers in 7 days)"),
        (700, "warning prompt size of rag/hi: 700 tokens are configured, but 1150 tokens, from",
         "set prompt_tokens = 1150"),
        (None, "warning prompt size of rag/hi: 1150 tokens, from the provider's records",
         "set prompt_tokens = 1150"),
    ],
)  # fmt: skip
async def test_a_size_learnt_from_receipts_is_compared_with_the_configured_one(
    database: Database, configured: int | None, starts: str, ends: str
) -> None:
    await learnt(database, 1150)
    found = await said(database, configured)
    assert found.startswith(starts)
    assert found.endswith(ends)

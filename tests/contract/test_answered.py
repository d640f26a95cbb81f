"""Messages about speed and money say who answered, where it was not the expected model alone."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from monitor.domain import Identity
from monitor.storage import Database, observations
from monitor.storage.tables import observations as table
from monitor.worker import evaluation
from monitor.worker.context import WorkerContext
from tests.contract.open_context import open_context, settings
from tests.e2e.worker_process import rows
from tests.example_data import HAIKU, observation

TOLD = "SELECT facts->>'Who answered' FROM incidents WHERE rule = '{}'"
CHANGED = {"identity": Identity.CHANGED, "model_detected": None}


async def seen(context: WorkerContext, apart: timedelta, *changes: dict[str, Any]) -> None:
    """Rounds of two queries, the oldest first and the latest just now."""
    made = []
    for nth, change in enumerate(reversed(changes)):
        at = context.now() - nth * apart - timedelta(milliseconds=1)
        made += [
            observation(slot=at, started_at=at, query=query, **change) for query in ("hi", "kbli")
        ]
    async with context.database.begin() as connection:
        await observations.add(connection, made)
        await connection.execute(table.update().values(recorded_at=table.c.started_at))


@pytest.mark.parametrize(
    ("identity", "reported"),
    [
        (CHANGED, "12 of 12 answers no longer match Llama 4 Scout; model not identified"),
        ({"identity": Identity.UNKNOWN, "model_detected": None},
         "12 of 12 answers name no model; model not identified"),
        ({}, None),
    ],
)  # fmt: skip
async def test_a_slow_service_is_reported_with_who_answered(
    identity: dict[str, Any], reported: str | None, database: Database, database_url: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    async with open_context(settings(tmp_path), database) as context:
        fast, slow = {"ttft_ms": 600.0}, {"ttft_ms": 3000.0} | identity
        await seen(context, timedelta(minutes=10), *[fast] * 3, *[slow] * 6)
        await evaluation.evaluate(context)
        assert rows(database_url, TOLD.format("ttft")) == [(reported,)]


async def test_what_a_message_said_before_is_kept_while_answers_are_counted_again(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    evidence = "SELECT facts->>'By query' IS NOT NULL, facts->>'Who answered' FROM incidents " \
               "WHERE rule = 'ttft'"  # fmt: skip
    async with open_context(settings(tmp_path), database) as context:
        slow = {"ttft_ms": 3000.0} | CHANGED
        await seen(context, timedelta(minutes=10), *[slow] * 6)
        await evaluation.evaluate(context)
        await seen(context, timedelta(minutes=10), {"ttft_ms": 3000.0} | CHANGED)
        await evaluation.evaluate(context)
    reported = "14 of 14 answers no longer match Llama 4 Scout; model not identified"
    assert rows(database_url, evidence) == [(True, reported)]


async def test_an_expensive_day_is_reported_with_who_answered(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with open_context(settings(tmp_path), database) as context:
        dear = {"cost_usd": Decimal(1)}
        fell = {"identity": Identity.FALLBACK, "model_detected": HAIKU}
        soon = timedelta(milliseconds=100)
        await seen(context, soon, dear, dear | CHANGED, dear | CHANGED, dear | fell)
        await evaluation.evaluate(context)
    assert rows(database_url, TOLD.format("spend")) == [(
        "rag: 2 of 8 answers came from Claude Haiku 4.5, not from Llama 4 Scout. 4 of 8 "
        "answers no longer match Llama 4 Scout; model not identified",
    )]  # fmt: skip

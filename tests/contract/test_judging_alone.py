"""Each subject is judged alone: a query or a rule that fails costs its own verdict and no other."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import wraps
from importlib import import_module
from inspect import iscoroutinefunction
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import text

from monitor import storage
from monitor.domain import AccountReading, AccountState, Identity
from monitor.storage import (
    Database,
    DatabaseUnavailable,
    account_readings,
    answer_routes,
    bills,
    fingerprints,
    incident_rows,
    observations,
    outbox,
    provider_models,
    spend_rows,
)
from monitor.worker import cause_search, evaluation
from monitor.worker.context import WorkerContext
from tests.contract.open_context import open_context, settings
from tests.contract.test_workers import broken_rounds
from tests.e2e.worker_process import rows
from tests.example_data import observation

OPEN = "SELECT rule FROM incidents WHERE resolved_at IS NULL ORDER BY 1"
EVERY = ["delivery", "down", "key", "probe_budget", "spend"]


async def trouble_everywhere(database: Database, channel: str) -> None:
    """Something to open an incident of each subject for: target, provider, day, channel."""
    now = datetime.now(UTC)
    await broken_rounds(database, now)
    async with database.begin() as connection:
        dear = observation(slot=now, started_at=now, origin="manual", cost_usd=Decimal(5))
        await observations.add(connection, [dear])
        rejected = AccountReading(provider="openrouter", at=now, state=AccountState.REJECTED,
                           detail="HTTP 401: the key is rejected")  # fmt: skip
        await account_readings.add(connection, rejected)
        broken = text("INSERT INTO channels (channel, broken_since, broken_why) "
                      "VALUES (:channel, now(), 'no_service')")  # fmt: skip
        await connection.execute(broken, {"channel": channel})


@asynccontextmanager
async def troubled(database: Database, home: Path) -> AsyncIterator[WorkerContext]:
    async with open_context(settings(home, OPENROUTER_API_KEY="canary"), database) as context:
        await trouble_everywhere(database, *context.channels)
        yield context


def fails_by(statement: str) -> Callable[..., Awaitable[Any]]:
    """In place of a query: one that the server refuses, which ends a transaction."""

    async def query(connection: Any, *_: object, **__: object) -> Any:
        await connection.execute(text(statement))

    return query


async def test_everything_is_judged(database: Database, database_url: str, tmp_path: Path) -> None:
    async with troubled(database, tmp_path) as context:
        await evaluation.evaluate(context)
    assert [rule for (rule,) in rows(database_url, OPEN)] == EVERY


async def test_a_reading_that_cannot_be_read_costs_the_verdict_of_its_own_account(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = account_readings._reading

    def of_another_release(row: Any) -> AccountReading:
        return read(row if row["provider"] == "openrouter" else {**row, "state": "banned"})

    monkeypatch.setattr(account_readings, "_reading", of_another_release)
    now = datetime.now(UTC)
    keys = {"OPENROUTER_API_KEY": "canary", "ANTHROPIC_ADMIN_KEY": "canary"}
    async with open_context(settings(tmp_path, **keys), database) as context:
        async with database.begin() as connection:
            for provider in ("anthropic", "openrouter"):
                rejected = AccountReading(provider=provider, at=now, state=AccountState.REJECTED)
                await account_readings.add(connection, rejected)
        await evaluation.evaluate(context)
    assert rows(database_url, "SELECT rule, target FROM incidents") == [("key", "openrouter")]


QUERIES = [
    (observations, "samples", ["down"]),
    (account_readings, "latest", ["key"]),
    (evaluation, "days", ["spend"]),
    (spend_rows, "today", ["probe_budget"]),
    (outbox, "backlog", ["delivery"]),
    (cause_search, "explained", []),
    (account_readings, "around", []),
    (answer_routes, "routes", []),
    (provider_models, "listings", []),
    (provider_models, "statistics", []),
    (provider_models, "stored_listings", []),
    (bills, "closed_days", []),
    (incident_rows, "in_force", []),
    (fingerprints, "confirmed_at", []),
    (spend_rows, "by_five_minutes", ["spend"]),
    (spend_rows, "costs", []),
    (account_readings, "spent", ["spend"]),
    (answer_routes, "configurations", []),
    (observations, "identities", []),
    (account_readings, "changes", []),
]
# What holds the incidents themselves: without it there is nothing to compare with or to write.
SHARED = {"leases", "incident_rows.latest_versions", "incident_rows.save", "outbox.add"}
REFUSALS = ["SELECT 1/0", "SELECT * FROM no_such_table", "SELECT pg_sleep(20)"]


@pytest.mark.parametrize("refusal", REFUSALS[:2])
@pytest.mark.parametrize(("room", "query", "lost"), QUERIES, ids=str)
async def test_a_query_that_fails_costs_its_own_verdict(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, room: ModuleType, query: str, lost: list[str], refusal: str,
) -> None:  # fmt: skip
    async with troubled(database, tmp_path) as context:
        monkeypatch.setattr(room, query, fails_by(refusal))
        await evaluation.evaluate(context)
    assert [rule for (rule,) in rows(database_url, OPEN)] == [r for r in EVERY if r not in lost]
    assert "evaluation failed" in caplog.messages


async def test_every_query_that_an_evaluation_awaits_is_one_of_those_that_fail_here(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    awaited: set[str] = set()
    within: ContextVar[bool] = ContextVar("within", default=False)

    def recorded(name: str, query: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @wraps(query)
        async def calls(*given: Any, **named: Any) -> Any:
            if not within.get():
                awaited.add(name)
            token = within.set(True)
            try:
                return await query(*given, **named)
            finally:
                within.reset(token)

        return calls

    async with troubled(database, tmp_path) as context:
        for info in iter_modules(storage.__path__):
            room = import_module(f"monitor.storage.{info.name}")
            for name, query in vars(room).copy().items():
                if iscoroutinefunction(query) and query.__module__ == room.__name__:
                    monkeypatch.setattr(room, name, recorded(f"{info.name}.{name}", query))
        await evaluation.evaluate(context)
    named = {f"{room.__name__.rpartition('.')[2]}.{query}" for room, query, _ in QUERIES}
    assert "fingerprints.confirmed_at" in awaited
    shared = {name for name in awaited if name in SHARED or name.split(".")[0] in SHARED}
    assert awaited - shared <= named


@pytest.mark.parametrize("table", ["identity_epochs", "identity_answers"])
async def test_without_the_baselines_model_changed_alone_is_not_judged(
    database: Database, database_url: str, tmp_path: Path, table: str
) -> None:
    now = datetime.now(UTC)
    async with open_context(settings(tmp_path), database) as context:
        async with database.begin() as connection:
            await observations.add(connection, [
                observation(slot=at, started_at=at, query=query, identity=Identity.CHANGED,
                            model_detected=None, confidence=0.9, ttft_ms=9000.0)
                for at in (now - timedelta(minutes=10 * nth) for nth in range(6))
                for query in ("hi", "kbli")
            ])  # fmt: skip
            await connection.execute(text("UPDATE observations SET recorded_at = started_at"))
            await fingerprints.begin(connection, "rag", "llama", verified_by="receipt")
            dear = observation(slot=now, started_at=now, origin="manual", cost_usd=Decimal(5))
            await observations.add(connection, [dear])
        async with database.begin() as locking:
            await locking.execute(text(f"LOCK TABLE {table}"))
            await evaluation.evaluate(context)
        assert rows(database_url, OPEN) == [("probe_budget",), ("spend",), ("ttft",)]
        await evaluation.evaluate(context)
    assert ("model_changed",) in rows(database_url, OPEN)


async def test_a_query_that_takes_too_long_costs_its_own_verdict_without_a_traceback(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    async with troubled(database, tmp_path) as context:
        monkeypatch.setattr(observations, "samples", fails_by(REFUSALS[2]))
        await evaluation.evaluate(context)
    assert [rule for (rule,) in rows(database_url, OPEN)] == [r for r in EVERY if r != "down"]
    [record] = [record for record in caplog.records if record.message == "evaluation skipped"]
    assert record.exc_info is None
    assert record.subject == "target rag"


async def test_a_table_somebody_has_locked_costs_the_verdicts_that_need_it(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with troubled(database, tmp_path) as context, database.begin() as locking:
        await locking.execute(text("LOCK TABLE account_readings"))
        await evaluation.evaluate(context)
        assert [rule for (rule,) in rows(database_url, OPEN)] == [
            rule for rule in EVERY if rule not in ("key", "spend")
        ]


@pytest.mark.parametrize("rule", EVERY)
async def test_a_rule_that_fails_costs_its_own_verdict(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    rule: str,
) -> None:  # fmt: skip
    def fails(*_: object) -> None:
        raise ZeroDivisionError

    async with troubled(database, tmp_path) as context:
        monkeypatch.setattr(type(context.settings.rules[rule]), "judge", fails)
        await evaluation.evaluate(context)
    assert [name for (name,) in rows(database_url, OPEN)] == [r for r in EVERY if r != rule]


async def test_one_target_of_several_that_fails_stops_no_other(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = observations.samples

    async def of(connection: Any, target: str, **given: Any) -> Any:
        if target == "first":
            await connection.execute(text(REFUSALS[0]))
        return await real(connection, target, **given)

    async with troubled(database, tmp_path) as context:
        rag = context.settings.targets["rag"]
        monkeypatch.setattr(observations, "samples", of)
        from dataclasses import replace

        await evaluation.evaluate(context, replace(rag, name="first"), rag)
    assert ("down",) in rows(database_url, OPEN)


async def test_an_incident_that_cannot_be_written_costs_itself(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with troubled(database, tmp_path) as context:
        async with database.begin() as connection:
            await connection.execute(text(
                "ALTER TABLE incidents ADD CONSTRAINT no_spend CHECK (rule <> 'spend')"
            ))  # fmt: skip
        assert await evaluation.evaluate(context)
    assert [rule for (rule,) in rows(database_url, OPEN)] == [r for r in EVERY if r != "spend"]
    notified = rows(database_url, "SELECT count(*) FROM outbox WHERE notice->>'rule' = 'down'")
    assert notified == [(1,)]


async def test_a_connection_lost_meanwhile_ends_the_evaluation_as_an_unavailable_database(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with troubled(database, tmp_path) as context:
        own = "SELECT pg_terminate_backend(pg_backend_pid())"
        monkeypatch.setattr(evaluation, "days", fails_by(own))
        with pytest.raises(DatabaseUnavailable):
            await evaluation.evaluate(context)
        monkeypatch.undo()
        await evaluation.evaluate(context)
    assert [rule for (rule,) in rows(database_url, OPEN)] == EVERY

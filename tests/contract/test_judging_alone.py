"""Each subject is judged alone: a query or a rule that fails costs its own verdict and no other."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import text

from monitor.domain import AccountState, Reading
from monitor.jobs import causing, judging
from monitor.jobs.watch import Watch
from monitor.store import Away, Database, accounts, budget, mutes, observations, outbox
from tests.contract.test_workers import broken_rounds
from tests.contract.watching import settings, watching
from tests.e2e.rig import rows
from tests.facts import observation

OPEN = "SELECT rule FROM incidents WHERE resolved_at IS NULL ORDER BY 1"
EVERY = ["delivery", "down", "key", "probe_budget", "spend"]


async def trouble_everywhere(database: Database, channel: str) -> None:
    """Something to open an incident of each subject for: target, provider, day, channel."""
    now = datetime.now(UTC)
    await broken_rounds(database, now)
    async with database.begin() as connection:
        dear = observation(slot=now, started_at=now, origin="manual", cost_usd=Decimal(5))
        await observations.add(connection, [dear])
        rejected = Reading(provider="openrouter", at=now, state=AccountState.REJECTED,
                           detail="HTTP 401: the key is rejected")  # fmt: skip
        await accounts.add(connection, rejected)
        broken = text("INSERT INTO channels (channel, broken_since, broken_why) "
                      "VALUES (:channel, now(), 'no_service')")  # fmt: skip
        await connection.execute(broken, {"channel": channel})


@asynccontextmanager
async def troubled(database: Database, home: Path) -> AsyncIterator[Watch]:
    async with watching(settings(home, OPENROUTER_API_KEY="canary"), database) as watch:
        await trouble_everywhere(database, watch.notifier.channel)
        yield watch


def fails_by(statement: str) -> Callable[..., Awaitable[Any]]:
    """In place of a query: one that the server refuses, which ends a transaction."""

    async def query(connection: Any, *_: object, **__: object) -> Any:
        await connection.execute(text(statement))

    return query


async def test_everything_is_judged(database: Database, database_url: str, tmp_path: Path) -> None:
    async with troubled(database, tmp_path) as watch:
        await judging.evaluate(watch)
    assert [rule for (rule,) in rows(database_url, OPEN)] == EVERY


QUERIES = [
    (observations, "samples", ["down"]),
    (accounts, "latest", ["key"]),
    (judging, "days", ["spend"]),
    (budget, "today", ["probe_budget"]),
    (outbox, "backlog", ["delivery"]),
    (judging.crediting, "credits", []),
    (causing, "explained", []),
    (mutes, "in_force", []),
]
REFUSALS = ["SELECT 1/0", "SELECT * FROM no_such_table", "SELECT pg_sleep(20)"]


@pytest.mark.parametrize("refusal", REFUSALS[:2])
@pytest.mark.parametrize(("room", "query", "lost"), QUERIES, ids=str)
async def test_a_query_that_fails_costs_its_own_verdict(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, room: ModuleType, query: str, lost: list[str], refusal: str,
) -> None:  # fmt: skip
    async with troubled(database, tmp_path) as watch:
        monkeypatch.setattr(room, query, fails_by(refusal))
        await judging.evaluate(watch)
    assert [rule for (rule,) in rows(database_url, OPEN)] == [r for r in EVERY if r not in lost]
    assert "not judged" in caplog.messages


async def test_a_query_that_takes_too_long_costs_its_own_verdict_without_a_traceback(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    async with troubled(database, tmp_path) as watch:
        monkeypatch.setattr(observations, "samples", fails_by(REFUSALS[2]))
        await judging.evaluate(watch)
    assert [rule for (rule,) in rows(database_url, OPEN)] == [r for r in EVERY if r != "down"]
    [record] = [record for record in caplog.records if record.message == "not judged"]
    assert record.exc_info is None
    assert record.subject == "target rag"


async def test_a_table_somebody_has_locked_costs_the_verdicts_that_need_it(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with troubled(database, tmp_path) as watch, database.begin() as locking:
        await locking.execute(text("LOCK TABLE account_readings"))
        await judging.evaluate(watch)
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

    async with troubled(database, tmp_path) as watch:
        monkeypatch.setattr(type(watch.settings.rules[rule]), "judge", fails)
        await judging.evaluate(watch)
    assert [name for (name,) in rows(database_url, OPEN)] == [r for r in EVERY if r != rule]


async def test_one_target_of_several_that_fails_stops_no_other(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = observations.samples

    async def of(connection: Any, target: str, **given: Any) -> Any:
        if target == "first":
            await connection.execute(text(REFUSALS[0]))
        return await real(connection, target, **given)

    async with troubled(database, tmp_path) as watch:
        rag = watch.settings.targets["rag"]
        monkeypatch.setattr(observations, "samples", of)
        from dataclasses import replace

        await judging.evaluate(watch, replace(rag, name="first"), rag)
    assert ("down",) in rows(database_url, OPEN)


async def test_an_incident_that_cannot_be_written_costs_itself(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with troubled(database, tmp_path) as watch:
        async with database.begin() as connection:
            await connection.execute(text(
                "ALTER TABLE incidents ADD CONSTRAINT no_spend CHECK (rule <> 'spend')"
            ))  # fmt: skip
        assert await judging.evaluate(watch)
    assert [rule for (rule,) in rows(database_url, OPEN)] == [r for r in EVERY if r != "spend"]
    told = rows(database_url, "SELECT count(*) FROM outbox WHERE notice->>'rule' = 'down'")
    assert told == [(1,)]


async def test_a_connection_lost_meanwhile_ends_the_evaluation_as_an_unavailable_database(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with troubled(database, tmp_path) as watch:
        own = "SELECT pg_terminate_backend(pg_backend_pid())"
        monkeypatch.setattr(judging, "days", fails_by(own))
        with pytest.raises(Away):
            await judging.evaluate(watch)
        monkeypatch.undo()
        await judging.evaluate(watch)
    assert [rule for (rule,) in rows(database_url, OPEN)] == EVERY

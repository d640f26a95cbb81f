"""The provider's list and statistics of models: read when due, kept as rows, never needed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.domain import Identity
from monitor.storage import Database, observations
from monitor.storage.tables import observations as table
from monitor.worker import evaluation, model_polling
from monitor.worker.context import WorkerContext
from tests.contract.open_context import open_context, settings
from tests.contract.provider_api import ProviderRequest, provider, reply
from tests.e2e.worker_process import rows
from tests.example_data import HAIKU, LLAMA, observation

OTHER = {"id": "openai/gpt-4o", "pricing": {"prompt": "0.0000025", "completion": "0.00001"}}
FREE = {"id": f"{LLAMA}:free", "pricing": {"prompt": "0", "completion": "0"}}
OURS = {
    "id": LLAMA, "canonical_slug": f"{LLAMA}-17b-16e-instruct", "expiration_date": "2026-12-24",
    "pricing": {"prompt": "0.00000008", "completion": "0.0000003", "request": "0"},
}  # fmt: skip
LISTED = {"data": [OTHER, FREE, OURS]}
GONE = {"data": [OTHER]}
LISTINGS = "SELECT model, listed_as, expires_on::text, rates FROM model_listings ORDER BY id"
CAUSE = "SELECT likely_cause, cause_owner FROM report.incidents"
PATH = f"/models/{LLAMA}/endpoints"


def hosts(*uptimes: Any) -> dict[str, Any]:
    endpoints = [
        {"provider_name": f"host {n}", "uptime_last_5m": None, "uptime_last_30m": uptime,
         "latency_last_30m": {"p50": 410}}
        for n, uptime in enumerate(uptimes)
    ]  # fmt: skip
    return {"data": {"id": LLAMA, "endpoints": endpoints}}


def serving(lists: list[bytes], statistics: bytes) -> Any:
    """Replies by path; the lists are used up in order."""

    def served(asked: ProviderRequest) -> bytes:
        if asked.path.endswith("/endpoints"):
            return statistics
        return lists.pop(0) if len(lists) > 1 else lists[0]

    return served


async def fell(database: Database, now: Any, *minutes: int) -> None:
    """Rounds of fallbacks, so many minutes ago."""
    seen = [
        observation(slot=at, started_at=at, query=query, identity=Identity.FALLBACK,
                    model_detected=HAIKU)
        for ago in minutes
        for at in [now - timedelta(minutes=ago)]
        for query in ("hi", "kbli")
    ]  # fmt: skip
    async with database.begin() as connection:
        await observations.add(connection, seen)
        await connection.execute(table.update().values(recorded_at=table.c.started_at))


async def test_the_list_is_read_once_a_day_and_kept_by_change(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with provider(serving([reply(200, LISTED)], reply(404))) as served:
        given = settings(tmp_path, OPENROUTER_BASE_URL=served.address)
        async with open_context(given, database) as context:
            assert await model_polling.poll(context) == 1
            assert await model_polling.poll(context) == 0
    assert [asked.path for asked in served.asked] == ["/models"]
    assert "authorization" not in served.asked[0].headers
    rates = {"input": "0.08", "output": "0.3", "request": "0"}
    fallback, (model, listed_as, expires_on, stored) = rows(database_url, LISTINGS)
    assert fallback[1] is None, "the list lacks the fallback model"
    assert (model, listed_as, expires_on) == (LLAMA, LLAMA, "2026-12-24")
    assert {name: float(rate) for name, rate in stored.items()} == {
        name: float(rate) for name, rate in rates.items()
    }


async def test_without_openrouter_nothing_is_read(database: Database, tmp_path: Path) -> None:
    async with open_context(settings(tmp_path), database) as context:
        assert await model_polling.poll(context) == 0


async def test_a_model_that_left_the_list_is_the_cause(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    replies = serving([reply(200, LISTED), reply(200, GONE)], reply(404))
    async with provider(replies) as served:
        given = settings(tmp_path, OPENROUTER_BASE_URL=served.address)
        async with open_context(given, database) as context:
            await model_polling.poll(context)
            async with database.begin() as connection:
                await connection.exec_driver_sql(
                    "UPDATE model_listings SET at = now() - interval '9 h', "
                    "checked_at = now() - interval '1 h'"
                )
            await fell(database, context.now(), 4, 3, 2, 1)
            await evaluation.evaluate(context)
            assert await model_polling.poll(context) == 1
            await fell(database, context.now(), 0)
            await evaluation.evaluate(context)
    [(cause, owner)] = rows(database_url, CAUSE)
    assert cause.startswith("the provider no longer lists the model")
    assert "announced for 2026-12-24" in cause
    assert owner == "provider"


async def test_statistics_are_read_while_an_incident_is_new(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    replies = serving([reply(200, LISTED)], reply(200, hosts(31.5, None, 8)))
    async with provider(replies) as served:
        key = {"OPENROUTER_BASE_URL": served.address, "OPENROUTER_API_KEY": "canary-0815"}
        async with open_context(settings(tmp_path, **key), database) as context:
            await model_polling.poll(context)
            assert [asked.path for asked in served.asked] == ["/models"]
            await fell(database, context.now(), 4, 3, 2, 1)
            await evaluation.evaluate(context)
            assert await model_polling.poll(context) == 1
            assert await model_polling.poll(context) == 0, "read a moment ago"
            await fell(database, context.now(), 0)
            await evaluation.evaluate(context)
    assert [asked.path for asked in served.asked] == ["/models", PATH]
    assert served.asked[-1].headers["authorization"] == "Bearer canary-0815"
    [(cause, owner)] = rows(database_url, CAUSE)
    assert cause.startswith("the provider's own statistics of the model: 32 % uptime at its best")
    assert owner == "provider"


@pytest.mark.parametrize(
    "bad",
    [reply(503), reply(200, {"data": []}), reply(200, {"data": [{"id": 7}]}), reply(200, b"<html>"),
     reply(200, {"data": "none"})],
)  # fmt: skip
async def test_a_failure_is_harmless_and_says_nothing_of_the_models(
    database: Database, database_url: str, tmp_path: Path, bad: bytes
) -> None:
    async with provider(bad) as served:
        given = settings(tmp_path, OPENROUTER_BASE_URL=served.address)
        async with open_context(given, database) as context:
            assert await model_polling.poll(context) == 1
            assert await model_polling.poll(context) == 0, "it waits"
    assert rows(database_url, LISTINGS) == []


MANY = [{"id": f"maker/model-{n}"} for n in range(40)]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ([OURS, {"id": HAIKU}], [{"id": "error"}]),  # all of ours at once
        ([OURS, *MANY], MANY[:15]),  # less than half of the list
    ],
)
async def test_a_list_that_is_too_short_says_nothing_of_the_models(
    database: Database, database_url: str, tmp_path: Path,
    first: list[dict[str, Any]], then: list[dict[str, Any]],
) -> None:  # fmt: skip
    lists = [reply(200, {"data": first}), reply(200, {"data": then})]
    async with provider(serving(lists, reply(404))) as served:
        given = settings(tmp_path, OPENROUTER_BASE_URL=served.address)
        async with open_context(given, database) as context:
            assert await model_polling.poll(context) == 1
            before = rows(database_url, LISTINGS)
            for _ in range(2):  # also when it is read again
                rows(database_url, "UPDATE model_listings SET at = at - interval '25 h', "
                     "checked_at = checked_at - interval '25 h' RETURNING 1")  # fmt: skip
                context.state.account_backoff_until.clear()
                assert await model_polling.poll(context) == 1
    assert rows(database_url, LISTINGS) == before


Poll = Callable[..., Awaitable[int]]  # with hours


@asynccontextmanager
async def polling(database: Database, home: Path, *lists: list[Any]) -> AsyncIterator[Poll]:
    """Polls of the list, so many hours later; a wait of the provider's own is over by then."""
    replies = serving([reply(200, {"data": one}) for one in lists], reply(404))
    async with provider(replies) as served:
        given = settings(home, OPENROUTER_BASE_URL=served.address)
        async with open_context(given, database) as context:

            @dataclass(frozen=True, slots=True)
            class Later(WorkerContext):
                @staticmethod
                def now() -> datetime:
                    return moment

            moment = context.now()
            values = {field.name: getattr(context, field.name) for field in fields(context)}
            later = Later(**values)

            async def poll(hours: int, *, restarted: bool = False) -> int:
                nonlocal moment
                moment += timedelta(hours=hours)
                if restarted:
                    context.state.list_doubt = None
                return await model_polling.poll(later)

            yield poll


COMPLETE, SHORT = [OURS, {"id": HAIKU}], [OTHER]
UNLISTED = "SELECT count(*) FROM model_listings WHERE listed_as IS NULL"


async def test_a_short_list_is_believed_when_it_says_the_same_for_a_day(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with polling(database, tmp_path, COMPLETE, SHORT) as poll:
        assert [await poll(hours) for hours in (0, 1, 24)] == [1, 0, 1]
        assert [await poll(1) for _ in range(23)] == [1] * 23, "read again every hour"
        assert rows(database_url, UNLISTED) == [(0,)]
        assert await poll(1) == 1
    assert rows(database_url, UNLISTED) == [(2,)]


async def test_a_restart_does_not_keep_a_short_list_in_doubt_for_ever(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with polling(database, tmp_path, COMPLETE, SHORT) as poll:
        for hours in (0, 25, 20, 20):
            assert await poll(hours, restarted=True) == 1
        assert await poll(1) == 1
        assert rows(database_url, UNLISTED) == [(0,)], "66 hours since it was complete"
        assert await poll(6, restarted=True) == 1
        assert rows(database_url, UNLISTED) == [(0,)], "one reading of this worker"
        assert await poll(1) == 1
    assert rows(database_url, UNLISTED) == [(2,)]


async def test_a_short_list_that_was_complete_meanwhile_stays_in_doubt(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with polling(database, tmp_path, COMPLETE, SHORT, COMPLETE, SHORT) as poll:
        assert [await poll(hours) for hours in (0, 25, 2, 24)] == [1, 1, 1, 1]
    assert rows(database_url, UNLISTED) == [(0,)]


async def test_a_429_pauses_as_long_as_it_says(database: Database, tmp_path: Path) -> None:
    async with provider(reply(429, {}, headers={"Retry-After": "1800"})) as served:
        given = settings(tmp_path, OPENROUTER_BASE_URL=served.address)
        async with open_context(given, database) as context:
            await model_polling.poll(context)
            waits = context.state.account_backoff_until["openrouter models"] - context.now()
    assert timedelta(minutes=29) < waits <= timedelta(minutes=30)


async def test_the_time_while_the_monitor_was_off_does_not_make_a_short_list_credible(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with polling(database, tmp_path, COMPLETE, SHORT) as poll:
        assert await poll(0) == 1
        for hours in (80, *(23 * [1])):  # off at first, then a reading an hour
            assert await poll(hours, restarted=hours > 1) == 1
            assert rows(database_url, UNLISTED) == [(0,)]
        assert await poll(100, restarted=True) == 1, "off again"
        assert rows(database_url, UNLISTED) == [(0,)]
        assert await poll(1) == 1
    assert rows(database_url, UNLISTED) == [(2,)], "24 hours of readings"
    doubts = "SELECT count(*) FROM model_list_doubts"
    assert rows(database_url, doubts) == [(0,)], "it is believed"


async def test_a_step_of_the_clock_does_not_make_a_short_list_credible(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with polling(database, tmp_path, COMPLETE, SHORT) as poll:
        assert [await poll(hours) for hours in (0, 25, 24, 1, 100, 1)] == [1] * 6
    assert rows(database_url, UNLISTED) == [(0,)]

"""A service that throttles us: the rest of the round is not asked, nor rounds it wants left out."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor.storage import Database
from monitor.worker import admission, evaluation, probe_round
from tests.contract.open_context import open_context, settings
from tests.contract.test_workers import nothing
from tests.e2e.worker_process import rows
from tests.scripted_server import full_reply, scripted_server

SLOTS = "SELECT missed FROM slots ORDER BY slot"
SEEN = "SELECT outcome, ttft_ms, fallback FROM observations"


@pytest.mark.parametrize(
    ("wait_s", "missed"), [(120, admission.BACKING_OFF), (0, "HTTP 429: slowly")]
)
async def test_a_round_that_is_throttled_ends_and_the_next_is_asked_when_the_service_allows_it(
    database: Database, database_url: str, tmp_path: Path, wait_s: int, missed: str
) -> None:
    slot = datetime.now(UTC)
    async with scripted_server(full_reply(429, b"slowly", ("Retry-After", str(wait_s)))) as server:
        configured = settings(tmp_path, server.url)
        rag = configured.targets["rag"]
        assert len(rag.queries) == 2
        async with open_context(configured, database) as context:
            requested = [
                await probe_round.run_round(context, rag, slot + nth * timedelta(minutes=10),
                                       between=nothing)
                for nth in range(2)
            ]  # fmt: skip
        assert server.connections == sum(map(len, requested)) == (2 if wait_s == 0 else 1)
    assert rows(database_url, SLOTS) == [("HTTP 429: slowly",), (missed,)]
    assert set(rows(database_url, SEEN)) == {("rate_limited", None, None)}, (
        "neither slow nor fallen"
    )


async def test_an_outage_announced_by_503_is_probed_on_whatever_its_retry_after_asks(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    slot = datetime.now(UTC)
    async with scripted_server(full_reply(503, b"closed", ("Retry-After", "3600"))) as server:
        configured = settings(tmp_path, server.url)
        rag = configured.targets["rag"]
        async with open_context(configured, database) as context:
            requested = [
                await probe_round.run_round(context, rag, slot + nth * timedelta(minutes=5),
                                       between=nothing)
                for nth in range(3)
            ]  # fmt: skip
            await evaluation.evaluate(context, rag)
    assert [len(each) for each in requested] == [2, 2, 2]
    assert rows(database_url, SLOTS) == [(None,)] * 3
    assert rows(database_url, "SELECT rule FROM incidents") == [("down",)]


async def test_a_service_that_answers_429_for_ever_is_no_data(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with scripted_server(full_reply(429, b"slowly", ("Retry-After", "3600"))) as server:
        configured = settings(tmp_path, server.url)
        rag = configured.targets["rag"]
        now = datetime.now(UTC)
        async with open_context(configured, database) as context:
            context.state.began_s -= 31 * 60
            await probe_round.run_round(context, rag, now, between=nothing)
            await evaluation.evaluate(context)
    ((rule, because),) = rows(database_url, "SELECT rule, because FROM incidents")
    assert rule == "no_data"
    assert because == (
        "No usable sample for 31 min (the service is rate limiting: HTTP 429); last sample: never."
    )


@pytest.mark.parametrize("wait", [str(10**30), "31536000", "Fri, 31 Dec 2100 23:59:59 GMT"])
async def test_an_absurd_retry_after_is_obeyed_for_an_hour_at_most(
    database: Database, database_url: str, tmp_path: Path, wait: str
) -> None:
    async with scripted_server(full_reply(429, b"slowly", ("Retry-After", wait))) as server:
        configured = settings(tmp_path, server.url)
        rag = configured.targets["rag"]
        async with open_context(configured, database) as context:
            await probe_round.run_round(context, rag, datetime.now(UTC), between=nothing)
            left = context.state.backoff_until["rag"] - context.now()
            assert timedelta(minutes=50) < left <= timedelta(hours=1)
            context.state.backoff_until["rag"] += timedelta(
                days=365
            )  # as set by a clock that was wrong
            requested = await probe_round.run_round(
                context, rag, datetime.now(UTC) + timedelta(hours=1), between=nothing
            )
    assert len(requested) == 1


@pytest.mark.parametrize("wait", ["-5", "Fri, 31 Dec 1999 23:59:59 GMT", "soon", ""])
async def test_a_retry_after_in_the_past_or_unreadable_costs_no_further_round(
    database: Database, tmp_path: Path, wait: str
) -> None:
    async with scripted_server(full_reply(429, b"slowly", ("Retry-After", wait))) as server:
        configured = settings(tmp_path, server.url)
        rag = configured.targets["rag"]
        async with open_context(configured, database) as context:
            now = datetime.now(UTC)
            requested = [await probe_round.run_round(context, rag, now + nth * timedelta(minutes=5),
                                            between=nothing) for nth in range(2)]  # fmt: skip
    assert [len(each) for each in requested] == [1, 1]


async def test_being_asked_to_wait_for_one_target_spares_no_other(
    database: Database, tmp_path: Path
) -> None:
    async with open_context(settings(tmp_path), database) as context:
        rag = context.settings.targets["rag"]
        context.state.backoff_until["another"] = datetime.now(UTC) + timedelta(hours=1)
        [admitted] = await admission.admit(context, [(rag, datetime.now(UTC))])
    assert tuple(admitted.queries) == rag.queries

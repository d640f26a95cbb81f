"""Answers that would take for ever to interpret: stored, unknown, counted, and nobody waits."""

import asyncio
import json
import time
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from monitor.identity import IdentityContext
from monitor.storage import Database
from monitor.worker import probe_round
from monitor.worker.probe_round import EXCEEDED
from tests.contract.open_context import open_context, settings
from tests.contract.test_cpu_limit import ENOUGH_S, exploding
from tests.contract.test_workers import nothing
from tests.e2e.worker_process import rows
from tests.scripted_server import LAST, chunk, head, scripted_server

HOSTILE = "also " * 40 + "zzz I'm Claude, made by Anthropic."
SEEN = """SELECT outcome, identity, identity_reason, ttft_ms IS NULL, answer_chars, model_detected
          FROM observations"""


def stream(text: str) -> tuple[bytes, ...]:
    reported = [{"text": text, "sequenceNumber": 1}, {"done": True, "sequenceNumber": 1}]
    return (head(), *(chunk(f"data: {json.dumps(each)}\n\n".encode()) for each in reported), LAST)


async def observed(database: Database, url: str, home: Path) -> tuple[list[Any], str]:
    """Ask one round with an answer that is hostile; the rows, and the metrics page."""
    async with scripted_server(*stream(HOSTILE)) as server:
        configured = settings(home, server.url)
        async with open_context(configured, database) as context:
            await probe_round.run_round(
                context, configured.targets["rag"], datetime.now(UTC), between=nothing
            )
            return rows(url, SEEN), context.metrics.page()[1].decode()


async def test_the_answer_that_hung_the_worker_is_an_ordinary_answer(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    found, page = await observed(database, database_url, tmp_path)
    assert [row[0] for row in found] == ["answered"] * 2
    assert all(row[2] != EXCEEDED for row in found)
    assert 'monitor_interpretations_stopped_total{target="rag"} 0.0' in page


@pytest.mark.parametrize(
    "place",
    [
        "monitor.identity.judge.self_claims",
        "monitor.identity.judge.answer_switch",
        "monitor.dialects.reader._claims",
        "monitor.worker.probe_round.answer_of",
        "monitor.worker.probe_round.counted",
    ],
)
async def test_an_interpretation_that_explodes_is_stopped_stored_as_unknown_and_counted(
    database: Database,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    module, _, name = place.rpartition(".")
    monkeypatch.setattr(import_module(module), name, _explodes)
    began = time.process_time()
    found, page = await observed(database, database_url, tmp_path)
    assert time.process_time() - began < ENOUGH_S
    assert found == [("answered", "unknown", EXCEEDED, False, len(HOSTILE), None)] * 2
    assert 'monitor_interpretations_stopped_total{target="rag"} 2.0' in page


def _explodes(*_: object, **__: object) -> object:
    return exploding()


async def test_after_a_long_step_others_get_as_much_time_as_it_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[float] = []

    async def sleep(seconds: float) -> None:
        given.append(seconds)

    clock = iter((0.0, 0.001, 1.0, 1.03)).__next__
    monkeypatch.setattr(probe_round, "time", SimpleNamespace(perf_counter=clock))
    monkeypatch.setattr("monitor.worker.probe_round.asyncio.sleep", sleep)
    assert await probe_round._step(int, "7") == 7
    assert await probe_round._step(int, "8") == 8
    assert given == [0, pytest.approx(0.03)]


async def test_large_answers_are_interpreted_one_at_a_time(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = [chunk(f"data: {json.dumps({'text': 'word ' * 40_000})}\n\n".encode())] * 2
    at_once, most = 0, 0
    interpreted = probe_round._interpreted

    async def counting(*args: Any, **more: Any) -> Any:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.05)  # time for others to begin, if they could
        try:
            return await interpreted(*args, **more)
        finally:
            at_once -= 1

    monkeypatch.setattr(probe_round, "_interpreted", counting)
    done = chunk(b'data: {"done": true, "sequenceNumber": 1}\n\n')
    async with scripted_server(head(), *large, done, LAST) as server:
        configured = settings(tmp_path, server.url)
        target = configured.targets["rag"]
        async with open_context(configured, database) as context:
            asked = (
                probe_round.probe(
                    context, target, query, slot=datetime.now(UTC), known=IdentityContext()
                )
                for query in target.queries * 2
            )
            made = await asyncio.gather(*asked)
    assert [one.observation.answer_chars for one in made] == [400_000] * 4
    assert most == 1

"""Rows stored long after their probe: judged at the time they started, never as if it were now."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.domain import Identity, Observation, Outcome
from monitor.storage import Database
from monitor.worker import evaluation, outage
from tests.contract.open_context import open_context, settings
from tests.e2e.worker_process import rows
from tests.example_data import HAIKU, observation

EVERY = timedelta(minutes=10)
FALLEN = {"identity": Identity.FALLBACK, "model_detected": HAIKU}
REFUSED = {
    "outcome": Outcome.REFUSED, "ttft_ms": None, "error": "refused", "model_detected": None,
    "identity": Identity.UNKNOWN, "cost_usd": None, "cost_source": None,
}  # fmt: skip


def rounds(first: timedelta, last: timedelta, **changes: Any) -> Sequence[Observation]:
    """Rounds of two queries, every ten minutes, from one age to another, oldest first."""
    found, age = list[Observation](), first
    now = datetime.now(UTC)
    while age >= last:
        at = now - age
        found += [observation(slot=at, started_at=at, query=q, **changes) for q in ("hi", "kbli")]
        age -= EVERY
    return found


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


@pytest.mark.parametrize(
    ("rule", "bad"), [("fallback", FALLEN), ("down", REFUSED)], ids=["a fallback", "an outage"]
)
async def test_what_began_during_an_outage_of_the_database_has_its_true_since(
    database: Database, database_url: str, tmp_path: Path, rule: str, bad: dict[str, Any]
) -> None:
    good, fallen = rounds(minutes(181), minutes(61)), rounds(minutes(51), minutes(1), **bad)
    async with open_context(settings(tmp_path), database) as context:
        await outage.keep(context, [*good, *fallen])  # all of them when the database is back
        assert await evaluation.evaluate(context)
    [[opened, since, first]] = rows(
        database_url, "SELECT rule, since, first_seen_at FROM incidents"
    )
    assert opened == rule
    assert since == first == fallen[0].started_at


@pytest.mark.parametrize("bad", [REFUSED, FALLEN], ids=["an outage", "a fallback"])
async def test_what_was_over_before_its_rows_were_stored_is_not_announced(
    database: Database, database_url: str, tmp_path: Path, bad: dict[str, Any]
) -> None:
    over = rounds(minutes(721), minutes(661), **bad)
    good = rounds(minutes(651), minutes(1))
    async with open_context(settings(tmp_path), database) as context:
        await outage.keep(context, [*over, *good])
        await evaluation.evaluate(context)
    assert rows(database_url, "SELECT rule FROM incidents") == []


@pytest.mark.parametrize("bad", [REFUSED, FALLEN], ids=["an outage", "a fallback"])
async def test_rows_of_hours_ago_that_nothing_followed_announce_nothing(
    database: Database, database_url: str, tmp_path: Path, bad: dict[str, Any]
) -> None:
    """A worker that was killed with rows in its spool starts again in the afternoon."""
    async with open_context(settings(tmp_path), database) as context:
        await outage.keep(context, rounds(minutes(301), minutes(241), **bad))
        await evaluation.evaluate(context)
    assert rows(database_url, "SELECT rule FROM incidents") == []


async def test_a_probe_that_takes_more_than_five_minutes_is_judged(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """Each row is stored when its deadline of eight minutes has passed."""
    hung = {**REFUSED, "outcome": Outcome.DEADLINE, "error": "deadline"}
    async with open_context(settings(tmp_path), database) as context:
        await outage.keep(context, rounds(minutes(38), minutes(8), **hung))
        assert await evaluation.evaluate(context)
    assert rows(database_url, "SELECT rule FROM incidents") == [("down",)]

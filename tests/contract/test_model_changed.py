"""A change of model from stored rows to the outbox: announced, named, over by evidence or word."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from monitor.domain import ClaimKind, Evidence, Identity
from monitor.identity.fingerprint.match import StyleMatch
from monitor.simulator.situations import SimulatedModel
from monitor.storage import Database, baseline_answers, fingerprints, observations
from monitor.storage.fingerprints import BaselineEpoch
from monitor.storage.tables import observations as table
from monitor.worker import evaluation
from monitor.worker.context import WorkerContext
from tests.contract.open_context import open_context, settings
from tests.e2e.worker_process import rows
from tests.example_data import HAIKU, LLAMA, observation
from tests.simulated_answers import QUERIES, simulated_answer

EVERY, SECOND = timedelta(minutes=10), timedelta(seconds=1)
TOLD = """
SELECT status || ' #' || incident || ' ' || (notice->>'rule') FROM outbox
WHERE NOT coalesce((notice->>'quiet')::boolean, false) ORDER BY (notice->>'at')::timestamptz
"""
WHY = (
    f"Answers no longer match the writing style of {LLAMA} (more bold); "
    "the answering model is unknown."
)
UNRECORDED: dict[str, Any] = {
    "identity": Identity.CHANGED, "model_detected": None, "identity_reason": WHY, "evidence": (),
    "cost_usd": None, "cost_source": None, "cost_reason": "the model is not known",
}  # fmt: skip
MARKS: dict[str, dict[str, Any]] = {
    ".": {"identity": Identity.EXPECTED, "model_detected": LLAMA},
    "C": UNRECORDED | {"evidence": (Evidence(ClaimKind.TEXT, "changed", 9.4, "more bold"),)},
    "c": UNRECORDED,
    "U": UNRECORDED | {"identity": Identity.UNKNOWN},
    "F": {"identity": Identity.FALLBACK, "model_detected": HAIKU},
}


class Stream:
    """Rounds of two queries stored and judged one after the other, in their own time."""

    def __init__(self, database: Database, url: str, context: WorkerContext) -> None:
        self.database, self.url, self.watch = database, url, context
        self.now = datetime.now(UTC) - timedelta(hours=20)

    async def answers(self, marks: str, *, first_id: UUID | None = None) -> Sequence[str]:
        """Judge after each answer of these rounds; returns all that was told aloud."""
        for nth, mark in enumerate(marks):
            self.now += SECOND if nth % 2 else EVERY
            slot = self.now - nth % 2 * SECOND
            seen = observation(id=first_id or uuid4(), slot=slot, started_at=self.now,
                               query=("hi", "kbli")[nth % 2], **MARKS[mark])  # fmt: skip
            async with self.database.begin() as connection:
                await observations.add(connection, [seen])
                await connection.execute(
                    table.update().where(table.c.id == seen.id).values(recorded_at=self.now)
                )
            first_id = None
            await evaluation.evaluate(self.watch)
        return await self.told()

    async def told(self) -> Sequence[str]:
        await evaluation.evaluate(self.watch)
        return [head for (head,) in rows(self.url, TOLD)]

    async def baseline(self) -> BaselineEpoch:
        """A baseline that a person began long ago."""
        async with self.database.begin() as connection:
            epoch = await fingerprints.begin(connection, "rag", LLAMA, verified_by="operator")
        await self.at("UPDATE identity_epochs SET began_at = now() - interval '9 days'")
        return epoch

    async def capture(
        self, epoch: BaselineEpoch, model: str, *, verified_by: str = "operator", count: int = 25
    ) -> None:
        """Answers captured as a model's now."""
        query = QUERIES[0]
        async with self.database.begin() as connection:
            await baseline_answers.add(
                connection,
                epoch,
                query,
                [simulated_answer(SimulatedModel.HAIKU, query, 1)] * count,
                model=model,
                verified_by=verified_by,
            )
        await self.at("UPDATE identity_answers SET captured_at = '{now}'")

    async def at(self, statement: str) -> None:
        async with self.database.begin() as connection:
            await connection.execute(text(statement.format(now=self.now.isoformat())))


@pytest.fixture
async def stream(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stream]:
    async with open_context(settings(tmp_path), database) as context:
        one = Stream(database, database_url, context)
        monkeypatch.setattr(WorkerContext, "now", staticmethod(lambda: one.now))
        yield one


def incidents(url: str, columns: str) -> list[tuple[Any, ...]]:
    return rows(url, f"SELECT {columns} FROM incidents ORDER BY number")


async def test_the_answer_with_which_the_detector_passed_is_announced_with_its_reason(
    stream: Stream,
) -> None:
    assert await stream.answers("......") == []
    assert await stream.answers("C.") == ["FIRING #1 model_changed"]
    [(because, moved, first)] = incidents(
        stream.url, "opening_because, facts->>'Difference', first_seen_at"
    )
    assert because.startswith("Answers no longer match Llama 4 Scout since ")
    assert moved == WHY
    assert first == stream.now - SECOND


async def test_a_change_began_with_the_first_suspicion_that_the_detector_recorded(
    stream: Stream,
) -> None:
    epoch = await stream.baseline()
    await stream.answers("......UUU")
    suspected_at = stream.now - EVERY
    turned = uuid4()
    async with stream.database.begin() as connection:
        await fingerprints.note(
            connection,
            epoch,
            StyleMatch(Identity.CHANGED, None, 0.9, reason=WHY),
            observation=turned,
            at=stream.now + SECOND,
            since=suspected_at,
        )
    assert await stream.answers("C", first_id=turned) == ["FIRING #1 model_changed"]
    [(because, first, since)] = incidents(stream.url, "opening_because, first_seen_at, since")
    assert (first, since) == (suspected_at, suspected_at)
    assert f"since {suspected_at:%Y-%m-%d %H:%M} UTC: 3 of 3 answers (100%) to " in because
    assert "differ (confidence " in because


async def test_a_row_without_the_detectors_record_waits_for_a_second_one(stream: Stream) -> None:
    assert await stream.answers("......c...") == []
    assert await stream.answers("cccc") == ["FIRING #1 model_changed"]


async def test_it_is_over_after_fifteen_answers_that_match_again(stream: Stream) -> None:
    await stream.answers("....CCCC" + "." * 14)
    assert incidents(stream.url, "resolved_at") == [(None,)]
    assert await stream.answers("..") == ["FIRING #1 model_changed", "RESOLVED #1 model_changed"]
    assert incidents(stream.url, "ended") == [
        ("15 of the last 15 answers match the expected model.",)
    ]


async def test_a_name_that_is_found_goes_into_the_same_message(stream: Stream) -> None:
    await stream.answers("....CCCC")
    assert set(await stream.answers("FFFFFF")) == {
        "FIRING #1 model_changed",
        "STILL FIRING #1 fallback",
    }
    assert incidents(stream.url, "number, rule, part_of, resolved_at") == [
        (1, "model_changed", None, None),
        (2, "fallback", 1, None),
    ]
    notified = await stream.answers("." * 16)
    assert notified[-1] == "RESOLVED #1 fallback"
    assert [head for head in notified if head.startswith("RESOLVED")] == ["RESOLVED #1 fallback"]
    assert all("#2" not in head for head in notified)


async def test_a_change_beside_a_known_fallback_joins_its_message(stream: Stream) -> None:
    assert await stream.answers("....FFFF") == ["FIRING #1 fallback"]
    notified = await stream.answers("CC")
    assert {head.split(" ", 1)[1].split(" ")[-1] for head in notified} == {"fallback"}
    assert incidents(stream.url, "rule, part_of") == [("fallback", None), ("model_changed", 1)]


async def test_a_new_baseline_that_a_person_accepted_ends_it_at_once(stream: Stream) -> None:
    await stream.baseline()
    await stream.answers("....CCCC")
    async with stream.database.begin() as connection:
        await fingerprints.begin(connection, "rag", LLAMA, verified_by="operator", note="edit")
    stream.now += SECOND
    await stream.at("UPDATE identity_epochs SET began_at = '{now}' WHERE epoch = 2")
    assert await stream.told() == ["FIRING #1 model_changed", "RESOLVED #1 model_changed"]
    [(ended,)] = incidents(stream.url, "ended")
    assert ended == f"A person confirmed the baseline at {stream.now:%H:%M} UTC."
    assert await stream.answers("....") == ["FIRING #1 model_changed", "RESOLVED #1 model_changed"]


async def test_a_baseline_that_a_person_reverted_to_ends_it_at_once(stream: Stream) -> None:
    first = await stream.baseline()
    async with stream.database.begin() as connection:
        await fingerprints.begin(connection, "rag", LLAMA, verified_by="operator", note="mistake")
    await stream.at("UPDATE identity_epochs SET began_at = now() - interval '8 days'")
    await stream.answers("....CCCC")
    stream.now += SECOND
    async with stream.database.begin() as connection:
        await fingerprints.put_in_force(connection, first)
    await stream.at("UPDATE identity_epochs SET reverted_at = '{now}' WHERE epoch = 2")
    assert await stream.told() == ["FIRING #1 model_changed", "RESOLVED #1 model_changed"]


@pytest.mark.parametrize(
    ("model", "verified_by", "count", "over"),
    [
        (LLAMA, "operator", 25, True),  # a person says that the expected model answers
        (LLAMA, "operator", 24, False),  # too few to be a baseline
        (LLAMA, "operator", 1, False),
        (HAIKU, "operator", 25, False),  # a person says who answers instead
        (LLAMA, "disclosure", 25, False),  # that comes by itself with every confirmed answer
    ],
)
async def test_answers_captured_as_the_expected_models_end_it_and_no_others_do(
    stream: Stream, model: str, verified_by: str, count: int, over: bool
) -> None:
    epoch = await stream.baseline()
    await stream.answers("....CCCC")
    stream.now += SECOND
    await stream.capture(epoch, model, verified_by=verified_by, count=count)
    assert ("RESOLVED #1 model_changed" in await stream.told()) is over

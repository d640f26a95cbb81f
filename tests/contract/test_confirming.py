"""A query that lost its sources is asked again soon: burst probes, within budget and interval."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from monitor.config import load
from monitor.domain import Query, Target
from monitor.rules import RetrievalRule
from monitor.storage import Database, observations
from monitor.storage.stored_rows import latest_retrieved
from monitor.worker import burst, evaluation, probe_round
from monitor.worker.context import WorkerContext
from monitor.worker.scheduler import Worker
from tests.contract.open_context import open_context
from tests.contract.test_init import Asked, Reply, served, sse
from tests.contract.test_probe_budget import nothing, spending
from tests.e2e.worker_process import rows
from tests.example_data import observation

EVERY = timedelta(minutes=5)
INCIDENTS = "SELECT rule FROM incidents WHERE resolved_at IS NULL"
EXTRA = "SELECT query, source_count FROM observations WHERE origin = 'burst' ORDER BY started_at"


class Index:
    """A service whose index finds nothing for the queries that are `gone`."""

    def __init__(self, *gone: str, back_after: int | None = None) -> None:
        self.gone, self.back_after = gone, back_after
        self.asked = Counter[str]()

    def answer(self, asked: Asked) -> Reply:
        query = asked["parameters"]["query"]
        self.asked[query] += 1
        back = self.back_after is not None and self.asked[query] > self.back_after
        score = 0.7 + self.asked[query] / 1000
        found = [{"source": "KBLI primer", "snippet": "…", "similarity": score}] * 5
        said = {"text": f"It is number {self.asked[query]}.", "sequenceNumber": 1}
        listed = {"sources": found if back or query not in self.gone else []}
        return sse(said, listed, {"done": True, "sequenceNumber": 1})


async def learnt(database: Database, queries: Sequence[str], *, sources: int = 5) -> datetime:
    """Seven hours of answers before a round, which is returned."""
    first = datetime.now(UTC).replace(microsecond=0) - EVERY
    history = [
        observation(
            query=query, slot=slot, started_at=slot + timedelta(seconds=nth), source_count=sources,
            source_best_score=0.6 + n / 1000,
        )
        for n in range(84)
        for nth, query in enumerate(queries)
        for slot in [first - (84 - n) * EVERY]
    ]  # fmt: skip
    async with database.begin() as connection:
        await observations.add(connection, history)
    return first


@asynccontextmanager
async def asking(
    database: Database, home: Path, url: str, queries: Sequence[str], *, every: str = "5m"
) -> AsyncIterator[WorkerContext]:
    """A worker that was just started."""
    path = home / "monitor.toml"
    asked = "".join(f'[[targets.rag.queries]]\nid = "{q}"\ntext = "{q}"\n' for q in queries)
    target = f'[targets.rag]\nurl = "{url}"\ndialect = "bali_zero"\nevery = "{every}"\n'
    path.write_text(target + asked)
    async with open_context(load({"MONITOR_CONFIG": str(path)}), database) as context:
        yield context


async def round_of(context: WorkerContext, slot: datetime) -> None:
    """A round, what is judged after it, and the burst that follows."""

    async def judged(_: Any) -> None:
        await evaluation.evaluate(context)

    worker = Worker(context)
    worker._evaluate = judged  # type: ignore[method-assign]
    rag = context.settings.targets["rag"]
    seen = await probe_round.run_round(context, rag, slot, between=nothing)
    await judged(rag)
    await worker._burst(rag, seen)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between the probes of a burst."""
    monkeypatch.setattr(burst, "burst", partial(burst.burst, pause=timedelta(0)))


@pytest.mark.parametrize("queries", [("visa", "kitas", "tax"), ("visa",)])
async def test_one_query_that_lost_its_sources_is_reported_before_the_third_round(
    database: Database, database_url: str, tmp_path: Path, queries: tuple[str, ...]
) -> None:
    first = await learnt(database, queries)
    with served(Index("visa").answer) as (url, _):
        async with asking(database, tmp_path, url, queries) as context:
            await round_of(context, first)
            assert rows(database_url, EXTRA) == [("visa", 0)] * 3
            assert rows(database_url, INCIDENTS) == [], "it may be a fault of some minutes"
        # A worker that was restarted meanwhile goes on.
        async with asking(database, tmp_path, url, queries) as context:
            await round_of(context, first + EVERY)
            assert rows(database_url, INCIDENTS) == [("retrieval",)]
            assert rows(database_url, EXTRA) == [("visa", 0)] * 3, "it is proved"
            await round_of(context, first + 2 * EVERY)
            assert rows(database_url, EXTRA) == [("visa", 0)] * 3


async def test_the_writing_style_of_extra_answers_is_not_compared(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several answers of one query without sources are not independent signs of another model."""
    compared: list[tuple[str, bool]] = []

    def noted(probed: Any, occasion: Any, *, answer: Any, count: Any) -> Any:
        compared.append((occasion.origin, answer is not None))
        return evidence(probed, occasion, answer=answer, count=count)

    evidence = probe_round.evidence
    monkeypatch.setattr(probe_round, "evidence", noted)
    first = await learnt(database, ["visa", "kitas"])
    with served(Index("visa").answer) as (url, _):
        async with asking(database, tmp_path, url, ["visa", "kitas"]) as context:
            await round_of(context, first)
    assert compared == [("round", True)] * 2 + [("burst", False)] * 3


async def test_a_query_whose_sources_are_back_is_not_asked_further(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    first = await learnt(database, ["visa", "kitas"])
    with served(Index("visa", back_after=1).answer) as (url, _):
        async with asking(database, tmp_path, url, ["visa", "kitas"]) as context:
            await round_of(context, first)
            await round_of(context, first + EVERY)
    assert rows(database_url, EXTRA) == [("visa", 5)]
    assert rows(database_url, INCIDENTS) == []


@pytest.mark.parametrize(
    ("every", "gone", "sources", "sent"),
    [
        ("5m", ["visa"], 5, 3),
        ("3m", ["visa"], 5, 2),  # they end a minute before the next round
        ("90s", ["visa"], 5, 0),
        ("1m", ["visa"], 5, 0),
        ("5m", ["visa", "kitas"], 5, 0),  # two rounds prove it
        ("5m", ["visa"], 0, 0),  # it never had any
    ],
)
async def test_how_many_extra_probes_a_round_is_worth(
    database: Database, database_url: str, tmp_path: Path,
    every: str, gone: list[str], sources: int, sent: int,
) -> None:  # fmt: skip
    first = await learnt(database, ["visa", "kitas"], sources=sources)
    with served(Index(*gone).answer) as (url, _):
        async with asking(database, tmp_path, url, ["visa", "kitas"], every=every) as context:
            await round_of(context, first)
    assert rows(database_url, EXTRA) == [("visa", 0)] * sent


@pytest.mark.parametrize("reason", ["budget", "backoff", "leaving", "rule"])
async def test_nothing_is_confirmed_beyond_the_budget_or_when_it_must_not_be(
    database: Database, database_url: str, tmp_path: Path, reason: str
) -> None:
    first = await learnt(database, ["visa", "kitas"])
    with served(Index("visa").answer) as (url, _):
        async with asking(database, tmp_path, url, ["visa", "kitas"]) as context:
            rag = context.settings.targets["rag"]
            seen = await probe_round.run_round(context, rag, first, between=nothing)
            match reason:
                case "budget":
                    async with database.begin() as connection:
                        await observations.add(connection, [spending("1000")])
                case "backoff":
                    context.state.backoff_until["rag"] = context.now() + EVERY
                case "leaving":
                    context.state.leaving.set()
                case "rule":
                    del context.settings.rules["retrieval"]  # type: ignore[attr-defined]
            await Worker(context)._burst(rag, seen)
    assert rows(database_url, EXTRA) == []


async def test_queries_that_never_have_sources_are_not_looked_up_in_each_round(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[list[str]] = []

    async def noted(*given: Any, **more: Any) -> Any:
        looked_up.append(list(given[2]))
        return await latest_retrieved(*given, **more)

    monkeypatch.setattr(burst, "latest_retrieved", noted)
    first = await learnt(database, ("hi", "who"), sources=0) - 3 * EVERY
    index = Index("hi", "who", back_after=2)
    with served(index.answer) as (url, _):
        async with asking(database, tmp_path, url, ("hi", "who")) as context:
            await round_of(context, first + EVERY)
            await round_of(context, first + 2 * EVERY)
            assert looked_up == [["hi", "who"]], "it is known for an hour"
            await round_of(context, first + 3 * EVERY)  # now they have sources
            index.back_after = None
            await round_of(context, first + 4 * EVERY)
            assert looked_up[1:] == [["hi", "who"]]


async def test_a_service_that_cannot_list_sources_is_never_looked_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def looked_up(*_: Any, **__: Any) -> Any:
        raise AssertionError("its answers cannot have sources")

    monkeypatch.setattr(burst, "latest_retrieved", looked_up)
    plain = Target(
        name="rag", url="http://x", dialect="custom", queries=(Query(id="hi", text="Hi"),),
        options={"query": {"q": "{query}"}, "framing": "text"}, every=EVERY,
    )  # fmt: skip

    async def ask(_: burst.ExtraProbe) -> bool:
        raise AssertionError("nothing is suspected")

    rules = {"retrieval": RetrievalRule()}
    seen = [observation(source_count=None)]
    assert await burst.burst(database, plain, ask, rules=rules, seen=seen) == 0

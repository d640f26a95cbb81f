"""Everything about an incident: in the thread of its message, and by `monitor incidents show`."""

import asyncio
import html
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from monitor.domain import ALL, Identity, Outcome
from monitor.notifications.slack.bot import SlackBot
from monitor.simulator.slack_channel import texts
from monitor.simulator.slack_server import SlackServer
from monitor.storage import Database, incident_details, observations
from monitor.storage.tables import observations as table
from monitor.worker import delivery_job, evaluation
from tests.contract.cli import run
from tests.contract.open_context import only_channel, open_context, settings
from tests.e2e.worker_process import rows
from tests.example_data import HAIKU, LLAMA, observation

FELL: dict[str, Any] = {
    "identity": Identity.FALLBACK, "model_detected": HAIKU, "ttft_ms": 2400.0,
    "cost_usd": Decimal("0.003"), "answer_excerpt": "I'd be happy to *help*! `code` <!channel>",
}  # fmt: skip


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlackServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with SlackServer() as inbox:
        yield inbox


async def stored(database: Database, now: datetime, **more: Any) -> None:
    """Eight rounds of two queries, ten minutes apart: four of Llama, then four of Haiku."""
    seen = []
    for nth in range(8):
        at = now - timedelta(minutes=10 * (7 - nth) + 1)
        ordinary = FELL | more if nth > 3 else {"cost_usd": Decimal("0.0002")}
        seen += [
            observation(slot=at, started_at=at, query=query, **ordinary) for query in ("hi", "kbli")
        ]
    async with database.begin() as connection:
        await observations.add(connection, seen)
        await connection.execute(table.update().values(recorded_at=table.c.started_at))


async def test_the_thread_shows_an_answer_now_and_before_which_no_notice_keeps(
    database: Database, database_url: str, tmp_path: Path, inbox: SlackServer
) -> None:
    bot = SlackBot(inbox.token, "#alerts", base_url=inbox.api_url)
    async with open_context(settings(tmp_path), database, bot) as context:
        await stored(database, context.now())
        await evaluation.evaluate(context)
        await delivery_job.deliver(context, only_channel(context))
    [message] = inbox.messages
    [details] = message.thread
    shown = html.unescape("\n".join(texts(list(details.blocks))))
    assert "*Answer now (hi):* I'd be happy to help! 'code' <!channel>" in shown
    assert "*Answer before (hi):* Hello there, you" in shown
    assert HAIKU in shown
    assert LLAMA in shown
    header = message.blocks[0]["text"]["text"]
    assert header == "🔴 rag: Claude Haiku 4.5 answers instead of Llama 4 Scout · #1"
    assert "15 × the cost: at this rate $0.86 a day, was $0.06." in message.text
    assert "happy" not in message.text
    [(kept,)] = rows(database_url, "SELECT string_agg(notice::text, '') FROM outbox")
    assert "happy" not in kept
    [(kept,)] = rows(
        database_url, "SELECT string_agg(facts::text || finding::text, '') FROM incidents"
    )
    assert "happy" not in kept


async def test_the_command_prints_all_of_it(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with open_context(settings(tmp_path), database) as context:
        await stored(database, context.now())
        await evaluation.evaluate(context)
    given = {"DATABASE_URL": database_url, "SERVICE_KEY": "x"}
    ended = await asyncio.to_thread(run, "incidents show", home=tmp_path, **given)
    assert ended.status == 0, ended.said
    for line in (
        "  what: Claude Haiku 4.5 answers instead of Llama 4 Scout",
        "  extent: All of the last 8 answers came from it",
        "  money: 15 × the cost: at this rate $0.86 a day, was $0.06",
        "  first step: Check the key, credit and rate limits at the provider of Llama 4 Scout.",
        "  value: 100 %",
        "  limit: 10 %",
        f"  Answers: {HAIKU}",
        "  query hi of rag: 4 probes, 0 failed, median TTFT 2.4 s (before 900 ms), "
        f"$0.003 an answer (before $0.0002), answered by {HAIKU}",
        "  Answer now (hi): I'd be happy to *help*! `code` <!channel>",
        "  Answer before (hi): Hello there, you",
    ):
        assert f"{line}\n" in ended.out
    assert "  SQL: SELECT started_at, query, identity" in ended.out
    proof = [line for line in ended.out.splitlines() if line.startswith("  observations: ")]
    assert len(proof[0].split(", ")) == 8


async def test_the_answer_before_is_from_before_the_last_round_or_of_the_baseline(
    database: Database, tmp_path: Path
) -> None:
    """The round before the breach may already be of the new model."""
    async with open_context(settings(tmp_path), database) as context:
        now = context.now()
        seen = []
        for nth in range(8):
            at = now - timedelta(minutes=10 * (7 - nth) + 1)
            said = ("old", "old", "old 2", "doubtful", "new", "new", "new", "new")[nth]
            identity = Identity.EXPECTED if nth < 4 else Identity.CHANGED
            seen += [
                observation(slot=at, started_at=at + timedelta(seconds=n), query=query,
                            identity=identity, answer_excerpt=f"{said} {query}")
                for n, query in enumerate(("hi", "kbli"))
            ]  # fmt: skip
        since = seen[9].started_at  # `kbli`: its own round began a second earlier
        ids = [one.id for one in seen[9:]]

        async def before() -> str | None:
            async with database.begin() as connection:
                found = await incident_details.excerpts(connection, ids, since=since)
            assert found is not None
            assert found.now == f"new {found.query}"
            return found.before

        async with database.begin() as connection:
            await observations.add(connection, seen[6:])
        assert await before() is None, "only the doubtful round came before"
        async with database.begin() as connection:
            await observations.add(connection, seen[:6])
        assert (await before() or "").startswith("old 2 ")
        for model, at, said in (
            (LLAMA, since - timedelta(days=3), "captured"),
            (HAIKU, since - timedelta(days=2), "fallback's"),
            (LLAMA, since + timedelta(minutes=1), "new, accepted"),
        ):
            async with database.begin() as connection:
                await connection.execute(
                    text(
                        "INSERT INTO identity_epochs (target, epoch, model, verified_by, began_at)"
                        " VALUES ('rag', 1, :llama, 'operator', :since - interval '4 days'),"
                        " ('rag', 2, :llama, 'operator', :since + interval '1 minute')"
                        " ON CONFLICT DO NOTHING"
                    ),
                    {"llama": LLAMA, "since": since},
                )
                await connection.execute(
                    text(
                        "INSERT INTO identity_answers (target, epoch, model, query, prompt_sha256,"
                        " text, chunk_lengths, verified_by, captured_at) SELECT 'rag', :epoch,"
                        " :model, query, '', :said || ' ' || query, '{}', 'operator', :at"
                        " FROM unnest(ARRAY['hi', 'kbli']) AS query"
                    ),
                    {"model": model, "said": said, "at": at, "epoch": 1 + (at > since)},
                )
            assert (await before() or "").startswith("captured ")


async def test_what_is_gone_is_not_shown(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with open_context(settings(tmp_path), database) as context:
        now = context.now()
        await stored(database, now)
        await evaluation.evaluate(context)
    async with database.begin() as connection:
        await connection.execute(text("UPDATE observations SET answer_excerpt = NULL"))
        ids = (
            await connection.execute(text("SELECT observations FROM incidents WHERE number = 1"))
        ).scalar_one()
        since = now - timedelta(hours=1)
        assert await incident_details.excerpts(connection, ids, since=since) is None
        assert await incident_details.excerpts(connection, (), since=since) is None
        assert not await incident_details.by_query(connection, "other", since=since, until=now)
        every = await incident_details.by_query(connection, ALL, since=since, until=now)
        assert [(one.target, one.query) for one in every] == [("rag", "hi"), ("rag", "kbli")]
        await connection.execute(text("DELETE FROM observations"))
    given = {"DATABASE_URL": database_url, "SERVICE_KEY": "x"}
    ended = await asyncio.to_thread(run, "incidents show", home=tmp_path, **given)
    assert ended.status == 0, ended.said
    assert "Answer now" not in ended.out
    assert "query hi" not in ended.out
    assert "  what: Claude Haiku 4.5 answers instead of Llama 4 Scout\n" in ended.out


async def test_failures_count_by_query_and_a_query_without_ttft_says_none(
    database: Database, tmp_path: Path
) -> None:
    async with open_context(settings(tmp_path), database) as context:
        now = context.now()
        none = {"ttft_ms": None, "cost_usd": None, "cost_source": None, "model_detected": None}
        await stored(database, now, outcome=Outcome.HTTP_STATUS, **none)
    async with database.begin() as connection:
        since = now - timedelta(minutes=32)
        [hi, _] = await incident_details.by_query(connection, "rag", since=since, until=now)
    assert (hi.probes, hi.failed, hi.ttft_ms, hi.cost_usd, list(hi.models)) == (
        4, 4, None, None, [],
    )  # fmt: skip
    assert hi.ttft_before_ms == 900.0

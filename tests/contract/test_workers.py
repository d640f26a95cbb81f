"""Several workers on one database, and one that is killed where it hurts most."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from monitor.domain import Identity, Outcome
from monitor.notifications.slack.bot import SlackBot
from monitor.simulator.slack_server import Message, SlackServer
from monitor.storage import Database, observations
from monitor.worker import evaluation, probe_round
from monitor.worker.context import WorkerContext
from monitor.worker.scheduler import Worker
from tests.contract.open_context import deliver, open_context, settings
from tests.e2e.worker_process import rows
from tests.example_data import observation
from tests.raw_server import serving
from tests.scripted_server import LAST, chunk, full_reply, head
from tests.single_probe import DONE, HI, sse

TOKEN = "xoxb-canary-3f9c1b"
WORKERS, SLOTS = 5, 60
EVERY = timedelta(minutes=10)
GOOD = head() + chunk(sse(HI)) + chunk(sse(DONE)) + LAST
BROKEN = full_reply(500, b"no")

PROCESS = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from monitor.worker import evaluation as judging
from monitor.notifications import ConsoleNotifier
from monitor.storage.engine import Database
from tests.contract.open_context import deliver, settings, open_context

applied = judging._apply

async def and_hang(*given):
    news = await applied(*given)
    if news and sys.argv[3] == "within":
        print("here", flush=True)
        await asyncio.sleep(60)
    return news

judging._apply = and_hang

async def main():
    database = Database(sys.argv[1])
    async with open_context(settings(Path(sys.argv[2])), database, ConsoleNotifier()) as watch:
        assert await judging.evaluate(replace(watch, worker="doomed"))
        print("here", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def nothing() -> None:
    """What a worker does between two probes."""


class Service:
    """A service that answers, or is broken, as a test turns it."""

    def __init__(self) -> None:
        self.answer, self.asked, self.url = GOOD, 0, ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        writer.write(self.answer)
        await writer.drain()


@asynccontextmanager
async def turning() -> AsyncIterator[Service]:
    service = Service()
    async with serving(service.serve) as port:
        service.url = f"http://127.0.0.1:{port}"
        yield service


@asynccontextmanager
async def team(
    home: Path, url: str, service: str, inbox: SlackServer
) -> AsyncIterator[list[WorkerContext]]:
    """Workers with a pool, a wire and a name each, all on one database."""
    async with AsyncExitStack() as edges:
        members = []
        for number in range(1, WORKERS + 1):
            database = Database(url)
            edges.push_async_callback(database.close)
            bot = SlackBot(TOKEN, "#alerts", base_url=inbox.api_url, timeout_s=60)
            context = await edges.enter_async_context(
                open_context(settings(home, service), database, bot)
            )
            members.append(replace(context, worker=f"w{number}"))
        yield members


async def round_of_all(workers: Sequence[WorkerContext], slot: datetime) -> None:
    """Each asks, judges and tells, none waiting for another."""

    async def one(context: WorkerContext) -> None:
        await probe_round.run_round(context, context.settings.targets["rag"], slot, between=nothing)
        await evaluation.evaluate(context)
        await deliver(context)

    await asyncio.gather(*map(one, workers))


def of_down(messages: Sequence[Message]) -> list[Message]:
    return [message for message in messages if " down · rag" in message.text]


async def test_five_workers_ask_each_slot_once_and_report_each_turn_once(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    chance = Random(5)
    first = datetime.now(UTC) - SLOTS * EVERY
    with SlackServer(token=TOKEN) as inbox:
        async with turning() as service, team(tmp_path, database_url, service.url, inbox) as all_:
            for nth in range(SLOTS):
                service.answer = BROKEN if 20 <= nth < 40 else GOOD
                chance.shuffle(all_)
                await round_of_all(all_, first + nth * EVERY)
            requested = service.asked
        [notified] = of_down(inbox.messages)
        assert notified.text.startswith("RESOLVED #1 down · rag")
        assert [was.split(" · ")[0] for was in notified.was] == ["FIRING #1 down"]
        replies = [reply.text.split(" · ")[0] for reply in notified.thread]
        assert replies == ["DETAILS #1 down", "RESOLVED #1 down"]
    assert requested == 2 * SLOTS, "a slot is asked once"
    seen = "SELECT count(*), count(DISTINCT (slot, query)) FROM observations"
    assert rows(database_url, seen) == [(2 * SLOTS, 2 * SLOTS)]
    assert rows(database_url, "SELECT count(*) FROM slots") == [(SLOTS,)]
    shares = dict(rows(database_url, "SELECT worker, count(*) FROM slots GROUP BY 1"))
    assert len(shares) > 2, "the work was shared"
    down = "SELECT count(*), count(resolved_at) FROM incidents WHERE rule = 'down'"
    assert rows(database_url, down) == [(1, 1)]


async def broken_rounds(database: Database, now: datetime) -> None:
    """What `down` fires on."""
    async with database.begin() as connection:
        await observations.add(connection, [
            observation(slot=at, started_at=at, query=query, outcome=Outcome.REFUSED, ttft_ms=None,
                        error="refused", model_detected=None, identity=Identity.UNKNOWN,
                        cost_usd=None, cost_source=None)
            for at in (now - EVERY * nth for nth in range(3)) for query in ("hi", "kbli")
        ])  # fmt: skip
        later = text("UPDATE observations SET recorded_at = started_at")
        await connection.execute(later)


def killed_there(url: str, home: Path, where: str) -> None:
    """A worker that judges in a process of its own, and is killed there."""
    doomed = subprocess.Popen(
        [sys.executable, "-c", PROCESS, url, str(home), where],
        stdout=subprocess.PIPE, text=True, cwd=Path.cwd(),
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    assert doomed.stdout is not None
    assert doomed.stdout.readline() == "here\n"
    doomed.send_signal(signal.SIGKILL)
    doomed.wait()
    doomed.stdout.close()


@pytest.mark.parametrize("where", ["within", "after"])
async def test_killed_with_the_lease_in_its_hands_another_sends_it_once(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:  # fmt: skip
    """Killed before its transaction was over, or after it and before anything was sent."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    await broken_rounds(database, datetime.now(UTC))
    killed_there(database_url, tmp_path, where)
    committed = rows(database_url, "SELECT holder FROM leases WHERE name = 'evaluate'")
    assert committed == ([] if where == "within" else [("doomed",)])
    with SlackServer(token=TOKEN) as inbox:
        bot = SlackBot(TOKEN, "#alerts", base_url=inbox.api_url, timeout_s=60)
        async with open_context(settings(tmp_path), database, bot) as context:
            if where == "after":
                assert not await evaluation.evaluate(context), "the dead one's lease is respected"
                async with database.begin() as connection:  # until its time is over
                    over = text("UPDATE leases SET until = now() - interval '1 second'")
                    await connection.execute(over)
            for _ in range(3):
                await evaluation.evaluate(context)
                await deliver(context)
        [notified] = of_down(inbox.messages)
    number = 2 if where == "within" else 1  # a number is gone with the transaction that took it
    assert notified.text.startswith(f"FIRING #{number} down · rag")
    assert notified.was == []
    assert [item.text.split(" ")[0] for item in notified.thread] == ["DETAILS"]
    fence = 1 if where == "within" else 2
    assert rows(database_url, "SELECT holder, fence FROM leases WHERE name = 'evaluate'") == [
        ("w1", fence)
    ]
    assert rows(database_url, "SELECT count(*) FROM incidents WHERE rule = 'down'") == [(1,)]


async def test_a_poll_for_reactions_that_a_stop_interrupts_is_no_error(
    database: Database, tmp_path: Path
) -> None:
    noted: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, what: noted.append(what))
    async with open_context(settings(tmp_path), database) as context:
        one = Worker(context)
        one._reactions = [SimpleNamespace(poll=asyncio.Event().wait)]  # type: ignore[list-item]
        polling = asyncio.create_task(one._answers())
        await asyncio.sleep(0)
        context.state.leaving.set()
        await polling
        await asyncio.sleep(0)
        gc.collect()
    assert noted == []

"""Charts in the thread: for what just fired by bot, and never in the way of a message."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from monitor.domain import Delivery, GiveUp, NoticeStatus, Sent
from monitor.notifications import ConsoleNotifier, Notifier
from monitor.notifications.slack.bot import SlackBot
from monitor.simulator.slack_server import SlackReplyStep, SlackServer
from monitor.storage import Database, outbox
from monitor.worker import delivery_job
from monitor.worker.context import WorkerContext
from tests.contract.open_context import deliver, only_channel, open_context, settings
from tests.example_data import notice


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlackServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with SlackServer() as inbox:
        yield inbox


@asynccontextmanager
async def telling_worker(
    database: Database, home: Path, notifier: Notifier
) -> AsyncIterator[WorkerContext]:
    """A watch with its charting job beside it, as in a worker."""
    async with open_context(settings(home), database, notifier) as context:
        made_charts = asyncio.create_task(
            delivery_job.attach(lambda: context, only_channel(context))
        )
        yield context
        made_charts.cancel()
        with suppress(asyncio.CancelledError):
            await made_charts


async def tell(context: WorkerContext, **changes: Any) -> None:
    async with context.database.begin() as connection:
        await outbox.add(
            connection, notice(id=uuid4(), **changes), channels={"slack": True}, incident=None
        )
    assert await deliver(context) == 1


async def until(found: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not found():  # noqa: ASYNC110  a log line wakes nobody
            await asyncio.sleep(0.05)


def bot(inbox: SlackServer) -> SlackBot:
    return SlackBot(inbox.token, "#alerts", base_url=inbox.api_url)


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [str(vars(r)["reason"]) for r in caplog.records if r.message == "chart not attached"]


async def test_the_last_hours_follow_the_message_into_its_thread(
    database: Database, tmp_path: Path, inbox: SlackServer
) -> None:
    async with telling_worker(database, tmp_path, bot(inbox)) as context:
        await tell(context, number=7)
        await until(lambda: inbox.messages[0].files)
    [message] = inbox.messages
    [(name, picture)] = message.files
    assert name.startswith("#7 ttft · rag, the last 6 h")
    assert picture.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("changes", "delivery", "wished"),
    [
        ({}, Sent("C1:1.0"), 1),
        *[({"rule": rule}, Sent("C1:1.0"), 1) for rule in ("fallback", "spend", "down")],
        ({"rule": "key"}, Sent("C1:1.0"), 0),
        ({"status": NoticeStatus.RESOLVED}, Sent("C1:1.0"), 0),
        ({"status": NoticeStatus.STILL_FIRING}, Sent("C1:1.0"), 0),
        ({"status": NoticeStatus.NOTICE}, Sent("C1:1.0"), 0),
        ({"quiet": True}, Sent("C1:1.0"), 0),
        ({}, Sent(None), 0),
        ({}, GiveUp("no"), 0),
    ],
)
async def test_only_what_just_fired_is_pictured(
    database: Database, tmp_path: Path, inbox: SlackServer, changes: dict[str, Any],
    delivery: Delivery, wished: int,
) -> None:  # fmt: skip
    async with open_context(settings(tmp_path), database, bot(inbox)) as context:
        delivery_job.request_chart(context, only_channel(context), notice(**changes), delivery)
        assert context.state.charts[only_channel(context).name].qsize() == wished


async def test_a_console_shows_no_pictures_and_a_flood_of_wishes_is_cut_short(
    database: Database, tmp_path: Path, inbox: SlackServer
) -> None:
    async with open_context(settings(tmp_path), database, ConsoleNotifier()) as context:
        delivery_job.request_chart(context, only_channel(context), notice(), Sent("C1:1.0"))
        assert context.state.charts[only_channel(context).name].qsize() == 0
    async with open_context(settings(tmp_path), database, bot(inbox)) as context:
        for _ in range(20):
            delivery_job.request_chart(context, only_channel(context), notice(), Sent("C1:1.0"))
        assert context.state.charts[only_channel(context).name].qsize() == 8


async def test_a_bot_without_the_scope_is_logged_once_and_goes_on(
    database: Database, tmp_path: Path, inbox: SlackServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    def refused() -> list[str]:
        return [item.refused for item in inbox.requests if item.refused]

    async with telling_worker(database, tmp_path, bot(inbox)) as context:
        inbox.script([SlackReplyStep(), SlackReplyStep(), "missing_scope"] * 2)
        for number in (1, 2):
            await tell(context, number=number)
            await until(lambda: len(refused()) == number)  # noqa: B023  asked before it changes
    assert [message.files for message in inbox.messages] == [[], []]
    assert complaints(caplog) == ["Slack error missing_scope"]


async def test_a_picture_that_cannot_be_drawn_is_logged_and_the_message_goes_without(
    database: Database, tmp_path: Path, inbox: SlackServer, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("monitor.reports.picture._DRAW", "import no_such_library")
    async with telling_worker(database, tmp_path, bot(inbox)) as context:
        await tell(context)
        await until(lambda: complaints(caplog))
    [complaint] = complaints(caplog)
    assert complaint.startswith("the picture could not be drawn: ModuleNotFoundError")
    assert len(inbox.requests) == 2  # the message, and its details


async def test_a_chart_that_fails_does_not_end_the_charts(
    database: Database, tmp_path: Path, inbox: SlackServer, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    async with telling_worker(database, tmp_path, bot(inbox)) as context:
        with monkeypatch.context() as broken:
            broken.setattr("monitor.reports.picture.png", lambda *_: 1 // 0)
            await tell(context, number=1)
            await until(lambda: complaints(caplog))
        await tell(context, number=2)
        await until(lambda: inbox.messages[1].files)
    assert complaints(caplog) == ["the chart could not be drawn: ZeroDivisionError"]

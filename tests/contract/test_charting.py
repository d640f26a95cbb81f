"""Charts in the thread: for what just fired by bot, and never in the way of a message."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from monitor.demo.inbox import Inbox, Step
from monitor.domain import Delivery, GiveUp, Sent, Status
from monitor.jobs import charting, telling
from monitor.jobs.watch import Watch
from monitor.notifiers import Bot, Console, Notifier
from monitor.store import Database, outbox
from tests.contract.watching import settings, watching
from tests.facts import notice


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Inbox() as inbox:
        yield inbox


@asynccontextmanager
async def telling_worker(
    database: Database, home: Path, notifier: Notifier
) -> AsyncIterator[Watch]:
    """A watch with its charting job beside it, as in a worker."""
    async with watching(settings(home), database, notifier) as watch:
        charts = asyncio.create_task(charting.attach(watch))
        yield watch
        charts.cancel()
        with suppress(asyncio.CancelledError):
            await charts


async def tell(watch: Watch, **changes: Any) -> None:
    async with watch.database.begin() as connection:
        await outbox.add(connection, notice(id=uuid4(), **changes), incident=None)
    assert await telling.deliver(watch) == 1


async def until(found: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not found():  # noqa: ASYNC110  a log line wakes nobody
            await asyncio.sleep(0.05)


def bot(inbox: Inbox) -> Bot:
    return Bot(inbox.token, "#alerts", base_url=inbox.api_url)


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [str(vars(r)["why"]) for r in caplog.records if r.message == "chart not attached"]


async def test_the_last_hours_follow_the_message_into_its_thread(
    database: Database, tmp_path: Path, inbox: Inbox
) -> None:
    async with telling_worker(database, tmp_path, bot(inbox)) as watch:
        await tell(watch, number=7)
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
        ({"status": Status.RESOLVED}, Sent("C1:1.0"), 0),
        ({"status": Status.STILL_FIRING}, Sent("C1:1.0"), 0),
        ({"status": Status.NOTICE}, Sent("C1:1.0"), 0),
        ({"quiet": True}, Sent("C1:1.0"), 0),
        ({}, Sent(None), 0),
        ({}, GiveUp("no"), 0),
    ],
)
async def test_only_what_just_fired_is_pictured(
    database: Database, tmp_path: Path, inbox: Inbox, changes: dict[str, Any],
    delivery: Delivery, wished: int,
) -> None:  # fmt: skip
    async with watching(settings(tmp_path), database, bot(inbox)) as watch:
        charting.wish(watch, notice(**changes), delivery)
        assert watch.charts.qsize() == wished


async def test_a_console_shows_no_pictures_and_a_flood_of_wishes_is_cut_short(
    database: Database, tmp_path: Path, inbox: Inbox
) -> None:
    async with watching(settings(tmp_path), database, Console()) as watch:
        charting.wish(watch, notice(), Sent("C1:1.0"))
        assert watch.charts.qsize() == 0
    async with watching(settings(tmp_path), database, bot(inbox)) as watch:
        for _ in range(20):
            charting.wish(watch, notice(), Sent("C1:1.0"))
        assert watch.charts.qsize() == 8


async def test_a_bot_without_the_scope_is_logged_once_and_tells_on(
    database: Database, tmp_path: Path, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    def refused() -> list[str]:
        return [item.refused for item in inbox.requests if item.refused]

    async with telling_worker(database, tmp_path, bot(inbox)) as watch:
        inbox.script([Step(), "missing_scope", Step(), "missing_scope"])
        for number in (1, 2):
            await tell(watch, number=number)
            await until(lambda: len(refused()) == number)  # noqa: B023  asked before it changes
    assert [message.files for message in inbox.messages] == [[], []]
    assert complaints(caplog) == ["Slack refuses: missing_scope"]


async def test_without_pillow_messages_go_without_pictures(
    database: Database, tmp_path: Path, inbox: Inbox, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "PIL", None)
    async with telling_worker(database, tmp_path, bot(inbox)) as watch:
        await tell(watch)
        await until(lambda: complaints(caplog))
    assert complaints(caplog) == ["pictures need Pillow: pip install 'rag-monitor[pictures]'"]
    assert len(inbox.requests) == 1


async def test_a_chart_that_fails_does_not_end_the_charts(
    database: Database, tmp_path: Path, inbox: Inbox, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    async with telling_worker(database, tmp_path, bot(inbox)) as watch:
        with monkeypatch.context() as broken:
            broken.setattr(charting, "png", lambda *_: 1 // 0)
            await tell(watch, number=1)
            await until(lambda: complaints(caplog))
        await tell(watch, number=2)
        await until(lambda: inbox.messages[1].files)
    assert complaints(caplog) == ["it could not be drawn: ZeroDivisionError"]

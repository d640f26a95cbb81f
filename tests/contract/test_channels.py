"""Several channels on one outbox: each has its own rows, order, tries and state."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from monitor.domain import Delivery, GiveUp, Notice, NoticeStatus, Sent, Severity, TryLater
from monitor.notifications import Channel, ChannelCheck, ChannelFilter, Notifier
from monitor.storage import Database, outbox
from monitor.worker import delivery_job
from tests.contract.open_context import deliver, open_context, settings
from tests.contract.test_outbox import age, opened
from tests.e2e.worker_process import rows
from tests.example_data import notice

ALL = {"slack": True, "pager": True}
ROWS = "SELECT channel, result FROM outbox ORDER BY sequence"


async def add(
    database: Database, item: Notice, channels: dict[str, bool], incident: int | None = None
) -> bool:
    async with database.begin() as connection:
        return await outbox.add(connection, item, channels=channels, incident=incident)


async def lease(database: Database, channel: str) -> outbox.LeasedNotice | None:
    async with database.begin() as connection:
        return await outbox.lease(connection, channel)


async def settle(database: Database, item: Notice, delivery: Delivery, channel: str) -> None:
    async with database.begin() as connection:
        await outbox.settle(connection, item.id, delivery, channel)


async def close_removed(database: Database, *names: str) -> dict[str, int]:
    async with database.begin() as connection:
        return dict(await outbox.close_removed(connection, names))


async def run(database: Database, statement: str) -> None:
    async with database.begin() as connection:
        await connection.execute(text(statement))


async def test_news_has_a_row_for_each_channel_that_takes_it_and_is_written_once(
    database: Database, database_url: str
) -> None:
    item = notice()
    assert await add(database, item, ALL | {"mail": False})
    assert not await add(database, replace(item, sentence="again"), {"slack": True, "new": True})
    assert rows(database_url, ROWS) == [("slack", None), ("pager", None)]


async def test_each_channel_sends_and_settles_its_own_row(
    database: Database, database_url: str
) -> None:
    item = notice()
    await add(database, item, ALL)
    first, second = await lease(database, "slack"), await lease(database, "pager")
    assert first is not None
    assert second is not None
    assert first.notice == second.notice == item
    await settle(database, item, Sent("C1:1.0"), "slack")
    await settle(database, item, TryLater("HTTP 500", maybe_sent=True), "pager")
    found = (
        "SELECT channel, result, reference, last_error, maybe_sent FROM outbox ORDER BY sequence"
    )
    assert rows(database_url, found) == [
        ("slack", "sent", "C1:1.0", None, False), ("pager", None, None, "HTTP 500", True)
    ]  # fmt: skip


async def test_a_reference_is_that_of_the_channel(database: Database) -> None:
    number = await opened(database)
    fire, over = notice(), notice(id=uuid4(), status=NoticeStatus.RESOLVED)
    await add(database, fire, ALL, number)
    await add(database, over, ALL, number)
    for channel, reference in (("slack", "C1:1.0"), ("pager", None)):
        await lease(database, channel)
        await settle(database, fire, Sent(reference), channel)
    found = [await lease(database, channel) for channel in ("slack", "pager")]
    assert [item and item.reference for item in found] == ["C1:1.0", None]


@pytest.mark.parametrize("delivery", [
    TryLater("HTTP 429", after_s=60, channel_wide=True),
    GiveUp("HTTP 404", channel_broken=True),
    TryLater("HTTP 500"),
])  # fmt: skip
async def test_the_order_pauses_and_refusals_of_a_channel_hold_back_no_other(
    database: Database, delivery: Delivery
) -> None:
    number = await opened(database)
    fire, over = notice(), notice(id=uuid4(), status=NoticeStatus.RESOLVED)
    await add(database, fire, ALL, number)
    await add(database, over, ALL, number)
    await lease(database, "slack")
    await settle(database, fire, delivery, "slack")
    assert await lease(database, "slack") is None
    for item in (fire, over):
        leased = await lease(database, "pager")
        assert leased is not None
        assert leased.notice.id == item.id
        await settle(database, item, Sent(), "pager")


async def test_what_became_old_is_merged_in_the_channel_where_it_waited(
    database: Database, database_url: str
) -> None:
    number = await opened(database)
    fire, over = notice(), notice(id=uuid4(), status=NoticeStatus.RESOLVED)
    await add(database, fire, ALL, number)
    await lease(database, "pager")
    await settle(database, fire, Sent(), "pager")
    await add(database, over, ALL, number)
    await age(database, created_at="61 minutes")
    leased = await lease(database, "slack")
    assert leased is not None
    assert leased.notice.id == over.id
    assert rows(database_url, ROWS)[:2] == [("slack", "merged"), ("pager", "sent")]


async def test_a_channel_that_knows_an_incident_gets_its_end_whatever_its_filters_say(
    database: Database, database_url: str
) -> None:
    number = await opened(database)
    await add(database, notice(), {"slack": True, "pager": False}, number)
    over = notice(id=uuid4(), status=NoticeStatus.RESOLVED)
    await add(database, over, {"slack": False, "pager": False}, number)
    assert rows(database_url, ROWS) == [("slack", None), ("slack", None)]


async def test_a_channel_that_was_added_since_gets_no_end_of_what_it_never_heard_of(
    database: Database, database_url: str
) -> None:
    number = await opened(database)
    await add(database, notice(), {"slack": True}, number)
    over = notice(id=uuid4(), status=NoticeStatus.RESOLVED)
    await add(database, over, ALL, number)
    assert rows(database_url, ROWS) == [("slack", None), ("slack", None)]


async def test_a_channel_that_was_reminded_since_gets_the_end(
    database: Database, database_url: str
) -> None:
    number = await opened(database)
    await add(database, notice(), {"slack": True}, number)
    await add(database, notice(id=uuid4(), status=NoticeStatus.STILL_FIRING), ALL, number)
    await add(database, notice(id=uuid4(), status=NoticeStatus.RESOLVED), ALL, number)
    assert rows(database_url, ROWS)[-2:] == [("slack", None), ("pager", None)]


async def test_what_no_channel_takes_is_stored_as_closed(
    database: Database, database_url: str
) -> None:
    item = notice()
    assert not await add(database, item, {"slack": False})
    assert not await add(database, item, {"slack": True}), "it is known"
    found = "SELECT channel, result, last_error FROM outbox"
    assert rows(database_url, found) == [("", "closed", "no channel takes it")]


async def test_what_waits_for_a_removed_channel_is_closed_and_says_why(
    database: Database, database_url: str
) -> None:
    await add(database, notice(), ALL)
    await close_removed(database, "slack", "pager")
    await age(database, created_at="6 minutes")
    assert await close_removed(database, "slack") == {}, "another worker had it a moment ago"
    await run(database, "UPDATE channels SET configured_at = now() - interval '6 minutes' "
                        "WHERE channel = 'pager'")  # fmt: skip
    assert await close_removed(database, "slack") == {"pager": 1}
    found = "SELECT channel, result, last_error FROM outbox ORDER BY sequence"
    assert rows(database_url, found) == [
        ("slack", None, None),
        ("pager", "closed", "channel pager was removed from the configuration"),
    ]
    assert await lease(database, "pager") is None


async def test_only_channels_with_something_due_are_woken(database: Database) -> None:
    await add(database, notice(), {"pager": True, "slack": False})
    async with database.begin() as connection:
        assert await outbox.due(connection) == {"pager"}


@dataclass
class Kept(Notifier):
    """Keeps what it is sent; it may wait or fail first."""

    sent: list[Notice] = field(default_factory=list)
    before: Callable[[], Delivery | None] = lambda: None
    gate: asyncio.Event | None = None

    async def send(
        self, notice: Notice, *, reference: str | None = None, runbook_url: str | None = None
    ) -> Delivery:
        if self.gate is not None:
            await self.gate.wait()
        if (trouble := self.before()) is not None:
            return trouble
        self.sent.append(notice)
        return Sent()

    async def check(self) -> ChannelCheck:
        return ChannelCheck(True, "kept")


async def test_a_channel_that_hangs_delays_no_other(database: Database, tmp_path: Path) -> None:
    hanging, quick = Kept(gate=asyncio.Event()), Kept()
    pager = Channel(name="pager", notifier=quick)
    async with open_context(settings(tmp_path), database, hanging, pager) as context:
        for _ in range(3):
            await add(database, notice(id=uuid4()), ALL)
        stuck = asyncio.create_task(delivery_job.deliver(context, context.channels["slack"]))
        assert await delivery_job.deliver(context, pager) == 3
        assert hanging.sent == []
        assert hanging.gate is not None
        hanging.gate.set()
        assert await stuck == 3
    assert [item.id for item in hanging.sent] == [item.id for item in quick.sent]


async def test_filters_choose_the_channels_of_each_notice(
    database: Database, tmp_path: Path
) -> None:
    everything, pages, one_rule = Kept(), Kept(), Kept()
    more = (
        Channel(name="pages", notifier=pages,
                accepts=ChannelFilter(severity=frozenset({Severity.PAGE}))),
        Channel(name="rule", notifier=one_rule,
                accepts=ChannelFilter(rules=frozenset({"fallback"}), targets=frozenset({"rag"}))),
    )  # fmt: skip
    items = [
        notice(id=uuid4(), rule="ttft", severity=Severity.WARN),
        notice(id=uuid4(), rule="fallback", severity=Severity.PAGE),
        notice(id=uuid4(), rule="fallback", scope="other", severity=Severity.PAGE),
    ]
    async with open_context(settings(tmp_path), database, everything, *more) as context:
        for item in items:
            async with database.begin() as connection:
                await outbox.add(connection, item, channels=context.takers(item), incident=None)
        await deliver(context)
    received = [[item.id for item in channel.sent] for channel in (everything, pages, one_rule)]
    ids = [item.id for item in items]
    assert received == [ids, ids[1:], ids[1:2]]


async def test_an_earlier_version_sends_what_waits_for_others_and_stumbles_over_nothing(
    database: Database, database_url: str
) -> None:
    """After a rollback: it leases by time alone, and settles by the id within the notice."""
    for item in (notice(), notice(id=uuid4())):
        await add(database, item, ALL)
    earlier = """
        UPDATE outbox SET due_at = now() + interval '45 seconds' WHERE id IN (
            SELECT id FROM outbox WHERE settled_at IS NULL AND due_at <= now()
            ORDER BY sequence LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING notice ->> 'id' AS id
    """
    for _ in range(4):
        async with database.begin() as connection:
            [leased] = (await connection.scalars(text(earlier))).all()
            sent = text("UPDATE outbox SET settled_at = now(), result = 'sent', channel = 'bot' "
                        "WHERE id = CAST(:id AS uuid)")  # fmt: skip
            assert (await connection.execute(sent, {"id": leased})).rowcount == 1
    assert rows(database_url, "SELECT count(*) FROM outbox WHERE settled_at IS NULL") == [(0,)]


async def test_a_quiet_notice_without_a_message_to_edit_does_not_count_as_sent(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in the log, nor in the time of the last message, nor as proof that it works."""
    caplog.set_level("INFO", "monitor.worker.delivery_job")
    channel = Channel(name="pager", notifier=Kept(before=lambda: Sent(posted=False)))
    async with open_context(settings(tmp_path), database, Kept(), channel) as context:
        await add(database, notice(id=uuid4(), quiet=True), {"pager": True})
        await run(database, "INSERT INTO channels (channel, broken_since) VALUES ('pager', now())")
        assert await delivery_job.deliver(context, channel) == 0
        assert caplog.messages == ["notification skipped"]
        async with database.begin() as connection:
            backlog = await outbox.backlog(connection, "pager")
    assert (backlog.waiting, backlog.last_sent_at) == (0, None)
    assert backlog.broken_since is not None

"""The heartbeat against a real switch: one GET after a whole good cycle, silence otherwise."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from monitor.domain import GiveUp
from monitor.metrics import Metrics
from monitor.storage import Database, leases, observations, outbox
from monitor.worker import heartbeat
from monitor.worker.context import WorkerContext
from tests.contract.open_context import only_channel, open_context, settings
from tests.contract.test_outage import Doors
from tests.contract.web_site import Site, site
from tests.example_data import notice, observation
from tests.unit.test_metrics import value

SLOT = datetime(2026, 11, 20, 12, tzinfo=UTC)


@asynccontextmanager
async def switch(
    database: Database, home: Path, *, evaluated: bool = True, finished: bool = True
) -> AsyncIterator[tuple[WorkerContext, Metrics, Site]]:
    """A worker after one round, and the switch it should tell."""
    async with site() as received:
        configured = settings(home, HEARTBEAT_URL=f"{received.url}/ping/canary-uuid")
        async with database.begin() as connection:
            ours = {"region": "local", "worker": "w1"}
            await leases.claim(connection, [leases.RoundSlot("rag", SLOT)], **ours)
            if finished:
                await leases.finish(connection, [leases.RoundEnd("rag", SLOT)], **ours)
            if evaluated:
                span = timedelta(seconds=90)
                await leases.hold(connection, "evaluate", holder="w2", span=span)
        async with open_context(configured, database) as context:
            metrics = Metrics(configured.targets.values(), rules=("ttft",))
            yield replace(context, metrics=metrics), metrics, received


async def beat(context: WorkerContext) -> bool:
    return await heartbeat.beat(context, [leases.RoundSlot("rag", SLOT)])


async def test_a_whole_good_cycle_is_reported_and_noted(database: Database, tmp_path: Path) -> None:
    async with switch(database, tmp_path) as (context, metrics, received):
        assert await beat(context)
    (requested,) = received.asked
    assert requested.startswith("GET /ping/canary-uuid HTTP/1.1")
    assert value(metrics, "monitor_last_good_cycle_timestamp_seconds", target="rag") != 0
    assert value(metrics, "monitor_last_success_timestamp_seconds", stage="heartbeat") != 0


@pytest.mark.parametrize("fault", [{"evaluated": False}, {"finished": False}], ids=str)
async def test_half_a_cycle_is_not_reported(
    database: Database, tmp_path: Path, fault: dict[str, bool]
) -> None:
    async with switch(database, tmp_path, **fault) as (context, metrics, received):
        assert not await beat(context)
    assert received.asked == []
    assert value(metrics, "monitor_last_good_cycle_timestamp_seconds", target="rag") == 0


async def test_what_waits_in_the_spool_is_not_stored(database: Database, tmp_path: Path) -> None:
    async with switch(database, tmp_path) as (context, _, received):
        context.state.spool.keep([observation()])
        context.state.spool.not_taken()
        assert not await beat(context)
        context.state.spool.forget(context.state.spool.oldest(1))
        assert await beat(context)
    assert len(received.asked) == 1


async def test_it_stops_with_the_first_cycle_after_delivery_is_refused_for_good(
    database: Database, tmp_path: Path
) -> None:
    async with switch(database, tmp_path) as (context, metrics, received):
        assert await beat(context)
        notified = notice(id=uuid4(), number=None)
        async with database.begin() as connection:
            await outbox.add(connection, notified, channels={"console": True}, incident=None)
            await outbox.settle(connection, notified.id, GiveUp("no_service", channel_broken=True),
                                only_channel(context).name)  # fmt: skip
        assert not await beat(context)
        assert not await beat(context)
        seen = value(metrics, "monitor_last_good_cycle_timestamp_seconds", target="rag")
        assert seen, "seeing goes on: a check that gates deploys is not failed by it"
    assert len(received.asked) == 1


async def test_without_a_switch_the_cycle_is_noted_all_the_same(
    database: Database, tmp_path: Path
) -> None:
    async with switch(database, tmp_path) as (_context, metrics, _):
        plain = settings(tmp_path)
        async with open_context(plain, database) as mute:
            assert not await beat(replace(mute, metrics=metrics))
    assert value(metrics, "monitor_last_good_cycle_timestamp_seconds", target="rag") != 0


@pytest.mark.parametrize("status", [404, 500])
async def test_a_switch_that_does_not_take_it_is_no_trouble_of_ours(
    database: Database, tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with switch(database, tmp_path) as (context, metrics, received):
        received.status = status
        assert not await beat(context)
    assert "heartbeat refused" in caplog.text
    assert "canary-uuid" not in caplog.text
    assert value(metrics, "monitor_last_success_timestamp_seconds", stage="heartbeat") == 0


async def test_with_the_database_away_nothing_is_reported_and_nothing_raised(
    database: Database, tmp_path: Path
) -> None:
    async with switch(database, tmp_path) as (context, metrics, received):
        unavailable = Database("postgresql://nobody@127.0.0.1:1/none", deadline_s=2)
        async with open_context(context.settings, unavailable) as opened:
            lost = replace(opened, metrics=metrics)
            assert not await beat(lost)
            await heartbeat.update_metrics(lost)
        await unavailable.close()
    assert received.asked == []
    assert value(metrics, "monitor_database_up") == 0


async def test_a_database_that_takes_no_writes_is_not_up(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    doors = Doors(database_url)
    async with switch(database, tmp_path) as (context, metrics, _):
        await asyncio.to_thread(doors.read_only, True)
        await heartbeat.update_metrics(context)
        assert value(metrics, "monitor_database_up") == 0
        await asyncio.to_thread(doors.read_only, False)
        await heartbeat.update_metrics(context)
        assert value(metrics, "monitor_database_up") == 1


async def test_a_lock_that_is_held_for_a_moment_is_not_an_unavailable_database(
    database: Database, database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Database(database_url)
    async with switch(database, tmp_path) as (context, metrics, _):
        await heartbeat.update_metrics(context)
        database.deadline_s = 0.5
        async with other.begin() as connection:
            await connection.execute(text("LOCK TABLE outbox"))
            await heartbeat.update_metrics(context)
            await beat(context)
    await other.close()
    assert value(metrics, "monitor_database_up") == 1
    withheld = [str(line.__dict__.get("reason")) for line in caplog.records]
    assert any("the database is busy" in reason for reason in withheld), withheld


async def test_our_state_is_read_out_for_the_scraper(database: Database, tmp_path: Path) -> None:
    async with switch(database, tmp_path) as (context, metrics, _):
        async with database.begin() as connection:
            await outbox.add(
                connection,
                notice(id=uuid4(), number=None),
                channels={"console": True},
                incident=None,
            )
            slot = datetime.now(UTC)
            await observations.add(connection, [observation(slot=slot, started_at=slot)])
        await heartbeat.update_metrics(context)
    assert value(metrics, "monitor_database_up") == 1
    assert value(metrics, "monitor_outbox_notices", channel="console") == 1
    assert value(metrics, "monitor_probe_budget_left_usd") == pytest.approx(0.5 - 0.000007)
    assert value(metrics, "monitor_probe_budget_left_probes") == 19_999
    assert value(metrics, "monitor_incidents_open", rule="ttft") == 0

"""The probes' own daily budget: no restart, no second worker and no lost database evades it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import inf
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from monitor.domain import Cost, CostSource, IdentityJudgement, Observation
from monitor.storage import (
    Connection,
    Database,
    limit_statements,
    observations,
    rederive,
    spend_rows,
)
from monitor.worker import admission, outage, probe_round, spent_today
from monitor.worker.context import WorkerContext, midnight_of
from tests.contract.open_context import open_context, settings
from tests.contract.test_outage import Doors
from tests.contract.test_workers import nothing, turning
from tests.e2e.worker_process import rows
from tests.example_data import observation

LIMITS = {"MONITOR_PROBES__DAILY_BUDGET_USD": "0.50", "MONITOR_PROBES__MAX_PER_DAY": "10"}
USED_UP = "the daily probe budget is used up"


def spending(usd: str, *, at: datetime | None = None) -> Observation:
    at = at or datetime.now(UTC)
    return observation(slot=at, started_at=at, cost_usd=Decimal(usd), origin="manual")


@pytest.mark.parametrize(
    ("spent", "reason"),
    [
        (["0.49"], None),
        (["0.25", "0.25"], USED_UP),
        (["9"], USED_UP),
        (["0"] * 9, None),
        (["0"] * 10, USED_UP),
    ],
)
async def test_a_worker_that_was_just_started_counts_what_others_spent(
    database: Database, tmp_path: Path, spent: list[str], reason: str | None
) -> None:
    async with database.begin() as connection:
        await observations.add(connection, [spending(usd) for usd in spent])
    async with open_context(settings(tmp_path, **LIMITS), database) as context:
        assert (await admission.before_probe(context, context.settings.targets["rag"]))[0] == reason


async def test_when_it_is_used_up_no_probe_goes_out_and_the_round_says_why(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with database.begin() as connection:
        await observations.add(connection, [spending("0.50")])
    slot = datetime.now(UTC)
    async with open_context(settings(tmp_path, **LIMITS), database) as context:
        rag = context.settings.targets["rag"]
        assert len(await probe_round.run_round(context, rag, slot, between=nothing)) == 0
    assert rows(database_url, "SELECT missed FROM slots") == [(USED_UP,)]


async def test_it_goes_on_with_the_next_day(database: Database, tmp_path: Path) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday = midnight - timedelta(seconds=1)
    async with database.begin() as connection:
        await observations.add(connection, [spending("0.50", at=yesterday)])
    async with open_context(settings(tmp_path, **LIMITS), database) as context:
        assert (await admission.before_probe(context, context.settings.targets["rag"]))[0] is None


async def test_workers_that_share_a_budget_count_what_the_others_have_just_stored(
    database: Database, tmp_path: Path
) -> None:
    """Each probe is counted once: as stored by itself, and again as read from the database."""
    async with open_context(settings(tmp_path, **LIMITS), database) as one:
        other = replace(one, worker="w2", state=type(one.state)())
        rag = one.settings.targets["rag"]
        for context in (one, other):
            assert (await admission.before_probe(context, rag))[0] is None
        for nth in range(10):
            context = (one, other)[nth % 2]
            assert (await admission.before_probe(context, rag))[0] is None, nth
            probe = spending("0.04")
            await outage.keep(context, [probe])
            await outage.keep(context, [probe])  # a duplicate
            assert admission.budget_used_up(context) == (USED_UP if nth == 9 else None), nth
        for context in (one, other):
            assert (await admission.before_probe(context, rag))[0] == USED_UP


async def test_a_cost_that_a_receipt_corrects_counts_for_every_worker(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spent_today, "SHARE", 0)
    probe = spending("0.30")
    async with open_context(settings(tmp_path, **LIMITS), database) as context:
        rag = context.settings.targets["rag"]
        await outage.keep(context, [probe])
        assert (await admission.before_probe(context, rag))[0] is None
        async with database.begin() as connection:
            who = IdentityJudgement(probe.identity, probe.model_detected, 0.9, (), "")
            cost = Cost(Decimal("0.50"), CostSource.PROVIDER, {})
            new = rederive.DerivedJudgement(who, cost)
            await rederive.rewrite(connection, "rag", [((probe.slot, probe.id), new)])
        assert (await admission.before_probe(context, rag))[0] == USED_UP


async def spread_over_the_day(database: Database, usd: str) -> None:
    """One probe of that cost in each hour of the UTC day, stored an hour ago."""
    midnight = midnight_of(datetime.now(UTC))
    async with database.begin() as connection:
        await observations.add(
            connection, [spending(usd, at=midnight + timedelta(hours=h)) for h in range(24)]
        )
        long_ago = text("UPDATE observations SET recorded_at = recorded_at - interval '1 hour'")
        await connection.execute(long_ago)


@pytest.fixture
def short_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """One statement a read: the day of a fleet takes several reads."""
    monkeypatch.setattr(spent_today, "READING_S", -1)


@pytest.mark.usefixtures("short_reads")
async def test_a_long_day_is_summed_in_several_reads(database: Database, tmp_path: Path) -> None:
    """Until it is complete nobody sees it: an open incident must not end by half a sum."""
    await spread_over_the_day(database, "0.01")
    async with open_context(settings(tmp_path), database) as context, database.begin() as reading:
        spent = [await context.spent_today(reading) for _ in range(26)]
    assert [one.count if one else None for one in spent] == [None] * 23 + [24, 24, 24]


@pytest.mark.usefixtures("short_reads")
@pytest.mark.parametrize("start", ["round", "burst"])
async def test_no_probe_is_paid_for_before_a_long_day_is_summed(
    database: Database, tmp_path: Path, start: str
) -> None:
    """A worker that crashes and restarts again and again sends nothing beyond the budget."""
    await spread_over_the_day(database, "0.021")
    limits = LIMITS | {"MONITOR_PROBES__MAX_PER_DAY": "1000"}
    async with turning() as service, open_context(
        settings(tmp_path, service.url, **limits), database
    ) as context:  # fmt: skip
        rag = context.settings.targets["rag"]
        for nth in range(4):
            worker = replace(context, state=type(context.state)())
            if start == "burst":
                assert not await probe_round.probe_again(worker, rag, rag.queries[0])
            else:
                slot = datetime.now(UTC) + timedelta(minutes=nth)
                assert not await probe_round.run_round(worker, rag, slot, between=nothing)
        assert service.asked == 0


@pytest.mark.usefixtures("short_reads")
async def test_workers_that_crash_in_turn_spend_one_budget(
    database: Database, tmp_path: Path
) -> None:
    """Each probes one round and is gone. Their probes cost nothing, so their number counts."""
    await spread_over_the_day(database, "0.01")
    limits = LIMITS | {"MONITOR_PROBES__MAX_PER_DAY": "31"}
    async with turning() as service, open_context(
        settings(tmp_path, service.url, **limits), database
    ) as context:  # fmt: skip
        rag, now = context.settings.targets["rag"], datetime.now(UTC)
        for nth in range(6):
            state = type(context.state)()
            worker = replace(context, worker=f"w{nth % 2}", state=state)
            slot = now + timedelta(minutes=nth)
            await probe_round.run_round(worker, rag, slot, between=nothing)
        assert service.asked == 31 - 24


class SlowSums:
    """Sums of rows that exceed the statement limit, if they cover more than `most`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: timedelta, times: float = inf):
        self.failed, self._most, self._times = 0, most, times
        self._sum = spend_rows.by_slice
        monkeypatch.setattr(spend_rows, "by_slice", self.by_slice)
        monkeypatch.setattr(spent_today, "AGAIN_S", 0.01)

    async def by_slice(
        self, connection: Connection, *, since: datetime, until: datetime, recorded_since: datetime
    ) -> Sequence[spend_rows.SliceSpent]:
        if until - since > self._most and self.failed < self._times:
            self.failed += 1
            await limit_statements(connection, lock_s=1, statement_s=0.05)
            await connection.execute(text("SELECT pg_sleep(60)"))
        return await self._sum(connection, since=since, until=until, recorded_since=recorded_since)


async def test_a_sum_that_takes_too_long_goes_on_in_smaller_steps(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await spread_over_the_day(database, "0.01")
    slow = SlowSums(monkeypatch, timedelta(minutes=10))
    async with open_context(settings(tmp_path), database) as context:
        rag, now = context.settings.targets["rag"], context.now()
        assert len(await admission.admit(context, [(rag, now)])) == 1
        assert context.state.spent.known(midnight_of(now)).count == 24
    assert slow.failed == 3, "60, 30 and 15 minutes"


@pytest.mark.parametrize("start", ["round", "burst"])
async def test_a_busy_database_lets_no_probe_go_beyond_the_budget(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    async with database.begin() as connection:
        await observations.add(connection, [spending("9")])
    SlowSums(monkeypatch, timedelta(0), times=3)
    async with turning() as service, open_context(
        settings(tmp_path, service.url, **LIMITS), database
    ) as context:  # fmt: skip
        rag = context.settings.targets["rag"]
        if start == "burst":
            assert not await probe_round.probe_again(context, rag, rag.queries[0])
        else:
            assert not await probe_round.run_round(context, rag, context.now(), between=nothing)
        assert service.asked == 0


async def test_a_database_that_stays_too_slow_does_not_stop_probes_for_ever(
    database: Database, database_url: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    slow = SlowSums(monkeypatch, timedelta(0))
    monkeypatch.setattr(spent_today, "PATIENCE_S", 0.5)
    async with turning() as service, open_context(
        settings(tmp_path, service.url, **LIMITS), database
    ) as context:  # fmt: skip
        rag = context.settings.targets["rag"]
        assert len(await probe_round.run_round(context, rag, context.now(), between=nothing)) == 2
    assert slow.failed
    assert "probes not summed" in [record.message for record in caplog.records]
    assert rows(database_url, "SELECT missed FROM slots") == [(None,)], "claimed"


async def test_a_claim_that_waits_for_another_tasks_sum_holds_no_transaction(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server would end its transaction, and the round would be probed without a claim."""
    summed, free, began = spend_rows.by_slice, asyncio.Event(), asyncio.Event()

    async def by_slice(connection: Connection, **span: Any) -> Sequence[spend_rows.SliceSpent]:
        if not began.is_set():
            await limit_statements(connection, lock_s=1, statement_s=60, idle_s=60)
            began.set()
            await free.wait()
        return await summed(connection, **span)

    async def read() -> None:
        async with database.begin(deadline_s=60) as connection:
            await context.spent_today(connection)

    monkeypatch.setattr(spend_rows, "by_slice", by_slice)
    idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() " \
           "AND state = 'idle in transaction'"  # fmt: skip
    async with open_context(settings(tmp_path), database) as context, asyncio.timeout(60):
        reading = asyncio.create_task(read())
        await began.wait()
        await read()  # the evaluation does not wait either
        found: list[object] = []
        event.listen(database.engine.sync_engine, "commit", found.append)
        rag = context.settings.targets["rag"]
        admitting = asyncio.create_task(admission.admit(context, [(rag, context.now())]))
        while not found or rows(database_url, idle) != [(1,)]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        free.set()
        assert len(await admitting) == 1
        await reading
    assert rows(database_url, "SELECT count(*) FROM slots") == [(1,)]


async def test_a_worker_that_is_stopped_during_the_sum_claims_nothing(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def by_slice(connection: Connection, **_: object) -> None:
        context.state.leaving.set()
        await connection.execute(text("SELECT pg_sleep(600)"))

    monkeypatch.setattr(spend_rows, "by_slice", by_slice)
    async with open_context(settings(tmp_path), database) as context, asyncio.timeout(60):
        rag = context.settings.targets["rag"]
        assert not await admission.admit(context, [(rag, context.now())])
        assert not await probe_round.probe_again(context, rag, rag.queries[0])
    assert rows(database_url, "SELECT count(*) FROM slots") == [(0,)]


async def test_the_first_round_of_a_day_is_claimed(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_context(settings(tmp_path), database) as context:
        rag = context.settings.targets["rag"]
        for days in (0, 1):
            now = datetime.now(UTC) + timedelta(days=days)
            monkeypatch.setattr(WorkerContext, "now", staticmethod(lambda now=now: now))
            assert len(await admission.admit(context, [(rag, now)])) == 1
            assert context.state.spent.whole(midnight_of(now))
    assert rows(database_url, "SELECT count(*) FROM slots") == [(2,)]


async def test_while_the_database_is_away_what_it_said_last_and_what_waits_for_it_count(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    doors = Doors(database_url)
    async with database.begin() as connection:
        await observations.add(connection, [spending("0.30")])
    async with open_context(settings(tmp_path, **LIMITS), database) as context:
        target = context.settings.targets["rag"]
        assert (await admission.before_probe(context, target))[0] is None
        doors.close()
        try:
            context.state.spool.keep([spending("0.19")])
            assert (await admission.before_probe(context, target))[0] is None
            context.state.spool.keep([spending("0.01")])
            assert (await admission.before_probe(context, target))[0] == USED_UP
        finally:
            doors.open()

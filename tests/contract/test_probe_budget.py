"""The probes' own daily budget: no restart, no second worker and no lost database evades it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from monitor.domain import Cost, CostSource, IdentityJudgement, Observation
from monitor.storage import Database, observations, rederive
from monitor.worker import admission, outage, probe_round, spent_today
from monitor.worker.context import midnight_of
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

"""The evaluation of what changed: it judges as one that reads everything, and costs little."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import event, text

from monitor.config import Settings
from monitor.domain import (
    Cost,
    CostSource,
    Identity,
    IdentityJudgement,
    Observation,
    Outcome,
    Verdict,
)
from monitor.storage import (
    Connection,
    Database,
    leases,
    observations,
    outbox,
    rederive,
    row_feed,
    spend_rows,
)
from monitor.worker import (
    daily_spend,
    evaluation,
    reading_ahead,
    spend_memory,
    spent_today,
    target_verdicts,
    window_memory,
)
from monitor.worker.context import WorkerContext
from monitor.worker.spend_memory import slice_of
from monitor.worker.window_memory import WindowMemory
from tests.contract.open_context import open_context, settings
from tests.e2e.worker_process import rows
from tests.example_data import HAIKU, observation

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
OPEN = "SELECT rule, target FROM incidents WHERE resolved_at IS NULL ORDER BY 1, 2"
REFUSED: dict[str, Any] = {
    "outcome": Outcome.REFUSED, "ttft_ms": None, "error": "refused", "model_detected": None,
    "identity": Identity.UNKNOWN, "cost_usd": None, "cost_source": None,
}  # fmt: skip
FALLEN: dict[str, Any] = {"identity": Identity.FALLBACK, "model_detected": HAIKU}
SLOW: dict[str, Any] = {"ttft_ms": 9000.0}
RANGED: dict[str, Any] = {
    "identity": Identity.UNKNOWN, "model_detected": None, "cost_usd": None, "cost_source": None,
    "cost_low_usd": Decimal("0.001"), "cost_high_usd": Decimal("0.02"), "cost_reason": "unknown",
    "rates": {},
}  # fmt: skip


def fleet(home: Path, count: int, **changes: Any) -> Settings:
    """So many targets like `rag`, with 500 queries a day each."""
    base = settings(home)
    rag = replace(base.targets["rag"], daily_queries=500, **changes)
    names = [f"t{number}" for number in range(count)]
    return replace(base, targets={name: replace(rag, name=name) for name in names})


async def add(database: Database, *new: Observation) -> None:
    async with database.begin() as connection:
        await observations.add(connection, new)


async def verdicts(
    connection: Connection, context: WorkerContext, memory: WindowMemory, now: datetime
) -> list[Verdict]:
    found: list[Verdict] = []
    for target in context.settings.targets.values():
        found += (
            await target_verdicts.of_target(
                connection, context, memory, {}, now, target, confirmed={}
            )
            or ()
        )
    return found


async def derive_again(connection: Connection, one: Observation, *, model: bool) -> None:
    """A receipt with another cost; or another model."""
    identity = Identity.FALLBACK if model else one.identity
    named = HAIKU if model else one.model_detected
    who = IdentityJudgement(identity, named, 0.9, (), "a receipt names it")
    if not model:
        who = replace(who, confidence=one.confidence, reason=one.identity_reason)
    cost = Cost(Decimal("0.123"), CostSource.PROVIDER, {})
    new = rederive.DerivedJudgement(who, cost)
    await rederive.rewrite(connection, one.target, [((one.slot, one.id), new)])


@pytest.mark.parametrize("seed", range(4))
async def test_it_judges_and_sums_as_if_everything_were_read(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Rows of other workers, late ones, ones by hand, of the future, and derived again."""
    random = Random(seed)
    monkeypatch.setattr(WorkerContext, "began_at", datetime.now(UTC))
    for sums in (spend_memory, spent_today):
        monkeypatch.setattr(sums, "SHARE", 0)  # summed again at once
    async with open_context(fleet(tmp_path, 3), database) as context:
        zone = daily_spend.zone_of(context.settings)
        now = context.now()
        start = now - timedelta(hours=random.choice([30, 3]))
        stored: list[Observation] = []

        def made(at: datetime, **more: Any) -> Observation:
            mood = random.choice([{}, {}, {}, REFUSED, FALLEN, SLOW, RANGED])
            one = observation(target=f"t{random.randrange(3)}", slot=at, started_at=at,
                              query=random.choice(["hi", "kbli"]),
                              **{"origin": "burst"} | mood | more)  # fmt: skip
            stored.append(one)
            return one

        await add(database, *(made(start + n * 7 * MINUTE) for n in range(25)))
        memory = context.state.windows
        for step in range(12):
            match random.choice(["new", "new", "late", "manual", "future", "cost", "model"]):
                case "new":
                    count = random.randrange(1, 4)
                    await add(database, *(made(now - random.random() * MINUTE)
                                          for _ in range(count)))  # fmt: skip
                case "late":
                    await add(database, made(start + random.random() * (now - start)))
                case "manual":
                    await add(database, made(now - MINUTE, origin="manual"))
                case "future":
                    await add(database, made(now + 2 * MINUTE))
                case kind:
                    async with database.begin() as connection:
                        one = random.choice(stored)
                        await derive_again(connection, one, model=kind == "model")
            async with database.begin() as connection:
                now = context.now()
                await memory.follow(connection, context.settings.targets, now)
                grown = await verdicts(connection, context, memory, now)
                anew = await verdicts(connection, context, WindowMemory(), now)
                running = await daily_spend.running_days(connection, context, zone, now)
                summed = await daily_spend.days(connection, context, zone, now)
                paid = await context.spent_today(connection)
                assert (step, grown) == (step, anew)
                assert (step, running) == (step, summed)
                assert (step, paid) == (step, await spend_rows.today(connection))


async def test_an_outage_seen_by_another_worker_is_announced_by_the_one_that_evaluates(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with open_context(fleet(tmp_path, 3, every=MINUTE), database) as context:
        assert not await evaluation.evaluate_changed(context), "nothing to announce"
        now = context.now()
        failed = [observation(target="t1", query=query, slot=now - age * MINUTE,
                              started_at=now - age * MINUTE, **REFUSED)
                  for age in (3, 2, 1) for query in ("hi", "kbli")]  # fmt: skip
        await add(database, *failed)
        assert await evaluation.evaluate_changed(context)
        assert rows(database_url, OPEN) == [("down", "t1")]
        other, third = (
            replace(context, worker=name, state=type(context.state)()) for name in ("w2", "w3")
        )
        for worker in (other, third):
            assert not await evaluation.evaluate_changed(worker)
        assert other.state.windows.changed == {"t0", "t1", "t2"}, "it stands by"
        assert third.state.windows.changed == set(), "it holds no lease and reads nothing"


async def test_the_standby_takes_over_with_windows_in_memory(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It judges by rows that were stored before it was asked, and nobody else takes over."""
    async with open_context(fleet(tmp_path, 3, every=MINUTE), database) as context:
        await evaluation.evaluate_changed(context)
        other, third = (
            replace(context, worker=name, state=type(context.state)()) for name in ("w2", "w3")
        )
        now = context.now()
        await add(database, *(
            observation(target=f"t{n}", query=query, slot=now - age * MINUTE,
                        started_at=now - age * MINUTE, **REFUSED)
            for n in range(3) for age in (3, 2, 1) for query in ("hi", "kbli")
        ))  # fmt: skip
        while len(other.state.windows._kept) < 3:  # a fifth of a second of reading each
            await evaluation.evaluate_changed(other)
        async with database.begin() as connection:
            await leases.release(connection, ["evaluate"], holder=context.worker)
        assert not await evaluation.evaluate_changed(third), "the standby comes first"

        async def read(*_: object, **__: object) -> None:
            pytest.fail("its windows are in memory")

        with monkeypatch.context() as warm:
            warm.setattr(observations, "samples", read)
            assert await evaluation.evaluate_changed(other)
        assert rows(database_url, OPEN) == [("down", "t0"), ("down", "t1"), ("down", "t2")]
        assert not await evaluation.evaluate_changed(third)
        assert third.state.windows.changed == {"t0", "t1", "t2"}, "now it stands by"


async def test_a_large_fleet_is_judged_by_what_was_read_before_the_evaluation(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (evaluation, target_verdicts):
        monkeypatch.setattr(module, "LARGE", 2)
    for module in (reading_ahead, target_verdicts):
        monkeypatch.setattr(module, "FEW", 0)  # an evaluation reads no window itself
    async with open_context(fleet(tmp_path, 3, every=MINUTE), database) as context:
        now = context.now()
        await add(database, *(
            observation(target=f"t{n}", query=query, slot=now - age * MINUTE,
                        started_at=now - age * MINUTE,
                        **REFUSED if n else {"cost_usd": Decimal(1)})
            for n in range(3) for age in (3, 2, 1) for query in ("hi", "kbli")
        ))  # fmt: skip
        assert not await evaluation.evaluate_changed(context), "it takes the lease"
        assert rows(database_url, OPEN) == []
        assert await evaluation.evaluate_changed(context)
        assert {("down", "t1"), ("down", "t2"), ("spend", "all")} <= set(rows(database_url, OPEN))
        page = context.metrics.page()[1].decode()
        assert "monitor_evaluation_seconds_count 2" in page
        assert "monitor_evaluation_read_ahead_seconds_count 1" in page
        other = replace(context, worker="w2", state=type(context.state)())
        assert not await evaluation.evaluate_changed(other), "it stands by"
        page = context.metrics.page()[1].decode()
        assert "monitor_evaluation_seconds_count 2" in page, "a standby evaluates nothing"


async def test_system_wide_subjects_of_an_idle_large_fleet_are_judged_when_they_are_due(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "LARGE", 2)
    asked, backlog = [], outbox.backlog

    async def counted(connection: Connection, channel: str) -> Any:
        asked.append(channel)
        return await backlog(connection, channel)

    monkeypatch.setattr(outbox, "backlog", counted)
    async with open_context(fleet(tmp_path, 3, every=MINUTE), database) as context:
        memory = context.state.windows
        for _ in range(3):
            await evaluation.evaluate_changed(context)
        assert memory.idle(evaluation.IDLE_S)
        asked.clear()
        memory._overall_s = -inf  # its pause is over before the fleet is no longer idle
        await evaluation.evaluate_changed(context)
        assert asked, "nothing else marks them as due again"


@pytest.mark.parametrize("fault", ["all windows are old", "a row of the last target came late"])
async def test_windows_that_are_read_again_delay_no_judgement_in_a_large_fleet(
    database: Database,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    monkeypatch.setattr(target_verdicts, "LARGE", 2)
    monkeypatch.setattr(target_verdicts, "LARGE_READING_S", 60)
    async with open_context(fleet(tmp_path, 6, every=MINUTE), database) as context:
        now = context.now()

        def rounds(*ages: int, **more: Any) -> list[Observation]:
            return [
                observation(target=f"t{n}", query=query, slot=now - age * MINUTE,
                            started_at=now - age * MINUTE + nth * SECOND, **more)
                for n in range(6) for age in ages for nth, query in enumerate(("hi", "kbli"))
            ]  # fmt: skip

        await add(database, *rounds(6, 4))
        await evaluation.evaluate_changed(context)
        assert context.state.windows.missing(context.settings.targets) == 0
        await add(database, *rounds(3, 2, 1, **REFUSED))
        if "late" in fault:
            late = now - 5 * MINUTE
            await add(database, observation(target="t5", query="hi", slot=late, started_at=late))
        else:
            monkeypatch.setattr(window_memory, "READ_AGAIN_S", 0)
        monkeypatch.setattr(target_verdicts, "LARGE_READING_S", -1)  # a single window is read
        assert await evaluation.evaluate_changed(context)
        opened = set(rows(database_url, OPEN))
        assert len(opened) >= 5
        assert ("down", "t5") in opened


async def test_windows_that_a_clock_made_wrong_are_read_before_the_next_evaluation(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, value in (
        (evaluation, "LARGE", 2), (target_verdicts, "LARGE", 2), (reading_ahead, "FEW", 0),
        (target_verdicts, "LARGE_READING_S", -1),  # it reads a single window itself
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    async with open_context(fleet(tmp_path, 6, every=MINUTE), database) as context:
        now, memory = context.now(), context.state.windows
        for _ in range(3):
            await evaluation.evaluate_changed(context)
        assert memory.missing(context.settings.targets) == 0
        await add(database, *(
            observation(target=f"t{n}", query="hi", slot=now - age * MINUTE,
                        started_at=now - age * MINUTE, **REFUSED)
            for n in range(6) for age in (3, 2, 1)
        ))  # fmt: skip
        for kept in memory._kept.values():
            kept.later.append(now)  # a row of the future, which has come
        await evaluation.evaluate_changed(context)
        await evaluation.evaluate_changed(context)
        assert len(rows(database_url, OPEN)) == 6


async def test_a_successor_judges_from_what_it_reads(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with open_context(fleet(tmp_path, 1, every=MINUTE), database) as context:
        await evaluation.evaluate_changed(context)
        now = context.now()
        await add(database, *(
            observation(target="t0", query=query, slot=now - age * MINUTE,
                        started_at=now - age * MINUTE, **REFUSED)
            for age in (3, 2, 1) for query in ("hi", "kbli")
        ))  # fmt: skip
        async with database.begin() as connection:
            await leases.release(connection, ["evaluate"], holder=context.worker)
        other = replace(context, worker="w2", state=type(context.state)())
        assert await evaluation.evaluate_changed(other)
        assert rows(database_url, OPEN) == [("down", "t0")]
        assert not await evaluation.evaluate_changed(context), "it lost the lease"


async def test_a_failed_evaluation_judges_the_changed_targets_again(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_context(fleet(tmp_path, 1, every=MINUTE), database) as context:
        await evaluation.evaluate_changed(context)
        now = context.now()
        await add(database, *(
            observation(target="t0", query=query, slot=now - age * MINUTE,
                        started_at=now - age * MINUTE, **REFUSED)
            for age in (3, 2, 1) for query in ("hi", "kbli")
        ))  # fmt: skip

        async def fails(*_: object) -> None:
            raise ZeroDivisionError

        with monkeypatch.context() as broken:
            broken.setattr(evaluation, "_held", fails)
            with pytest.raises(ZeroDivisionError):
                await evaluation.evaluate_changed(context)
        assert await evaluation.evaluate_changed(context)
    assert rows(database_url, OPEN) == [("down", "t0")]


async def test_rows_of_a_transaction_that_commits_late_are_judged(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """It began first, so its rows look as if they had been stored before the known ones."""
    async with open_context(fleet(tmp_path, 2, every=MINUTE), database) as context:
        await evaluation.evaluate_changed(context)
        now = context.now()
        async with database.begin() as slow:
            await observations.add(slow, [
                observation(target="t0", query=query, slot=now - age * MINUTE,
                            started_at=now - age * MINUTE, **REFUSED)
                for age in (3, 2, 1) for query in ("hi", "kbli")
            ])  # fmt: skip
            await add(database, observation(target="t1", slot=now, started_at=now))
            assert not await evaluation.evaluate_changed(context)
        assert await evaluation.evaluate_changed(context)
    assert rows(database_url, OPEN) == [("down", "t0")]


async def test_a_row_that_came_very_late_is_found_among_many(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where many rows are known, ids are sent only if the database has more rows than are known."""
    monkeypatch.setattr(row_feed, "FEW", 2)
    monkeypatch.setattr(row_feed, "WHOLE_AGAIN_S", 0)
    back = text("UPDATE observations SET recorded_at = recorded_at - interval '30 s'"
                " WHERE recorded_at > now() - interval '20 s'")  # fmt: skip
    async with open_context(fleet(tmp_path, 1, every=MINUTE), database) as context:
        memory, targets, now = context.state.windows, context.settings.targets, context.now()

        async def seen(origin: str = "round") -> int:
            """How many rows are new."""
            before = len(memory._stored.known) if memory._stored else 0
            async with database.begin() as connection:
                await memory.follow(connection, targets, context.now())
            assert memory._stored is not None
            return len(memory._stored.known) - before

        def made(age_s: float, **more: Any) -> Observation:
            at = now - timedelta(seconds=age_s)
            return observation(target="t0", slot=at, started_at=at, **more)

        await seen()
        await add(database, *(made(50 + nth) for nth in range(6)))
        async with database.begin() as connection:
            await connection.execute(back)
        assert await seen() == 6
        await add(database, made(30), made(29, origin="manual"))
        assert await seen() == 1
        statements: list[str] = []
        event.listen(database.engine.sync_engine, "before_cursor_execute",
                     lambda *given: statements.append(f"{given[2]} {given[3]}"))  # fmt: skip
        assert await seen() == 0
        (first,) = [one for one in statements if "jsonb_path_exists" in one and "!= ALL" in one
                    and "derived_at" not in one]  # fmt: skip
        assert first.count("UUID(") == 1, "only the latest id is sent"
        async with database.begin() as connection:
            await observations.add(connection, [made(28)])
            await connection.execute(back)
        assert await seen() == 1, "another row is older than the latest look goes back"


@pytest.mark.parametrize("targets", [2, 40])
async def test_the_statements_of_an_evaluation_do_not_grow_with_the_number_of_targets(
    database: Database, tmp_path: Path, targets: int
) -> None:
    statements: list[str] = []
    async with open_context(fleet(tmp_path, targets, every=MINUTE), database) as context:
        now = context.now()
        await add(database, *(
            observation(target=f"t{n}", query="hi", slot=now, started_at=now)
            for n in range(targets)
        ))  # fmt: skip
        await evaluation.evaluate_changed(context)
        while context.state.windows.changed:  # a second of reading each
            await evaluation.evaluate_changed(context)
        later = now + timedelta(milliseconds=1)
        await add(database, *(
            observation(target=f"t{n}", query="kbli", slot=later, started_at=later)
            for n in range(targets)
        ))  # fmt: skip
        event.listen(database.engine.sync_engine, "before_cursor_execute",
                     lambda *given: statements.append(given[2]))  # fmt: skip
        await evaluation.evaluate_changed(context)
        assert context.state.windows.changed == set()
        judged = len(statements)
        await evaluation.evaluate_changed(context)
    assert judged <= 45
    assert len(statements) - judged <= 9, "nothing has changed"
    assert not any("count(*)" in one and "date_bin" not in one for one in statements[judged:])


async def test_targets_whose_samples_stop_are_judged_although_nothing_changes(
    database: Database, tmp_path: Path
) -> None:
    async with open_context(fleet(tmp_path, 2, every=MINUTE), database) as context:
        now = context.now()
        await add(database, observation(target="t0", slot=now, started_at=now),
                  observation(target="t1", slot=now, started_at=now))  # fmt: skip
        await evaluation.evaluate_changed(context)
        memory = context.state.windows
        for kept in memory._kept.values():
            kept.judged_s -= 15
        assert memory.due(context.settings.targets, set(), context.now()) == []
        in_three = context.now() + 3 * MINUTE
        assert memory.due(context.settings.targets, set(), in_three) == ["t0", "t1"]
        for kept in memory._kept.values():
            kept.judged_s -= 20
        assert memory.due(context.settings.targets, {"t1"}, context.now()) == ["t1"]


def test_slices_begin_at_whole_five_minutes() -> None:
    at = datetime(2026, 11, 30, 12, 4, 59, 999999, tzinfo=UTC)
    assert slice_of(at) == datetime(2026, 11, 30, 12, tzinfo=UTC)
    assert slice_of(at + timedelta(microseconds=1)) == datetime(2026, 11, 30, 12, 5, tzinfo=UTC)

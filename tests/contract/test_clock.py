"""A clock that was ahead for a while: rows of the future blind nobody, and somebody hears of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from monitor.domain import ClaimKind, Evidence, Identity, Outcome, Sent
from monitor.storage import (
    Connection,
    Database,
    clock_repair,
    incident_rows,
    leases,
    observations,
    outbox,
    probe_rows,
    report_queries,
    schema,
    spend_rows,
)
from monitor.storage import clock_repair as clocks
from monitor.worker import clock_check, evaluation, rollups
from monitor.worker.context import ClockHistory, WorkerContext, WorkerState
from tests.contract.open_context import open_context, settings
from tests.contract.past_day import rollup_context
from tests.e2e.worker_process import rows
from tests.example_data import notice, observation

EVERY = timedelta(minutes=10)
STEPS = [timedelta(minutes=4), timedelta(hours=1), timedelta(days=730)]


def now() -> datetime:
    return datetime.now(UTC)


async def add(database: Database, *new: Any) -> None:
    """Store them as one clock would have: recorded when they were started."""
    async with database.begin() as connection:
        await observations.add(connection, new)
        await connection.execute(text("UPDATE observations SET recorded_at = started_at"))


def round_at(at: datetime, **changes: Any) -> Sequence[Any]:
    return [observation(slot=at, started_at=at, query=query, **changes) for query in ("hi", "kbli")]


async def claim(connection: Connection, slot: datetime) -> bool:
    wanted = leases.RoundSlot("rag", slot)
    return wanted in await leases.claim(connection, [wanted], region="local", worker="w1")


def broken(at: datetime) -> Sequence[Any]:
    return round_at(
        at, outcome=Outcome.REFUSED, ttft_ms=None, error="refused", model_detected=None,
        identity=Identity.UNKNOWN, cost_usd=None, cost_source=None,
    )  # fmt: skip


async def run(database: Database, statement: str, **values: object) -> None:
    async with database.begin() as connection:
        await connection.execute(text(statement), values)


@pytest.mark.parametrize("ahead", STEPS)
async def test_an_outage_is_announced_although_good_rows_lie_in_the_future(
    database: Database, database_url: str, tmp_path: Path, ahead: timedelta
) -> None:
    at = now()
    good = [one for nth in range(6) for one in round_at(at + ahead + nth * timedelta(seconds=20))]
    bad = [one for nth in range(3) for one in broken(at - nth * EVERY)]
    await add(database, *good, *bad)
    async with open_context(settings(tmp_path), database) as context:
        assert await evaluation.evaluate(context)
    assert rows(database_url, "SELECT rule FROM incidents") == [("down",)]


@pytest.mark.parametrize("ahead", STEPS)
async def test_silence_is_noticed_although_rows_lie_in_the_future(
    database: Database, database_url: str, tmp_path: Path, ahead: timedelta
) -> None:
    at = now()
    await add(database, *round_at(at + ahead), *round_at(at - timedelta(hours=2)))
    async with open_context(settings(tmp_path), database) as context:
        context.state.began_s -= 7200
        assert await evaluation.evaluate(context)
    assert rows(database_url, "SELECT rule FROM incidents") == [("no_data",)]


@pytest.mark.parametrize("ahead", STEPS)
async def test_an_incident_opened_in_the_future_does_not_outlast_it(
    database: Database, database_url: str, tmp_path: Path, ahead: timedelta
) -> None:
    at = now()
    await add(database, *(one for nth in range(3) for one in broken(at - nth * EVERY)))
    async with open_context(settings(tmp_path), database) as context:
        assert await evaluation.evaluate(context)
        await run(database, "UPDATE incidents SET opened_at = :at, last_breach_at = :at, "
                            "last_told_at = :at", at=at + ahead)  # fmt: skip
        await evaluation.evaluate(context)
        # However far ahead the clock was: what comes now is later than the incident.
        later = rows(database_url, "SELECT 1 FROM incidents WHERE opened_at > clock_timestamp()")
        assert later == [], "by the clock it was corrected with: it may be a little ahead of ours"
        await run(database, "UPDATE observations SET started_at = started_at - interval '1 hour', "
                            "slot = slot - interval '1 hour', "
                            "recorded_at = recorded_at - interval '1 hour'")  # fmt: skip
        await run(database, "UPDATE incidents SET opened_at = opened_at - interval '50 min'")
        await add(database, *(one for nth in range(3) for one in round_at(now() - nth * EVERY)))
        await evaluation.evaluate(context)
    [[resolved_at]] = rows(database_url, "SELECT resolved_at FROM incidents WHERE rule = 'down'")
    assert resolved_at is not None


async def test_a_notice_says_so_once(database: Database, database_url: str, tmp_path: Path) -> None:
    await add(database, *round_at(now() + timedelta(hours=2, minutes=30)))
    async with open_context(settings(tmp_path), database) as context:
        assert await clock_check.check(context, correct=True)
        assert not await clock_check.check(context, correct=False)
    [[status, reported]] = rows(database_url, "SELECT status, notice->>'sentence' FROM outbox")
    assert status == "NOTICE"
    assert reported.startswith("Observations are dated up to 2 h in the future. A clock was ahead")


async def pass_time(database: Database, span: timedelta) -> None:
    """The same for the database as time that passes: all it holds is so much older."""
    for table, names in (("observations", ("started_at", "slot", "recorded_at")),
                         ("slots", ("slot", "claimed_at")),
                         ("misdated_observations", ("started_at", "noticed_at"))):  # fmt: skip
        moved = ", ".join(f"{name} = {name} - :span" for name in names)
        await run(database, f"UPDATE {table} SET {moved}", span=span)


AHEADS = [timedelta(minutes=4), timedelta(hours=1), timedelta(days=1), timedelta(days=730)]


@pytest.mark.parametrize("ahead", AHEADS)
async def test_rows_of_the_future_are_not_judged_when_their_time_comes(
    database: Database, database_url: str, tmp_path: Path, ahead: timedelta
) -> None:
    later = now() + ahead
    await add(database, *(one for nth in range(3)
                          for one in round_at(later - nth * timedelta(seconds=30))))  # fmt: skip
    async with open_context(settings(tmp_path), database) as context:
        await clock_check.check(context, correct=False)
        await pass_time(database, ahead)
        at = now() - timedelta(minutes=1)
        await add(database, *(one for nth in range(3) for one in broken(at - nth * EVERY)))
        assert await evaluation.evaluate(context)
    assert rows(database_url, "SELECT rule FROM incidents") == [("down",)]


@pytest.mark.parametrize("ahead", AHEADS)
async def test_slots_of_the_future_are_free_when_their_time_comes(
    database: Database, database_url: str, tmp_path: Path, ahead: timedelta
) -> None:
    slot = now() + ahead
    async with database.begin() as connection:
        await claim(connection, slot)
    await add(database, *round_at(slot))
    async with open_context(settings(tmp_path), database) as context:
        await clock_check.check(context, correct=False)
        await pass_time(database, ahead)
        async with database.begin() as connection:
            assert await claim(connection, slot - ahead)
            assert await observations.add(connection, round_at(slot - ahead)) == 2
    assert rows(database_url, "SELECT count(*) FROM misdated_observations") == [(2,)]


async def test_probes_set_aside_count_for_the_budget_of_the_day(
    database: Database, tmp_path: Path
) -> None:
    await add(database, *round_at(now() + timedelta(days=2), cost_usd=Decimal("0.25")))
    async with open_context(settings(tmp_path), database) as context:
        await clock_check.check(context, correct=False)
        async with database.begin() as connection:
            spent = await spend_rows.today(connection)
    assert (spent.usd, spent.count) == (Decimal("0.50"), 2)


async def step_ahead(database: Database, by: timedelta, *seen_by: WorkerContext) -> None:
    """The database's clock jumps ahead: all it holds and all that was seen is so much older."""
    await run(database, "UPDATE misdated_observations SET started_at = started_at - :by, "
              "noticed_at = noticed_at - :by, observation = observation || jsonb_build_object("
              "'slot', (observation->>'slot')::timestamptz - :by, "
              "'started_at', (observation->>'started_at')::timestamptz - :by, "
              "'recorded_at', (observation->>'recorded_at')::timestamptz - :by)",
              by=by)  # fmt: skip
    await run(database, "UPDATE clock_readings SET at = at - :by, since = since - :by", by=by)
    for history in (one.state.clock for one in seen_by):
        assert history.seen is not None
        assert history.since is not None
        seen_at, steady = history.seen
        history.seen, history.since = (seen_at - by, steady), history.since - by


@pytest.mark.parametrize("restored_by", ["the same", "another", "restarted"])
async def test_what_a_clock_that_was_behind_set_aside_is_restored_whole(
    database: Database, database_url: str, tmp_path: Path, restored_by: str
) -> None:
    """A machine that boots with the time of an hour ago, and is put right while workers run.

    `another` runs on another machine; `restarted` begins after the step where the first one ran.
    """
    behind = timedelta(hours=1)
    every_column = "SELECT to_jsonb(o) FROM observations AS o ORDER BY query"
    async with open_context(settings(tmp_path), database) as context:
        another = replace(context, state=WorkerState(clock=ClockHistory(boot="another machine")))
        restarted = replace(context, state=WorkerState(clock=ClockHistory()))
        await clock_check.check(another, correct=False)
        await add(database, *round_at(now() + behind - timedelta(minutes=1)))
        before = rows(database_url, every_column)
        await clock_check.check(context, correct=True)
        assert rows(database_url, every_column) == []
        await step_ahead(database, behind, context, another)
        chosen = {"the same": context, "another": another, "restarted": restarted}[restored_by]
        await clock_check.check(chosen, correct=False)
    instants = {"slot", "started_at", "recorded_at", "derived_at"}  # the last: when it was restored
    facts = [{k: v for k, v in row.items() if k not in instants} for [row] in before]
    after = [row for [row] in rows(database_url, every_column)]
    assert [{k: v for k, v in row.items() if k not in instants} for row in after] == facts
    assert all(datetime.fromisoformat(row["started_at"]) <= now() for row in after)
    assert rows(database_url, "SELECT count(*) FROM slots") == [(1,)]
    assert rows(database_url, "SELECT count(*) FROM misdated_observations") == [(0,)]


async def test_rows_of_the_future_are_not_restored_by_a_step_they_do_not_belong_to(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """Set aside before the clock fell behind, and dated later than the step reaches."""
    await add(database, *round_at(now() + timedelta(hours=3)))
    async with open_context(settings(tmp_path), database) as context:
        late = replace(context, state=WorkerState(clock=ClockHistory(boot="began later")))
        await clock_check.check(context, correct=True)
        await clock_check.check(late, correct=True)
        await step_ahead(database, timedelta(hours=1), context, late)
        await clock_check.check(late, correct=False)  # it began after they were noticed
        await clock_check.check(context, correct=False)  # they are of two hours later still
    assert rows(database_url, "SELECT count(*) FROM misdated_observations") == [(2,)]


async def test_a_worker_that_is_always_a_little_ahead_keeps_its_rows(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    at = now() + timedelta(minutes=1)
    async with database.begin() as connection:
        await observations.add(connection, round_at(at, worker="w7"))
    async with open_context(settings(tmp_path), database) as context:
        await clock_check.check(context, correct=True)
    assert rows(database_url, "SELECT count(*) FROM observations") == [(2,)]


async def test_a_worker_far_from_the_databases_clock_sets_nothing_aside(
    database: Database, database_url: str
) -> None:
    await add(database, *round_at(now() + timedelta(hours=3)))
    async with database.begin() as connection:
        for off in (timedelta(hours=3), -timedelta(hours=3)):
            assert await clock_repair.set_aside(connection, worker="w1", now=now() + off) == 0
        assert await clock_repair.set_aside(connection, worker="w1", now=now()) == 2


async def test_a_worker_whose_clock_is_ahead_of_the_databases_is_named(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    at = now() + timedelta(hours=3)
    async with database.begin() as connection:
        await observations.add(connection, [observation(slot=at, started_at=at, worker="w7")])
    async with open_context(settings(tmp_path), database) as context:
        assert await clock_check.check(context, correct=False)
    [[reported]] = rows(database_url, "SELECT notice->>'sentence' FROM outbox")
    assert "The clock of worker w7 is ahead of the database's." in reported


async def test_clocks_that_agree_say_nothing_and_change_nothing(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await add(database, *round_at(now()))
    async with open_context(settings(tmp_path), database) as context:
        async with database.begin() as connection:
            await claim(connection, now() - EVERY)
            await incident_rows.add(connection, rule="all", target="all", reason="r", muted_by="m",
                            until=now() + timedelta(days=3))  # fmt: skip
            await outbox.add(
                connection, notice(number=None), channels={"console": True}, incident=None
            )
            assert await clocks.correct(connection) == 0
        assert not await clock_check.check(context, correct=True)
    assert rows(database_url, "SELECT until > now() + interval '2 days' FROM mutes") == [(True,)]


@pytest.mark.parametrize("ahead", STEPS)
async def test_state_of_the_future_is_set_to_now(
    database: Database, database_url: str, tmp_path: Path, ahead: timedelta
) -> None:
    at = now() + ahead
    async with open_context(settings(tmp_path), database) as context:
        async with database.begin() as connection:
            await claim(connection, at)
            await incident_rows.add(connection, rule="all", target="all", reason="r", muted_by="m",
                            until=at + timedelta(hours=2))  # fmt: skip
        await run(database, "UPDATE mutes SET muted_at = :at", at=at)
        await run(database, "INSERT INTO health_readings (target, url, at, checked_at, unmet, "
                            "facts) VALUES ('rag', 'u', :at, :at, '{}', '{}')", at=at)  # fmt: skip
        await run(database, "UPDATE report_state SET hours_until = :at, seen_until = :at, "
                            "days_until = CAST(:at AS date), raw_since = :at", at=at)  # fmt: skip
        await clock_check.check(context, correct=True)
    assert rows(database_url, "SELECT * FROM slots") == []
    held = "SELECT until - now() BETWEEN '1 h 55 min' AND '2 h', muted_at <= now() FROM mutes"
    assert rows(database_url, held) == [(True, True)]
    assert rows(database_url, "SELECT at <= now(), checked_at <= now() FROM health_readings") == [
        (True, True)
    ]
    state = ("SELECT hours_until <= now(), seen_until <= now(), raw_since <= now(), "
             "days_until <= now()::date FROM report_state")  # fmt: skip
    assert rows(database_url, state) == [(True, True, True, True)]


async def test_what_has_not_happened_is_not_dated_now(database: Database) -> None:
    """An open incident stays open, a notice is still to be sent, a channel is not broken."""
    async with database.begin() as connection:
        await outbox.add(connection, notice(number=None), channels={"console": True}, incident=None)
    at = now() + timedelta(days=730)
    await run(database, "UPDATE outbox SET created_at = :at", at=at)
    await run(database, "INSERT INTO channels (channel, configured_at) VALUES ('console', :at)",
              at=at)  # fmt: skip
    before = {}
    for table in clocks._STATE:
        async with database.begin() as connection:
            found = await connection.execute(text(f"SELECT * FROM {table.name}"))
            before[table.name] = [dict(row) for row in found.mappings()]
    async with database.begin() as connection:
        assert await clocks.correct(connection) >= 2
    for table, held in before.items():
        async with database.begin() as connection:
            found = await connection.execute(text(f"SELECT * FROM {table}"))
            after = [dict(row) for row in found.mappings()]
        assert [{k for k, v in row.items() if v is None} for row in after] == [
            {k for k, v in row.items() if v is None} for row in held
        ], table


@pytest.mark.parametrize("ahead", [timedelta(days=1), timedelta(days=730)])
async def test_a_notice_that_waits_for_the_future_is_sent_now(
    database: Database, database_url: str, ahead: timedelta
) -> None:
    one = notice(number=None)
    async with database.begin() as connection:
        await outbox.add(connection, one, channels={"console": True}, incident=None)
    await run(database, "UPDATE outbox SET due_at = :at", at=now() + ahead)
    await run(database, "INSERT INTO channels (channel, paused_until) VALUES ('console', :at)",
              at=now() + ahead)  # fmt: skip
    async with database.begin() as connection:
        leased = await outbox.lease(connection, "console")
        assert leased is not None
        assert leased.notice.id == one.id
        await outbox.settle(connection, one.id, Sent(), "console")


async def test_a_lease_of_the_future_is_no_sign_of_life(database: Database) -> None:
    await run(database, "INSERT INTO leases (name, holder, until, fence) VALUES "
                        "('evaluate', 'gone', now() + interval '730 days', 1)")  # fmt: skip
    async with database.begin() as connection:
        assert not await leases.evaluated(connection)
        await connection.execute(text("UPDATE leases SET until = now() + interval '10 seconds'"))
        assert await leases.evaluated(connection)


async def test_a_clock_two_years_ahead_deletes_nothing(
    database: Database, database_url: str
) -> None:
    """The same for the database as rows that are two years old, and a worker that just began."""
    long_ago = now() - timedelta(days=730)
    old = [one for nth in range(20) for one in round_at(long_ago - nth * timedelta(hours=7))]
    await add(database, *old, *round_at(now()))
    await run(database, "UPDATE report_state SET hours_until = date_trunc('hour', now()), "
                        "days_until = CAST(now() AS date)")  # fmt: skip
    count = "SELECT count(*), count(answer_excerpt) FROM observations"
    standing_in = rollup_context(database)
    assert await rollups._forget(standing_in) == 0
    assert rows(database_url, count) == [(42, 42)]
    # Rows have come for a week since: it was an absence.
    await add(database, *round_at(now() - timedelta(days=3)))
    assert await rollups._forget(standing_in) == 40
    assert rows(database_url, count) == [(4, 4)]


async def test_answers_of_the_future_do_not_say_who_answers_now(database: Database) -> None:
    at = now()
    claims = (Evidence(ClaimKind.SELF, "llama", -1.0),)
    await add(database, observation(slot=at, started_at=at, evidence=claims),
              observation(slot=at + EVERY, started_at=at + EVERY, evidence=claims))  # fmt: skip
    async with database.begin() as connection:
        found = await probe_rows.self_claims(connection, {"rag": ["hi"]}, until=at)
    assert found == {"rag": [{"llama"}]}


async def test_the_writers_role_may_correct_everything(
    database: Database, database_url: str
) -> None:
    assert schema.ensure(database_url) is None
    async with database.begin() as connection:
        await connection.execute(text("SET LOCAL ROLE monitor_writer"))
        assert await clocks.correct(connection) == 0
        assert await clocks.furthest(connection, ["rag"]) is None
        assert await clock_repair.set_aside(connection, worker="w1", now=now()) == 0
        assert await clock_repair.restore(connection, since=now(), until=now(), step=EVERY) == 0
        await clock_repair.forget(connection, EVERY)


async def test_a_page_for_backtest_ends_at_now(database: Database) -> None:
    at = now()
    await add(database, *round_at(at - EVERY), *round_at(at + timedelta(hours=1)))
    async with database.begin() as connection:
        page = await observations.page(connection, since=at - 2 * EVERY, until=at, after=None)
    assert [sample.round for _, sample in page] == [at - EVERY] * 2


async def test_an_export_ends_at_now(database: Database, database_url: str) -> None:
    at = now()
    await add(database, *round_at(at - EVERY), *round_at(at + timedelta(hours=1)))
    with report_queries.observed(database_url, timedelta(days=1)) as stream:
        assert sum(len(page) for page in stream.pages) == 2


@pytest.mark.parametrize("ahead", STEPS)
async def test_who_answered_ends_at_now(database: Database, ahead: timedelta) -> None:
    at = now()
    nameless = {"evidence": (), "identity": Identity.UNKNOWN, "model_detected": None}
    await add(database, *round_at(at - EVERY, **nameless), *round_at(at + ahead))
    async with database.begin() as connection:
        counts = await observations.identities(connection, since=at - 2 * EVERY)
        assert counts == {"rag": {(Identity.UNKNOWN, None): 2}}
        assert await observations.discloses(connection, "rag") is False

"""Rounds due: one that its target's phase still holds back is not missed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from monitor.storage import Database, observations, report_data, rollup_rows
from monitor.storage.rollup_rows import ReportTarget
from monitor.worker.round_schedule import slot_of
from tests.contract.past_day import EIGHT
from tests.example_data import observation

MINUTE, EVERY = timedelta(minutes=1), timedelta(minutes=5)
MISSED = "SELECT sum(rounds_missed) FROM report.ttft_hourly WHERE query = 'hi'"


async def missed(database: Database, *slots: datetime, since: datetime) -> int:
    """Rounds missed of a target that was probed in these slots and is watched since then."""
    async with database.begin() as connection:
        await observations.add(connection, [observation(slot=at, started_at=at) for at in slots])
        target = text("INSERT INTO report_targets (target, every_s, daily_queries, since) "
                      "VALUES ('rag', 300, 0, :since)")  # fmt: skip
        await connection.execute(target, {"since": since})
        return int(await connection.scalar(text(MISSED)) or 0)


async def test_a_round_that_may_not_have_begun_is_not_missed(database: Database) -> None:
    current = slot_of(datetime.now(UTC) + MINUTE, EVERY)
    before = [current - nth * EVERY for nth in range(1, 4)]
    assert await missed(database, *before, since=before[-1]) == 0


async def test_a_round_before_it_that_no_one_asked_is_missed(database: Database) -> None:
    current = slot_of(datetime.now(UTC) + MINUTE, EVERY)
    before = [current - nth * EVERY for nth in (1, 3)]
    assert await missed(database, *before, since=before[-1]) == 1


SLOTS = (
    "INSERT INTO slots (target, region, slot, worker, claimed_at, finished_at) "
    "SELECT 'rag', 'local', at, 'w1', at, at FROM unnest(CAST(:slots AS timestamptz[])) AS at"
)
COUNTED = (
    "SELECT max(rounds_expected), max(rounds_missed) FROM report.ttft_hours(:since, :until) "
    "GROUP BY hour, target, region"
)
RAG = ReportTarget(target="rag", every_s=600, daily_queries=0)


# Minutes of the rounds that were probed, what is configured, rounds due and missed.
WATCHED = (
    ((0, 10, 20, 30, 40, 50), "report_targets SET since = :eight", 6, 0),
    ((0, 10, 30, 40, 50), "report_targets SET since = :eight", 6, 1),
    # The first round of a worker is that of the slot before its start: it was due, too.
    ((0, 10, 20, 30, 40, 50), "report_targets SET since = :eight + interval '5 minutes'", 6, 0),
    ((10, 20, 30, 40, 50), "report_targets SET since = :eight + interval '5 minutes'", 5, 0),
    ((10, 30, 40, 50), "report_targets SET since = :eight + interval '5 minutes'", 5, 1),
    # From nine on, its interval is 10 s: the hour before has no 360 rounds.
    ((0, 10, 20, 30, 40, 50),
     "report_targets SET every_s = 10, since = :eight + interval '1 hour'", 6, 0),
    ((0, 10, 20, 30, 40, 50),
     "report_targets SET every_s = 10, since = :eight + interval '59 minutes'", 12, 6),
    # It was removed, with the last round under way.
    ((0, 10, 20), "report_targets SET since = :eight, gone_at = :eight + interval '25 min'", 3, 0),
    ((0, 20, 30), "report_targets SET since = :eight, gone_at = :eight + interval '25 min'", 4, 1),
    # No worker ran for twenty minutes, and before that one missed a round.
    ((0, 20, 40, 50), "report_state SET absences = tstzmultirange(tstzrange("
     ":eight + interval '20 minutes', :eight + interval '40 minutes', '[)'))", 5, 1),
)  # fmt: skip


async def test_rounds_are_due_while_their_target_is_watched(database: Database) -> None:
    found = []
    for minutes, change, _, _ in WATCHED:
        slots = [EIGHT + nth * MINUTE for nth in minutes]
        configured = text(f"UPDATE {change}".replace(":eight", "CAST(:eight AS timestamptz)"))
        async with database.begin() as connection:
            for table in ("slots", "report_targets", "observations"):
                await connection.execute(text(f"DELETE FROM {table}"))
            await connection.execute(text("UPDATE report_state SET absences = '{}'"))
            await rollup_rows.configure(connection, "UTC", [RAG])
            rows = [observation(slot=at, started_at=at) for at in slots]
            await observations.add(connection, rows)
            await connection.execute(text(SLOTS), {"slots": slots})
            await connection.execute(text("UPDATE report_targets SET since = :at"), {"at": EIGHT})
            await connection.execute(configured, {"eight": EIGHT})
            span = {"since": EIGHT, "until": EIGHT + 60 * MINUTE}
            [counted] = await connection.execute(text(COUNTED), span)
            found.append(tuple(counted))
    assert found == [(due, missed) for _, _, due, missed in WATCHED]


async def test_the_time_of_a_target_begins_again_when_it_changes(database: Database) -> None:
    question = text("SELECT since, gone_at FROM report_targets WHERE target = 'rag'")
    long_ago = text("UPDATE report_targets SET since = '2020-01-01'")
    other = replace(RAG, target="other")

    async def after(*targets: ReportTarget) -> tuple[bool, bool]:
        """Whether the time begins now, and whether the target is gone."""
        async with database.begin() as connection:
            await connection.execute(long_ago)
            await rollup_rows.configure(connection, "UTC", targets)
            row = (await connection.execute(question)).one()
            return row.since.year > 2020, row.gone_at is not None

    assert await after(RAG) == (True, False)
    assert await after(replace(RAG, daily_queries=5)) == (False, False)
    assert await after(replace(RAG, every_s=20)) == (True, False)
    assert await after(other) == (False, True)
    assert await after(other) == (False, True)
    assert await after(RAG, other) == (True, False)


async def test_the_time_without_a_worker_ends_with_the_first_round_of_the_next(
    database: Database,
) -> None:
    now = slot_of(datetime.now(UTC), MINUTE)
    earlier, later = now - 50 * MINUTE, now - 5 * MINUTE
    async with database.begin() as connection:
        await connection.execute(text("UPDATE report_state SET seen_until = :at"),
                                 {"at": earlier - MINUTE})  # fmt: skip
        await connection.execute(text(SLOTS), {"slots": [earlier, later, later + MINUTE]})
        running = datetime.now(UTC) - later + timedelta(seconds=5)
        await rollup_rows.note_absence(connection, running=running)
        [absence] = (await connection.execute(text("SELECT * FROM report.worker_absences"))).all()
    assert tuple(absence) == (earlier, later)


async def test_a_worker_that_ran_without_the_database_was_not_absent(database: Database) -> None:
    """It started two hours ago and probed; its first round is known to the database only now."""
    now = datetime.now(UTC)
    earlier, started = now - timedelta(hours=3), now - timedelta(hours=2)
    async with database.begin() as connection:
        await connection.execute(text("UPDATE report_state SET seen_until = :at"), {"at": earlier})
        await rollup_rows.note_absence(connection, running=now - started)
        [absence] = (await connection.execute(text("SELECT * FROM report.worker_absences"))).all()
    assert absence.began_at == earlier
    assert absence.ended_at - started <= 2 * MINUTE


async def test_many_restarts_are_not_a_long_time_without_a_worker(database: Database) -> None:
    """Each is known only as the time between two signs of a worker: up to some minutes."""
    begun = [EIGHT + nth * 60 * MINUTE for nth in range(5)]
    absences = text(
        "UPDATE report_state SET absences = (SELECT range_agg(tstzrange(at, at + CAST(:lasts AS "
        "interval))) FROM unnest(CAST(:begun AS timestamptz[])) AS at)"
    )
    found = []
    for lasts in (4 * MINUTE, 20 * MINUTE):
        async with database.begin() as connection:
            await connection.execute(absences, {"begun": begun, "lasts": lasts})
            span = {"since": EIGHT, "until": EIGHT + timedelta(hours=4, minutes=10)}
            found.append((await report_data.own(connection, (), **span)).absent)
    assert found == [None, timedelta(minutes=90)]


async def test_absences_of_other_hours_cost_no_time(database: Database) -> None:
    """Compared with each target, these would take minutes; a transaction may take 15 s."""
    often = text("UPDATE report_state SET absences = (SELECT range_agg(tstzrange(at, at + interval "
                 "'1 minute')) FROM generate_series(CAST(:eight AS timestamptz) - interval "
                 "'100 days', :eight, interval '7 minutes') AS at)")  # fmt: skip
    targets = [replace(RAG, target=f"t{nth}") for nth in range(500)]
    rows = [observation(slot=at, started_at=at) for at in (EIGHT, EIGHT + 20 * MINUTE)]
    async with database.begin() as connection:
        await rollup_rows.configure(connection, "UTC", [RAG, *targets])
        await connection.execute(text("UPDATE report_targets SET since = :at"), {"at": EIGHT})
        await connection.execute(often, {"eight": EIGHT})
        await observations.add(connection, rows)
        span = {"since": EIGHT, "until": EIGHT + 60 * MINUTE}
        assert [tuple(row) for row in await connection.execute(text(COUNTED), span)] == [(6, 4)]


async def test_a_second_worker_ends_no_absence(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(text("UPDATE report_state SET seen_until = now()"))
        await rollup_rows.note_absence(connection, running=timedelta(seconds=1))
        assert not await connection.scalar(text("SELECT count(*) FROM report.worker_absences"))


async def test_a_new_database_has_no_absence(database: Database) -> None:
    async with database.begin() as connection:
        await rollup_rows.note_absence(connection, running=timedelta(seconds=1))
        assert not await connection.scalar(text("SELECT count(*) FROM report.worker_absences"))


async def test_a_round_that_was_asked_before_it_had_to_begin_is_due(database: Database) -> None:
    """Otherwise a report right after a start has more answers than rounds."""
    current = slot_of(datetime.now(UTC), EVERY)
    due = text("SELECT sum(rounds_expected), sum(rounds_missed) FROM report.ttft_hourly")
    assert await missed(database, current - EVERY, current, since=current - EVERY) == 0
    async with database.begin() as connection:
        assert tuple((await connection.execute(due)).one()) == (2, 0)

"""Rounds due: one that its target's phase still holds back is not missed."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from monitor.storage import Database, observations
from monitor.worker.round_schedule import slot_of
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

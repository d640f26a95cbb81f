"""The outbox: at least once, in order per incident, patient, and loud when it gives up."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from monitor.domain import Delivery, GiveUp, Incident, Notice, NoticeStatus, Sent, TryLater
from monitor.storage import Database, incident_rows, outbox
from tests.e2e.worker_process import rows
from tests.example_data import NOON, notice

CHANNEL = "slack"


async def opened(database: Database, rule: str = "ttft") -> int:
    incident = Incident(
        rule=rule, scope="rag", opened_at=NOON, last_breach_at=NOON, last_told_at=NOON,
        value=2200.0, limit=1200.0, because="slow",
    )  # fmt: skip
    async with database.begin() as connection:
        numbers = await incident_rows.save(connection, [incident], [])
    return numbers[rule, "rag"]


async def add(
    database: Database, item: Notice, incident: int | None = None, *reported: int
) -> bool:
    async with database.begin() as connection:
        return await outbox.add(
            connection, item, channels={CHANNEL: True}, incident=incident, reported=reported
        )


async def lease(database: Database) -> outbox.LeasedNotice | None:
    async with database.begin() as connection:
        return await outbox.lease(connection, CHANNEL)


async def settle(database: Database, item: Notice, delivery: Delivery) -> None:
    async with database.begin() as connection:
        await outbox.settle(connection, item.id, delivery, CHANNEL)


async def age(database: Database, **changes: Any) -> None:
    """Make everything in the outbox older by so much."""
    shift = ", ".join(
        f"{column} = {column} - interval '{span}'" for column, span in changes.items()
    )
    async with database.begin() as connection:
        await connection.execute(text(f"UPDATE outbox SET {shift}"))


async def test_a_notice_comes_back_as_it_went_in_with_its_facts_in_order(
    database: Database,
) -> None:
    item = notice(facts={"Zebra": "first", "Apple": "second"}, rows=(uuid4(),))
    await add(database, item)
    leased = await lease(database)
    assert leased is not None
    assert leased.notice == item
    assert list(leased.notice.facts) == ["Zebra", "Apple"]


async def test_the_same_news_is_written_once(database: Database) -> None:
    item = notice()
    assert await add(database, item)
    assert not await add(database, replace(item, sentence="found again"))


async def test_a_leased_notice_is_no_one_elses_until_the_lease_runs_out(
    database: Database,
) -> None:
    await add(database, notice())
    first = await lease(database)
    assert first is not None
    assert await lease(database) is None
    await age(database, due_at="46 seconds")
    again = await lease(database)
    assert again is not None
    assert again.notice.id == first.notice.id
    assert (first.notice.repeated, again.notice.repeated) == (False, True)  # the holder died


async def test_what_was_refused_and_not_taken_is_no_repeat(database: Database) -> None:
    item = notice()
    await add(database, item)
    await lease(database)
    await settle(database, item, TryLater("HTTP 500"))
    await age(database, due_at="1 hour")
    again = await lease(database)
    assert again is not None
    assert not again.notice.repeated


async def test_a_holder_that_died_at_a_later_try_may_have_sent_it(database: Database) -> None:
    item = notice()
    await add(database, item)
    await lease(database)
    await settle(database, item, TryLater("HTTP 500"))
    await age(database, due_at="1 hour")
    second = await lease(database)
    await age(database, due_at="46 seconds")
    third = await lease(database)
    assert second is not None
    assert third is not None
    assert (second.notice.repeated, third.notice.repeated) == (False, True)


async def test_order_is_kept_within_an_incident_and_only_there(database: Database) -> None:
    number = await opened(database)
    fire, resolve = notice(), notice(id=uuid4(), status=NoticeStatus.RESOLVED)
    other = notice(id=uuid4(), status=NoticeStatus.NOTICE)
    await add(database, fire, number)
    await add(database, resolve, number)
    await add(database, other)
    taken = [await lease(database), await lease(database), await lease(database)]
    assert [item and item.notice.id for item in taken] == [fire.id, other.id, None]
    await settle(database, fire, Sent("C1:1.0"))
    last = await lease(database)
    assert last is not None
    assert (last.notice.id, last.reference) == (resolve.id, "C1:1.0")


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 5), (2, 10), (3, 20), (8, 640), (9, 900), (50, 900)]
)
async def test_waits_double_up_to_a_quarter_of_an_hour(
    database: Database, database_url: str, attempts: int, seconds: int
) -> None:
    item = notice()
    await add(database, item)
    await lease(database)
    async with database.begin() as connection:
        await connection.execute(text(f"UPDATE outbox SET attempts = {attempts}"))
    await settle(database, item, TryLater("HTTP 500"))
    [(wait, error)] = rows(
        database_url, "SELECT round(extract(epoch FROM due_at - now())), last_error FROM outbox"
    )
    assert abs(float(wait) - seconds) <= 2
    assert error == "HTTP 500"


# None: a 429 without Retry-After. With 0 it would be sent again at once, for ever.
@pytest.mark.parametrize("after_s", [60, None, 0.0])
async def test_a_throttled_channel_waits_as_a_whole_and_obeys_the_time_asked_for(
    database: Database, database_url: str, after_s: float | None
) -> None:
    first, second = notice(), notice(id=uuid4())
    await add(database, first)
    await add(database, second)
    await lease(database)
    async with database.begin() as connection:
        await connection.execute(text("UPDATE outbox SET attempts = 5"))
    await settle(database, first, TryLater("429", after_s=after_s, channel_wide=True))
    assert await lease(database) is None
    [[paused_s]] = rows(database_url, "SELECT extract(epoch FROM paused_until - now())::float "
                                      "FROM channels")  # fmt: skip
    assert 20 < paused_s <= 80


async def test_a_refusal_for_good_keeps_the_row_marks_the_channel_and_is_looked_at_hourly(
    database: Database, database_url: str
) -> None:
    item = notice()
    await add(database, item)
    await lease(database)
    await settle(database, item, GiveUp("channel_not_found", channel_broken=True))
    assert await lease(database) is None
    assert rows(database_url, "SELECT settled_at, last_error FROM outbox") == [
        (None, "channel_not_found")
    ]
    async with database.begin() as connection:
        backlog = await outbox.backlog(connection, CHANNEL)
    assert backlog.waiting == 1
    assert backlog.broken_why == "channel_not_found"
    async with database.begin() as connection:
        await connection.execute(
            text("UPDATE channels SET paused_until = paused_until - interval '61 min'")
        )
    assert await lease(database) is not None, "looked at again after an hour"
    await settle(database, item, Sent())
    async with database.begin() as connection:
        assert (await outbox.backlog(connection, CHANNEL)).broken_since is None


async def test_a_worker_that_starts_tries_a_broken_channel_at_once(database: Database) -> None:
    item = notice()
    await add(database, item)
    await lease(database)
    await settle(database, item, GiveUp("invalid_auth", channel_broken=True))
    assert await lease(database) is None
    async with database.begin() as connection:
        await outbox.recheck(connection, "another")
    assert await lease(database) is None, "another channel is none of its business"
    async with database.begin() as connection:
        await outbox.recheck(connection, CHANNEL)
        assert (await outbox.backlog(connection, CHANNEL)).broken_since is not None, "not proved"
    assert await lease(database) is not None


async def test_a_pause_that_slack_asked_for_outlives_a_restart(database: Database) -> None:
    item = notice()
    await add(database, item)
    await lease(database)
    await settle(database, item, TryLater("rate limited", after_s=60, channel_wide=True))
    async with database.begin() as connection:
        await outbox.recheck(connection, CHANNEL)
    assert await lease(database) is None


async def test_what_cannot_be_said_is_dead_and_blocks_no_one(
    database: Database, database_url: str
) -> None:
    bad, good = notice(), notice(id=uuid4())
    await add(database, bad)
    await add(database, good)
    await lease(database)
    await settle(database, bad, GiveUp("invalid_blocks"))
    leased = await lease(database)
    assert leased is not None
    assert leased.notice.id == good.id
    assert rows(database_url, "SELECT result FROM outbox WHERE settled_at IS NOT NULL") == [
        ("dead",)
    ]


async def test_a_day_of_silence_ends_a_notice_loudly(database: Database, database_url: str) -> None:
    item = notice()
    await add(database, item)
    await lease(database)
    await age(database, created_at="25 hours")
    await settle(database, item, TryLater("HTTP 500"))
    assert rows(database_url, "SELECT result FROM outbox") == [(None,)], "the clock may be wrong"
    async with database.begin() as connection:
        await connection.execute(text("UPDATE outbox SET attempts = 30"))  # as after a day of tries
    await settle(database, item, TryLater("HTTP 500"))
    assert rows(database_url, "SELECT result, last_error FROM outbox") == [("dead", "HTTP 500")]


async def test_a_lost_reply_is_repeated_and_says_so(database: Database) -> None:
    item = notice()
    await add(database, item)
    await lease(database)
    await settle(database, item, TryLater("timed out", maybe_sent=True))
    await age(database, due_at="1 hour")
    again = await lease(database)
    assert again is not None
    assert again.notice.repeated


async def test_an_hour_of_silence_makes_opening_and_end_one_message(
    database: Database, database_url: str
) -> None:
    number = await opened(database)
    fire = notice()
    over = notice(id=uuid4(), status=NoticeStatus.RESOLVED, until=NOON + timedelta(hours=1))
    await add(database, fire, number)
    await add(database, over, number)
    await age(database, created_at="61 minutes")
    leased = await lease(database)
    assert leased is not None
    assert leased.notice.id == over.id
    assert (leased.notice.since, leased.notice.until) == (over.since, over.until)
    assert rows(database_url, "SELECT result FROM outbox ORDER BY sequence") == [
        ("merged",), (None,)
    ]  # fmt: skip


async def test_at_most_one_incident_of_a_rule_and_scope_is_open(database: Database) -> None:
    from sqlalchemy.exc import IntegrityError

    await opened(database)
    with pytest.raises(IntegrityError, match="uq_incidents_open"):
        await opened(database)


async def test_of_digests_that_found_no_channel_only_the_latest_waits(
    database: Database, database_url: str
) -> None:
    days = [notice(id=uuid4(), rule="digest", status=NoticeStatus.NOTICE) for _ in range(3)]
    other = notice(id=uuid4(), rule="key", status=NoticeStatus.NOTICE)
    for item in (*days, other):
        await add(database, item)
    await age(database, created_at="2 hours")
    taken = [await lease(database), await lease(database), await lease(database)]
    assert [item and item.notice.id for item in taken] == [days[-1].id, other.id, None]
    merged = rows(database_url, "SELECT id FROM outbox WHERE result = 'merged' ORDER BY sequence")
    assert [row[0] for row in merged] == [day.id for day in days[:-1]]


async def test_what_was_heard_is_what_the_channel_accepted_aloud(
    database: Database, database_url: str
) -> None:
    """An edit alone notifies nobody; a message counts for every incident it reports."""
    received = "SELECT told_at IS NOT NULL FROM incidents ORDER BY number"
    primary, part, other = [await opened(database, rule) for rule in ("ttft", "down", "fallback")]
    edit = notice(id=uuid4(), quiet=True)
    later, refused = TryLater("Slack returned HTTP 500"), GiveUp("Slack error invalid_blocks")
    for item, delivery in ((edit, Sent("C1:1.1")), (notice(id=uuid4()), later),
                           (notice(id=uuid4()), refused)):  # fmt: skip
        await add(database, item, primary, primary, part)
        await settle(database, item, delivery)
    assert rows(database_url, received) == [(False,)] * 3
    aloud = notice(id=uuid4())
    await add(database, aloud, primary, primary, part)
    await settle(database, aloud, Sent("C1:1.1"))
    assert rows(database_url, received) == [(True,), (True,), (False,)]
    first = rows(database_url, "SELECT told_at FROM incidents ORDER BY number")
    again = notice(id=uuid4())
    await add(database, again, primary, primary, part, other)
    await settle(database, again, Sent("C1:1.1"))
    assert rows(database_url, "SELECT told_at FROM incidents ORDER BY number")[:2] == first[:2]
    assert rows(database_url, received) == [(True,)] * 3


async def test_nothing_was_received_before_it_opened_whatever_the_clocks_say(
    database: Database, database_url: str
) -> None:
    """The opening is by a worker's clock, the delivery by the database's."""
    number, item = await opened(database), notice(id=uuid4())
    async with database.begin() as connection:
        await connection.execute(text("UPDATE incidents SET opened_at = now() + interval '1 min'"))
    await add(database, item, number)
    await settle(database, item, Sent("C1:1.1"))
    assert rows(database_url, "SELECT told_at >= opened_at FROM incidents") == [(True,)]

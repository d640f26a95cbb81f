"""What the database itself promises: nothing twice, nothing silly, nothing inexact."""

import asyncio
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from monitor.domain import ClaimKind, CostSource, Evidence, Identity, StampSource
from monitor.storage import (
    Database,
    DatabaseUnavailable,
    leases,
    observations,
    spend_rows,
    stored_rows,
)
from tests.e2e.worker_process import rows
from tests.example_data import NOON, observation
from tests.raw_server import serving


async def add(database: Database, *new: Any) -> int:
    async with database.begin() as connection:
        return await observations.add(connection, new)


async def test_an_observation_is_stored_once_however_often_it_is_added(
    database: Database, database_url: str
) -> None:
    one = observation()
    assert await add(database, one) == 1
    assert await add(database, one) == 0
    assert rows(database_url, "SELECT id, cost_usd, fallback FROM observations") == [
        (one.id, Decimal("0.000007"), False)
    ]


async def test_the_first_row_of_a_round_wins_but_probes_by_hand_do_not_collide(
    database: Database,
) -> None:
    assert await add(database, observation(), observation()) == 1
    assert await add(database, observation(region="ams")) == 1
    assert await add(database, observation(origin="manual"), observation(origin="manual")) == 2


@pytest.mark.parametrize(
    ("identity", "fallback"),
    [(Identity.EXPECTED, False), (Identity.FALLBACK, True), (Identity.UNKNOWN, None),
     (Identity.DISPUTED, None), (Identity.CHANGED, None)],
)  # fmt: skip
async def test_fallback_is_derived_from_identity(
    database: Database, database_url: str, identity: Identity, fallback: bool | None
) -> None:
    await add(database, observation(identity=identity))
    assert rows(database_url, "SELECT fallback FROM observations") == [(fallback,)]


@pytest.mark.parametrize(
    "silly",
    [
        {"cost_usd": Decimal("NaN")},
        {"cost_usd": Decimal("-0.000001")},
        {"cost_usd": Decimal("100000000")},
        {"cost_usd": Decimal("Infinity")},
        {"cost_usd": None},  # without taking the source away
        {"ttft_ms": math.nan},
        {"ttft_ms": -1.0},
        {"ttft_ms": math.inf},
        {"confidence": 1.5},
        {"prompt_tokens": -1},
        {"outcome": "splendid"},
        {"origin": "dream"},
    ],
    ids=str,
)
async def test_the_database_refuses_what_cannot_be(database: Database, silly: Any) -> None:
    with pytest.raises(DBAPIError):
        await add(database, observation(**silly))


async def test_thirty_thousand_tiny_costs_sum_exactly(
    database: Database, database_url: str
) -> None:
    await add(database, observation(origin="manual"))
    columns = [c.name for c in observations.observations.columns
               if c.name not in ("id", "fallback")]  # fmt: skip
    listed = ", ".join(columns)
    # A session of its own: the worker's statement deadline is no concern of this test.
    inserted = rows(
        database_url,
        f"INSERT INTO observations (id, {listed}) SELECT gen_random_uuid(), {listed} "
        "FROM observations, generate_series(2, 30000) RETURNING 1",
    )
    assert len(inserted) == 29_999
    assert rows(database_url, "SELECT sum(cost_usd) = 0.21, count(*) FROM observations") == [
        (True, 30_000)
    ]


async def test_degraded_samples_carry_no_latency_to_judge(database: Database) -> None:
    await add(database, observation(stamp=StampSource.DEGRADED, started_at=NOON, slot=NOON))
    async with database.begin() as connection:
        await connection.execute(text("UPDATE observations SET recorded_at = started_at"))
        [sample] = await observations.samples(
            connection, "rag", since=NOON - timedelta(days=1), until=NOON + timedelta(days=1),
            most=10,
        )  # fmt: skip
    assert (sample.ttft_ms, sample.tpot_ms) == (None, None)


async def test_a_sample_says_whether_its_answer_could_be_compared(database: Database) -> None:
    evidence = (Evidence(ClaimKind.TEXT, "not compared", 0.0, "the answer is too short"),)
    await add(database, observation(started_at=NOON, slot=NOON, evidence=evidence),
              observation(query="kbli", started_at=NOON, slot=NOON, evidence=()))  # fmt: skip
    async with database.begin() as connection:
        await connection.execute(text("UPDATE observations SET recorded_at = started_at"))
        found = await observations.samples(
            connection, "rag", since=NOON - timedelta(days=1), until=NOON + timedelta(days=1),
            most=10,
        )  # fmt: skip
    assert {one.query: one.compared for one in found} == {"hi": False, "kbli": True}


async def test_answers_that_were_not_interpreted_are_counted_by_target(
    database: Database,
) -> None:
    now = datetime.now(UTC)
    day = timedelta(days=1)
    for at, query, reason in (
        (now, "hi", "stopped"),
        (now, "kbli", "x"),
        (now - day, "hi", "stopped"),
    ):
        await add(
            database,
            observation(started_at=at, slot=at, query=query, identity_reason=reason),
        )
    async with database.begin() as connection:
        found = await stored_rows.with_reason(
            connection, ["rag", "other"], "stopped", span=timedelta(hours=1)
        )
    assert found == {"rag": 1}


async def test_samples_come_oldest_first_and_rows_of_a_wrong_clock_are_not_judged(
    database: Database,
) -> None:
    early, late = (observation(slot=NOON + timedelta(minutes=m), started_at=NOON +
                               timedelta(minutes=m)) for m in (0, 5))  # fmt: skip
    skewed = observation(query="kbli", started_at=NOON + timedelta(hours=2))
    by_hand = observation(origin="manual")
    await add(database, late, early, skewed, by_hand)
    async with database.begin() as connection:
        await connection.execute(
            text("UPDATE observations SET recorded_at = :noon + interval '4 min'"), {"noon": NOON}
        )
        seen = await observations.samples(
            connection, "rag", since=NOON - timedelta(days=1), until=NOON + timedelta(days=1),
            most=10,
        )  # fmt: skip
    assert [sample.id for sample in seen] == [early.id, late.id]
    assert [sample.tpot_ms for sample in seen] == [early.tpot_ms, late.tpot_ms]


ROUND = leases.RoundSlot("rag", NOON)


async def test_one_of_two_workers_claims_a_slot(database: Database) -> None:
    async def claim(worker: str) -> bool:
        async with database.begin() as connection:
            claimed = await leases.claim(connection, [ROUND], region="local", worker=worker)
            return claimed == {ROUND}

    won = await asyncio.gather(claim("w1"), claim("w2"))
    assert sorted(won) == [False, True]
    async with database.begin() as connection:
        claimed = await leases.claim(connection, [ROUND], region="ams", worker="w3")
        assert claimed == {ROUND}, "each region asks itself"


async def test_a_lease_is_held_by_one_and_taken_over_with_a_higher_fence(
    database: Database,
) -> None:
    async def hold(holder: str, seconds: float) -> int | None:
        async with database.begin() as connection:
            span = timedelta(seconds=seconds)
            return await leases.hold(connection, "evaluate", holder=holder, span=span)

    assert await hold("w1", 30) == 1
    assert await hold("w1", 30) == 1, "its holder keeps it"
    assert await hold("w2", 30) is None
    async with database.begin() as connection:
        await connection.execute(text("UPDATE leases SET until = now()"))
    assert await hold("w2", 30) == 2
    assert await hold("w1", 30) is None


async def test_the_budget_counts_todays_probes_of_every_worker(database: Database) -> None:
    yesterday = NOON - timedelta(days=1)
    await add(database, observation(cost_usd=Decimal("0.25")),
              observation(worker="w2", origin="manual", cost_usd=Decimal("0.125")),
              observation(slot=yesterday, started_at=yesterday))  # fmt: skip
    async with database.begin() as connection:
        spent = await spend_rows.today(connection)
    assert (spent.usd, spent.count) == (Decimal("0.375"), 2)


async def test_partitions_are_made_once_and_take_the_rows_of_their_month(
    database: Database, database_url: str
) -> None:
    async with database.begin() as connection:
        made = await observations.ensure(connection, NOON.date())
    async with database.begin() as connection:
        assert await observations.ensure(connection, NOON.date()) == []
    assert len(made) == 4
    await add(database, observation())
    [(where,)] = rows(database_url, "SELECT tableoid::regclass::text FROM observations")
    assert where == f"observations_{NOON:%Y_%m}"


async def test_a_dead_address_is_away_and_a_wrong_password_is_final() -> None:
    nobody = Database("postgresql://user:secret@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseUnavailable) as unavailable:
        async with nobody.begin():
            pass
    assert not unavailable.value.final
    assert "secret" not in str(unavailable.value)
    await nobody.close()


async def test_a_database_that_is_not_there_is_final(server_url: str) -> None:
    from sqlalchemy import make_url

    url = make_url(server_url).set(database=f"no_{uuid4().hex}")
    nowhere = Database(url.render_as_string(hide_password=False))
    with pytest.raises(DatabaseUnavailable) as unavailable:
        async with nowhere.begin():
            pass
    assert unavailable.value.final
    await nowhere.close()


async def test_a_server_that_lets_everybody_wait_is_left_alone_for_a_while() -> None:
    callers = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer)
        await reader.read()

    async with serving(hang) as port:
        database = Database(f"postgresql://monitor@127.0.0.1:{port}/monitor")
        for message in ("timeout expired", "a moment ago"):
            with pytest.raises(DatabaseUnavailable, match=message):
                async with database.begin():
                    pass
        assert len(callers) == 1
        await database.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"cost_low_usd": Decimal(1)},
        {"cost_high_usd": Decimal(1)},
        {"cost_low_usd": Decimal(2), "cost_high_usd": Decimal(1)},
        {"cost_low_usd": Decimal(-1), "cost_high_usd": Decimal(1)},
        {"cost_low_usd": Decimal(1), "cost_high_usd": Decimal("NaN")},
        {"cost_usd": Decimal(1), "cost_source": CostSource.REPORTED,
         "cost_low_usd": Decimal(1), "cost_high_usd": Decimal(2)},
    ],
)  # fmt: skip
async def test_half_a_range_or_one_beside_a_cost_is_refused(
    database: Database, wrong: dict[str, Any]
) -> None:
    with pytest.raises(DBAPIError, match="cost_range"):
        await add(database, observation(**{"cost_usd": None, "cost_source": None} | wrong))

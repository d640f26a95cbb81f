"""A past day with few rows, which can be checked by hand, and the rollup job without a worker.

Yesterday (UTC), target `rag`, a round every half hour of two queries, `hi` and `kbli`:

    08  Llama      600 ms and 1000 ms, $0.0002 each
    09  nobody asks
    10  Haiku      2000 ms and 2400 ms, $0.001 each
    11  Llama      as at 08
    12  one `hi`, no answer within 30 s
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

from sqlalchemy import text

from monitor import identity
from monitor.config.environment import environment
from monitor.domain import Identity, Incident, Observation, Outcome, Query, Target
from monitor.pricing.book import price_book
from monitor.rules import SpendRule
from monitor.storage import Database, incident_rows, observations, rollup_rows, spend_rows
from monitor.worker import daily_spend
from monitor.worker.context import WorkerContext, WorkerState
from monitor.worker.rollups import roll_up
from tests.example_data import HAIKU, LLAMA, observation

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
YESTERDAY = TODAY - timedelta(days=1)
HALF_HOUR = timedelta(minutes=30)
EIGHT = YESTERDAY + timedelta(hours=8)

LLAMA_USD, HAIKU_USD = Decimal("0.0002"), Decimal("0.001")
RAG = Target(
    name="rag", url="http://localhost", dialect="bali_zero", every=HALF_HOUR, daily_queries=48,
    queries=(Query(id="hi", text="Hi", prompt_tokens=30), Query(id="kbli", text="KBLI?")),
    expected_models=(LLAMA,), fallback_models=(HAIKU,),
)  # fmt: skip


def row_at(at: datetime, query: str = "hi", **changes: Any) -> Observation:
    """A good answer by Llama in the round of that instant, 600 ms."""
    ordinary = {"slot": at, "started_at": at, "query": query, "ttft_ms": 600.0,
                "cost_usd": LLAMA_USD}  # fmt: skip
    return observation(**ordinary | changes)


def fell_at(at: datetime, query: str = "hi", **changes: Any) -> Observation:
    """The same by Haiku, 2000 ms."""
    haiku = {"ttft_ms": 2000.0, "cost_usd": HAIKU_USD, "identity": Identity.FALLBACK,
             "model_detected": HAIKU}  # fmt: skip
    return row_at(at, query, **haiku | changes)


def failed(at: datetime, query: str = "hi", **changes: Any) -> Observation:
    """No first token in time: nothing heard, nothing to pay."""
    nothing = {
        "outcome": Outcome.TIMEOUT_FIRST_TOKEN, "error": "no answer text within 30 s",
        "ttft_ms": None, "pieces": 0, "identity": Identity.UNKNOWN, "model_detected": None,
        "cost_usd": None, "cost_source": None, "answer_tokens": None,
    }  # fmt: skip
    return row_at(at, query, **nothing | changes)


def day_rows() -> Iterator[Observation]:
    for hours, one, base_ms in ((0, row_at, 600.0), (2, fell_at, 2000.0), (3, row_at, 600.0)):
        for half in range(2):
            at = EIGHT + timedelta(hours=hours) + half * HALF_HOUR
            yield one(at, "hi", ttft_ms=base_ms)
            yield one(at, "kbli", ttft_ms=base_ms + 400)
    yield failed(EIGHT + timedelta(hours=4))


async def store(database: Database, *new: Observation) -> None:
    """Store them as if each had been recorded when it was started."""
    async with database.begin() as connection:
        assert await observations.add(connection, new) == len(new)
        await run(connection, "UPDATE observations SET recorded_at = started_at "
                              "WHERE recorded_at = now()")  # fmt: skip


async def run(connection: Any, statement: str, **values: Any) -> Any:
    return await connection.execute(text(statement), values)


async def sql(database: Database, statement: str, **values: Any) -> Sequence[tuple[Any, ...]]:
    async with database.begin() as connection:
        return [tuple(row) for row in await run(connection, statement, **values)]


async def one(database: Database, statement: str, **values: Any) -> tuple[Any, ...]:
    [row] = await sql(database, statement, **values)
    return row


async def open_incident(database: Database) -> None:
    """The fallback of yesterday: began at 10:00, opened 10:30, told at 10:31, over at 11:30."""
    opened = EIGHT + timedelta(hours=2, minutes=30)
    [first] = await one(database, "SELECT coalesce(array_agg(id), '{}') FROM observations "
                                  "WHERE slot = :at", at=opened - HALF_HOUR)  # fmt: skip
    incident = Incident(
        rule="fallback", scope="rag", opened_at=opened, resolved_at=opened + timedelta(hours=1),
        last_breach_at=opened, last_told_at=opened, value=1.0, limit=0.1, peak=1.0,
        because="4 of the last 4 answers fell back", rows=tuple(first),
        first_seen_at=opened - HALF_HOUR,
    )  # fmt: skip
    async with database.begin() as connection:
        await incident_rows.save(connection, [incident], [])
        await run(
            connection,
            "INSERT INTO outbox (id, incident, status, notice, due_at, settled_at, result) "
            "VALUES (gen_random_uuid(), 1, 'FIRING', '{}', :at, :at, 'sent')",
            at=opened + timedelta(minutes=1),
        )
        await run(
            connection,
            "UPDATE incidents SET told_at = :at",
            at=opened + timedelta(minutes=1),
        )


def rollup_context(database: Database, zone: str = "UTC", **storage: timedelta) -> WorkerContext:
    """What the rolling job needs of a worker, and no more."""
    kept = {"keep_raw": timedelta(days=90), "keep_excerpts": timedelta(days=7),
            "keep_failed_excerpts": timedelta(days=30)}  # fmt: skip
    settings = SimpleNamespace(
        targets={"rag": RAG},
        rules={"spend": SpendRule(timezone=zone)},
        file=SimpleNamespace(
            storage=SimpleNamespace(**kept | storage),
            accounts=SimpleNamespace(every=timedelta(minutes=5)),
        ),
        environment=environment({"OPENROUTER_API_KEY": "k1", "ANTHROPIC_ADMIN_KEY": "k2"})[0],
    )
    prices = {
        LLAMA: {"input": "0.20", "output": "0.20", "provider": "openrouter"},
        HAIKU: {"input": "1.00", "output": "5.00", "provider": "anthropic"},
    }
    standing_in = SimpleNamespace(
        settings=settings, database=database, worker="w1", now=lambda: datetime.now(UTC),
        state=WorkerState(),
        book=price_book(prices, same=identity.same),
    )  # fmt: skip
    return cast("WorkerContext", standing_in)


async def roll_up_database(database: Database, zone: str = "UTC", **storage: timedelta) -> None:
    await roll_up(rollup_context(database, zone, **storage))


async def roll_up_three_days(database: Database, zone: str) -> None:
    """Roll up the days of the first rows; the months since then have none and are left out."""
    context = rollup_context(database, zone)
    async with database.begin() as connection:
        await rollup_rows.configure(connection, zone, [])
        while await rollup_rows.advance(connection) == "hour":
            pass
        for _ in range(2):
            assert await rollup_rows.advance(connection) == "day"
        for day in await spend_rows.stale_days(connection):
            await daily_spend.compute_day(
                connection, context.settings, context.book, day,
                zone=ZoneInfo(zone), now=context.now(),
            )  # fmt: skip

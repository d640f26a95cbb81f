"""Sums over known, ranged and unpriced answers: both ends, to the last digit."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from monitor.domain import Identity, Observation
from monitor.storage import Database, observations
from tests.contract.past_day import RAG, TODAY, fell_at, one, roll_up_database, row_at, sql, store

LOW, HIGH = Decimal("0.000131"), Decimal("0.002467123457")
FIRST, SECOND = TODAY - timedelta(days=5), TODAY - timedelta(days=4)
PARTLY = {"without_price": "acme/unlisted"}
SPENT = """
    SELECT day, sum(probes_usd), sum(probes_high_usd), sum(spent_usd), sum(spent_high_usd),
        bool_or(at_least)
    FROM report.spend_daily WHERE day <= current_date - 4 GROUP BY day ORDER BY day
"""
PER_QUERY = """
    SELECT day, sum(total_usd), sum(total_low_usd), sum(total_high_usd), sum(ranged),
        bool_or(at_least)
    FROM report.cost_per_query_daily GROUP BY day ORDER BY day
"""


def unknown(at: datetime, query: str = "hi", **changes: Any) -> Observation:
    """An answer by nobody can tell whom, without a price."""
    nothing = {"identity": Identity.UNKNOWN, "model_detected": None, "cost_usd": None,
               "cost_source": None, "cost_reason": "the model could not be identified",
               "rates": {}}  # fmt: skip
    return row_at(at, query, **nothing | changes)


def changed(at: datetime, query: str = "hi", **changes: Any) -> Observation:
    """The same, with a range."""
    ranged = {"identity": Identity.CHANGED, "cost_low_usd": LOW, "cost_high_usd": HIGH,
              "cost_reason": "the model is unknown: priced as a range"}  # fmt: skip
    return unknown(at, query, **ranged | changes)


def across_midnight() -> Sequence[Observation]:
    """Rounds every half hour from 20:00 to 04:00, in turn by every kind there is."""
    kinds = (row_at, changed, fell_at, changed, changed, row_at, unknown)
    begin = SECOND - timedelta(hours=4)
    rows = []
    for nth in range(16):
        at = begin + nth * timedelta(minutes=30)
        rows += [kinds[nth % 7](at, "hi"), kinds[(nth + 3) % 7](at, "kbli")]
    return [
        *rows,
        changed(SECOND, "late", rates=PARTLY),
        changed(begin, "cut", outcome="truncated"),
    ]


class Money(NamedTuple):
    low: Decimal
    high: Decimal
    at_least: bool


def of_probes(rows: Sequence[Observation], day: date) -> Money:
    """Our own probes of a day, added up by hand."""
    low = high = Decimal(0)
    at_least = False
    for row in rows:
        if row.slot.date() != day:
            continue
        low += row.cost_usd or row.cost_low_usd or 0
        high += row.cost_usd or row.cost_high_usd or 0
        at_least |= row.cost_usd is None and (not row.cost_low_usd or bool(row.rates))
    return Money(low, high, at_least)


def of_traffic(rows: Sequence[Observation], day: datetime) -> tuple[Decimal, Decimal]:
    """48 queries a day, spread over slices of five minutes as whole answers were last heard."""
    by_slice: dict[datetime, list[Observation]] = {}
    for row in rows:
        if row.slot.date() == day.date() and row.outcome == "answered":
            by_slice.setdefault(row.slot, []).append(row)
    low = high = Decimal(0)
    received = by_slice[min(by_slice)]
    for nth in range(288):
        received = by_slice.get(day + nth * timedelta(minutes=5), received)
        queries = Decimal(RAG.daily_queries) / 288 / len(received)
        low += sum(
            (queries * (row.cost_usd or row.cost_low_usd or 0) for row in received), Decimal(0)
        )
        high += sum(
            (queries * (row.cost_usd or row.cost_high_usd or 0) for row in received), Decimal(0)
        )
    return low, high


async def test_every_sum_holds_both_ends_across_a_midnight(database: Database) -> None:
    rows = across_midnight()
    await store(database, *rows)
    await roll_up_database(database)
    found = await sql(database, SPENT)
    for day, probes, probes_high, spent, spent_high, at_least in found:
        by_hand = of_probes(rows, day)
        assert (probes, probes_high, at_least) == by_hand, day
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        traffic = of_traffic(rows, midnight)
        near = Decimal("0.00000001")  # 288 slices are rounded to twelve places each
        assert abs(spent - by_hand.low - traffic[0]) < near
        assert abs(spent_high - by_hand.high - traffic[1]) < near
    assert [day for day, *_ in found] == [FIRST.date(), SECOND.date()]
    for day, total, low, high, ranged, at_least in await sql(database, PER_QUERY):
        by_hand = of_probes(rows, day)
        exact = sum(row.cost_usd or 0 for row in rows if row.slot.date() == day)
        whole = sum(
            row.cost_low_usd is not None and row.outcome == "answered"
            for row in rows
            if row.slot.date() == day
        )
        assert (total, low, high, ranged, at_least) == (exact, *by_hand[:2], whole, by_hand[2])


async def test_a_day_of_unknown_models_alone_is_no_day_of_nothing(database: Database) -> None:
    await store(database, *(changed(FIRST + n * timedelta(hours=1)) for n in range(24)))
    await roll_up_database(database)
    day, _ = await sql(database, SPENT)
    assert day[1:3] == (24 * LOW, 24 * HIGH)
    both = tuple(round(usd, 8) for usd in day[3:5])  # slices of traffic are rounded
    assert both == (round(72 * LOW, 8), round(72 * HIGH, 8)), "48 queries of traffic besides"
    assert day[5] is False
    mean = await one(database, "SELECT mean_usd, mean_low_usd, mean_high_usd "
                               "FROM report.cost_per_query_daily")  # fmt: skip
    assert mean == (None, LOW, HIGH)


async def test_known_models_alone_have_no_margin(database: Database) -> None:
    await store(database, row_at(FIRST), fell_at(FIRST, "kbli"))
    await roll_up_database(database)
    same = await one(database, "SELECT bool_and(spent_usd = spent_high_usd AND probes_usd = "
                               "probes_high_usd AND traffic_usd = traffic_high_usd), "
                               "sum(probes_usd) FROM report.spend_daily")  # fmt: skip
    assert same == (True, Decimal("0.0012"))


async def test_a_late_row_moves_both_ends(database: Database) -> None:
    await store(database, changed(FIRST))
    await roll_up_database(database)
    async with database.begin() as connection:
        await observations.add(connection, [changed(FIRST + timedelta(minutes=5))])
    await roll_up_database(database)
    assert (await sql(database, SPENT))[0][1:3] == (2 * LOW, 2 * HIGH)


async def test_ranges_outlive_the_raw_rows(database: Database) -> None:
    await store(database, *across_midnight())
    await roll_up_database(database)
    before = await sql(database, SPENT), await sql(database, PER_QUERY)
    await roll_up_database(database, keep_raw=timedelta(days=2))
    assert await one(database, "SELECT count(*) FROM observations") == (0,)
    await roll_up_database(database, keep_raw=timedelta(days=2))
    assert (await sql(database, SPENT), await sql(database, PER_QUERY)) == before

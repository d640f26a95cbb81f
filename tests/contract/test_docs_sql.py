"""docs/sql.md: every ready query runs and gives the expected answer; every column is explained."""

import re
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from monitor.storage import Database
from tests.contract.past_day import (
    EIGHT,
    TODAY,
    YESTERDAY,
    day_rows,
    one,
    open_incident,
    roll_up_database,
    row_at,
    run,
    sql,
    store,
)
from tests.example_data import HAIKU, LLAMA

PAGE = (Path(__file__).parents[2] / "docs" / "sql.md").read_text(encoding="utf-8")
QUERIES = {
    int(number): body
    for number, body in re.findall(
        r"^### (\d+)\. [^\n]+\n.*?```sql\n(.*?);\n```", PAGE, re.S | re.M
    )
}
HOUR = timedelta(hours=1)
NEAR = pytest.approx


def at(hours: int) -> Any:
    return EIGHT + timedelta(hours=hours)


async def spent_this_month(database: Database) -> list[tuple[Any, ...]]:
    """Reckoned another way: today and yesterday are all there is, unless a month began between."""
    days = [TODAY] if TODAY.day == 1 else [YESTERDAY, TODAY]
    [spent] = await one(database, "SELECT sum(spent_usd) FROM spend_days WHERE day = ANY(:days)",
                        days=[day.date() for day in days])  # fmt: skip
    return [(spent, spent, Decimal(2 * TODAY.day), True)]  # nobody was heard today


ANSWERS: dict[int, list[tuple[Any, ...]]] = {
    1: [(at(0), "rag", LLAMA, 4), (at(2), "rag", HAIKU, 4), (at(3), "rag", LLAMA, 4)],
    2: [("rag", NEAR(Decimal("0.0032")), NEAR(Decimal("0.0128")))],  # 12 of 48 queries seen
    3: [(900, "expected", NEAR(Decimal("0.5"))), (900, "fallback", 1), (1200, "expected", 0),
        (1200, "fallback", 1), (2200, "expected", 0), (2200, "fallback", NEAR(Decimal("0.5")))],
    4: [("rag", "kbli", HAIKU, 2, 1, 5, 2395, 2400), ("rag", "hi", HAIKU, 2, 1, 5, 1995, 2000),
        ("rag", "kbli", LLAMA, 4, 1, 5, 995, 1000)],
    6: [("fallback", 1, 30, 31, 60, NEAR(Decimal("0.0036"), rel=Decimal("0.00001")))],
    7: [(at(1), "rag", "local", 2)],
    8: [("rag", 12, Decimal(2417))],  # of 2,400, within 1 %
    9: [("hi", HAIKU, 2, Decimal("0.001")), ("kbli", HAIKU, 2, Decimal("0.001")),
        ("hi", LLAMA, 4, Decimal("0.0002")), ("kbli", LLAMA, 4, Decimal("0.0002"))],
    10: [(YESTERDAY.date(), "rag", 12, 1, Decimal("92.3"))],
    11: [(YESTERDAY.date().replace(day=1), "rag", Decimal("4.67"), 2, 10, Decimal("0.0064"),
          Decimal("0.0032"))],
}  # fmt: skip


@pytest.fixture
async def seeded(database: Database) -> Database:
    """Yesterday, rolled up; watched for as long as the page's questions reach back."""
    await store(database, *day_rows())
    await open_incident(database)
    async with database.begin() as connection:
        await run(connection, "INSERT INTO report_targets (target, every_s, daily_queries, since) "
                              "VALUES ('rag', 1800, 48, :at)", at=EIGHT)  # fmt: skip
    await roll_up_database(database)
    return database


def test_every_ready_query_has_its_answer() -> None:
    assert sorted(QUERIES) == list(range(1, len(QUERIES) + 1))
    assert len(QUERIES) >= 10
    assert sorted({*ANSWERS, 5}) == sorted(QUERIES)


async def test_every_ready_query_gives_the_expected_answer(seeded: Database) -> None:
    wrong = {}
    for number, query in QUERIES.items():
        expected = ANSWERS.get(number) or await spent_this_month(seeded)
        found = await sql(seeded, query.replace(":", "\\:").replace("\\:\\:", "::"))
        if found != expected:
            wrong[number] = found
    assert wrong == {}


COLUMNS = """
    SELECT c.relname, a.attname, col_description(c.oid, a.attnum) FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'report'::regnamespace AND c.relkind = 'v'
"""


def explained() -> dict[str, dict[str, str]]:
    """View → column → what the page says of it."""
    views = re.split(r"^### `report\.(\w+)`$", PAGE, flags=re.M)[1:]
    return {
        view: dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| (.+) \|$", text, re.M))
        for view, text in zip(views[::2], views[1::2], strict=True)
    }


def names(places: Iterable[tuple[str, str]]) -> list[str]:
    return sorted(f"report.{view}.{column}" for view, column in places)


async def test_every_report_column_is_commented_and_explained_on_the_page(
    database: Database,
) -> None:
    comments = {(view, column): comment for view, column, comment in await sql(database, COLUMNS)}
    texts = {(view, column): text for view, rows in explained().items()
             for column, text in rows.items()}  # fmt: skip
    missing = comments.keys() - texts.keys()
    sections = {view for view, _ in comments} - explained().keys()
    uncommented = {place for place, comment in comments.items() if not comment}
    commented = comments.keys() - missing - uncommented
    differing = {place for place in commented if texts[place] != comments[place]}
    wrong = {
        "add COMMENT ON COLUMN to the view's SQL file": names(uncommented),
        "add a section to docs/sql.md": sorted(f"### `report.{view}`" for view in sections),
        "add a row to docs/sql.md": names(place for place in missing if place[0] not in sections),
        "remove from docs/sql.md": names(texts.keys() - comments.keys()),
        "the row of docs/sql.md must have the text of the comment": names(differing),
    }
    assert {remedy: places for remedy, places in wrong.items() if places} == {}


METRICS = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
# What the page of metrics explains besides observations: views whole, one column of others.
EXPLAINED_THERE = ("calendar", "reconciliation_daily", "incidents.likely_cause",
                   "incidents.cause_owner", "observations.finish", "observations.check_passed",
                   "observations.check_failed", "observations.source_count",
                   "observations.source_best_score", "observations.source_newest_at")  # fmt: skip


async def test_figures_of_causes_dates_bills_and_checks_have_their_place_in_the_metrics(
    database: Database,
) -> None:
    places = [(view, column) for view, column, _ in await sql(database, COLUMNS)
              if view in EXPLAINED_THERE or f"{view}.{column}" in EXPLAINED_THERE]  # fmt: skip
    assert len(places) > 30
    missing = [place for place in places if f"`{place[1]}`" not in METRICS]
    assert names(missing) == [], "add them to docs/metrics.md"


async def test_the_diagram_shows_every_view(database: Database) -> None:
    [diagram] = re.findall(r"```mermaid\n(.*?)```", PAGE, re.S)
    views = {f"report.{view}" for view, _, _ in await sql(database, COLUMNS)}
    shown = set(re.findall(r"report\.\w+", diagram))
    assert len(views) > 10
    assert views - shown == set(), "add an arrow to the diagram of docs/sql.md"
    assert shown - views == set(), "remove from the diagram of docs/sql.md"


UNITS = {"_ms": " ms", "_usd": "USD", "_s": ", s"}


async def test_report_columns_of_time_and_money_state_their_unit(database: Database) -> None:
    bare = {
        (view, column)
        for view, column, comment in await sql(database, COLUMNS)
        for suffix, unit in UNITS.items()
        if column.endswith(suffix) and unit not in (comment or "")
    }
    assert names(bare) == [], f"the comment of each must state its unit: one of {UNITS}"


async def test_one_more_day_does_not_change_yesterday(seeded: Database) -> None:
    await store(seeded, row_at(YESTERDAY - timedelta(days=1)))
    assert await sql(seeded, QUERIES[1]) == ANSWERS[1]

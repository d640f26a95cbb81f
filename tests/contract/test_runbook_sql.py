"""The SQL that people are told to run, in the runbook and in messages: it runs, and it shows."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from monitor.domain import ALL, Identity, Incident, Notice, NoticeStatus, Subject
from monitor.notifications.slack.escaping import sql
from monitor.rules import RULES
from monitor.rules.calendar import CalendarEntry, CalendarKind
from monitor.storage import Database, calendar_rows, incident_rows, schema
from tests.contract.past_day import TODAY, failed, fell_at, roll_up_database, row_at, store
from tests.contract.test_roles import as_role
from tests.example_data import notice

HINT = (
    "if it is right, add an observation in which it happened to `reader` in "
    "tests/contract/test_runbook_sql.py"
)
NOW, SECOND = datetime.now(UTC), timedelta(seconds=1)
RUNBOOK = (Path(__file__).parents[2] / "docs/runbook.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.M | re.S))


@pytest.fixture
async def reader(database: Database, database_url: str) -> Any:
    """A reader of the last hour, in which everything that has a rule happened."""
    at = max(NOW - timedelta(minutes=20), TODAY)
    unpriced: dict[str, Any] = {"cost_usd": None, "cost_source": None, "cost_reason": "no price"}
    await store(
        database,
        row_at(at),
        fell_at(at, "kbli"),
        failed(at + SECOND),
        row_at(at + 3 * SECOND, identity=Identity.CHANGED, model_detected=None),
        row_at(at + 2 * SECOND, identity=Identity.UNKNOWN, model_detected=None, **unpriced),
        row_at(at + 4 * SECOND, check_passed=False, check_failed="contains: “KBLI” is missing"),
    )
    down = Incident(
        rule="down", scope="rag", opened_at=at, last_breach_at=at, last_told_at=at, value=5.0,
        limit=5.0, because="5 of the last 6 probes failed.",
    )  # fmt: skip
    async with database.begin() as connection:
        await incident_rows.save(connection, [down], ())
        expiry = CalendarEntry(
            kind=CalendarKind.KEY, scope="openrouter", at=NOW + timedelta(days=3),
            what="the key expires", source="account API of openrouter", term="1",
        )  # fmt: skip
        read = calendar_rows.CalendarReading(expiry.kind, expiry.scope, [expiry])
        await calendar_rows.keep(connection, [read], at=NOW)
    await roll_up_database(database)
    schema.ensure(database_url)
    with as_role(database_url, "monitor_reader") as connection:
        yield connection


def shown(reader: psycopg.Connection[Any], statement: str) -> int:
    return len(reader.execute(statement.encode()).fetchall())


def told(rule: str) -> Iterator[Notice]:
    """Messages of a rule: of an incident that stands, and of one that is over."""
    scope = {Subject.TARGET: "rag", Subject.PROVIDER: "openrouter"}.get(RULES[rule].subject, ALL)
    since = NOW - timedelta(minutes=30)
    yield notice(rule=rule, scope=scope, since=since, at=NOW)
    yield notice(
        rule=rule, scope=scope, since=since, until=NOW, at=NOW, status=NoticeStatus.RESOLVED
    )


async def test_the_runbook_shows_what_each_rule_speaks_of(reader: psycopg.Connection[Any]) -> None:
    found = {
        rule: [shown(reader, q) for q in re.findall(r"```sql\n(.*?)```", SECTIONS[rule], re.S)]
        for rule in RULES
    }
    empty = [rule for rule, rows in found.items() if not rows or not all(rows)]
    assert not empty, f"docs/runbook.md, section {', '.join(empty)}: a query finds no row; {HINT}"


async def test_the_query_in_each_message_shows_its_evidence(
    reader: psycopg.Connection[Any],
) -> None:
    found = {rule: [shown(reader, sql(item) or "") for item in told(rule)] for rule in RULES}
    empty = [rule for rule, rows in found.items() if not all(rows)]
    assert not empty, f"`evidence_sql` of {', '.join(empty)} finds no row; {HINT}"


async def test_a_scope_cannot_leave_its_literal(reader: psycopg.Connection[Any]) -> None:
    statement = sql(notice(rule="ttft", scope="x'; SELECT 1; --", since=NOW, at=NOW))
    assert statement is not None
    assert shown(reader, statement) == 0

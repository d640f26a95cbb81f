"""The fifteen questions of docs/sql.md: answered as monitor_reader, to the last digit.

On the embedded server, and on Debian's Postgres 15 where it is installed. Answers are compared
before rows came late, after, and once old raw rows are gone.
"""

import contextlib
import getpass
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from monitor.domain import Incident
from monitor.storage import (
    Database,
    incident_rows,
    observations,
    rollup_rows,
    schema,
    spend_rows,
)
from monitor.storage.schema import migrate
from monitor.worker import daily_spend
from tests.contract import example_week as s
from tests.contract.past_day import RAG, rollup_context, run, sql, store
from tests.contract.test_roles import as_role
from tests.example_data import HAIKU, LLAMA

PAGE = (Path(__file__).parents[2] / "docs" / "sql.md").read_text(encoding="utf-8")
QUESTIONS = {
    int(number): body
    for number, body in re.findall(
        r"^### Q(\d+)\. [^\n]+\n.*?```sql\n(.*?);\n```", PAGE, re.S | re.M
    )
}
DEBIAN = Path("/usr/lib/postgresql/15/bin")
DAY = timedelta(days=1)
RAW = {3, 8, 9, 12}  # these read raw rows, and reach no further back

# What people and workers wrote besides rows.
OPENED = datetime(2025, 10, 31, 22, 50, tzinfo=UTC)  # over a month's end in Rome
EXPIRES = s.NOW + timedelta(days=9, hours=3)
INCIDENTS = [
    (1, "fallback", "rag", OPENED, 600.0, 5400.0, 6000.0),
    (2, "down", "rag", OPENED - DAY, 60.5, 30.25, 90.75),
]
MUTES = [
    ("ada", "ttft", "rag", "deploy", s.NOW - timedelta(hours=2), s.NOW + timedelta(hours=1)),
    ("grace", "all", "all", "planned work", s.NOW - 3 * DAY, s.NOW - 2 * DAY),
]
KEYS = [
    ("openrouter", "failing", "HTTP 502", EXPIRES, EXPIRES - s.NOW, Decimal("3.25"), s.NOW),
    ("anthropic", "rejected", "HTTP 401", None, None, None, s.NOW - s.HOUR),
]


@contextlib.contextmanager
def debian() -> Iterator[str]:
    """Postgres 15 as Debian ships it, by its own path; it refuses to run as root."""
    if not (DEBIAN / "initdb").exists():
        pytest.skip(f"{DEBIAN} is not there: apt-get install postgresql-15")
    user = "postgres" if os.getuid() == 0 else getpass.getuser()
    home = Path(tempfile.mkdtemp(prefix="pg15-", dir="/tmp"))
    if os.getuid() == 0:
        os.chown(home, pwd.getpwnam(user).pw_uid, -1)

    def ran(*command: str) -> None:
        who = {"user": user} if os.getuid() == 0 else {}
        subprocess.run(command, check=True, capture_output=True, cwd=home, **who)  # type: ignore[call-overload]

    data = str(home / "data")
    ran(str(DEBIAN / "initdb"), "-D", data, "-U", "monitor", "-A", "trust", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories={home} -c fsync=off"
    ran(str(DEBIAN / "pg_ctl"), "-D", data, "-w", "-l", str(home / "log"), "-o", options, "start")
    try:
        yield f"postgresql://monitor@/postgres?host={home}"
    finally:
        ran(str(DEBIAN / "pg_ctl"), "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(home)


@pytest.fixture(params=["embedded 18", "debian 15"])
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    if request.param == "embedded 18":
        yield request.getfixturevalue("database_url")
        return
    with debian() as address:
        migrate(address)
        yield address


@pytest.fixture
async def stored(url: str) -> AsyncIterator[Database]:
    schema.ensure(url)
    database = Database(url)
    await store(database, *s.rows())
    async with database.begin() as connection:
        notified = rollup_rows.ReportTarget(
            target="rag", every_s=s.EVERY.total_seconds(), daily_queries=RAG.daily_queries,
            expected_model=LLAMA, fallback_model=HAIKU, expected_usd=s.EXPECTED_USD,
            fallback_usd=s.FALLBACK_USD,
        )  # fmt: skip
        await rollup_rows.configure(connection, s.ROME.key, [notified])
        await run(connection, "UPDATE report_targets SET since = :at", at=s.FIRST)
        for (slot, region), cause in s.MISSED.items():
            await run(
                connection, "INSERT INTO slots (target, region, slot, worker, finished_at, missed) "
                "VALUES ('rag', :region, :slot, :worker, :end, :reason)", region=region, slot=slot,
                worker=s.REGIONS[region], end=slot if cause else None, reason=cause,
            )  # fmt: skip
        await incident_rows.save(connection, [_incident(*row) for row in INCIDENTS], [])
        for who, rule, target, reason, at, until in MUTES:
            await run(
                connection, "INSERT INTO mutes (muted_by, rule, target, reason, muted_at, until) "
                "VALUES (:who, :rule, :target, :reason, :at, :until)", who=who, rule=rule,
                target=target, reason=reason, at=at, until=until,
            )  # fmt: skip
        for provider, state, cause, at, ends, left in (
            ("openrouter", "ok", None, s.NOW - s.HOUR, EXPIRES, Decimal("3.25")),
            ("openrouter", "failing", "HTTP 502", s.NOW, None, None),
            ("anthropic", "rejected", "HTTP 401", s.NOW - s.HOUR, None, None),
        ):
            await run(
                connection, "INSERT INTO account_readings (provider, state, detail, at, "
                "expires_at, remaining_usd) VALUES (:provider, :state, :reason, :at, :ends, :left)",
                provider=provider, state=state, reason=cause, at=at, ends=ends, left=left,
            )  # fmt: skip
    yield database
    await database.close()


def _incident(
    number: int, rule: str, scope: str, opened: datetime, detect_s: float, last_s: float, _: float
) -> Incident:
    over = opened + timedelta(seconds=last_s)
    return Incident(
        rule=rule, scope=scope, opened_at=opened, resolved_at=over, last_breach_at=opened,
        last_told_at=opened, value=1.0, limit=0.1, peak=1.0, because=f"number {number}",
        first_seen_at=opened - timedelta(seconds=detect_s),
    )  # fmt: skip


async def settle(database: Database) -> None:
    """Roll up what was over at NOW, and reckon its spend, as the worker would have."""
    edges = rollup_context(database, s.ROME.key)
    async with database.begin() as connection:
        await rollup_rows.notice_late(connection)
    done = text("SELECT days_until >= :today AND NOT EXISTS (SELECT FROM rollups_due) "
                "FROM report_state")  # fmt: skip
    over = False
    while not over:
        async with database.begin() as connection:
            for _ in range(40):  # many steps in a transaction
                over = (
                    over
                    or await connection.scalar(done, {"today": s.day_of(s.NOW)})
                    or await rollup_rows.advance(connection) is None
                )
    async with database.begin() as connection:
        days = {*await spend_rows.stale_days(connection), s.day_of(s.NOW)}
        for day in sorted(days):
            await daily_spend.compute_day(
                connection, edges.settings, edges.book, day, zone=s.ROME, now=s.NOW
            )


async def forget(database: Database) -> None:
    async with database.begin() as connection:
        await rollup_rows.set_limit(connection, datetime.now(UTC) - (s.KEPT_SINCE + s.HOUR))
        await rollup_rows.forget_observations(connection)
        await rollup_rows.forget_rounds(connection)
    [[oldest]] = await sql(database, "SELECT min(slot) FROM observations")
    assert s.KEPT_SINCE <= oldest < s.KEPT_SINCE + DAY


def answered(url: str) -> dict[int, list[tuple[Any, ...]]]:
    """Every question as a reader asks it, at NOW."""
    found = {}
    with as_role(url, "monitor_reader") as reader:
        reader.execute("SET timezone = 'Asia/Tokyo'")  # no answer may depend on it
        for number, query in QUESTIONS.items():
            at = query.replace("now()", f"TIMESTAMPTZ '{s.NOW.isoformat()}'")
            at = at.replace("current_date", f"DATE '{s.day_of(s.NOW)}'")
            rows = reader.execute(at.encode()).fetchall()
            found[number] = [tuple(map(_utc, row)) for row in rows]
    return found


def _utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def computed(rows: Sequence[Any], *, raw: Sequence[Any]) -> dict[int, list[tuple[Any, ...]]]:
    """The same from the rows that were ever stored, and from those that are `raw` still."""
    return {
        1: s.cost_by_model(rows), 2: s.fallback_share(rows), 3: s.daily_percentiles(raw),
        4: s.cost_per_1k(rows), 5: s.saved_this_month(rows), 6: INCIDENTS,
        7: s.hours_without_data(rows), 8: s.by_worker(raw), 9: s.latest_answers(raw),
        10: s.this_week_and_last(rows), 11: s.cost_per_day(rows), 12: s.price_changes(raw),
        13: s.forecast(rows), 14: MUTES, 15: KEYS,
    }  # fmt: skip


def test_there_are_fifteen_questions() -> None:
    assert sorted(QUESTIONS) == list(range(1, 16))


async def test_the_answers_are_those_of_the_raw_rows_to_the_last_digit(
    stored: Database, url: str
) -> None:
    rows = s.rows()
    expected = computed(rows, raw=rows)
    unrolled = answered(url)
    for number in set(expected) - {10, 11, 13}:  # nothing was reckoned yet
        assert unrolled[number] == expected[number], f"Q{number}, from raw rows"

    await settle(stored)
    rolled = answered(url)
    for number, answer in expected.items():
        assert rolled[number] == answer, f"Q{number}, rolled up"
        assert answer, f"Q{number} was asked of nothing"

    rows += s.late()
    async with stored.begin() as connection:
        await observations.add(connection, s.late())
    await settle(stored)
    expected = computed(rows, raw=rows)
    after = answered(url)
    for number, answer in expected.items():
        assert after[number] == answer, f"Q{number}, with late rows"

    await forget(stored)
    await settle(stored)
    kept = [row for row in rows if row.slot >= s.KEPT_SINCE]
    assert len(kept) < len(rows) * 3 / 4
    expected = computed(rows, raw=kept)
    left = answered(url)
    for number, answer in expected.items():
        assert left[number] == answer, f"Q{number}, after retention"

"""A distributed Postgres: its DDL fits the schema, and the worker's statements fit the DDL."""

import importlib
import io
import pkgutil
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import greenlet
import pytest
from pglast import parse_sql
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.elements import ClauseElement

from monitor import storage
from monitor.config import load
from monitor.domain import Target
from monitor.health_page import HealthPage
from monitor.notifications import ConsoleNotifier
from monitor.storage import Database, observations, schema
from monitor.worker import (
    account_polling,
    clock_check,
    digest_job,
    evaluation,
    lease_keeper,
    probe_round,
    report_page,
    rollups,
    status_pages,
)
from monitor.worker.context import WorkerContext
from tests.case_tables import each
from tests.contract.open_context import CONFIGURATION, deliver, open_context
from tests.contract.past_day import day_rows, store
from tests.contract.provider_api import provider, reply
from tests.contract.test_polling import KEY, keys
from tests.contract.test_probe_transactions import baseline
from tests.contract.test_workers import BROKEN, GOOD, Service, nothing, turning
from tests.distribution import COLUMN, Catalogue, unfiltered
from tests.e2e.worker_process import rows

FILE = "deploy/citus.sql"
DDL = (Path(__file__).parents[2] / FILE).read_text(encoding="utf-8")
DISTRIBUTED = frozenset(re.findall(r"create_distributed_table\('(\w+)', 'target'", DDL))
REFERENCE = frozenset(re.findall(r"create_reference_table\('(\w+)'", DDL))
LOCAL = frozenset(re.findall(r"^-- local: (\w+)$", DDL, re.M))

# What Citus provides, so that everything else of the file runs on PostgreSQL.
STAND_INS = """
    CREATE FUNCTION create_distributed_table(regclass, text, colocate_with text DEFAULT 'default')
        RETURNS void LANGUAGE sql AS 'SELECT';
    CREATE FUNCTION create_reference_table(regclass) RETURNS void LANGUAGE sql AS 'SELECT';
    CREATE FUNCTION create_distributed_function(regprocedure)
        RETURNS void LANGUAGE sql AS 'SELECT';
"""


@pytest.fixture
def distributed_url(database_url: str) -> str:
    """A database on which the whole file was run, in one transaction."""
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(STAND_INS)
        connection.exec_driver_sql(DDL.replace("CREATE EXTENSION IF NOT EXISTS citus;", ""))
    engine.dispose()
    return database_url


def catalogue(url: str) -> Catalogue:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = Catalogue.of(connection)
    engine.dispose()
    return found


# The file


def test_each_table_is_in_one_list_of_the_file() -> None:
    tables = set(schema.every_table().tables) | {schema.NAME}
    assert len(re.findall(r"(?:_table\('|^-- local: )(\w+)", DDL, re.M)) == len(
        DISTRIBUTED | REFERENCE | LOCAL
    ), f"{FILE} names a table twice"
    assert tables == DISTRIBUTED | REFERENCE | LOCAL, (
        f"{FILE}: add each new table. With rows of single targets: create_distributed_table(…, "
        f"'{COLUMN}'); small and joined with these: create_reference_table(…); else `-- local:`"
    )


def test_each_table_with_a_target_is_distributed_or_has_a_reason() -> None:
    scoped = {
        "incidents": "a scope may be a provider, or all",
        "misdated_observations": "few rows, written by one statement for all targets",
        "mutes": "as incidents",
        "report_targets": "a reference table: one row a target",
    }
    with_target = {
        name for name, table in schema.every_table().tables.items() if COLUMN in table.columns
    }
    assert with_target == DISTRIBUTED | set(scoped)


UNIQUE = """
    SELECT t.relname || ': ' || i.relname
    FROM pg_index JOIN pg_class AS i ON i.oid = indexrelid JOIN pg_class AS t ON t.oid = indrelid
    WHERE indisunique AND t.relname = ANY('{tables}') AND NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = indrelid AND attname = 'target' AND attnum = ANY(indkey))
"""
FOREIGN = """
    SELECT conrelid::regclass || ': ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype = 'f' AND conparentid = 0 ORDER BY 1
"""


def unique_without_target(url: str) -> list[tuple[str]]:
    return rows(url, UNIQUE.replace("{tables}", "{" + ",".join(DISTRIBUTED) + "}"))


def test_unique_constraints_of_distributed_tables_contain_the_distribution_column(
    distributed_url: str,
) -> None:
    assert unique_without_target(distributed_url) == [], f"{FILE}, part 1: alter this one, too"


def test_the_file_changes_only_what_stands_in_the_way(
    database_url: str, request: pytest.FixtureRequest
) -> None:
    altered = set(re.findall(r"ALTER TABLE (\w+) DROP CONSTRAINT pk_", DDL))
    assert {name.split(":")[0] for (name,) in unique_without_target(database_url)} == altered
    before = rows(database_url, FOREIGN)
    request.getfixturevalue("distributed_url")
    assert rows(database_url, FOREIGN) == before


def test_foreign_keys_stay_within_a_node(database_url: str) -> None:
    """Between distributed tables they contain the column; local tables refer to local ones."""
    for (line,) in rows(database_url, FOREIGN):
        table, _, definition = line.partition(": ")
        other = re.findall(r"REFERENCES (\w+)\(", definition)[0]
        if table in DISTRIBUTED:
            assert definition.startswith(f"FOREIGN KEY ({COLUMN}, "), line
            assert other in DISTRIBUTED, line
        else:
            assert {table, other} <= LOCAL, line


FUNCTIONS = """
    SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'report'::regnamespace
        AND NOT proretset AND proname NOT IN ('zone', 'revision')
"""


def test_functions_of_views_are_on_every_node(distributed_url: str) -> None:
    """The functions that read no table."""
    given = re.findall(r"create_distributed_function\(\s*'([^']+)'", DDL)
    listed = ", ".join(f"'{name}'" for name in given)
    found = rows(distributed_url, f"SELECT f::regprocedure::text FROM unnest(ARRAY[{listed}]) AS f")
    assert sorted(rows(distributed_url, FUNCTIONS)) == sorted(found), f"{FILE}, part 6"


def test_postgres_parses_every_statement_of_the_file() -> None:
    assert len(parse_sql(DDL)) > 40


# Statements. Each is named by the function of monitor/storage that executes it, or by its constant
# where the rig below does not execute it.

# These work for all targets at once: every node does its share. They do not run for each probe.
_HOURS = "an hour or a day of all targets is computed at once"
_KEEPING = "retention deletes old rows of all targets, some thousand at a time"
_CLOCK = "runs when a clock stepped, and at the start of a worker"
_REPORT = "a report or status page shows all targets"
_FEED = "what all workers have stored since; once a second at most, and not for each probe"
_COMMAND = "a command of a person, not the worker"
FLEET_WIDE = {
    "account_readings.due": "finds the observation of a due receipt, which is not stored by target",
    "account_readings.expect": "looks for new receipts in the latest answers of all targets",
    "clock_repair._SLOTS": _CLOCK,
    "clock_repair.correct": _CLOCK,
    "clock_repair.restore": _CLOCK,
    "clock_repair.set_aside": _CLOCK,
    "incident_details._BY_QUERY": _COMMAND,
    "incident_details._EXCERPTS": "an incident may be about all targets; once a message",
    "observations.ensure": "makes the partitions of the coming months",
    "report_data._rows": _REPORT,
    "report_data.cadence": _REPORT,
    "report_data.first": _REPORT,
    "report_data.first_since": _REPORT,
    "report_data.rows": _REPORT,
    "report_queries._CHANGED": _COMMAND,
    "report_queries._HOUR": _COMMAND,
    "report_queries._NEXT": _COMMAND,
    "report_queries._ROWS": _COMMAND,
    "report_queries._SIGNATURE": _COMMAND,
    "rollup_rows._NEW_DAYS": "runs when the time zone of days was changed",
    "rollup_rows._NEW_HOURS": "runs when the time zone of days was changed",
    "rollup_rows._ROUNDS": _KEEPING,  # not run without rows of an earlier day
    "rollup_rows._TOMORROW": "runs when the time zone of days was changed",
    "rollup_rows._compute": _HOURS,
    "rollup_rows.advance": _HOURS,
    "rollup_rows.answer_tokens": _HOURS,
    "rollup_rows.clock_agrees": _KEEPING,
    "rollup_rows.drop_months": _KEEPING,
    "rollup_rows.forget_excerpts": _KEEPING,
    "rollup_rows.forget_observations": _KEEPING,
    "rollup_rows.forget_rounds": _KEEPING,
    "rollup_rows.note_absence": "runs when a worker starts",
    "rollup_rows.notice_late": "every five minutes, by one worker",
    "spend_rows.by_five_minutes": "the spend of a day is that of all targets; by one worker",
    "spend_rows.keep": "the spend of a day is that of all targets; by one worker",
    "spend_rows.stale_days": "the spend of a day is that of all targets; by one worker",
    "spend_rows.today": "the digest, once a day",
    "stored_rows.derived_costs": _FEED,
    "stored_rows.derived_samples": _FEED,
    "stored_rows.stored_costs": _FEED,
    "stored_rows.stored_samples": _FEED,
    "spend_rows.by_slice": "the budget is that of all targets; what changed, or once a day",
}
ADVICE = f"""
These statements read a distributed table without a filter on `{COLUMN}`, so that a distributed
Postgres asks every node (docs/scale.md#distributed-postgres):

{{found}}

Add `{COLUMN} = …` (or `= ANY(…)`, or a join on `{COLUMN}` with a filtered table) to each. If it
is a job for all targets that does not run for each probe, add its name with the reason to
FLEET_WIDE in {Path(__file__).name}. A new table belongs into {FILE}."""


class Executed:
    """The statements that engines send, by the function of monitor/storage that executes them."""

    def __init__(self) -> None:
        self.by_name: dict[str, set[str]] = {}

    def note(self, _: Any, __: Any, statement: str, *___: Any) -> None:
        name = next(
            (found for frame in _frames() if (found := _place(frame.f_code)) is not None), None
        )
        if name is not None:
            self.by_name.setdefault(name, set()).add(statement)


def _frames() -> Iterator[Any]:
    """The frames of this greenlet and of those that wait for it, innermost first."""
    current: Any = greenlet.getcurrent()
    frame: Any = sys._getframe(1)
    while current is not None:
        while frame is not None:
            yield frame
            frame = frame.f_back
        current = current.parent
        frame = current.gr_frame if current is not None else None


def _place(code: Any) -> str | None:
    path = Path(code.co_filename)
    shared = ("engine", "pool", "async_core")
    if path.parent.name != "storage" or path.stem in shared or code.co_name.startswith("<"):
        return None
    return f"{path.stem}.{code.co_name}"


@contextmanager
def executed() -> Iterator[Executed]:
    found = Executed()
    event.listen(Engine, "before_cursor_execute", found.note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", found.note)


TWO = CONFIGURATION + CONFIGURATION.replace("targets.rag", "targets.other").lstrip()


async def worked(database: Database, home: Path, service: Service) -> None:
    """A day of a worker: two targets, an incident and its end, rollups, retention, a digest."""
    await baseline(database)
    await store(database, *day_rows())
    path = home / "monitor.toml"
    path.write_text(TWO.format(url=service.url))
    async with provider(reply(200, KEY)) as openrouter:
        environ = {"MONITOR_CONFIG": str(path), "SERVICE_KEY": "canary-key-4711"}
        configured = load(environ | keys(openrouter.address))
        async with open_context(configured, database, ConsoleNotifier(io.StringIO())) as context:
            await jobs(context, service)


async def jobs(context: WorkerContext, service: Service) -> None:
    now, every = datetime.now(UTC), timedelta(minutes=10)
    async with context.database.begin() as connection:
        await observations.ensure(connection, now.date())
    await clock_check.check(context, correct=True)
    await account_polling.poll(context)
    for nth in range(12):
        service.answer = BROKEN if 3 <= nth < 8 else GOOD
        for target in context.settings.targets.values():
            await probe_round.run_round(context, target, now - (12 - nth) * every, between=nothing)
        await evaluation.evaluate(context)
        await evaluation.evaluate_changed(context)
        await deliver(context)
    await account_polling.fetch_receipts(context)
    for target in context.settings.targets.values():
        await account_polling.read_health_page(context, target, health(target))
    for _ in range(3):
        await rollups.roll_up(context)
    await rollups.compute_today(context)
    await digest_job.digest(context)
    await status_pages.snapshot(context.database, context.settings, now)
    await report_page.page(context.database, context.settings, length=timedelta(days=7), now=now)
    await lease_keeper.renew(context)
    await lease_keeper.release(context)


def health(target: Target) -> HealthPage:
    return HealthPage(url=target.url, every=timedelta(minutes=5), expect=("healthy",))


VERBS = re.compile(r"^\s*(?:--.*\n\s*)*(?:WITH|SELECT|INSERT|UPDATE|DELETE)\b")


def constants() -> Iterator[tuple[str, str]]:
    """The statements that modules of storage hold, with their names."""
    dialect = PGDialect_psycopg()
    for info in pkgutil.iter_modules(storage.__path__):
        module: ModuleType = importlib.import_module(f"monitor.storage.{info.name}")
        for name, value in vars(module).items():
            for one in value if isinstance(value, tuple | list) else (value,):
                if isinstance(one, ClauseElement) and one.supports_execution:
                    statement = str(one.compile(dialect=dialect))
                    if VERBS.search(statement):  # not a part of one
                        yield f"{info.name}.{name}", statement


async def test_every_statement_of_the_worker_filters_by_the_distribution_column(
    distributed_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    database = Database(distributed_url)
    try:
        async with turning() as service:
            with executed() as found:
                await worked(database, tmp_path, service)
    finally:
        await database.close()
    ran = {" ".join(text.split()) for texts in found.by_name.values() for text in texts}
    for name, statement in constants():
        if " ".join(statement.split()) not in ran:
            found.by_name.setdefault(name, set()).add(statement)
    known = catalogue(distributed_url)
    wrong = {
        name: sorted({t for text in texts for t in unfiltered(text, known, DISTRIBUTED)})
        for name, texts in found.by_name.items()
    }
    unknown = [
        f"  monitor/storage/{name.replace('.', '.py: ')} reads {', '.join(tables)}"
        for name, tables in sorted(wrong.items())
        if tables and name not in FLEET_WIDE
    ]
    gone = [name for name in FLEET_WIDE if not _exists(*name.split("."))]
    assert not gone, f"FLEET_WIDE: remove these, which monitor/storage no longer has: {gone}"
    assert len(found.by_name) > 80, "too few statements were found"
    assert not unknown, ADVICE.replace("{found}", "\n".join(unknown))


def _exists(module: str, name: str) -> bool:
    source = Path(storage.__path__[0], f"{module}.py").read_text(encoding="utf-8")
    return re.search(rf"^ *(?:(?:async )?def {name}\(|{name}\b.* = )", source, re.M) is not None


# The analysis itself: what is found without a filter, by statement.

KNOWN = Catalogue(
    columns={"o": ["target", "slot", "id"], "s": ["target", "slot"], "ref": ["target", "name"],
             "united": ["target", "slot"]},
    views={"united": "SELECT target, slot FROM o UNION ALL SELECT target, slot FROM s"},
    functions={"of": "SELECT slot FROM o WHERE target = given", "every": "SELECT slot FROM o",
               "made": None},
    parents={"o_2026": "o"},
)  # fmt: skip
FOUND = [
    ("SELECT * FROM o", "o"),
    ("SELECT * FROM o_2026", "o"),
    ("SELECT * FROM ref", ""),
    ("SELECT * FROM o WHERE target = %(name)s", ""),
    ("SELECT * FROM o WHERE target = %(name)s::TEXT AND slot > now()", ""),
    ("SELECT * FROM o WHERE target <> %(name)s", "o"),
    ("SELECT * FROM o WHERE target = 'a' OR slot > now()", "o"),
    ("SELECT * FROM o WHERE target IN ('a', :b)", ""),
    ("SELECT * FROM o WHERE target = ANY(CAST(:names AS text[]))", ""),
    ("SELECT * FROM o WHERE (target, slot) IN (('a', :at), (:b, :at))", ""),
    ("SELECT * FROM o WHERE target IN (SELECT target FROM s WHERE target = :a)", ""),
    ("SELECT * FROM o WHERE target IN (SELECT target FROM ref)", "o"),
    ("SELECT * FROM o JOIN s USING (target) WHERE s.target = :a", ""),
    ("SELECT * FROM o JOIN s ON o.target = s.target", "o s"),
    ("SELECT * FROM o, s WHERE o.target = :a", "s"),
    ("SELECT * FROM s LEFT JOIN o ON o.target = s.target WHERE s.target = :a", ""),
    ("SELECT * FROM s LEFT JOIN o ON o.target = :a", "s"),
    ("SELECT * FROM united WHERE target = :a", ""),
    ("SELECT * FROM united", "o s"),
    ("SELECT * FROM (SELECT target FROM o UNION SELECT 'x') u", "o"),
    ("SELECT * FROM (SELECT target, max(slot) FROM o GROUP BY 1) x WHERE x.target = :a", ""),
    ("SELECT * FROM (SELECT target FROM o LIMIT 5) x WHERE target = :a", "o"),
    ("WITH x AS (SELECT * FROM o) SELECT * FROM x WHERE target = :a", ""),
    ("WITH x AS MATERIALIZED (SELECT * FROM o) SELECT * FROM x WHERE target = :a", "o"),
    ("SELECT * FROM unnest(:names) AS n (name) CROSS JOIN LATERAL "
     "(SELECT * FROM o WHERE o.target = n.name ORDER BY slot LIMIT 1) AS latest", ""),
    ("SELECT (SELECT max(slot) FROM o WHERE o.target = ref.target) FROM ref", "o"),
    ("SELECT (SELECT max(slot) FROM o WHERE o.target = s.target) FROM s WHERE target = :a", ""),
    ("SELECT of('a'), every()", "o"),
    ("SELECT made()", "made()"),
    ("INSERT INTO o (target, slot) VALUES (:a, now()) ON CONFLICT DO NOTHING", ""),
    ("INSERT INTO o (slot) VALUES (now())", "o"),
    ("INSERT INTO o (target, slot) SELECT target, slot FROM s", "s"),
    ("UPDATE o SET slot = now() WHERE slot = :at AND id = :id", "o"),
    ("UPDATE o SET slot = now() WHERE target = :a RETURNING id", ""),
    ("DELETE FROM s WHERE target = :a AND NOT EXISTS "
     "(SELECT FROM o WHERE o.target = s.target AND o.slot = s.slot)", ""),
]  # fmt: skip


@each(("statement", "found"), FOUND, ids=lambda value: str(value))
def test_uses_without_a_filter_are_found(statement: str, found: str) -> None:
    assert " ".join(unfiltered(statement, KNOWN, frozenset({"o", "s"}))) == found

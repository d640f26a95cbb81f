"""The reader sees schema report and nothing else; the writer keeps its hands off the past."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from monitor.store import Database, observations, partitions, retention, roles, rollups
from monitor.store.engine import address
from tests.contract.past import TODAY, asked


def plain(url: str, user: str | None = None) -> str:
    made = make_url(address(url)).set(drivername="postgresql")
    return (made.set(username=user) if user else made).render_as_string(hide_password=False)


@pytest.fixture
def granted(database_url: str) -> str:
    assert roles.ensure(database_url) is None
    assert roles.ensure(database_url) is None, "it may be repeated"
    return database_url


def as_role(url: str, role: str) -> psycopg.Connection[Any]:
    """A session of that role, as if it had logged in: its settings are in force."""
    connection = psycopg.connect(plain(url), autocommit=True)
    for (setting,) in connection.execute(
        "SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setrole = %s::regrole", (role,)
    ).fetchall():
        name, _, value = setting.partition("=")
        connection.execute("SELECT set_config(%s, %s, false)", (name, value))
    connection.execute(f"SET SESSION AUTHORIZATION {role}")
    return connection


@pytest.fixture
def reader(granted: str) -> Iterator[psycopg.Connection[Any]]:
    with as_role(granted, "monitor_reader") as connection:
        yield connection


@pytest.fixture
def writer(granted: str) -> Iterator[psycopg.Connection[Any]]:
    with as_role(granted, "monitor_writer") as connection:
        yield connection


VIEWS = ("observations", "ttft_hourly", "ttft_daily", "models_daily", "fallback_hourly",
         "spend_daily", "cost_per_query_daily", "savings_daily", "incidents", "health",
         "spend_hourly", "spend_by_target_daily", "cost_by_region_daily", "missed_rounds",
         "mutes", "provider_keys")  # fmt: skip


def test_the_reader_reads_every_view_without_naming_the_schema(
    reader: psycopg.Connection[Any],
) -> None:
    for view in VIEWS:
        found = reader.execute(f"SELECT * FROM {view}").description
        assert found, f"{view} has no columns"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM public.observations",
        "SELECT * FROM public.outbox",
        "SELECT * FROM public.rollups_hourly",
        "SELECT * FROM public.live_ttft_hours",
        "SELECT * FROM public.report_state",
        "DELETE FROM report.observations",
        "UPDATE report.incidents SET because = ''",
        "CREATE TABLE public.mine (x int)",
        "CREATE TABLE report.mine (x int)",
        "CREATE TEMP TABLE mine (x int)",
        "SELECT public.forget_observations(1)",
        "SELECT public.drop_old_months()",
        "SELECT public.make_month('2020-01-01')",
        "SELECT nextval('public.incidents_number_seq')",
        "SELECT * FROM public.monitor_alembic_version",
        "COPY report.observations TO PROGRAM 'cat'",
        "SELECT pg_read_file('/etc/passwd')",
        "CREATE FUNCTION report.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE VIEW report.health AS SELECT 1 AS one",
        "SELECT lo_create(0)",
        "SELECT lo_creat(-1)",
        "SELECT lo_from_bytea(0, 'x')",
        "SET ROLE monitor_writer",
        "ALTER ROLE monitor_reader SUPERUSER",
    ],
)
@pytest.mark.parametrize("read_only", ["on", "off"])
def test_the_reader_is_refused_everything_else(
    reader: psycopg.Connection[Any], statement: str, read_only: str
) -> None:
    reader.execute(f"SET default_transaction_read_only = {read_only}")  # anybody may set it
    with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction,
                        psycopg.errors.ObjectNotInPrerequisiteState)):  # fmt: skip
        reader.execute(statement)  # type: ignore[arg-type]


def test_the_reader_is_read_only_and_not_for_long(reader: psycopg.Connection[Any]) -> None:
    shown = [reader.execute(f"SHOW {name}").fetchone() for name in
             ("default_transaction_read_only", "statement_timeout")]  # fmt: skip
    assert shown == [("on",), ("30s",)]
    reader.execute("SET statement_timeout = '50ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        reader.execute("SELECT pg_sleep(5)")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM observations",
        "DELETE FROM observations_default",
        "UPDATE observations SET ttft_ms = 0",
        "UPDATE observations SET claims = '[]'",
        "UPDATE observations_default SET cost_usd = 0",
        "TRUNCATE observations",
        "DELETE FROM incidents",
        "DELETE FROM outbox",
        "CREATE TABLE mine (x int)",
        "CREATE TABLE report.mine (x int)",
        "DROP TABLE slots",
        "DROP TABLE observations_default",
        "ALTER TABLE observations ADD COLUMN x int",
        "CREATE ROLE somebody",
        "UPDATE monitor_alembic_version SET version_num = 'r9_0001'",
        "CREATE TEMP TABLE mine (x int)",
        "SELECT setval('incidents_number_seq', 1)",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SET ROLE monitor_reader",
    ],
)
def test_the_writer_neither_changes_the_past_nor_the_schema(
    writer: psycopg.Connection[Any], statement: str
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        writer.execute(statement)  # type: ignore[arg-type]


def test_other_roles_keep_their_temporary_tables(database_url: str) -> None:
    with psycopg.connect(plain(database_url), autocommit=True) as owner:
        owner.execute("DROP ROLE IF EXISTS neighbour")
        owner.execute("CREATE ROLE neighbour")
        assert roles.ensure(database_url) is None
        may = "SELECT has_database_privilege(%s, current_database(), 'TEMPORARY')"
        found = [owner.execute(may, (name,)).fetchone() for name in ("neighbour", *roles.ROLES)]
        owner.execute("DROP OWNED BY neighbour")
        owner.execute("DROP ROLE neighbour")
    assert found == [(True,), (False,), (False,)]


async def test_the_writer_does_all_the_daemon_does(granted: str) -> None:
    with psycopg.connect(plain(granted), autocommit=True) as owner:
        owner.execute("ALTER ROLE monitor_writer PASSWORD 'x'")
    database = Database(plain(granted, "monitor_writer"))
    try:
        async with database.begin() as connection:
            assert await observations.add(connection, [asked(TODAY)]) == 1
            await rollups.configure(connection, "Europe/Rome", [rollups.Told(
                target="rag", every_s=300, daily_queries=0)])  # fmt: skip
            await rollups.notice_late(connection)
            while await rollups.advance(connection):
                pass
            await retention.set_limit(connection, TODAY - TODAY)
            assert await retention.forget_observations(connection) == 0
            assert len(await partitions.ensure(connection, TODAY.date())) == 4
    finally:
        await database.close()


def test_where_the_role_may_not_create_roles_the_sql_is_handed_out(granted: str) -> None:
    with psycopg.connect(plain(granted), autocommit=True) as owner:
        owner.execute("DROP ROLE IF EXISTS modest")
        owner.execute("CREATE ROLE modest LOGIN PASSWORD 'x'")
    handed = roles.ensure(plain(granted, "modest"))
    assert handed is not None
    assert "CREATE ROLE monitor_reader LOGIN" in handed
    assert "GRANT SELECT ON ALL TABLES IN SCHEMA report TO monitor_reader" in handed
    with psycopg.connect(plain(granted), autocommit=True) as owner:
        owner.execute(handed)  # type: ignore[arg-type]
        owner.execute("DROP ROLE modest")

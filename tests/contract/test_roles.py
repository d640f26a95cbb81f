"""The reader sees schema report and nothing else; the writer keeps its hands off the past."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from monitor.storage import Database, observations, rollup_rows, schema
from monitor.storage.engine import address
from tests.contract.past_day import TODAY, row_at


def plain(url: str, user: str | None = None) -> str:
    made = make_url(address(url)).set(drivername="postgresql")
    return (made.set(username=user) if user else made).render_as_string(hide_password=False)


@pytest.fixture
def granted(database_url: str) -> str:
    assert schema.ensure(database_url) is None
    assert schema.ensure(database_url) is None, "it may be repeated"
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


def test_the_reader_reads_every_view_without_naming_the_schema(
    reader: psycopg.Connection[Any],
) -> None:
    views = reader.execute("SELECT viewname FROM pg_views WHERE schemaname = 'report'").fetchall()
    assert len(views) > 10
    for (view,) in views:
        found = reader.execute(f"SELECT * FROM {view}").description  # type: ignore[arg-type]
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
        "SELECT lo_import('/etc/hostname')",
        "SET ROLE monitor_writer",
        "ALTER ROLE monitor_reader SUPERUSER",
        "ALTER ROLE monitor_reader CONNECTION LIMIT 1000",
        "SET temp_file_limit = -1",
        "ALTER ROLE monitor_reader SET temp_file_limit = -1",
        "SELECT * FROM report.observations FOR UPDATE",
        "CREATE PUBLICATION everything FOR ALL TABLES",
        "SELECT pg_create_restore_point('x')",
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


def test_readers_leave_disk_and_connections_to_others(granted: str) -> None:
    with psycopg.connect(plain(granted), autocommit=True) as owner:
        limit = "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'monitor_reader'"
        assert owner.execute(limit).fetchone() == (20,)
        owner.execute("ALTER ROLE monitor_reader CONNECTION LIMIT 33")
        assert schema.ensure(granted) is None
        assert owner.execute(limit).fetchone() == (33,), "what a person set stays"
        owner.execute("ALTER ROLE monitor_reader CONNECTION LIMIT 20")
    with psycopg.connect(plain(granted, "monitor_reader")) as reader:
        assert reader.execute("SHOW temp_file_limit").fetchone() == ("2GB",)


EXCESS = [  # what gives it, what takes it back, what is said
    ("GRANT EXECUTE ON FUNCTION lo_creat(integer) TO PUBLIC",
     "REVOKE EXECUTE ON FUNCTION lo_creat(integer) FROM PUBLIC", "may store large objects"),
    ("GRANT TEMPORARY ON DATABASE {} TO PUBLIC",
     "REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC", "may make temporary tables"),
    ("GRANT CREATE ON SCHEMA public TO PUBLIC",
     "REVOKE CREATE ON SCHEMA public FROM PUBLIC", "may make tables in schema public"),
    ("GRANT CREATE ON DATABASE {} TO monitor_reader",
     "REVOKE CREATE ON DATABASE {} FROM monitor_reader", "may make schemas"),
    ("GRANT DELETE ON observations TO PUBLIC",
     "REVOKE DELETE ON observations FROM PUBLIC", "may write to observations"),
    ("GRANT pg_write_all_data TO monitor_reader",
     "REVOKE pg_write_all_data FROM monitor_reader", "belongs to role pg_write_all_data"),
    ("ALTER ROLE monitor_reader CREATEDB", "ALTER ROLE monitor_reader NOCREATEDB",
     "is a superuser or may create roles or databases"),
]  # fmt: skip


async def test_whatever_else_the_reader_may_do_is_found(granted: str) -> None:
    database = Database(granted)
    with psycopg.connect(plain(granted), autocommit=True) as owner:
        name = f'"{owner.info.dbname}"'
        async with database.begin() as connection:
            assert await schema.excess(connection) == []
        for give, take, reported in EXCESS:
            owner.execute(give.format(name).encode())
            try:
                async with database.begin() as connection:
                    found = await schema.excess(connection)
            finally:
                owner.execute(take.format(name).encode())
            assert reported in [may for may, _ in found]
            assert all(remedy for _, remedy in found)
    await database.close()


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
        assert schema.ensure(database_url) is None
        may = "SELECT has_database_privilege(%s, current_database(), 'TEMPORARY')"
        found = [owner.execute(may, (name,)).fetchone() for name in ("neighbour", *schema.ROLES)]
        owner.execute("DROP OWNED BY neighbour")
        owner.execute("DROP ROLE neighbour")
    assert found == [(True,), (False,), (False,)]


async def test_the_writer_does_all_the_daemon_does(granted: str) -> None:
    with psycopg.connect(plain(granted), autocommit=True) as owner:
        owner.execute("ALTER ROLE monitor_writer PASSWORD 'x'")
    database = Database(plain(granted, "monitor_writer"))
    try:
        async with database.begin() as connection:
            assert await observations.add(connection, [row_at(TODAY)]) == 1
            await rollup_rows.configure(connection, "Europe/Rome", [rollup_rows.ReportTarget(
                target="rag", every_s=300, daily_queries=0)])  # fmt: skip
            await rollup_rows.notice_late(connection)
            while await rollup_rows.advance(connection):
                pass
            await rollup_rows.set_limit(connection, TODAY - TODAY)
            assert await rollup_rows.forget_observations(connection) == 0
            assert len(await observations.ensure(connection, TODAY.date())) == 4
    finally:
        await database.close()


def test_where_the_role_may_not_create_roles_the_sql_is_handed_out(granted: str) -> None:
    with psycopg.connect(plain(granted), autocommit=True) as owner:
        owner.execute("DROP ROLE IF EXISTS modest")
        owner.execute("CREATE ROLE modest LOGIN PASSWORD 'x'")
    handed = schema.ensure(plain(granted, "modest"))
    assert handed is not None
    assert "CREATE ROLE monitor_reader LOGIN" in handed
    assert "GRANT SELECT ON ALL TABLES IN SCHEMA report TO monitor_reader" in handed
    with psycopg.connect(plain(granted), autocommit=True) as owner:
        owner.execute(handed)  # type: ignore[arg-type]
        owner.execute("DROP ROLE modest")

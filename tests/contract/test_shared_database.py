"""One database with other programs in it, and a schema of one's own in it."""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import make_url

from monitor.storage import REVISION, Database, DatabaseBusy, observations, schema
from tests.contract.cli import run
from tests.contract.past_day import TODAY, row_at
from tests.contract.test_every_command import CONFIGURATION
from tests.contract.test_roles import as_role, plain

DEBIAN = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture(scope="module")
def debian_15() -> Iterator[str]:
    """Debian's PostgreSQL 15, as another user where we are root, for Postgres refuses root."""
    if not (DEBIAN / "postgres").exists():
        pytest.skip(f"PostgreSQL 15 of Debian is not installed ({DEBIAN})")
    place = Path(tempfile.mkdtemp(prefix="pg15-", dir="/tmp"))  # short enough for a socket
    data, whom = place / "data", []
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("setpriv is missing, and Postgres does not run as root")
        whom = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"]
        os.chown(place, 65534, 65534)
    initdb = [DEBIAN / "initdb", "-D", data, "-U", "monitor", "-A", "trust", "-E", "UTF8"]
    subprocess.run(
        [*whom, *initdb, "--locale=C", "--no-sync"], check=True, capture_output=True, cwd=place
    )
    serve = [DEBIAN / "postgres", "-D", data, "-k", place, "-c", "listen_addresses=", "-F"]
    with (place / "log").open("wb") as log:
        server = subprocess.Popen([*whom, *serve], stdout=log, stderr=log, cwd=place)
    url = f"postgresql://monitor@/postgres?host={quote(str(place))}"
    try:
        for _ in range(600):
            try:
                psycopg.connect(url).close()
                break
            except psycopg.OperationalError:
                assert server.poll() is None, (place / "log").read_text()
                threading.Event().wait(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(60)
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(params=["embedded", "Debian 15"])
def shared(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database in which another program of ours and a stranger keep tables."""
    name = "embedded" if request.param == "embedded" else "debian"
    server = request.getfixturevalue("server_url" if name == "embedded" else "debian_15")
    with psycopg.connect(plain(server), autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS shared_app")
        admin.execute("CREATE DATABASE shared_app TEMPLATE template0")
    url = make_url(plain(server)).set(database="shared_app").render_as_string(False)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("CREATE TABLE alembic_version (version_num varchar(32) NOT NULL, "
                      "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))")  # fmt: skip
        other.execute("INSERT INTO alembic_version VALUES ('ae1027a6acf')")
        other.execute("CREATE TABLE customers (id int GENERATED ALWAYS AS IDENTITY, name text)")
    yield url
    with psycopg.connect(plain(server), autocommit=True) as admin:
        admin.execute("DROP DATABASE shared_app WITH (FORCE)")


def one(url: str, statement: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(statement).fetchone()  # type: ignore[arg-type]
    return found and found[0]


async def works(url: str) -> None:
    database = Database(url)
    try:
        assert await schema.revision(database) == REVISION
        async with database.begin() as connection:
            assert await observations.add(connection, [row_at(TODAY)]) == 1
    finally:
        await database.close()


async def test_another_alembic_application_keeps_its_table(shared: str) -> None:
    database = Database(shared)
    assert await schema.revision(database) is None, "theirs is not ours"
    await database.close()
    schema.migrate(shared)
    assert schema.ensure(shared) is None
    await works(shared)
    assert one(shared, "SELECT version_num FROM alembic_version") == "ae1027a6acf"
    assert one(shared, "SELECT version_num FROM monitor_alembic_version") == REVISION
    may = "SELECT has_table_privilege('monitor_writer', 'customers', 'SELECT, INSERT, UPDATE')"
    assert one(shared, may) is False, "the writer has no business in tables of others"


@pytest.mark.parametrize("name", ["mon", "Monitor Own"])
async def test_a_schema_of_ones_own_is_made_and_used(shared: str, name: str) -> None:
    quoted = f'"{name}"'.replace(" ", "\\ ")
    url = f"{shared}{'&' if '?' in shared else '?'}options={quote(f'-csearch_path={quoted}')}"
    schema.migrate(url)
    schema.migrate(url)
    assert schema.ensure(url) is None
    await works(url)
    assert one(shared, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 2
    count = f'SELECT count(*) FROM "{name}".observations'
    assert one(shared, count) == 1
    with psycopg.connect(shared, autocommit=True) as owner:
        owner.execute(f"SELECT \"{name}\".make_month('2031-01-01')")  # type: ignore[arg-type]
        for view in ("observations", "ttft_hourly", "models_daily", "health"):
            owner.execute(f"SELECT * FROM report.{view}")  # type: ignore[arg-type]
    with as_role(shared, "monitor_reader") as reader:
        assert reader.execute("SELECT count(*) FROM report.observations").fetchone() == (1,)
        assert reader.execute("SELECT report.revision()").fetchone() == (REVISION,)
    schema.migrate(url, to="base")


async def test_the_table_of_an_earlier_version_is_renamed_with_its_data(empty_url: str) -> None:
    schema.migrate(empty_url)
    url = plain(empty_url)
    with psycopg.connect(url, autocommit=True) as before:
        before.execute("ALTER TABLE monitor_alembic_version RENAME TO alembic_version")
        before.execute("ALTER TABLE alembic_version RENAME CONSTRAINT "
                       "monitor_alembic_version_pkc TO alembic_version_pkc")  # fmt: skip
        assert one(url, "SELECT report.revision()") == REVISION, "older workers go on"
    schema.migrate(empty_url)
    assert one(url, "SELECT to_regclass('alembic_version')") is None
    assert one(url, "SELECT version_num FROM monitor_alembic_version") == REVISION
    with psycopg.connect(url, autocommit=True) as other:  # the name and its key are free again
        other.execute("CREATE TABLE alembic_version (version_num varchar(32) NOT NULL, "
                      "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))")  # fmt: skip
    await works(empty_url)


def test_a_reader_holds_up_no_migration(database_url: str) -> None:
    assert schema.ensure(database_url) is None
    with as_role(database_url, "monitor_reader") as reader:
        reader.execute("SET default_transaction_read_only = off")
        reader.execute("SELECT pg_advisory_lock(7262641146)")
        reader.execute("BEGIN")
        reader.execute("SELECT report.revision()")
        with pytest.raises(psycopg.errors.InsufficientPrivilege), reader.transaction():
            reader.execute("LOCK TABLE public.monitor_alembic_version IN ACCESS SHARE MODE")
        schema.migrate(database_url, wait_s=5)


@pytest.mark.parametrize("locked", ["monitor_alembic_version", "observations"])
def test_a_migration_waits_no_longer_than_allowed_for_a_lock_and_names_its_holder(
    database_url: str, locked: str
) -> None:
    with psycopg.connect(plain(database_url), application_name="a neighbour") as other:
        other.execute(f"LOCK TABLE {locked} IN EXCLUSIVE MODE")  # type: ignore[arg-type]
        holder = f"session {other.info.backend_pid} of .*a neighbour, for "
        with pytest.raises(DatabaseBusy, match=f"lock timeout.*{holder}"):
            schema.migrate(database_url, to="base", wait_s=0.2, try_s=0.1)
    schema.migrate(database_url, to="base", wait_s=60)
    schema.migrate(database_url, wait_s=60)


@pytest.mark.parametrize("superuser", [True, False])
def test_a_reader_that_left_a_transaction_open_holds_up_no_migration(
    shared: str, superuser: bool
) -> None:
    """Its session is ended, also where the owner of the schema is no superuser."""
    url = shared
    with psycopg.connect(shared, autocommit=True) as admin:
        if not superuser:
            admin.execute("DROP ROLE IF EXISTS monitor_reader, monitor_writer, modest")
            admin.execute("CREATE ROLE modest LOGIN CREATEROLE PASSWORD 'x'")
            admin.execute("ALTER DATABASE shared_app OWNER TO modest")
            url = plain(shared, "modest")
    try:
        schema.migrate(url)
        assert schema.ensure(url) is None
        with psycopg.connect(plain(shared, "monitor_reader")) as reader:
            reader.execute("SELECT * FROM report.observations, report.incidents")
            schema.migrate(url, to="base", wait_s=60, try_s=0.2)
            with pytest.raises(psycopg.OperationalError):
                reader.execute("SELECT 1")
    finally:
        if not superuser:
            _drop(shared)


def _drop(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("ALTER DATABASE shared_app OWNER TO CURRENT_USER")
        for role in ("monitor_reader", "monitor_writer", "modest"):
            admin.execute(f"DROP OWNED BY {role} CASCADE")  # type: ignore[arg-type]
        admin.execute("DROP ROLE monitor_reader, monitor_writer, modest")


def test_check_says_what_else_the_reader_may_do(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "monitor.toml").write_text(CONFIGURATION)
    url = plain(database_url)
    assert schema.ensure(database_url) is None
    assert "role monitor_reader" not in run("check", home=tmp_path, DATABASE_URL=url).said
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC")
        try:
            reported = run("check", home=tmp_path, DATABASE_URL=url).said
        finally:
            owner.execute("REVOKE EXECUTE ON FUNCTION lo_create(oid) FROM PUBLIC")
    assert "role monitor_reader: may store large objects: run REVOKE EXECUTE" in reported


def test_grants_outlive_a_step_down_and_up(database_url: str) -> None:
    url = plain(database_url)
    assert schema.ensure(database_url) is None
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("DROP ROLE IF EXISTS analyst")
        owner.execute("CREATE ROLE analyst")
        owner.execute("GRANT USAGE ON SCHEMA report TO analyst")
        owner.execute("GRANT SELECT ON ALL TABLES IN SCHEMA report TO analyst WITH GRANT OPTION")
        owner.execute("GRANT SELECT (target, ttft_ms) ON observations TO analyst")
        try:
            steps = 0
            while one(url, "SELECT version_num FROM monitor_alembic_version") != "r1_0014":
                schema.migrate(database_url, to="-1")
                steps += 1
                assert unreadable(url) == []
            schema.migrate(database_url)
            assert unreadable(url) == []
            assert steps
            may = "SELECT has_column_privilege('analyst', 'observations', 'ttft_ms', 'SELECT')"
            assert one(url, may) is True
        finally:
            owner.execute("DROP OWNED BY analyst")
            owner.execute("DROP ROLE analyst")


def unreadable(url: str) -> list[str]:
    """Views of `report` that were readable for both roles and are no more."""
    with psycopg.connect(url, autocommit=True) as owner:
        found = owner.execute("""
            SELECT c.relname FROM pg_class AS c, unnest(ARRAY['monitor_reader', 'analyst']) AS role
            WHERE c.relnamespace = 'report'::regnamespace AND c.relkind = 'v'
                AND NOT has_table_privilege(role, c.oid, 'SELECT')
                AND (role = 'monitor_reader' OR c.relname IN ('observations', 'health'))
        """).fetchall()
    return [name for (name,) in found]

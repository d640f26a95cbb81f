"""The schema's revision and its table, migrations, grants and roles.

Another Alembic application may share the database, so the table of the revision has a name of its
own. It is in the first schema of the search path, `public` unless the address names another.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.storage.engine import (
    Database,
    DatabaseBusy,
    opened,
    sql,
    sql_file,
    unavailable,
)
from monitor.storage.leases import end_readers, lock_holders

NAME = "monitor_alembic_version"
_BEFORE = "alembic_version"  # Alembic's default, ours until r1_0022

# Errors when others do the same at the same time: a table's row type may exist before it.
_RACES = ("23505", "42P07", "42P01", "42P06", "42710")

_SCHEMA = text("SELECT quote_ident(current_schema())")
_WANTED = text(
    "SELECT quote_ident(trim(both ' \"' FROM split_part(current_setting('search_path'), ',', 1)))"
)
EXISTS = text("SELECT to_regclass(quote_ident(current_schema()) || '.' || :name) IS NOT NULL")
# Another application's table of that name may belong to a role that does not let us read it.
READABLE = text(
    "SELECT coalesce(has_table_privilege(to_regclass("
    "quote_ident(current_schema()) || '.' || :name), 'SELECT'), false)"
)
_OURS_BEFORE = text(
    "SELECT to_regclass(quote_ident(current_schema()) || '.observations') IS NOT NULL "
    "AND EXISTS (SELECT FROM alembic_version WHERE version_num ~ '^r[0-9]+_[0-9]+$')"
)
FOUND = text("SELECT version_num FROM monitor_alembic_version")
FOUND_BEFORE = text(
    "SELECT version_num FROM alembic_version WHERE version_num ~ '^r[0-9]+_[0-9]+$' "
    "AND to_regclass(quote_ident(current_schema()) || '.observations') IS NOT NULL"
)


def schema_of(connection: Connection) -> str:
    """The schema in which tables are created, quoted if necessary."""
    found: str = connection.scalar(_SCHEMA) or "public"
    return found


def prepare(engine: Engine) -> None:
    """Ensure our table and its schema: rename an earlier version's, or create a new one."""
    for _ in range(5):
        try:
            with engine.begin() as connection:
                _prepare(connection)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _RACES:
                raise
        else:
            return


def _prepare(connection: Connection) -> None:
    if connection.scalar(_SCHEMA) is None:
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {connection.scalar(_WANTED)}")
    if connection.scalar(EXISTS, {"name": NAME}):
        return
    if connection.scalar(READABLE, {"name": _BEFORE}) and connection.scalar(_OURS_BEFORE):
        connection.exec_driver_sql(f"ALTER TABLE {_BEFORE} RENAME TO {NAME}")
        connection.exec_driver_sql(
            f"ALTER TABLE {NAME} RENAME CONSTRAINT {_BEFORE}_pkc TO {NAME}_pkc"
        )
    else:
        connection.exec_driver_sql(
            f"CREATE TABLE {NAME} (version_num varchar(32) NOT NULL, "
            f"CONSTRAINT {NAME}_pkc PRIMARY KEY (version_num))"
        )


def lock(connection: Connection, *, wait_s: float, each_s: float) -> None:
    """Wait until no other migration runs, and at most `each_s` for any further lock.

    Only the owner may take this lock; readers continue.
    """
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{wait_s * 1000:.0f}ms'")
    connection.exec_driver_sql(f"LOCK TABLE {NAME} IN EXCLUSIVE MODE")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{each_s * 1000:.0f}ms'")


# Grants outlive a migration: a view that is dropped and created again keeps its readers.


# One row for each grant on a table, a view, a column or a function, as SQL to repeat it.
_GRANTS = sql_file("grants")


@contextmanager
def kept(connection: Connection) -> Iterator[None]:
    """Restore the grants of objects that the body dropped and created again."""
    before = set(connection.scalars(_GRANTS))
    yield
    for grant in sorted(before - set(connection.scalars(_GRANTS))):
        connection.execute(_CHOSEN, {"grant": grant})
        connection.exec_driver_sql(_GRANT_WHERE_THERE)


# In a block of its own: an object that is gone for good must not abort the migration.
_CHOSEN = text("SELECT set_config('monitor.grant', :grant, true)")
_GRANT_WHERE_THERE = """
DO $$ BEGIN
    EXECUTE current_setting('monitor.grant');
EXCEPTION WHEN undefined_table OR undefined_column OR undefined_function OR invalid_schema_name THEN
    NULL;
END $$
"""


# The schema's revision: migrate it, wait for it, refuse an unknown one.
#
# Revisions are named `rMAJOR_SERIAL`. Within one major, migrations only expand: older code runs on
# a newer serial, which a rollback or an overlapping deployment needs.


REVISION = "r1_0042"
_SHAPE = re.compile(r"r(\d+)_(\d+)")
LOCK_WAIT_S = 120.0
LOCK_TRY_S = 3.0  # queries of a table wait behind a migration that waits for it

_SERVER = text(
    "SELECT current_setting('server_version_num')::int AS version, "
    "current_setting('server_encoding') AS encoding, "
    "current_setting('server_version') AS version_text"
)
OLDEST = 15  # major version of PostgreSQL: NULLS NOT DISTINCT


class SchemaUnknown(Exception):
    """This program cannot run on the database or its schema; the message says why."""


def _suits(server: Row[Any]) -> None:
    """Raises SchemaUnknown if the server is too old or the database cannot store every text."""
    if server.version < OLDEST * 10_000:
        raise SchemaUnknown(
            f"the server is PostgreSQL {server.version_text}: version {OLDEST} or newer is needed"
        )
    if server.encoding != "UTF8":
        raise SchemaUnknown(
            f"the database's encoding is {server.encoding}, which cannot hold every answer: make "
            "one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )


async def revision(database: Database) -> str | None:
    """The revision of the database; None if it was never migrated.

    A role that only reads reports may not see the table, and reads schema `report`.
    """
    async with database.begin(even_closed=True) as connection:
        _suits((await connection.execute(_SERVER)).one())
        if await connection.scalar(text("SELECT to_regprocedure('report.revision()') IS NOT NULL")):
            notified: str | None = await connection.scalar(text("SELECT report.revision()"))
            return notified
        for name, seen, which in (
            (NAME, EXISTS, FOUND),
            ("alembic_version", READABLE, FOUND_BEFORE),
        ):
            if await connection.scalar(seen, {"name": name}):
                found: str | None = await connection.scalar(which)
                return found
        return None


def fits(found: str | None) -> bool:
    """True if this program can run on `found`, False if it must be migrated first.

    Raises SchemaUnknown for a schema of another major or of an unknown shape.
    """
    if found is None:
        return False
    have, want = _SHAPE.fullmatch(found), _SHAPE.fullmatch(REVISION)
    if not have or not want or have[1] != want[1]:
        raise SchemaUnknown(
            f"the database is at revision {found}, this program knows {REVISION}: "
            "run the version of rag-monitor that made it, or point DATABASE_URL elsewhere"
        )
    return int(have[2]) >= int(want[2])


def every_table() -> MetaData:
    """All tables, wherever they are defined: migrations are compared with them."""
    from importlib import import_module

    for name in (
        "account_readings",
        "calendar_rows",
        "clock_repair",
        "fingerprints",
        "provider_models",
        "report_tables",
    ):
        import_module(f"monitor.storage.{name}")  # it defines its tables in the same metadata
    from monitor.storage import tables

    return tables.metadata


def migrations() -> Path:
    """The directory of the revisions: in an installed package, or beside a checked-out one."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def migrate(
    url: str,
    *,
    to: str = "head",
    say: Callable[[str], None] = lambda _: None,
    wait_s: float = LOCK_WAIT_S,
    try_s: float = LOCK_TRY_S,
) -> str | None:
    """Bring the schema to a revision, in one transaction, one migration at a time.

    A newer revision of the same major is left as it is, and returned: after a rollback the older
    program runs on it.

    It waits `try_s` at a time for a locked table, up to `wait_s` altogether, so that workers get
    their turn in between; readers that hold a lock are ended after the first try. Raises
    DatabaseUnavailable if the server cannot be reached, DatabaseBusy with the sessions that hold
    locks after `wait_s`, SchemaUnknown for a schema that is not ours.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    engine = opened(url, statement_timeout_s=300)
    config = Config(attributes={"say": say})
    config.set_main_option("script_location", str(migrations()))
    try:
        with engine.connect() as connection:
            _suits(connection.execute(_SERVER).one())
        prepare(engine)
        if to == "head" and (newer := _newer(engine)):
            return newer
        until = time.monotonic() + wait_s
        while True:
            try:
                with engine.begin() as connection:
                    left = max(until - time.monotonic(), 0.1)
                    lock(connection, wait_s=left, each_s=min(try_s, left))
                    config.attributes["connection"] = connection
                    backwards = to == "base" or to.startswith("-")
                    (command.downgrade if backwards else command.upgrade)(config, to)
            except DBAPIError as error:
                if not _locked(error) or time.monotonic() >= until:
                    raise
                end_readers(engine)
                time.sleep(min(try_s, 1.0))
            else:
                return None
    except CommandError as error:
        raise SchemaUnknown(f"cannot migrate: {error}") from None
    except DBAPIError as error:
        if _locked(error):
            raise _busy(engine, error) from None
        if no_database := unavailable(error):
            raise no_database from None
        if getattr(error.orig, "sqlstate", None) == "42501":
            raise PermissionError(f"{str(error.orig).strip()}: migrate as the owner") from None
        raise
    finally:
        engine.dispose()


def _newer(engine: Engine) -> str | None:
    """The revision of a schema that a newer version of this program made; else None."""
    with engine.begin() as connection:
        found: str | None = connection.scalar(FOUND)
    shaped = found is not None and _SHAPE.fullmatch(found)
    return found if shaped and found != REVISION and fits(found) else None


def _locked(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) == "55P03"


def _busy(engine: Engine, error: DBAPIError) -> DatabaseBusy:
    """The error with the sessions that hold locks, if there still are any."""
    message = str(error.orig).strip().splitlines()[0]
    held = "; ".join(map(str, lock_holders(engine)))
    return DatabaseBusy(f"{message}; locks are held by {held}" if held else message)


# Roles: one runs the worker, one reads reports, each with only the privileges it needs.


ROLES = ("monitor_writer", "monitor_reader")
_MAY_CREATE = text("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
_MISSING = text(
    "SELECT name FROM unnest(CAST(:names AS text[])) AS name WHERE to_regrole(name) IS NULL"
)
_DENIED = "42501"


def ensure(url: str) -> str | None:
    """Create the roles if we may, and grant what they need; None when all is done.

    Otherwise returns the SQL for an administrator. Safe to repeat, and to be repeated after every
    migration. Raises DatabaseUnavailable if the server cannot be reached.
    """
    engine = opened(url)
    try:
        with engine.begin() as connection:
            schema_name = schema_of(connection)
            create, grant = (_body(name, schema_name) for name in ("roles_create", "roles_grant"))
            if connection.scalar(_MAY_CREATE):
                connection.exec_driver_sql(create)
            elif connection.scalars(_MISSING, {"names": list(ROLES)}).all():
                return create + grant
            connection.exec_driver_sql(grant)
    except DBAPIError as error:
        if no_database := unavailable(error):
            raise no_database from None
        if getattr(error.orig, "sqlstate", None) != _DENIED:
            raise
        return create + grant
    finally:
        engine.dispose()
    return None


async def excess(connection: AsyncConnection) -> Sequence[tuple[str, str]]:
    """Privileges of monitor_reader beyond reading, each with the SQL that revokes it."""
    found = await connection.execute(sql_file("roles_excess"))
    return [(row[0], row[1]) for row in found]


def _body(name: str, schema: str) -> str:
    """The SQL for our schema and tables only: other applications may use the database."""
    body = sql(name)
    tables = ", ".join(sorted(f"'{table}'" for table in every_table().tables))
    return body.replace("{schema}", schema).replace("{tables}", tables)

"""Roles: who runs the daemon and who reads reports, each allowed that and nothing else."""

from collections.abc import Sequence
from importlib.resources import files

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.storage import version_table
from monitor.storage.engine import opened, unavailable
from monitor.storage.schema import every_table

ROLES = ("monitor_writer", "monitor_reader")
_MAY_CREATE = text("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
_MISSING = text("SELECT name FROM unnest(CAST(:names AS text[])) AS name "
                "WHERE to_regrole(name) IS NULL")  # fmt: skip
_DENIED = "42501"


def ensure(url: str) -> str | None:
    """Make the roles where we may, and grant them what they need; None when all is done.

    Else returns the SQL that somebody who may is to run. Safe to repeat, and to be repeated
    after every migration. Raises Away when the server cannot be reached.
    """
    engine = opened(url)
    try:
        with engine.begin() as connection:
            schema = version_table.schema_of(connection)
            create, grant = (_body(name, schema) for name in ("roles_create", "roles_grant"))
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
    """What monitor_reader may besides reading, each with the SQL that takes it away."""
    found = await connection.execute(text(_read("roles_excess")))
    return [(row[0], row[1]) for row in found]


def _body(name: str, schema: str) -> str:
    """The SQL for our schema and our tables: others may be in the database as well."""
    body = _read(name)
    tables = ", ".join(sorted(f"'{table}'" for table in every_table().tables))
    return body.replace("{schema}", schema).replace("{tables}", tables)


def _read(name: str) -> str:
    return files("monitor.storage").joinpath(f"{name}.sql").read_text(encoding="utf-8")

"""The table that names the revision, ours alone: another Alembic application may share the
database. It lies in the first schema of the search path, `public` unless the address names another.
"""

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

NAME = "monitor_alembic_version"
_BEFORE = "alembic_version"  # Alembic's default, ours until r1_0022

# Errors of those who do the same at the same time: a table's row type may be there before it.
_RACES = ("23505", "42P07", "42P01", "42P06", "42710")

_SCHEMA = text("SELECT quote_ident(current_schema())")
_WANTED = text("SELECT quote_ident(trim(both ' \"' FROM split_part(current_setting('search_path'), "
               "',', 1)))")  # fmt: skip
EXISTS = text("SELECT to_regclass(quote_ident(current_schema()) || '.' || :name) IS NOT NULL")
# Another application's table of that name may belong to a role that lets us not look.
READABLE = text("SELECT coalesce(has_table_privilege(to_regclass("
                "quote_ident(current_schema()) || '.' || :name), 'SELECT'), false)")  # fmt: skip
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
    """The schema that tables are made in, quoted where it must be."""
    found: str = connection.scalar(_SCHEMA) or "public"
    return found


def prepare(engine: Engine) -> None:
    """Have our table, and its schema: that of an earlier version renamed, else a new one."""
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
    """Wait until no other migration runs, and for any further lock `each_s`.

    Only the owner may take this lock; readers go on.
    """
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{wait_s * 1000:.0f}ms'")
    connection.exec_driver_sql(f"LOCK TABLE {NAME} IN EXCLUSIVE MODE")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{each_s * 1000:.0f}ms'")

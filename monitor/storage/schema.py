"""The schema's revision: migrating it, waiting for it, refusing one we do not know.

Revisions are named `rMAJOR_SERIAL`. Within one major, migrations only expand: older code
runs on a newer serial, which is what a rollback or a deploy's overlap needs.
"""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, MetaData, Row, text
from sqlalchemy.exc import DBAPIError

from monitor.storage import version_table
from monitor.storage.engine import Database, DatabaseBusy, opened, unavailable
from monitor.storage.lock_holders import end_readers, lock_holders

REVISION = "r1_0027"
_SHAPE = re.compile(r"r(\d+)_(\d+)")
LOCK_WAIT_S = 120.0
LOCK_TRY_S = 3.0  # whoever wants a table that a migration waits for waits behind it

_SERVER = text("SELECT current_setting('server_version_num')::int AS version, "
               "current_setting('server_encoding') AS encoding, "
               "current_setting('server_version') AS version_text")  # fmt: skip
OLDEST = 15  # major version of PostgreSQL: NULLS NOT DISTINCT


class SchemaUnknown(Exception):
    """The database, or the schema in it, is none this program can run on; the sentence says why."""


def _suits(server: Row[Any]) -> None:
    """Raises SchemaUnknown for a server too old, or a database that cannot hold every text."""
    if server.version < OLDEST * 10_000:
        raise SchemaUnknown(f"the server is PostgreSQL {server.version_text}: version {OLDEST} or "
                            "newer is needed")  # fmt: skip
    if server.encoding != "UTF8":
        raise SchemaUnknown(
            f"the database's encoding is {server.encoding}, which cannot hold every answer: make "
            "one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )


async def revision(database: Database) -> str | None:
    """The revision the database is at; None where nobody ever migrated.

    A role that reads reports alone may not see the table, and asks schema `report`.
    """
    async with database.begin() as connection:
        _suits((await connection.execute(_SERVER)).one())
        if await connection.scalar(text("SELECT to_regprocedure('report.revision()') IS NOT NULL")):
            notified: str | None = await connection.scalar(text("SELECT report.revision()"))
            return notified
        for name, seen, which in (
            (version_table.NAME, version_table.EXISTS, version_table.FOUND),
            ("alembic_version", version_table.READABLE, version_table.FOUND_BEFORE),
        ):
            if await connection.scalar(seen, {"name": name}):
                found: str | None = await connection.scalar(which)
                return found
        return None


def fits(found: str | None) -> bool:
    """True when this program can run on `found`, False when it must be migrated first.

    Raises SchemaUnknown for a schema of another major or of a shape never seen.
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
    """All tables, wherever they are written down: what migrations are compared with."""
    from monitor.storage import tables

    return tables.metadata


def migrations() -> Path:
    """Where the revisions lie: inside an installed package, or beside a checked-out one."""
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
) -> None:
    """Bring the schema to a revision, in one transaction, one migration at a time.

    A lock that somebody else holds is waited for `try_s` at a time, up to `wait_s` altogether, so
    that workers get their turn between; readers that hold one are ended after the first try.
    Raises Away when the server cannot be reached, DatabaseBusy with the sessions that hold locks
    after `wait_s`, SchemaUnknown for a schema that is not ours.
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
        version_table.prepare(engine)
        until = time.monotonic() + wait_s
        while True:
            try:
                with engine.begin() as connection:
                    left = max(until - time.monotonic(), 0.1)
                    version_table.lock(connection, wait_s=left, each_s=min(try_s, left))
                    config.attributes["connection"] = connection
                    backwards = to == "base" or to.startswith("-")
                    (command.downgrade if backwards else command.upgrade)(config, to)
            except DBAPIError as error:
                if not _locked(error) or time.monotonic() >= until:
                    raise
                end_readers(engine)
                time.sleep(min(try_s, 1.0))
            else:
                return
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


def _locked(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) == "55P03"


def _busy(engine: Engine, error: DBAPIError) -> DatabaseBusy:
    """The error with the sessions that hold locks, where there still are such."""
    message = str(error.orig).strip().splitlines()[0]
    held = "; ".join(map(str, lock_holders(engine)))
    return DatabaseBusy(f"{message}; locks are held by {held}" if held else message)

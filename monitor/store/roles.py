"""Roles: who runs the daemon and who reads reports, each allowed that and nothing else."""

from importlib.resources import files

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from monitor.store.engine import opened, unavailable

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
    create, grant = _body("roles_create.sql"), _body("roles_grant.sql")
    engine = opened(url)
    try:
        with engine.begin() as connection:
            if connection.scalar(_MAY_CREATE):
                connection.exec_driver_sql(create)
            elif connection.scalars(_MISSING, {"names": list(ROLES)}).all():
                return create + grant
            connection.exec_driver_sql(grant)
    except DBAPIError as error:
        if away := unavailable(error):
            raise away from None
        if getattr(error.orig, "sqlstate", None) != _DENIED:
            raise
        return create + grant
    finally:
        engine.dispose()
    return None


def _body(name: str) -> str:
    return files("monitor.store").joinpath(name).read_text(encoding="utf-8")

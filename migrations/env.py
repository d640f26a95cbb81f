"""Alembic's environment: `monitor migrate` hands a connection; by hand, DATABASE_URL names one."""

import os
import re
from typing import Any

from alembic import context
from sqlalchemy import Connection, event

from monitor.storage import schema
from monitor.storage.engine import opened
from monitor.storage.schema import every_table

# Partitions of a partitioned table belong to their parent; jobs make and drop them.
_PARTITION = re.compile(r"_(\d{4}_\d{2}|default)$")


def _ours(name: str | None, kind: str, _parents: object) -> bool:
    return not (kind == "table" and name and _PARTITION.search(name))


def _in_schema(schema: str, statement: str) -> str:
    """Revisions are written for schema `public`; this is one for another."""
    return statement.replace("search_path = public,", f"search_path = {schema},").replace(
        "'public.'", f"'{schema}.'"
    )


def _run(connection: Connection) -> None:
    schema_name = schema.schema_of(connection)
    if schema_name != "public":

        @event.listens_for(connection, "before_cursor_execute", retval=True)
        def _(*args: Any) -> tuple[str, Any]:
            return _in_schema(schema_name, args[2]), args[3]

    context.configure(
        connection=connection,
        target_metadata=every_table(),
        version_table=schema.NAME,
        include_name=_ours,
        compare_server_default=False,
    )
    with context.begin_transaction(), schema.kept(connection):
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    engine = opened(os.environ["DATABASE_URL"], statement_timeout_s=300)
    schema.prepare(engine)
    with engine.begin() as connection:
        _run(connection)

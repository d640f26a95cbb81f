"""Alembic's environment: `monitor migrate` hands a connection; by hand, DATABASE_URL names one."""

import os
import re

from alembic import context

from monitor.store.engine import opened
from monitor.store.schema import every_table

# Partitions of a partitioned table belong to their parent; jobs make and drop them.
_PARTITION = re.compile(r"_(\d{4}_\d{2}|default)$")


def _ours(name: str | None, kind: str, _parents: object) -> bool:
    return not (kind == "table" and name and _PARTITION.search(name))


def _run(connection: object) -> None:
    context.configure(
        connection=connection,  # type: ignore[arg-type]
        target_metadata=every_table(),
        include_name=_ours,
        compare_server_default=False,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    with opened(os.environ["DATABASE_URL"], statement_timeout_s=300).begin() as connection:
        _run(connection)

"""Postgres: the only room that knows SQL. Rows do not leave it; domain types do."""

from monitor.store.engine import (
    Away,
    Connection,
    Database,
    DatabaseBusy,
    explained,
    limit_statements,
    lost,
    short_waits,
    unavailable,
)
from monitor.store.schema import REVISION, SchemaUnknown

__all__ = [
    "REVISION",
    "Away",
    "Connection",
    "Database",
    "DatabaseBusy",
    "SchemaUnknown",
    "explained",
    "limit_statements",
    "lost",
    "short_waits",
    "unavailable",
]

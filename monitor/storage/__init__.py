"""Postgres: the only room that knows SQL. Rows do not leave it; domain types do."""

import monitor.storage.async_core  # noqa: F401  before what imports SQLAlchemy's asyncio
from monitor.storage.engine import (
    Connection,
    Database,
    DatabaseBusy,
    DatabaseRefused,
    DatabaseUnavailable,
    ProcessStopped,
    explained,
    limit_statements,
    lost,
    refused,
    short_waits,
    unavailable,
)
from monitor.storage.schema import REVISION, SchemaUnknown

__all__ = [
    "REVISION",
    "Connection",
    "Database",
    "DatabaseBusy",
    "DatabaseRefused",
    "DatabaseUnavailable",
    "ProcessStopped",
    "SchemaUnknown",
    "explained",
    "limit_statements",
    "lost",
    "refused",
    "short_waits",
    "unavailable",
]

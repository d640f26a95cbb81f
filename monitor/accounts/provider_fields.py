"""Fields of a provider's JSON, taken with suspicion: whatever is not what it should be is None."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from monitor.pricing import exact


def table(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, dict) else None


def tables(value: object) -> list[Mapping[str, Any]] | None:
    """A list of tables, whole or not at all."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return None
    return value


def text_of(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def number(value: object) -> Decimal | None:
    """A finite number, given as one or as decimal text."""
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        return None
    try:
        read = Decimal(value)
    except (InvalidOperation, ValueError):
        return None
    return read if read.is_finite() else None


def usd(value: object) -> Decimal | None:
    """An amount of money that can be: finite, not negative, storable."""
    read = number(value)
    return None if read is None else exact(read)


def count(value: object) -> int | None:
    """A whole number, not negative."""
    return value if type(value) is int and value >= 0 else None


def instant(value: object) -> datetime | None:
    """An ISO 8601 instant; one without a zone is taken as UTC, as providers mean it."""
    if not isinstance(value, str):
        return None
    try:
        read = datetime.fromisoformat(value)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None

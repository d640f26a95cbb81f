"""Retrieved sources as RAG servers list them: how many, the best score, the newest date."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any

from monitor.dialects.fields import table
from monitor.domain import Sources

_SCORES = ("similarity", "score", "relevance_score", "relevance", "similarity_score", "_score",
           "rerank_score", "confidence", "probability")  # fmt: skip
_DATES = ("dateLastCrawled", "date_last_crawled", "updated_at", "last_updated", "last_modified",
          "modified_at", "published_at", "published", "publication_date", "crawled_at",
          "indexed_at", "created_at", "date", "timestamp")  # fmt: skip
_INSIDE = ("metadata", "document", "payload", "node", "doc", "chunk")
_MOST = 1000  # sources that are looked at
_EPOCH_MS = 10**11  # seconds would be the year 5138
_FROM, _UNTIL = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def sources(found: object) -> Sources | None:
    """The sources of a list, or their number alone; None where it is neither."""
    if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= 10**6:
        return Sources(found)
    if not isinstance(found, list):
        return None
    entries = [_flat(entry) for entry in found[:_MOST]]
    scores = (_number(entry.get(key)) for entry in entries for key in _SCORES)
    dates = (_date(entry.get(key)) for entry in entries for key in _DATES)
    return Sources(
        count=len(found),
        best_score=max((score for score in scores if score is not None), default=None),
        newest_at=max((date for date in dates if date is not None), default=None),
    )


def together(before: Sources | None, more: Sources | None) -> Sources | None:
    """Sources that a stream lists bit by bit."""
    if before is None or more is None:
        return before or more
    scores = [score for score in (before.best_score, more.best_score) if score is not None]
    dates = [date for date in (before.newest_at, more.newest_at) if date is not None]
    return Sources(before.count + more.count, max(scores, default=None), max(dates, default=None))


def _flat(entry: object) -> Mapping[str, Any]:
    """A source's own fields over those of the objects inside it."""
    own = table(entry)
    inner: dict[str, Any] = {}
    for key in _INSIDE:
        inner |= table(own.get(key))
    return inner | {key: value for key, value in own.items() if value is not None}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) and abs(number) < 1e6 else None


def _date(value: object) -> datetime | None:
    """An ISO date or instant (UTC where it names no zone), or seconds or ms since the epoch."""
    found = _instant(value)
    return found if found is not None and _FROM <= found < _UNTIL else None


def _instant(value: object) -> datetime | None:
    if isinstance(value, str):
        try:
            date = datetime.fromisoformat(value[:40].strip())
        except ValueError:
            return None
        try:
            return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
        except OverflowError:
            return None
    seconds = _seconds(value)
    return None if seconds is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(0, seconds)


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    if not 0 < value < 10**13:
        return None
    return float(value / 1000 if value >= _EPOCH_MS else value)

"""Finish reasons, retrieved sources and gateway headers, in the spellings of all vendors."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import lru_cache
from math import isfinite
from typing import Any

from monitor.data_files import data_file
from monitor.dialects.json_fields import money, object_at
from monitor.dialects.reported_usage import amount
from monitor.domain import Claim, ClaimKind, Finish, ParsedEvent, RetrievedSources, Usage

_FILE = data_file(__package__, "answer_metadata.toml")
_SPELLINGS = {
    reason: _FILE.table("finish").texts(reason) for reason in Finish if reason is not Finish.OTHER
}
_NONE = _FILE.table("finish").words("none")
_BY_SPELLING = {spelling: word for word, names in _SPELLINGS.items() for spelling in names}


def finish(reason: object) -> Finish | None:
    """A vendor's finish reason; None while the answer goes on.

    Reads upper and lower case, `-` for `_`, and Google's `FINISH_REASON_` before the word.
    """
    if not isinstance(reason, str):
        return None
    word = reason[:100].strip().lower().replace("-", "_").replace(" ", "_")
    word = word.removeprefix("finish_reason_")
    return None if word in _NONE else _BY_SPELLING.get(word, Finish.OTHER)


# Retrieved sources as RAG servers list them: how many, the best score, the newest date.


_SCORES = _FILE.table("sources").words("scores")
_DATES = _FILE.table("sources").words("dates")
_TEXT_DATES = ("%Y/%m/%d", "%Y.%m.%d", "%Y-%m", "%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y")
_INSIDE = _FILE.table("sources").texts("inside")
del _FILE  # the parsed file is not needed any longer
_MOST = 1000  # sources that are examined
_EPOCH_MS = 10**11  # in seconds this would be the year 5138
_FROM, _UNTIL = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def sources(found: object) -> RetrievedSources | None:
    """The sources of a list, or only their number; None where it is neither."""
    if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= 10**6:
        return RetrievedSources(found)
    if not isinstance(found, list):
        return None
    entries = [_flat(entry) for entry in found[:_MOST]]
    named = [(_letters(key), value) for entry in entries for key, value in entry.items()]
    scores = [_number(value) for key, value in named if key in _SCORES]
    dates = [_date(value) for key, value in named if key in _DATES]
    return RetrievedSources(
        count=len(found),
        best_score=max((score for score in scores if score is not None), default=None),
        newest_at=max((date for date in dates if date is not None), default=None),
    )


def together(
    before: RetrievedSources | None, more: RetrievedSources | None
) -> RetrievedSources | None:
    """Adds the sources of a later event, for streams that list them in several events."""
    if before is None or more is None:
        return before or more
    scores = [score for score in (before.best_score, more.best_score) if score is not None]
    dates = [date for date in (before.newest_at, more.newest_at) if date is not None]
    return RetrievedSources(
        before.count + more.count, max(scores, default=None), max(dates, default=None)
    )


def _flat(entry: object) -> Mapping[str, Any]:
    """A source's own fields, which win over those of the objects inside it."""
    own = object_at(entry)
    inner: dict[str, Any] = {}
    for key in _INSIDE:
        inner |= object_at(own.get(key))
    return inner | {key: value for key, value in own.items() if value is not None}


@lru_cache(maxsize=256)
def _letters(key: str) -> str:
    return "".join(filter(str.isalpha, key[:40])).lower()


def _number(value: object) -> float | None:
    if isinstance(value, str):
        text = value[:40].strip()
        amount = money(text.removesuffix("%").rstrip())
        value = amount / 100 if amount is not None and text.endswith("%") else amount
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) and abs(number) < 1e6 else None


def _date(value: object) -> datetime | None:
    """An ISO date or instant (UTC if it has no zone), or seconds or ms since the epoch."""
    found = _instant(value)
    return found if found is not None and _FROM <= found < _UNTIL else None


def _instant(value: object) -> datetime | None:
    if isinstance(value, str):
        date = _read(value[:40].strip())
        if date is None:
            return _instant(int(value)) if value.isdecimal() and len(value) < 14 else None
        try:
            return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
        except OverflowError:
            return None
    seconds = _seconds(value)
    return None if seconds is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(0, seconds)


def _read(text: str) -> datetime | None:
    """A date in one of the usual formats."""
    with suppress(ValueError):
        return datetime.fromisoformat(text)
    if text.isdecimal():
        return None
    with suppress(ValueError, TypeError, IndexError):
        if ":" in text:
            return parsedate_to_datetime(text)
    for form in _TEXT_DATES:
        with suppress(ValueError):
            return datetime.strptime(text, form).replace(tzinfo=UTC)
    return None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    if not 0 < value < 10**13:
        return None
    return float(value / 1000 if value >= _EPOCH_MS else value)


# Gateway response headers: which model served, how often the gateway fell back, what it cost.
#
# `gateways.toml` lists the headers and where they are documented.


_ROWS = data_file(__package__, "gateways.toml").rows("gateway")


def _headers(use: str) -> tuple[str, ...]:
    return tuple(header for row in _ROWS for header in row.texts(use, optional=True))


# of each group the first header counts
_MODELS = tuple(row.texts("model", optional=True) for row in _ROWS)
_COUNTS = (*_headers("group"), *_headers("fallbacks"))
_IDS, _HOSTS, _CHARGES = _headers("id"), _headers("host"), _headers("charge")


def parse_headers(headers: Mapping[str, str]) -> ParsedEvent:
    """Claims and the cost in a response head; header names are in lower case.

    A cost of zero is ignored: a gateway that streams sends its headers before it knows the cost.
    """
    named = (next((name for name in names if headers.get(name)), "") for names in _MODELS)
    claims = [
        *(Claim(ClaimKind.HEADER, name, headers[name]) for name in named if name),
        *(Claim(ClaimKind.HEADER, name, headers[name]) for name in _COUNTS if headers.get(name)),
        *(Claim(ClaimKind.HEADER, "id", headers[name]) for name in _IDS if headers.get(name)),
        *(Claim(ClaimKind.HOST, name, headers[name]) for name in _HOSTS if headers.get(name)),
    ]
    stated = [amount(headers[name]) for name in _CHARGES if headers.get(name)]
    cost = next((one.usd for one in stated if one.usd), None)
    faults = tuple(one.fault for one in stated if one.fault)
    charged = cost is not None or faults
    return ParsedEvent(
        claims=tuple(claims), usage=Usage(cost_usd=cost, faults=faults) if charged else None
    )

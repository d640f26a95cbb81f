"""What a response's head says, read warily."""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from monitor.probing.limits import HEAD_BYTES, HEAD_FIELDS

LONGEST_WAIT_S = 3600.0

Raw = Sequence[tuple[bytes, bytes]]
Fields = tuple[tuple[str, str], ...]


def excess(raw: Raw) -> str | None:
    """Which cap the head is over, if any."""
    if len(raw) > HEAD_FIELDS:
        return f"the head has more than {HEAD_FIELDS} fields"
    if sum(len(name) + len(value) for name, value in raw) > HEAD_BYTES:
        return f"the head is longer than {HEAD_BYTES} bytes"
    return None


def fields(raw: Raw) -> Fields:
    """The head's fields in order, names in lower case."""
    return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw)


def field(head: Fields, wanted: str) -> str | None:
    """The first value of a field."""
    return next((value for name, value in head if name == wanted), None)


def media_type(head: Fields) -> str | None:
    """The bare media type, in lower case."""
    value = field(head, "content-type")
    return value.partition(";")[0].strip().lower() if value is not None else None


def encoded(head: Fields) -> str | None:
    """The content encoding, where there is one."""
    encodings = [value.strip() for name, value in head if name == "content-encoding"]
    return next((e for e in encodings if e.lower() not in ("", "identity")), None)


def retry_after_s(head: Fields, now: datetime) -> float | None:
    """How long we are asked to stay away, at most an hour. None: not asked, or not readable."""
    value = (field(head, "retry-after") or "").strip()
    if value.isascii() and value.isdigit():
        seconds = float(value)
    else:
        try:
            at = parsedate_to_datetime(value)
            seconds = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
        except (ValueError, OverflowError, IndexError, TypeError):
            return None
    return min(max(seconds, 0.0), LONGEST_WAIT_S)

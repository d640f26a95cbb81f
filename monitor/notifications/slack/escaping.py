"""Words and figures as people read them, and foreign text as Slack shows it literally."""

import math
import unicodedata
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal

from monitor.domain import lasting, usd_text
from monitor.redaction import plain

NOTHING = "–"  # Slack refuses an empty text
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_FORMATTING = str.maketrans("", "", "*_~`:")
_LOOKED_AT = 4_000  # characters of foreign text: no limit of ours is longer
_LONGEST_CLUSTER = 16  # characters we give up rather than split what looks like one
_ZERO_WIDTH_JOINER = "\u200d"
_SKIN_TONES = frozenset("🏻🏼🏽🏾🏿")


def escaped(text: str, limit: int) -> str:
    """Foreign text as one line that cannot mention, link or format anybody or anything.

    At most `limit` characters after escaping; no entity is split, and no cluster of
    characters that looks like one. Never empty. `limit` is at least 2.
    """
    line = plain(text, _LOOKED_AT) or NOTHING
    pieces = [_ENTITIES.get(character, character) for character in line]
    if sum(map(len, pieces)) <= limit:
        return "".join(pieces)
    end, room = 0, limit - 1
    while len(pieces[end]) <= room:
        room -= len(pieces[end])
        end += 1
    return "".join(pieces[: _boundary(line, end)]).rstrip() + "…"


def bare(text: str, limit: int) -> str:
    """Foreign text without the characters that format, for use within formatted text."""
    return escaped(text.translate(_FORMATTING), limit)


def code(text: str, limit: int) -> str:
    """Foreign text in a code span, which nothing inside it can leave."""
    return f"`{escaped(text.replace('`', chr(39)), limit - 2)}`"


def _boundary(line: str, end: int) -> int:
    """The nearest place at or before `end` where a character as people see it begins."""
    for place in range(end, max(end - _LONGEST_CLUSTER, 0), -1):
        if not _joined(line[place - 1], line[place]):
            return place
    return end


def _joined(before: str, after: str) -> bool:
    return (
        _ZERO_WIDTH_JOINER in (before, after)
        or unicodedata.category(after).startswith("M")  # accents, variation selectors, keycaps
        or after in _SKIN_TONES
        or (_flag(before) and _flag(after))
    )


def _flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def amount(rule: str, value: float | Decimal, *, limit: float | Decimal | None = None) -> str:
    """A value of a rule with its unit, or its limit: then `limit` is the same number."""
    if not (math.isfinite(value) and -1e12 < value < 1e12):
        return f"{value:g}"
    if rule in _MONEY:
        return usd_text(value, beside=limit, exact=value == limit)
    return _UNITS.get(rule, _number)(value)


def _number(value: float | Decimal) -> str:
    return f"{float(value):g}"


def _ms(value: float | Decimal) -> str:
    return f"{value:,.0f} ms"


def _share(value: float | Decimal) -> str:
    return f"{100 * value:.1f}".removesuffix(".0") + " %"


def _seconds(value: float | Decimal) -> str:
    return lasting(timedelta(seconds=float(value)))


def _minutes(value: float | Decimal) -> str:
    return lasting(timedelta(minutes=float(value)))


_MONEY = ("spend", "probe_budget")
_UNITS: Mapping[str, Callable[[float | Decimal], str]] = {
    "ttft": _ms,
    "fallback": _share,
    "model_changed": _share,
    "no_data": _seconds,
    "identity_unknown": _share,
    "unpriced": _share,
    "delivery": _minutes,
}

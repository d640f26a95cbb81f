"""How amounts, times and confidence are written in every message, command, report and page."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import exp, log

_CENTS = 2  # minimum number of decimals
_DIGITS = 4  # significant digits below a dollar
_MOST = 12  # maximum number of decimals
_LEAST = Decimal(1).scaleb(-_MOST)
OF_PROBES = "for the monitor's own probes"  # of a cost that holds nothing else


def usd_text(
    usd: Decimal | float, *, beside: Decimal | float | None = None, exact: bool = False
) -> str:
    """`$1,234.50`, `$0.40`, `$0.000152`: cents from a dollar on, four significant digits below.

    `beside`: an amount for comparison; amounts that differ also differ as text, so that a limit
    just exceeded does not look as if it were kept. `exact`: all digits, as a person configured it.
    An amount that is not zero never reads as zero.
    """
    value = _decimal(usd)
    return _text(value, _places(value, beside=beside, exact=exact))


def amount_text(
    low: Decimal, high: Decimal, *, beside: Decimal | None = None, at_least: bool = False
) -> str:
    """`$0.40`, `at least $0.40`, `between $0.40 and $2.10`, `between $0.40 and at least $2.10`.

    `at_least`: something in the amount has no price. Both ends have the same number of decimals;
    ends that look the same are written once.
    """
    places = max(_places(end, beside=beside) for end in (low, high))
    floor, ceiling = _text(low, places), _text(high, places)
    least = "at least " if at_least else ""
    if floor == ceiling:
        return f"{least}{floor}"
    return f"between {floor} and {least}{ceiling}"


def bill_text(usd: Decimal, within_usd: Decimal | None, days: int) -> str:
    """How near the bill is to a sum: `$2.03, ± $0.05 by 30 days of reconciliation`.

    Empty if `within_usd` is not known, or if there is no spend.
    """
    if within_usd is None or not usd:
        return ""
    within = f"± {rounded_usd_text(within_usd)} by {counted(days, 'day')} of reconciliation"
    return f"{usd_text(usd)}, {within}"


def cost_change_text(now: Decimal, before: Decimal | None) -> str:
    """What a day costs now, the ratio first.

    `15 × the cost: at this rate $0.62 a day, was $0.04`.
    """
    if not before or before < 0:
        return f"{rounded_usd_text(now)} a day at this rate"
    ratio = now / before
    times = f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}".removesuffix(".0")
    start = "About the same cost" if times in ("1", "0.9", "1.1") else f"{times} × the cost"
    now_text, before_text = rounded_usd_text(now), rounded_usd_text(before)
    return f"{start}: at this rate {now_text} a day, was {before_text}"


def rounded_usd_text(usd: Decimal) -> str:
    """An amount at a glance: in cents, or two significant digits below one cent."""
    places = _CENTS if abs(usd) >= Decimal("0.01") or not usd else 1 - usd.adjusted()
    return _text(usd, max(_CENTS, min(places, _MOST)))


def _decimal(usd: Decimal | float) -> Decimal:
    return usd if isinstance(usd, Decimal) else Decimal(str(usd))


def _text(usd: Decimal, places: int) -> str:
    if 0 < abs(usd) < _LEAST:
        return f"less than ${_LEAST:f}"
    return f"{'-' if usd < 0 else ''}${abs(usd):,.{places}f}"


def _places(usd: Decimal, *, beside: Decimal | float | None = None, exact: bool = False) -> int:
    """Decimals that an amount needs, without trailing zeros."""
    if not usd:
        return _CENTS
    places = _MOST if exact else _CENTS if abs(usd) >= 1 else _DIGITS - 1 - usd.adjusted()
    other = usd if beside is None else _decimal(beside)
    if usd != other:
        while places < _MOST and f"{usd:.{places}f}" == f"{other:.{places}f}":
            places += 1
    decimals = f"{usd:.{min(places, _MOST)}f}".partition(".")[2]
    return max(_CENTS, len(decimals.rstrip("0")))


# Times and durations as people read them.


def instant(at: datetime, *, now: datetime) -> str:
    """A time in UTC, with its date unless that is today's."""
    at, now = at.astimezone(UTC), now.astimezone(UTC)
    return f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"


def span_text(start: datetime, end: datetime, *, now: datetime) -> str:
    """`from 14:05 to 14:32 UTC`, with dates where the days differ."""
    first, last = instant(start, now=now), instant(end, now=now)
    if start.astimezone(UTC).date() != end.astimezone(UTC).date():
        return f"from {first} to {last}"
    return f"at {first}" if first == last else f"from {first.removesuffix(' UTC')} to {last}"


def lasting(span: timedelta) -> str:
    """A duration in its two largest units, rounded down; in seconds below a minute."""
    seconds = max(int(span.total_seconds()), 0)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def latency_text(ms: float, *, beside: float | None = None) -> str:
    """`843 ms`, `2.5 s`, `1.24 s`: as many decimals as tell it from what it is compared with."""
    if ms < 1000:
        return f"{ms:.0f} ms"
    places = 1
    while beside is not None and ms != beside and places < 3:
        if f"{ms / 1000:.{places}f}" != f"{beside / 1000:.{places}f}":
            break
        places += 1
    return f"{ms / 1000:.{places}f}".removesuffix(".0") + " s"


def counted(number: int, what: str) -> str:
    """`1 answer`, `12 answers`, `1,234 queries`; `what` in the singular."""
    if number == 1:
        return f"1 {what}"
    return f"{number:,} {what.removesuffix('y')}ies" if what == "query" else f"{number:,} {what}s"


def share_text(hits: int, of: int, what: str) -> str:
    """`All of the last 4 answers`, `6 of the last 20 answers (30 %)`; `what` in the plural."""
    if hits == of:
        return f"All of the last {of} {what}" if of > 1 else f"The latest {what.removesuffix('s')}"
    return f"{hits} of the last {of} {what} ({100 * hits / of:.0f} %)"


# Evidence as people read it: a confidence in per cent, never log-odds.


_MOST_CONFIDENT = 1 - 1e-9  # certainty has no odds


def confidence_text(log_odds: float) -> str:
    """The probability that corresponds to log-odds (natural logarithm), at even prior odds."""
    percent = 100 / (1 + exp(-log_odds))
    if percent > 99.9:
        return "> 99.9 %"
    return f"{percent:.1f} %" if percent >= 99 else f"{percent:.0f} %"


# The scale of certainty in every message, report and command: per cent from which a word applies.
# Source: docs/identity.md#certainty
SCALE = ((99.0, "almost certain"), (95.0, "very likely"), (80.0, "likely"))
UNCERTAIN = "uncertain"  # below
CERTAIN = "certain (100 %)"  # the value is counted, summed or read, not inferred


def certainty_text(log_odds: float) -> str:
    """A confidence in words and per cent: `very likely (97 %)`."""
    percent = 100 / (1 + exp(-log_odds))
    words = next((words for least, words in SCALE if percent >= least), UNCERTAIN)
    return f"{words} ({confidence_text(log_odds)})"


def log_odds(confidence: float) -> float:
    """The log-odds of a confidence of 0 to 1, never below zero: no evidence is even odds."""
    sure = min(max(confidence, 0.5), _MOST_CONFIDENT)
    return log(sure / (1 - sure))

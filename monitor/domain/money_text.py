"""Amounts of money in words: one format for every message, command, report and page."""

from decimal import Decimal

_CENTS = 2  # decimals at least
_DIGITS = 4  # significant ones, below a dollar
_MOST = 12  # decimals at most
_LEAST = Decimal(1).scaleb(-_MOST)


def usd_text(
    usd: Decimal | float, *, beside: Decimal | float | None = None, exact: bool = False
) -> str:
    """`$1,234.50`, `$0.40`, `$0.000152`: cents from a dollar on, four significant digits below.

    `beside`: an amount it is compared with; where they differ, so do they as text, and a limit
    just crossed does not read as if it were kept. `exact`: with every digit, as a person set it.
    An amount that is not zero never reads as zero.
    """
    value = _decimal(usd)
    return _text(value, _places(value, beside=beside, exact=exact))


def amount_text(
    low: Decimal, high: Decimal, *, beside: Decimal | None = None, at_least: bool = False
) -> str:
    """`$0.40`, `at least $0.40`, `between $0.40 and $2.10`, `between $0.40 and at least $2.10`.

    `at_least`: something in the amount has no price at all. Both ends have as many decimals;
    ends that read the same are written once.
    """
    places = max(_places(end, beside=beside) for end in (low, high))
    floor, ceiling = _text(low, places), _text(high, places)
    least = "at least " if at_least else ""
    if floor == ceiling:
        return f"{least}{floor}"
    return f"between {floor} and {least}{ceiling}"


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

"""Exact dollars: the one place where an amount of money is rounded or refused."""

from decimal import ROUND_HALF_EVEN, Decimal

PLACES = Decimal("0.000000000001")  # what NUMERIC(20,12) keeps
LIMIT = Decimal(100_000_000)  # and the first amount it does not hold


def rounded(usd: Decimal) -> Decimal:
    """The twelve places that are stored; half a unit goes to the even neighbour."""
    return usd.quantize(PLACES, ROUND_HALF_EVEN)


def exact(usd: Decimal) -> Decimal | None:
    """A cost as it is stored; None for what cannot be one: NaN, negative, no room for it."""
    if not usd.is_finite() or not 0 <= usd < LIMIT:
        return None
    stored = abs(rounded(usd))
    return stored if stored < LIMIT else None

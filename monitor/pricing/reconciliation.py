"""How far a stated spend may be from the provider's bill, learned from days that are over.

Distribution-free: the error of a new day exceeds all but one in twenty of the errors of past days
with a probability of at most 5 %, if days are exchangeable (split conformal prediction, here with
the relative error as score). Source: doi.org/10.1561/2200000101 (Angelopoulos and Bates), sec. 1
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil

from monitor.pricing.price_table import rounded

DAYS = 30  # the latest that count
FEWEST = 19  # with fewer, no error reaches 95 %
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class ReconciledDay:
    """A closed day: what the monitor stated as its spend, and what the providers billed, in USD."""

    stated_usd: Decimal
    billed_usd: Decimal


@dataclass(frozen=True, slots=True)
class SpendUncertainty:
    """The bill lies within `usd` of the stated spend with 95 % confidence, by so many `days`."""

    usd: Decimal
    days: int


def uncertainty(days: Sequence[ReconciledDay], stated_usd: Decimal) -> SpendUncertainty | None:
    """The half-width of the 95 % interval of the bill of a day. `days`: oldest first.

    None with fewer than 19 days in which something was stated.
    """
    errors = sorted(
        abs(day.billed_usd - day.stated_usd) / day.stated_usd
        for day in days[-DAYS:]
        if day.stated_usd > 0
    )
    rank = ceil(CONFIDENCE * (len(errors) + 1))
    if len(errors) < FEWEST or rank > len(errors):
        return None
    return SpendUncertainty(rounded(stated_usd * errors[rank - 1]), len(errors))

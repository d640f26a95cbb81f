"""How strongly counts and medians speak, in nats: 7 nats are odds of 1000 to 1."""

from collections.abc import Sequence
from itertools import pairwise
from math import log, sqrt
from statistics import median

MEDIAN_PRICE = 1.57  # a median needs that many times the values a mean needs, π/2
NORMAL_MAD = 1.4826  # standard deviation of a normal spread, per median absolute deviation


def divergence(share: float, expected: float) -> float:
    """Nats each answer brings that the rate is `share` and not `expected`, both in 0..1."""
    hits = share * log(share / expected) if share > 0 else 0.0
    misses = (1 - share) * log((1 - share) / (1 - expected)) if share < 1 else 0.0
    return hits + misses


def credible_low(hits: float, of: float) -> float:
    """The lowest rate two standard errors below `hits` in `of` (Wilson's bound); `of` > 0."""
    share, spread = hits / of, 4 / of
    middle = share + spread / 2
    return (middle - sqrt(share * (1 - share) * spread + spread * spread / 4)) / (1 + spread)


def distance_evidence(distance: float, *, values: int, scatter: float) -> float:
    """Nats that a median of so many values lies off by more than chance."""
    return values * distance * distance / (2 * MEDIAN_PRICE * scatter * scatter)


def scatter(values: Sequence[float], *, prior: float, floor: float, learnt: int) -> float:
    """Standard deviation from one value to the next, which no slow drift inflates.

    The prior weighs as much as one step, so it fades as steps come. Below `learnt` steps
    all count; above, their median, which single spikes do not move.
    """
    steps = [abs(after - before) for before, after in pairwise(values)]
    if len(steps) < learnt:
        squares = sum(step * step for step in steps) / 2
    else:
        squares = len(steps) * (NORMAL_MAD * median(steps)) ** 2 / 2
    return max(floor, sqrt((prior * prior + squares) / (1 + len(steps))))

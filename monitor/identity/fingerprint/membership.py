"""Do the answers that speak for a fallback look like its own, or like a third model's?

A contrast between two models must side with one of them, whoever answered. So the mean of
the suspected answers is held against means of as many of the fallback's own.
"""

import math
from collections.abc import Iterable, Sequence

from monitor.identity.fingerprint.style_model import Vector

COUNTED = 8  # answers a mean is taken of, at most
USUAL = 0.95  # share of the fallback's own means that lie nearer than what is still its own
_WALKS = 3  # means taken from each starting point


def may_belong(received: Sequence[Vector], own: Sequence[Vector], *, slack: float = 1.0) -> bool:
    """Whether these answers may be by the model that gave its `own`.

    `slack` is how much further off they may lie, squared, where that was found before. Means
    of its own are too near to each other, for they share answers: they are spread to how far
    the mean of new answers would lie.
    """
    count, size = len(received), len(own)
    if not 0 < count < size:
        return False
    wider = (1 / count + 1 / size) / (1 / count - 1 / size)
    lengths = sorted(wider * _length(group) for group in _groups(own, count))
    return _length(received) <= slack * lengths[int(USUAL * (len(lengths) - 1))]


def _groups(own: Sequence[Vector], count: int) -> list[list[Vector]]:
    """Groups of so many answers, from every starting point, each in a few strides."""
    size = len(own)
    strides = [s for s in range(size // count, size) if math.gcd(s, size) == 1][:_WALKS] or [1]
    return [
        [own[(start + nth * stride) % size] for nth in range(count)]
        for stride in strides
        for start in range(size)
    ]


def _length(vectors: Sequence[Vector]) -> float:
    """How far the mean of some vectors lies off, squared."""
    columns: Iterable[Vector] = zip(*vectors, strict=True)
    return math.fsum((sum(column) / len(vectors)) ** 2 for column in columns)

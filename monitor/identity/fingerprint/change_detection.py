"""Is it still the same model? Ranks among what was heard before, and bets that they are even.

A rank is a conformal p-value: as long as nothing changed, small ones are as rare as they
should be, whatever answers look like. Bets on small ranks multiply when something changed
(a Shiryaev-Roberts e-detector): while nothing did, the mean time to reach the sum C is C bets.

Sources: Vovk et al., Algorithmic Learning in a Random World; Shin, Ramdas, Rinaldo, E-detectors.
"""

import math
from collections.abc import Iterable, Sequence

from monitor.identity.fingerprint.style_model import Vector

POWERS = (0.1, 0.3)  # a bold bet and a timid one: nobody knows how large the change will be
PACES = (0.3, 0.1)  # how fast a learnt direction follows what is heard
VIEWS = 3 + len(PACES)
MOST = 2e5  # of one sum: it must come down again when the old model returns
_STEP = 3.0  # standard deviations one answer moves a direction by, at most
_NOISE = 0.7

Sums = tuple[float, ...]  # one a view and power
NO_BETS: Sums = (0.0,) * (VIEWS * len(POWERS))


def ranks(
    vector: Vector, received: Sequence[Vector], directions: Sequence[Vector], *, tie: float
) -> list[float | None]:
    """The p-value of an answer in each view; None where a direction is not yet known.

    `tie` in 0..1 is the luck by which equals are ordered. Views: all scalars, manners,
    wording; then the directions in which the latest answers lay.
    """
    count = len(received) + 1
    found: list[float | None] = []
    for view in (overall, _manners, _wording):
        score = view(vector)
        above = equal = 0
        for other in received:
            theirs = view(other)
            above += theirs > score
            equal += theirs == score
        found.append((above + tie * (equal + 1)) / count)
    for pace, direction in zip(PACES, directions, strict=True):
        found.append(_along(direction, vector, received, pace=pace, tie=tie))
    return found


def overall(vector: Vector) -> float:
    """How odd an answer is, all scalars together."""
    return vector[0] + vector[1] + vector[2]


def _manners(vector: Vector) -> float:
    return vector[0]


def _wording(vector: Vector) -> float:
    return vector[1] + vector[2]


def _along(
    direction: Vector, vector: Vector, received: Sequence[Vector], *, pace: float, tie: float
) -> float | None:
    """Rank by how far answers lie in a direction; small parts of it are taken for noise."""
    noise = _NOISE * math.sqrt(pace)
    parts = [
        (at, part - math.copysign(noise, part))
        for at, part in enumerate(direction)
        if abs(part) > noise
    ]
    if not parts:
        return None
    score = sum(part * vector[at] for at, part in parts)
    above = equal = 0
    for other in received:
        theirs = sum([part * other[at] for at, part in parts])
        above += theirs > score
        equal += theirs == score
    return (above + tie * (equal + 1)) / (len(received) + 1)


def turned(directions: Sequence[Vector], vector: Vector) -> tuple[Vector, ...]:
    """The directions after one more answer: only later answers are ranked along them."""
    return tuple(
        tuple(
            (1 - pace) * part + pace * max(-_STEP, min(_STEP, figure))
            for part, figure in zip(direction, vector, strict=True)
        )
        for pace, direction in zip(PACES, directions, strict=True)
    )


def still(size: int) -> tuple[Vector, ...]:
    """Directions before anything was heard."""
    return ((0.0,) * size,) * len(PACES)


def wagered(sums: Sums, ranked: Sequence[float | None], *, received: int) -> Sums:
    """The sums after betting on one answer's ranks among so many heard.

    Nobody gets rich by the luck of a tie: ranks below half a place count as half a place.
    """
    least = 0.5 / (received + 1)
    new = []
    for at, rank in enumerate(ranked):
        for nth, power in enumerate(POWERS):
            won = 1.0 if rank is None else power * max(rank, least) ** (power - 1)
            new.append(min(MOST, (1 + sums[at * len(POWERS) + nth]) * won))
    return tuple(new)


def evidence(sums: Sums) -> float:
    """All bets together."""
    return sum(sums) / len(sums)


# Has a known fallback taken over? Evidence summed over probes, never below nothing.
#
# Three sums run side by side: for a fallback that gives all answers, some, or few. The limit
# bounds false alarms: while the expected model answers, each sum reaches it less often than
# once in so many probes, as long as a likelihood ratio averages one or less.


SHARES = (1.0, 0.4, 0.15)
PROBES_A_FALSE_ALARM = 20_160  # ten weeks of one probe in five minutes
LIMIT = math.log(PROBES_A_FALSE_ALARM * len(SHARES))
_OVER = 5.0  # what a sum can have in hand: it must come down when the model returns

NOTHING: Sums = (0.0,) * len(SHARES)


def summed(sums: Sums, log_odds: float) -> Sums:
    """The sums after one answer of these nats, fallback over expected."""
    ratio = math.exp(log_odds)
    return tuple(
        max(0.0, min(LIMIT + _OVER, before + math.log(1 - share + share * ratio)))
        for share, before in zip(SHARES, sums, strict=True)
    )


# Do the answers that speak for a fallback look like its own, or like a third model's?
#
# A contrast between two models must side with one of them, whoever answered. So the mean of
# the suspected answers is held against means of as many of the fallback's own.


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

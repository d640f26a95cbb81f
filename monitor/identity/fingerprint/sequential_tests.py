"""Sequential tests for changes of writing style: ranks, bets, and sums of evidence.

A rank is a conformal p-value: as long as nothing changes, small ranks are exactly as rare as their
value says, whatever the answers look like. Bets on small ranks multiply after a change (a
Shiryaev-Roberts e-detector). Without a change, the mean time to reach the sum C is C bets.

Sources: Vovk et al., Algorithmic Learning in a Random World; Shin, Ramdas, Rinaldo, E-detectors.
"""

import math
from collections.abc import Iterable, Sequence

from monitor.identity.fingerprint.style_model import Vector

POWERS = (0.1, 0.3)  # a bold and a cautious bet, because the size of a change is unknown
PACES = (0.3, 0.1)  # how fast a direction adapts to new answers
VIEWS = 3 + len(PACES)
MOST = 2e5  # cap of one sum, so that it falls again when the old model returns
_STEP = 3.0  # standard deviations by which one answer can move a direction
_NOISE = 0.7

Sums = tuple[float, ...]  # one sum for each view and bet
NO_BETS: Sums = (0.0,) * (VIEWS * len(POWERS))


def ranks(
    vector: Vector, received: Sequence[Vector], directions: Sequence[Vector], *, tie: float
) -> list[float | None]:
    """The p-value of an answer in each view; None while a direction is not known yet.

    `tie` in 0..1 is the random number that orders equal values. Views: all scalars, style figures,
    wording; then the directions in which the latest answers deviated.
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
    """How unusual an answer is, over all scalars."""
    return vector[0] + vector[1] + vector[2]


def _manners(vector: Vector) -> float:
    return vector[0]


def _wording(vector: Vector) -> float:
    return vector[1] + vector[2]


def _along(
    direction: Vector, vector: Vector, received: Sequence[Vector], *, pace: float, tie: float
) -> float | None:
    """Rank by how far answers deviate along a direction; small components are noise."""
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
    """Directions before the first answer."""
    return ((0.0,) * size,) * len(PACES)


def wagered(sums: Sums, ranked: Sequence[float | None], *, received: int) -> Sums:
    """The sums after betting on one answer's ranks among so many earlier ones.

    A lucky tie gains nothing: a rank below half a place counts as half a place.
    """
    least = 0.5 / (received + 1)
    new = []
    for at, rank in enumerate(ranked):
        for nth, power in enumerate(POWERS):
            won = 1.0 if rank is None else power * max(rank, least) ** (power - 1)
            new.append(min(MOST, (1 + sums[at * len(POWERS) + nth]) * won))
    return tuple(new)


def evidence(sums: Sums) -> float:
    """The sum of all bets."""
    return sum(sums) / len(sums)


# Whether a known fallback has taken over. Evidence is summed over probes and never falls below
# zero.
#
# Three sums run side by side, for a fallback that gives all answers, some, or few. The limit bounds
# false alarms: while the expected model answers, each sum reaches it less often than once in so
# many probes, as long as the likelihood ratio averages at most one.


SHARES = (1.0, 0.4, 0.15)
PROBES_A_FALSE_ALARM = 20_160  # ten weeks of one probe every five minutes
LIMIT = math.log(PROBES_A_FALSE_ALARM * len(SHARES))
_OVER = 5.0  # cap of a sum, so that it falls again when the expected model returns

NOTHING: Sums = (0.0,) * len(SHARES)


def summed(sums: Sums, log_odds: float) -> Sums:
    """The sums after one answer with these log-odds of fallback over expected."""
    ratio = math.exp(log_odds)
    return tuple(
        max(0.0, min(LIMIT + _OVER, before + math.log(1 - share + share * ratio)))
        for share, before in zip(SHARES, sums, strict=True)
    )


# Whether the answers that favour a fallback look like its own answers, or like a third model's.
#
# A contrast between two models always favours one of them, even if a third one answered. So the
# mean of the suspected answers is compared with means of as many of the fallback's own answers.


COUNTED = 8  # answers in a mean, at most
USUAL = 0.95  # quantile of the fallback's own means up to which answers still count as its own
_WALKS = 3  # means taken from each starting point


def may_belong(received: Sequence[Vector], own: Sequence[Vector], *, slack: float = 1.0) -> bool:
    """Whether these answers may be by the model that wrote `own`.

    `slack` is the additional squared distance that was found necessary before. Means of the model's
    own answers share answers and therefore lie too close together: they are widened to the spread
    that means of new answers would have.
    """
    count, size = len(received), len(own)
    if not 0 < count < size:
        return False
    wider = (1 / count + 1 / size) / (1 / count - 1 / size)
    lengths = sorted(wider * _length(group) for group in _groups(own, count))
    return _length(received) <= slack * lengths[int(USUAL * (len(lengths) - 1))]


def _groups(own: Sequence[Vector], count: int) -> list[list[Vector]]:
    """Groups of so many answers, from every starting point, with a few strides each."""
    size = len(own)
    strides = [s for s in range(size // count, size) if math.gcd(s, size) == 1][:_WALKS] or [1]
    return [
        [own[(start + nth * stride) % size] for nth in range(count)]
        for stride in strides
        for start in range(size)
    ]


def _length(vectors: Sequence[Vector]) -> float:
    """The squared length of the mean of some vectors."""
    columns: Iterable[Vector] = zip(*vectors, strict=True)
    return math.fsum((sum(column) / len(vectors)) ** 2 for column in columns)

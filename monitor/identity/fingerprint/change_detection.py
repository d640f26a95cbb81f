"""Is it still the same model? Ranks among what was heard before, and bets that they are even.

A rank is a conformal p-value: as long as nothing changed, small ones are as rare as they
should be, whatever answers look like. Bets on small ranks multiply when something changed
(a Shiryaev-Roberts e-detector): while nothing did, the mean time to reach the sum C is C bets.

Sources: Vovk et al., Algorithmic Learning in a Random World; Shin, Ramdas, Rinaldo, E-detectors.
"""

import math
from collections.abc import Sequence

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
    parts = [(at, part - math.copysign(noise, part)) for at, part in enumerate(direction)
             if abs(part) > noise]  # fmt: skip
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

"""Change detection: ranks among earlier answers, and bets that the ranks are uniform.

A rank is a conformal p-value: as long as nothing changed, small ones are as rare as they
should be, whatever answers look like. Bets on small ranks multiply when something changed
(a Shiryaev-Roberts e-detector): while nothing did, the mean time to reach the sum C is C bets.

Sources: Vovk et al., Algorithmic Learning in a Random World; Shin, Ramdas, Rinaldo, E-detectors.
"""

import math
import struct
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from math import log
from typing import Any, Self

from monitor.domain import Identity, confidence_text
from monitor.identity.fingerprint.features import MARKS, VERSION
from monitor.identity.fingerprint.style_model import SCALARS, Vector

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
    """Directions before the first answer."""
    return ((0.0,) * size,) * len(PACES)


def wagered(sums: Sums, ranked: Sequence[float | None], *, received: int) -> Sums:
    """The sums after betting on one answer's ranks among so many earlier ones.

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
    """The sums after one answer with these log-odds, fallback over expected."""
    ratio = math.exp(log_odds)
    return tuple(
        max(0.0, min(LIMIT + _OVER, before + math.log(1 - share + share * ratio)))
        for share, before in zip(SHARES, sums, strict=True)
    )


# Do the answers that speak for a fallback look like its own, or like a third model's?
#
# A contrast between two models must side with one of them, even if a third answered. So the mean of
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


# One target followed from answer to answer: what is suspected, and since when.
#
# The state is small and frozen, and survives as JSON: a restart neither forgets what was
# suspected nor counts it twice.


SIZE = SCALARS + len(MARKS)
# Bets at which something changed. Ties are bet on so cautiously that good answers reach this
# less than half as often as once in so many (docs/fingerprints.md#false-alarms).
CHANGED_AT = 10_080.0
QUARANTINE = 8  # answers that wait before others are ranked against them
ACCEPTED = 150  # answers kept besides the baseline
HELD_AT = CHANGED_AT / 5  # suspicion at which nothing is accepted any more
DOUBT_LOG_ODDS, DOUBT_BETS = 3.0, 50.0  # suspicion that asks for more probes
BURST = 4  # extra probes a suspicion may cost
REMEMBERED = 64  # wordings of accepted answers
FEWEST = 4  # answers that speak for a fallback
FEWEST_QUERIES = 2  # they belong to
_OVER_AT = LIMIT / 2  # an established fallback is over when no more than this is left
_SETTLED_SLACK = 1.5  # what is established is not doubted for one odd answer
_SCALE = 256


@dataclass(frozen=True, slots=True)
class FallbackEvidence:
    """How much speaks for one fallback, and what spoke."""

    model: str
    sums: Sums = NOTHING
    queries: tuple[str, ...] = ()  # distinct, of answers that spoke for it
    spoke: int = 0  # answers that spoke for it since nothing did
    latest: tuple[Vector, ...] = ()  # of them, as the fallback's own fingerprint sees them
    established: bool = False

    @property
    def nats(self) -> float:
        return max(self.sums)

    @property
    def lacks(self) -> str:
        """What is missing for a verdict, for a person."""
        if self.nats < LIMIT:
            needed = confidence_text(LIMIT)
            return f"confidence {confidence_text(self.nats)}, {needed} needed"
        if self.spoke < FEWEST:
            return f"{self.spoke} of the {FEWEST} answers needed match it"
        if len(self.queries) < FEWEST_QUERIES:
            return f"only answers to one query match it, answers to {FEWEST_QUERIES} are needed"
        return "its captured answers do not match either"

    def after(
        self, log_odds: float, query: str, *, vector: Vector, own: Sequence[Vector]
    ) -> "FallbackEvidence":
        """The course after one more answer, seen by the fallback's fingerprint of `own`."""
        sums = summed(self.sums, log_odds)
        if not any(sums):
            return FallbackEvidence(self.model)
        course = replace(self, sums=sums)
        if log_odds > 0:
            queries = tuple(dict.fromkeys((*self.queries, query)))[:FEWEST_QUERIES]
            course = replace(course, queries=queries, spoke=self.spoke + 1)
            course = replace(course, latest=(*self.latest, vector)[-COUNTED:])
        needed = _OVER_AT if self.established else LIMIT
        enough = course.spoke >= FEWEST and len(course.queries) >= FEWEST_QUERIES
        established = enough and course.nats >= needed and course._belongs(own)
        return replace(course, established=established)

    def _belongs(self, own: Sequence[Vector]) -> bool:
        slack = _SETTLED_SLACK if self.established else 1.0
        return may_belong(self.latest, own, slack=slack)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerState:
    """What following a target left behind. `since`: when the present suspicion began."""

    epoch: int
    version: int = VERSION
    judged: int = 0
    bets: Sums = NO_BETS
    directions: tuple[Vector, ...] = field(default_factory=lambda: still(SIZE))
    accepted: tuple[Vector, ...] = ()
    waiting: tuple[Vector, ...] = ()
    courses: tuple[FallbackEvidence, ...] = ()
    wordings: tuple[int, ...] = ()
    since: datetime | None = None
    extra: int = 0  # probes asked in a burst since then

    @property
    def change(self) -> float:
        """The bets that something changed; above `CHANGED_AT` it did."""
        return evidence(self.bets)

    @property
    def changed(self) -> bool:
        return self.change >= CHANGED_AT

    @property
    def standing(self) -> tuple[Identity, str | None] | None:
        """What is settled: a fallback by name, or a change to an unknown model; None: neither."""
        lead = self.leading
        if lead and lead.established:
            return Identity.FALLBACK, lead.model
        return (Identity.CHANGED, None) if self.changed else None

    @property
    def leading(self) -> FallbackEvidence | None:
        """The fallback most speaks for, if anything does."""
        return max(self.courses, key=lambda course: (course.established, course.nats), default=None)

    @property
    def doubtful(self) -> bool:
        """Something is suspected and nothing settled: a few more probes would decide."""
        lead = self.leading
        if self.standing:
            return False
        return bool(lead and lead.nats > DOUBT_LOG_ODDS) or self.change > DOUBT_BETS

    @property
    def wants_more(self) -> bool:
        """A burst is due: doubt, and fewer extra probes than it may have."""
        return self.doubtful and self.extra < BURST

    def calm(self) -> bool:
        lead = self.leading
        return self.change < HELD_AT and not (lead and lead.established)

    def bet(self, vector: Vector, received: Sequence[Vector], tie: float) -> Self:
        """One more answer ranked among the earlier ones; it joins them afterwards."""
        known = (*received, *self.accepted)
        ranked = ranks(vector, known, self.directions, tie=tie)
        bets = wagered(self.bets, ranked, received=len(known))
        after = replace(
            self,
            judged=self.judged + 1,
            bets=tuple(round(bet, 6) for bet in bets),
            directions=tuple(map(quantised, turned(self.directions, vector))),
        )
        if self.changed and not after.changed:  # the old writing style is back: start again
            after = replace(after, bets=NO_BETS, directions=still(len(vector)))
        if not after.calm():
            return after
        waiting = (*self.waiting, vector)
        ready = waiting[:-QUARANTINE]
        return replace(
            after, accepted=(*self.accepted, *ready)[-ACCEPTED:], waiting=waiting[-QUARANTINE:]
        )

    def surprise(self) -> float:
        """The bets as log-odds."""
        return log(max(1.0, self.change))

    def to_json(self) -> dict[str, Any]:
        """As PostgreSQL keeps it in a jsonb column."""
        return {
            **{name: getattr(self, name) for name in ("epoch", "version", "judged", "extra")},
            "bets": list(self.bets),
            "directions": _packed(self.directions),
            "accepted": _packed(self.accepted),
            "waiting": _packed(self.waiting),
            "courses": [
                asdict(course) | {"latest": _packed(course.latest)} for course in self.courses
            ],
            "wordings": list(self.wordings),
            "since": self.since and self.since.isoformat(),
        }

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        """The track as it was kept. Raises KeyError, TypeError or ValueError for anything else."""
        courses = (
            FallbackEvidence(
                **{
                    **each,
                    "sums": tuple(each["sums"]),
                    "queries": tuple(each["queries"]),
                    "latest": _unpacked(each["latest"]),
                }
            )
            for each in kept["courses"]
        )
        return cls(
            epoch=kept["epoch"],
            version=kept["version"],
            judged=kept["judged"],
            extra=kept["extra"],
            bets=tuple(kept["bets"]),
            directions=_unpacked(kept["directions"]),
            accepted=_unpacked(kept["accepted"]),
            waiting=_unpacked(kept["waiting"]),
            courses=tuple(courses),
            wordings=tuple(kept["wordings"]),
            since=None if kept["since"] is None else datetime.fromisoformat(kept["since"]),
        )


def quantised(vector: Vector) -> Vector:
    """A vector as it survives being kept: a restart changes no rank."""
    return tuple(round(figure * _SCALE) / _SCALE for figure in vector)


def _packed(vectors: Sequence[Vector]) -> str:
    flat = [round(figure * _SCALE) for vector in vectors for figure in vector]
    return b64encode(struct.pack(f"<{len(flat)}h", *flat)).decode()


def _unpacked(text: str) -> tuple[Vector, ...]:
    kept = b64decode(text)
    figures = [each / _SCALE for each in struct.unpack(f"<{len(kept) // 2}h", kept)]
    if len(figures) % SIZE:
        raise ValueError("vectors of another size")
    return tuple(tuple(figures[at : at + SIZE]) for at in range(0, len(figures), SIZE))

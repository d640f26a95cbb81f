"""Change detection: ranks among earlier answers, and bets that the ranks are uniform.

A rank is a conformal p-value: as long as nothing changes, small ranks are exactly as rare as their
value says, whatever the answers look like. Bets on small ranks multiply after a change (a
Shiryaev-Roberts e-detector). Without a change, the mean time to reach the sum C is C bets.

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


# The state of one target from answer to answer: what is suspected, and since when.
#
# The state is small and frozen and is stored as JSON: after a restart nothing is forgotten and
# nothing is counted twice.


SIZE = SCALARS + len(MARKS)
# Sum of the bets at which a change counts as established. Ties are handled so cautiously that good
# answers reach it less than half as often as once in so many (docs/fingerprints.md#false-alarms).
# less than half as often as once in so many (docs/fingerprints.md#false-alarms).
CHANGED_AT = 10_080.0
QUARANTINE = 8  # answers that wait before others are ranked against them
ACCEPTED = 150  # answers that are kept besides the baseline
HELD_AT = CHANGED_AT / 5  # suspicion from which answers are no longer accepted
DOUBT_LOG_ODDS, DOUBT_BETS = 3.0, 50.0  # suspicion that requests more probes
BURST = 4  # extra probes that one suspicion may cost
REMEMBERED = 64  # wordings of accepted answers
FEWEST = 4  # answers that count for a fallback
FEWEST_QUERIES = 2  # the fallback to which they belong
_OVER_AT = LIMIT / 2  # an established fallback ends when the evidence is down to this
_SETTLED_SLACK = 1.5  # one unusual answer does not question what is established
_SCALE = 256


@dataclass(frozen=True, slots=True)
class FallbackEvidence:
    """How strong the evidence for one fallback is, and which answers it comes from."""

    model: str
    sums: Sums = NOTHING
    queries: tuple[str, ...] = ()  # distinct, of answers that counted for it
    spoke: int = 0  # answers that counted for it since the evidence was last zero
    latest: tuple[Vector, ...] = ()  # distances of these answers from the fallback's own profile
    established: bool = False

    @property
    def nats(self) -> float:
        return max(self.sums)

    @property
    def lacks(self) -> str:
        """What is missing for a verdict, in words."""
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
        """The state after one more answer; `own`: the fallback's own profile."""
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
    """The state of a target. `since`: when the current suspicion began."""

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
    extra: int = 0  # extra probes of bursts since then

    @property
    def change(self) -> float:
        """The bets that something changed; a change is established above `CHANGED_AT`."""
        return evidence(self.bets)

    @property
    def changed(self) -> bool:
        return self.change >= CHANGED_AT

    @property
    def standing(self) -> tuple[Identity, str | None] | None:
        """What is established: a fallback by name, or a change to an unknown model, or None."""
        lead = self.leading
        if lead and lead.established:
            return Identity.FALLBACK, lead.model
        return (Identity.CHANGED, None) if self.changed else None

    @property
    def leading(self) -> FallbackEvidence | None:
        """The fallback with the most evidence, if any has some."""
        return max(self.courses, key=lambda course: (course.established, course.nats), default=None)

    @property
    def doubtful(self) -> bool:
        """Something is suspected and nothing established: a few more probes would decide."""
        lead = self.leading
        if self.standing:
            return False
        return bool(lead and lead.nats > DOUBT_LOG_ODDS) or self.change > DOUBT_BETS

    @property
    def wants_more(self) -> bool:
        """A burst is due: the state is doubtful and extra probes are left."""
        return self.doubtful and self.extra < BURST

    def calm(self) -> bool:
        lead = self.leading
        return self.change < HELD_AT and not (lead and lead.established)

    def bet(self, vector: Vector, received: Sequence[Vector], tie: float) -> Self:
        """Rank one more answer among the earlier ones, then add it to them."""
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
        """The JSON document that PostgreSQL stores."""
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
        """The stored state. Raises KeyError, TypeError or ValueError for anything else."""
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
    """A vector as it is stored: rounding happens before use, so a restart changes no rank."""
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

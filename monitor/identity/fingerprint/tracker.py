"""One target followed from answer to answer: what is suspected, and since when.

The state is small and frozen, and survives as JSON: a restart neither forgets what was
suspected nor counts it twice.
"""

import struct
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from math import log
from typing import Any, Self

from monitor.domain import Identity, confidence_text
from monitor.identity.fingerprint import change_detection
from monitor.identity.fingerprint.change_detection import COUNTED, may_belong
from monitor.identity.fingerprint.features import MARKS, VERSION
from monitor.identity.fingerprint.style_model import SCALARS, Vector

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
_OVER_AT = (
    change_detection.LIMIT / 2
)  # an established fallback is over when no more than this is left
_SETTLED_SLACK = 1.5  # what is established is not doubted for one odd answer
_SCALE = 256


@dataclass(frozen=True, slots=True)
class FallbackEvidence:
    """How much speaks for one fallback, and what spoke."""

    model: str
    sums: change_detection.Sums = change_detection.NOTHING
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
        if self.nats < change_detection.LIMIT:
            needed = confidence_text(change_detection.LIMIT)
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
        sums = change_detection.summed(self.sums, log_odds)
        if not any(sums):
            return FallbackEvidence(self.model)
        course = replace(self, sums=sums)
        if log_odds > 0:
            queries = tuple(dict.fromkeys((*self.queries, query)))[:FEWEST_QUERIES]
            course = replace(course, queries=queries, spoke=self.spoke + 1)
            course = replace(course, latest=(*self.latest, vector)[-COUNTED:])
        needed = _OVER_AT if self.established else change_detection.LIMIT
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
    bets: change_detection.Sums = change_detection.NO_BETS
    directions: tuple[Vector, ...] = field(default_factory=lambda: change_detection.still(SIZE))
    accepted: tuple[Vector, ...] = ()
    waiting: tuple[Vector, ...] = ()
    courses: tuple[FallbackEvidence, ...] = ()
    wordings: tuple[int, ...] = ()
    since: datetime | None = None
    extra: int = 0  # probes asked in a burst since then

    @property
    def change(self) -> float:
        """The bets that something changed; above `CHANGED_AT` it did."""
        return change_detection.evidence(self.bets)

    @property
    def changed(self) -> bool:
        return self.change >= CHANGED_AT

    @property
    def standing(self) -> tuple[Identity, str | None] | None:
        """What is settled: a fallback by name, or a change by nobody; None: neither."""
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
        """Something is suspected and nothing settled: a few probes more would tell."""
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
        """One more answer ranked among those heard before; then it waits to be one of them."""
        known = (*received, *self.accepted)
        ranked = change_detection.ranks(vector, known, self.directions, tie=tie)
        bets = change_detection.wagered(self.bets, ranked, received=len(known))
        after = replace(
            self,
            judged=self.judged + 1,
            bets=tuple(round(bet, 6) for bet in bets),
            directions=tuple(map(quantised, change_detection.turned(self.directions, vector))),
        )
        if self.changed and not after.changed:  # the old looks are back: begin anew
            after = replace(
                after, bets=change_detection.NO_BETS, directions=change_detection.still(len(vector))
            )
        if not after.calm():
            return after
        waiting = (*self.waiting, vector)
        ready = waiting[:-QUARANTINE]
        return replace(
            after, accepted=(*self.accepted, *ready)[-ACCEPTED:], waiting=waiting[-QUARANTINE:]
        )

    def surprise(self) -> float:
        """The bets in nats."""
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

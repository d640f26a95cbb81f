"""The state of one target from answer to answer: what is suspected, and since when.

The state is small and frozen and is stored as JSON: after a restart nothing is forgotten and
nothing is counted twice.
"""

import struct
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from math import log
from typing import Any, Self

from monitor.domain import Identity, confidence_text
from monitor.identity.fingerprint.features import MARKS, VERSION
from monitor.identity.fingerprint.sequential_tests import (
    COUNTED,
    LIMIT,
    NO_BETS,
    NOTHING,
    Sums,
    evidence,
    may_belong,
    ranks,
    still,
    summed,
    turned,
    wagered,
)
from monitor.identity.fingerprint.style_model import SCALARS, Vector
from monitor.identity.fingerprint.usual_sources import QuerySources

SIZE = SCALARS + len(MARKS)
# Sum of the bets at which a change counts as established. Ties are handled so cautiously that good
# answers reach it less than half as often as once in so many (docs/fingerprints.md#false-alarms).
CHANGED_AT = 10_080.0
QUARANTINE = 8  # answers that wait before others are ranked against them
ACCEPTED = 150  # answers that are kept besides the baseline
HELD_AT = CHANGED_AT / 5  # suspicion from which answers are no longer accepted
DOUBT_LOG_ODDS, DOUBT_BETS = 3.0, 50.0  # suspicion that requests more probes
BURST = 4  # extra probes that one suspicion may cost
REMEMBERED = 64  # wordings of accepted answers
FEWEST = 4  # answers that count for a fallback
FEWEST_QUERIES = 2  # canned queries that these answers come from
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
    sources: tuple[QuerySources, ...] = ()
    alone: int = 0  # latest answers that only one query gave, as the others lost their sources
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

    def bet(
        self, vector: Vector, received: Sequence[Vector], tie: float, *, alone: bool = False
    ) -> Self:
        """Rank one more answer among the earlier ones, then add it to them.

        `alone`: among answers to the same query: these `received` ones, and those that were
        accepted since it is alone. Among the received ones only, each answer would be ranked among
        the same few, and what is unusual about these would count again and again.
        """
        # Of the answers since then, the latest ones wait.
        most = max(self.alone - QUARANTINE, 0) if alone else ACCEPTED
        known = (*received, *self.accepted[max(len(self.accepted) - most, 0) :])
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
        if alone:
            after = replace(after, alone=min(self.alone + 1, QUARANTINE + ACCEPTED))
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
            **{
                name: getattr(self, name)
                for name in ("epoch", "version", "judged", "extra", "alone")
            },
            "bets": list(self.bets),
            "directions": _packed(self.directions),
            "accepted": _packed(self.accepted),
            "waiting": _packed(self.waiting),
            "courses": [
                asdict(course) | {"latest": _packed(course.latest)} for course in self.courses
            ],
            "wordings": list(self.wordings),
            "sources": [
                [one.query, one.marks, one.latest.isoformat(), one.gone] for one in self.sources
            ],
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
            sources=tuple(
                QuerySources(query, marks, datetime.fromisoformat(latest), *gone)
                for query, marks, latest, *gone in kept.get("sources", ())  # older states: none
            ),
            alone=kept.get("alone", 0),
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

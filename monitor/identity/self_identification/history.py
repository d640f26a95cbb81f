"""What earlier direct questions were answered: the memory one self-identification needs."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from monitor.domain import ClaimKind, Evidence

ROUNDS = 3  # direct questions in a row that must be answered alike


@dataclass(frozen=True, slots=True)
class SelfIdHistory:
    """Families the service gave when asked who it is, newest first, one per round.

    Answers that named nobody are left out: under a persona silence is neither side.
    """

    families: tuple[str, ...] = ()

    def run(self, family: str) -> int:
        """How many of the latest answers in a row named this family."""
        return sum(1 for _ in takewhile(family.__eq__, self.families))

    def once_claimed(self, families: Collection[str]) -> bool:
        """Whether some run of `ROUNDS` answers alike named one of these families."""
        spans = zip(*(self.families[i:] for i in range(ROUNDS)), strict=False)
        return any(span[0] in families and len(set(span)) == 1 for span in spans)


def self_id_history(answers: Iterable[Sequence[Evidence]]) -> SelfIdHistory:
    """The standing from the evidence stored with each direct answer, newest first."""
    reported = ({e.claim for e in answer if e.kind is ClaimKind.SELF} for answer in answers)
    return SelfIdHistory(tuple(families.pop() for families in reported if len(families) == 1))

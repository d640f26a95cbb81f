"""What a canned query loses of its sources, and what proves it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum
from statistics import median
from typing import NamedTuple


class SourceLoss(Enum):
    """What became worse, the worst first: the column of the history, and how it is called."""

    NONE = 0, "no sources"
    FEWER = 0, "fewer sources"
    WORSE = 1, "worse sources"
    OLDER = 2, "older sources"

    def __init__(self, column: int, words: str) -> None:
        self.column, self.words = column, words


class LossProof(NamedTuple):
    """A query whose latest answers are worse than its earlier ones."""

    query: str
    hits: int
    of: int
    log_odds: float
    since: int  # the first of these answers, µs
    rounds: frozenset[int]
    text: str  # "2 sources, usually 5"


class ProvenLoss(NamedTuple):
    kind: SourceLoss
    proofs: Sequence[LossProof]  # the strongest first


def without_repetition(losses: Sequence[ProvenLoss]) -> list[ProvenLoss]:
    """The losses without those of a query that brings none: these are also fewer."""
    gone = {p.query for loss in losses if loss.kind is SourceLoss.NONE for p in loss.proofs}
    kept = [
        loss
        if loss.kind is SourceLoss.NONE
        else loss._replace(proofs=[p for p in loss.proofs if p.query not in gone])
        for loss in losses
    ]
    return [loss for loss in kept if loss.proofs]


def compared(kind: SourceLoss, now: Sequence[float], before: Sequence[float]) -> str:
    """What it is and what it usually is, in the figures of its kind."""
    value, usual = median(now), median(before)
    match kind:
        case SourceLoss.NONE:
            return f"usually {usual:g}"
        case SourceLoss.FEWER:
            return f"{value:g}, usually {usual:g}"
        case SourceLoss.WORSE:
            return f"best score {value:.3g}, usually {usual:.3g}"
        case SourceLoss.OLDER:
            return f"newest of {_date(value)}, usually {_date(usual)}"


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"

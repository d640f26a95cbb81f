"""What a canned query loses of its sources, and what proves it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from itertools import groupby, pairwise, takewhile
from math import log
from statistics import median
from typing import Any, NamedTuple, Self

from monitor.rules.query_history import QueryHistory
from monitor.rules.statistics import divergence

_RARE = 500  # answers without an empty one that are assumed before anything is known
_FOLLOWED = 0.035  # empty results after another that are assumed before anything is known
_SOON = 0.3  # the same of an extra probe in the same round: a fault may last for minutes
LOOKED_AT = 48  # latest answers to a query that show whether an empty result is unusual
_UNUSUAL = 1  # earlier empty results among them
KEPT_US = 63 * 60 * 1_000_000  # how long a result may be kept in a cache, with a margin
_ALIKE = 0.95  # share of results that repeat the one before: all
_CACHED = 0.3  # the same of those that do not repeat it by chance: kept for a while


class SourceLoss(Enum):
    """What became worse, the worst first: the column of the history, and how it is called."""

    NONE = 0, "no sources"
    FEWER = 0, "fewer sources"
    WORSE = 1, "worse sources"
    OLDER = 2, "older sources"

    def __init__(self, column: int, words: str) -> None:
        self.column, self.words = column, words


def judged_answers(kind: SourceLoss, history: QueryHistory) -> Sequence[int]:
    """The answers that are judged for a loss: an empty result is not one of fewer sources."""
    known = history.known(kind.column)
    if kind is not SourceLoss.FEWER:
        return known
    counts = history.column(0)
    return [nth for nth in known if counts[nth] > 0]


def outside(
    past: tuple[int, int] | None, history: QueryHistory, known: Sequence[int]
) -> Sequence[int]:
    """The answers that began outside a time, µs."""
    if past is None:
        return known
    begun, ended = past
    return [nth for nth in known if not begun <= history.at(nth) <= ended]


class JudgedQuery(NamedTuple):
    """A query, the positions of its judged answers, and of those that show what is usual."""

    query: str
    history: QueryHistory
    known: Sequence[int]
    usual: Sequence[int]


class LossProof(NamedTuple):
    """A query whose latest answers are worse than its earlier ones."""

    query: str
    hits: int
    of: int
    log_odds: float
    since: int  # the first of these answers, µs
    until: int  # the last of them
    rounds: Mapping[int, int]  # the first of them in each round, µs, by slot
    text: str  # "2 sources, usually 5"


class ProvenLoss(NamedTuple):
    kind: SourceLoss
    proofs: Sequence[LossProof]  # the strongest first


class EmptyResults(NamedTuple):
    """How many of the earlier answers to a query had no sources.

    `squares`: the sum of the squares of the lengths of their runs. So a long run weighs more than
    many single results, which may have another reason.
    """

    empty: int
    squares: int
    of: int

    @classmethod
    def of_counts(cls, counts: Sequence[float]) -> Self:
        """Numbers of sources in order of time."""
        runs = [len(list(run)) for empty, run in groupby(counts, key=lambda n: n == 0) if empty]
        return cls(sum(runs), sum(length * length for length in runs), len(counts))

    @property
    def rate(self) -> float:
        """Share of empty results; the first ones seen outweigh what is assumed."""
        return (self.empty + 0.5) / (self.of + _RARE / (1 + self.empty))


def from_cache(queries: Iterable[Iterable[tuple[Any, ...]]]) -> bool:
    """Whether results seem to be kept for a while: number of sources, best score, date, by query.

    They repeat the one before more often than in a random order. If nearly all repeat it, the
    index answers the same question alike, as it should.
    """
    repeated, by_chance, of = 0, 0.0, 0
    for results in queries:
        found = [one for one in results if one[0] > 0]
        repeated += sum(before == one for before, one in pairwise(found))
        by_chance += sum(n * (n - 1) for n in Counter(found).values()) / max(len(found), 1)
        of += max(len(found) - 1, 0)
    return repeated <= _ALIKE * of and repeated - by_chance > _CACHED * (of - by_chance)


def weighed(
    proofs: Sequence[LossProof], before: Mapping[str, EmptyResults], *, cached: bool
) -> list[LossProof]:
    """Proofs of vanished sources with their evidence.

    The first empty result is as likely as among the query's earlier answers, and not less likely
    than at the typical query of the target. One of each further round is as likely as one empty
    result followed another so far; an extra one of the same round proves a third of that. If
    results may come from a cache, those of an hour are one, after the first round: its result may
    not be the one that is kept.
    """
    typical = median([one.rate for one in before.values()] or [1.0])
    squares = sum(one.squares for one in before.values())
    followed = squares - sum(one.empty for one in before.values())
    again = (followed + _FOLLOWED) / (squares + 1)

    def log_odds(proof: LossProof) -> float:
        rate, share = max(before[proof.query].rate, typical), proof.hits / proof.of
        if share <= rate:
            return 0.0
        rounds = len(proof.rounds)
        further = (rounds - 1) * -log(max(again, rate))
        further += (proof.hits - rounds) * -log(max(again, rate, _SOON))
        if cached:
            second = sorted(proof.rounds.values())[min(rounds, 2) - 1]
            further = min(further, (proof.until - second) // KEPT_US * -log(rate))
        return (-log(rate) + further) * divergence(share, rate) / (share * -log(rate))

    return [proof._replace(log_odds=log_odds(proof)) for proof in proofs]


class RetrievedAnswer(NamedTuple):
    """What one answer retrieved. `extra`: it was sent on suspicion, between the rounds."""

    sources: int
    best_score: float | None
    newest_at: datetime | None
    slot: datetime
    extra: bool


def query_to_confirm(
    latest: Mapping[str, Sequence[RetrievedAnswer]], *, answers: int, rounds: int, most: int
) -> str | None:
    """The query that is to be asked again soon, because its latest answer has no sources.

    `latest`: up to `LOOKED_AT` good answers to each query without sources in this round, oldest
    first. Those of several regions in one round count once. `answers`: so many earlier ones must be
    known. Only while the loss is not older than `rounds` rounds, with at most `most` extra probes
    in each. None if it affects several queries: two rounds prove that by themselves. None if
    results may come from a cache: an answer in the same hour proves nothing.
    """
    suspects = [query for query, of in latest.items() if _unusual(of, answers, rounds, most)]
    return suspects[0] if len(suspects) == 1 else None


def _unusual(received: Sequence[RetrievedAnswer], answers: int, rounds: int, most: int) -> bool:
    latest = _by_round(received)
    without = list(takewhile(lambda one: not one.sources, reversed(latest)))
    extra = len(list(takewhile(lambda one: one.extra, without)))
    earlier = latest[: len(latest) - len(without)]
    return (
        1 <= sum(not one.extra for one in without) <= rounds
        and extra < most
        and len(earlier) >= answers
        and sum(not one.sources for one in earlier) <= _UNUSUAL
        and not from_cache([[one[:3] for one in earlier]])
    )


def _by_round(received: Sequence[RetrievedAnswer]) -> Sequence[RetrievedAnswer]:
    """One answer for each round, with the most sources that a region got, and every extra one."""
    rounds: dict[tuple[datetime, int | None], RetrievedAnswer] = {}
    for nth, one in enumerate(received):
        key = (one.slot, nth if one.extra else None)
        if key not in rounds or one.sources > rounds[key].sources:
            rounds[key] = one
    return list(rounds.values())


def first_of_rounds(history: QueryHistory, positions: Sequence[int]) -> Sequence[int]:
    """The positions without the extra answers of each round."""
    return [next(same) for _, same in groupby(positions, key=history.slot)]


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

"""The distance of an answer from one model, whose style was learned from its answers.

Every distance is computed as if one other answer had not been learned. So the learned answers are
as far away as new ones, however few there are, and ranks among them are unbiased.
"""

import math
from array import array
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

from monitor.identity.fingerprint.features import SPACE, AnswerFeatures

# spread of style figures, strangeness, omissions; then one value per figure
Vector = tuple[float, ...]

SCALARS = 3
FARTHEST = 8.0  # standard deviations; a scalar is cut there
_MARK_FARTHEST = 4.0
_SHRINK = 1.0  # weight of the mean over all queries, in answers, when one query's mean is computed
_SCALAR_SHRINK = 2.0
_FEW = 10  # degrees of freedom needed to estimate a spread
_A_FEW = 4  # answers to a query needed to find their common grams
# weight of the wording over all queries, in answers, when one query's wording is computed
_BACKED = 2.0


@dataclass(frozen=True, slots=True)
class _Means:
    """Sums of values over answers, from which any single answer can be removed again."""

    sums: Vector
    count: int

    @classmethod
    def of(cls, rows: Sequence[Vector]) -> Self:
        return cls(tuple(map(sum, zip(*rows, strict=True))), len(rows))

    def without(self, row: Vector | None) -> "_Means":
        if row is None:
            return self
        return _Means(tuple(a - b for a, b in zip(self.sums, row, strict=True)), self.count - 1)


class Fingerprint:
    """The style of one model's answers to the canned queries. Immutable.

    `vectors` are the distances of the answers it was learned from, in their order. Needs at least
    two answers.
    """

    def __init__(self, answers: Sequence[AnswerFeatures]) -> None:
        self._learnt = tuple(answers)
        self._of: dict[str, list[int]] = defaultdict(list)
        for at, answer in enumerate(answers):
            self._of[answer.query].append(at)
        self._pool = array("H", bytes(2 * SPACE))
        self._heard = {query: array("H", bytes(2 * SPACE)) for query in self._of}
        for answer in answers:
            received, pool = self._heard[answer.query], self._pool
            for gram in answer.grams:
                received[gram] += 1
                pool[gram] += 1
        self._common = {
            query: _common(received, len(self._of[query]))
            for query, received in self._heard.items()
            if len(self._of[query]) >= _A_FEW
        }
        self._common_anywhere = _common(self._pool, len(self._learnt))
        self._marks = [answer.marks for answer in answers]
        self._mark_means = _Means.of(self._marks)
        self._mark_means_of = self._grouped(self._marks)
        self._mark_spread = self._spread(self._marks, rounding=True)
        raw = [self._raw(answer, at) for at, answer in enumerate(answers)]
        self._scalars = [row[:SCALARS] for row in raw]
        self._scalar_means = _Means.of(self._scalars)
        self._scalar_means_of = self._grouped(self._scalars)
        self._scalar_spread = self._spread(self._scalars, rounding=False)
        self.vectors: tuple[Vector, ...] = tuple(
            self._standard(row, self._learnt[at].query, at) for at, row in enumerate(raw)
        )

    @property
    def queries(self) -> frozenset[str]:
        return frozenset(self._of)

    @property
    def count(self) -> int:
        return len(self._learnt)

    @property
    def general(self) -> bool:
        """Learned from one answer each of many queries: it can judge answers to any query."""
        return len(self._of) == len(self._learnt) >= _FEW

    def vectors_of(self, query: str) -> Sequence[Vector]:
        """Those of the answers to one query."""
        return [self.vectors[at] for at in self._of.get(query, ())]

    def vector(self, answer: AnswerFeatures) -> Vector:
        """How far a new answer is away, in standard deviations of the learned answers."""
        of = self._of.get(answer.query) or range(len(self._learnt))
        left_out = of[sum(answer.grams) % len(of)]
        return self._standard(self._raw(answer, left_out), answer.query, left_out)

    def _raw(self, answer: AnswerFeatures, left_out: int) -> Vector:
        """Unscaled scalars and scaled style figures, with one learned answer left out."""
        gone = frozenset(self._learnt[left_out].grams)
        same = self._learnt[left_out].query == answer.query
        strange = self._strangeness(answer, gone, same=same)
        omitted = self._omissions(answer, gone, same=same)
        z = self._manners(answer, left_out)
        spread = math.sqrt(sum(min(9.0, each * each) for each in z) / len(z))
        return (spread, strange, omitted, *z)

    def _strangeness(self, answer: AnswerFeatures, gone: Collection[int], *, same: bool) -> float:
        """Mean surprise of an answer's grams."""
        received, pool = self._heard.get(answer.query), self._pool
        everything = len(self._learnt) - 1
        here = len(self._of.get(answer.query, ())) - same
        surprise = 0.0
        for gram in answer.grams:
            out = gram in gone
            often = (pool[gram] - out + 0.1) / (everything + 1)
            known = received[gram] - (out and same) if received is not None else 0
            surprise -= math.log((known + _BACKED * often) / (here + _BACKED))
        return surprise / max(1, len(answer.grams))

    def _omissions(self, answer: AnswerFeatures, gone: Collection[int], *, same: bool) -> float:
        """The share of usual grams that this answer lacks.

        Usual: in most answers to the same query if there are a few, else in most answers to any
        query.
        """
        common = self._common.get(answer.query)
        if common is None:
            received, common, size, out = self._pool, self._common_anywhere, len(self._learnt), True
        else:
            received, size, out = self._heard[answer.query], len(self._of[answer.query]), same
        reported = frozenset(answer.grams)
        usual = missing = 0
        for gram in common:
            if 2 * (received[gram] - (out and gram in gone)) >= size - out:
                usual += 1
                missing += gram not in reported
        return missing / max(1, usual)

    def _manners(self, answer: AnswerFeatures, left_out: int) -> Vector:
        gone = self._marks[left_out]
        everywhere = self._mark_means.without(gone)
        same = self._learnt[left_out].query == answer.query
        here = self._mark_means_of.get(answer.query)
        here = here and here.without(gone if same else None)
        mean = _shrunk(here, everywhere, _SHRINK)
        return tuple(
            max(-_MARK_FARTHEST, min(_MARK_FARTHEST, (mark - usual) / spread))
            for mark, usual, spread in zip(answer.marks, mean, self._mark_spread, strict=True)
        )

    def _standard(self, raw: Vector, query: str, left_out: int) -> Vector:
        gone = self._scalars[left_out]
        everywhere = self._scalar_means.without(gone)
        same = self._learnt[left_out].query == query
        here = self._scalar_means_of.get(query)
        here = here and here.without(gone if same else None)
        mean = _shrunk(here, everywhere, _SCALAR_SHRINK)
        scaled = (
            max(-FARTHEST, min(FARTHEST, (figure - usual) / spread))
            for figure, usual, spread in zip(raw[:SCALARS], mean, self._scalar_spread, strict=True)
        )
        return (*scaled, *raw[SCALARS:])

    def _grouped(self, rows: Sequence[Vector]) -> dict[str, _Means]:
        return {query: _Means.of([rows[at] for at in of]) for query, of in self._of.items()}

    def _spread(self, rows: Sequence[Vector], *, rounding: bool) -> Vector:
        """Standard deviations within queries; over all answers if queries have one each.

        `rounding` prevents figures that hardly ever vary from getting an infinite weight.
        """
        groups: list[list[int]] = list(self._of.values())
        if sum(len(of) - 1 for of in groups) < _FEW:
            groups = [list(range(len(rows)))]
        free = max(1, sum(len(of) - 1 for of in groups))
        spreads = []
        for column in zip(*rows, strict=True):
            squares = 0.0
            for of in groups:
                mean = sum(column[at] for at in of) / len(of)
                squares += sum((column[at] - mean) ** 2 for at in of)
            usual = sum(column) / len(column)
            floor = 0.1 * abs(usual) + 0.05 if rounding else 1e-4
            spreads.append(math.sqrt(squares / free + floor * floor))
        return tuple(spreads)


def _common(received: Sequence[int], answers: int) -> tuple[int, ...]:
    """Grams that about half of the answers or more contain."""
    return tuple(gram for gram, count in enumerate(received) if count and 2 * count >= answers - 1)


def _shrunk(here: _Means | None, everywhere: _Means, weight: float) -> Vector:
    """The mean of one query, shrunk towards the mean of all."""
    wide = [total / everywhere.count for total in everywhere.sums]
    if here is None:
        return tuple(wide)
    return tuple(
        (total + weight * usual) / (here.count + weight)
        for total, usual in zip(here.sums, wide, strict=True)
    )

"""Distinguishes two models by their answers, and measures how well that works.

It is trained on answers of both models to the same canned queries and evaluated on held-out
answers: models that cannot be separated there are not separated later either.
"""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.identity.fingerprint.features import AnswerFeatures

ENOUGH = 0.85  # area under the curve below which no model is named
MOST_LOG_ODDS = 5.0  # the most that one answer can weigh
_FOLDS = 5
_HALF = 0.5  # pseudo-answers added to every count
_MARK_FARTHEST = 3.0
_RIDGE = 0.002

Scores = tuple[float, float]  # wording, style figures


class ModelClassifier:
    """Expected model against fallback. `separability` in 0..1 is measured on held-out answers.

    Raises ValueError if the two models share no query.
    """

    def __init__(
        self, expected: Sequence[AnswerFeatures], fallback: Sequence[AnswerFeatures]
    ) -> None:
        shared = {one.query for one in expected} & {other.query for other in fallback}
        ours = [answer for answer in expected if answer.query in shared]
        theirs = [answer for answer in fallback if answer.query in shared]
        if min(len(ours), len(theirs)) < _FOLDS:
            raise ValueError("too few answers of both models to the same canned queries")
        held_out = _held_out(ours, theirs)
        self._weights = _logistic(*held_out)
        ours_out, theirs_out = ([self._weights.of(s) for s in side] for side in held_out)
        self.separability = area(ours_out, theirs_out)
        self.cap = min(MOST_LOG_ODDS, math.log1p(min(len(ours), len(theirs))))
        ratios = [math.exp(max(-self.cap, min(self.cap, log_odds))) for log_odds in ours_out]
        self._excess = excess(ratios)
        self._voices = _Voices(ours, theirs)

    @property
    def telling(self) -> bool:
        return self.separability >= ENOUGH

    def log_odds(self, answer: AnswerFeatures) -> float:
        """Log-likelihood ratio of fallback over expected model by one answer.

        It is capped by how many answers could have contradicted it.
        """
        log_odds = self._weights.of(self._voices.scores(answer)) - self._excess
        return max(-self.cap, min(self.cap, log_odds))

    def pulls(self, answer: AnswerFeatures) -> tuple[float, ...]:
        """How strongly each style figure favours the fallback, in the order of `MARKS`."""
        return self._voices.pulls(answer)


def excess(ratios: Sequence[float]) -> float:
    """Nats subtracted from every answer, so that the expected model's ratios average at most one.

    The mean of a few answers is uncertain, and a false-alarm bound must not depend on luck: it is
    taken one standard error above the estimate. For models that are easy to separate it is zero,
    because both are far below one.
    """
    mean = sum(ratios) / len(ratios)
    squares = sum((ratio - mean) ** 2 for ratio in ratios)
    error = math.sqrt(squares / (len(ratios) - 1) / len(ratios))
    return max(0.0, math.log(mean + error))


def area(low: Sequence[float], high: Sequence[float]) -> float:
    """The probability that one of `high` exceeds one of `low`; 0.5 is chance."""
    ranked = sorted(low)
    above = sum(bisect_left(ranked, each) + bisect_right(ranked, each) for each in high)
    return above / 2 / len(low) / len(high)


class _Voices:
    """Log-odds of grams, and of style figures modelled as normal distributions."""

    def __init__(self, ours: Sequence[AnswerFeatures], theirs: Sequence[AnswerFeatures]) -> None:
        self._odds = _gram_odds(ours, theirs)
        self._marks = [
            _mark_odds([row.marks[at] for row in ours], [row.marks[at] for row in theirs])
            for at in range(len(ours[0].marks))
        ]

    def scores(self, answer: AnswerFeatures) -> Scores:
        odds = self._odds
        wording = sum(odds.get(gram, 0.0) for gram in answer.grams)
        return wording / math.sqrt(len(answer.grams) + 1), sum(self.pulls(answer))

    def pulls(self, answer: AnswerFeatures) -> tuple[float, ...]:
        return tuple(
            slope * max(-reach, min(reach, mark - middle))
            for mark, (slope, middle, reach) in zip(answer.marks, self._marks, strict=True)
        )


def _gram_odds(
    ours: Sequence[AnswerFeatures], theirs: Sequence[AnswerFeatures]
) -> dict[int, float]:
    """Grams whose odds differ by more than chance, with their log-odds."""
    here = Counter(gram for answer in ours for gram in answer.grams)
    there = Counter(gram for answer in theirs for gram in answer.grams)
    base = math.log((len(ours) + 2 * _HALF) / (len(theirs) + 2 * _HALF))
    notifying = {}
    for gram in here.keys() | there.keys():
        few, many = here[gram] + _HALF, there[gram] + _HALF
        odds = math.log(many / few) + base
        if few + many > 2 and odds * odds > 1 / few + 1 / many:
            notifying[gram] = odds
    return notifying


def _mark_odds(here: Sequence[float], there: Sequence[float]) -> tuple[float, float, float]:
    """Slope, midpoint and range of one style figure; slope 0 if it does not discriminate."""
    if len(here) < _FOLDS or len(there) < _FOLDS:
        return 0.0, 0.0, 0.0
    low, high = sum(here) / len(here), sum(there) / len(there)
    squares = sum((m - low) ** 2 for m in here) + sum((m - high) ** 2 for m in there)
    variance = squares / (len(here) + len(there) - 1) + 0.0025
    return (high - low) / variance, (low + high) / 2, _MARK_FARTHEST * math.sqrt(variance)


def _held_out(
    ours: Sequence[AnswerFeatures], theirs: Sequence[AnswerFeatures]
) -> tuple[list[Scores], list[Scores]]:
    """Cross-validated scores: no answer is scored by a model that was trained on it."""
    sides = _folds(ours), _folds(theirs)
    scores: tuple[list[Scores], list[Scores]] = ([], [])
    for fold in range(_FOLDS):
        kept = [
            [answer for answer, own in zip(rows, folds, strict=True) if own != fold]
            for rows, folds in zip((ours, theirs), sides, strict=True)
        ]
        if not all(kept):
            continue
        voices = _Voices(*kept)
        for rows, folds, out in zip((ours, theirs), sides, scores, strict=True):
            out += [
                voices.scores(answer)
                for answer, own in zip(rows, folds, strict=True)
                if own == fold
            ]
    return scores


def _folds(rows: Sequence[AnswerFeatures]) -> list[int]:
    """The fold in which each answer is held out; queries with enough answers are in every fold.

    Queries with one answer each are held out as a whole, in the same fold for both models.
    """
    order = {query: at for at, query in enumerate(sorted({row.query for row in rows}))}
    turn: Counter[str] = Counter()
    folds = []
    for row in rows:
        folds.append((order[row.query] + turn[row.query]) % _FOLDS)
        turn[row.query] += 1
    return folds


@dataclass(frozen=True, slots=True)
class _Weights:
    """Converts scores into log-odds."""

    bias: float
    slopes: tuple[float, ...]

    def of(self, scores: Scores) -> float:
        return self.bias + sum(w * s for w, s in zip(self.slopes, scores, strict=True))


def _logistic(ours: Sequence[Scores], theirs: Sequence[Scores]) -> _Weights:
    """Fits the odds of held-out scores, with equal weight for both models (Newton's method)."""
    scales = [
        math.sqrt(sum(row[at] ** 2 for row in (*ours, *theirs)) / (len(ours) + len(theirs))) or 1.0
        for at in range(2)
    ]
    rows = [
        ((1.0, *(s / scale for s, scale in zip(row, scales, strict=True))), label, 0.5 / len(side))
        for label, side in enumerate((ours, theirs))
        for row in side
    ]
    weights = [0.0] * 3
    for _ in range(25):
        slope = [-_RIDGE * w if at else 0.0 for at, w in enumerate(weights)]
        curve = [[(_RIDGE if i else 1e-9) if i == j else 0.0 for j in range(3)] for i in range(3)]
        for x, label, weight in rows:
            odds = max(-30.0, min(30.0, sum(w * f for w, f in zip(weights, x, strict=True))))
            chance = 1 / (1 + math.exp(-odds))
            for i in range(3):
                slope[i] += weight * (label - chance) * x[i]
                for j in range(3):
                    curve[i][j] += weight * chance * (1 - chance) * x[i] * x[j]
        steps = _solved(curve, slope)
        weights = [w + step for w, step in zip(weights, steps, strict=True)]
        if max(map(abs, steps)) < 1e-6:
            break
    slopes = tuple(w / scale for w, scale in zip(weights[1:], scales, strict=True))
    return _Weights(weights[0], slopes)


def _solved(matrix: list[list[float]], vector: list[float]) -> list[float]:
    """The solution of a small positive definite linear system, by elimination."""
    rows = [[*row, value] for row, value in zip(matrix, vector, strict=True)]
    size = len(rows)
    for at in range(size):
        pivot = rows[at][at]
        for below in range(at + 1, size):
            factor = rows[below][at] / pivot
            rows[below] = [b - factor * a for a, b in zip(rows[at], rows[below], strict=True)]
    solution = [0.0] * size
    for at in reversed(range(size)):
        known = sum(rows[at][other] * solution[other] for other in range(at + 1, size))
        solution[at] = (rows[at][size] - known) / rows[at][at]
    return solution

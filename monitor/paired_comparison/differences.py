"""Paired differences with confidence intervals.

Medians have exact, distribution-free intervals; means have BCa bootstrap intervals. Both come from
SciPy, an optional dependency: this module is imported by `monitor compare` only.
Source: docs.scipy.org/doc/scipy/reference/generated/scipy.stats.quantile_test.html and bootstrap
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean, median

import numpy as np
from scipy import stats

from monitor.paired_comparison.paired_answers import METRICS, AnswerPair, Metric

CONFIDENCE = 0.95
PASSED = "passed its checks"
FEWEST = 6  # pairs: with fewer, no interval of the median reaches 95 %
RESAMPLES = 9_999


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of both sides, and B − A over the pairs in which both were measured.

    `low`, `high`: the 95 % interval; None with fewer than six pairs. Units are those of the metric.
    """

    metric: Metric
    pairs: int
    a: float
    b: float
    difference: float
    low: float | None = None
    high: float | None = None

    @property
    def shown(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def ratio(self) -> float | None:
        """B as a multiple of A."""
        return self.b / self.a if self.a else None


@dataclass(frozen=True, slots=True)
class ShareDifference:
    """How often something held on each side. `p`: of McNemar's exact test over the pairs."""

    name: str
    pairs: int
    a: int
    b: int
    p: float

    @property
    def shown(self) -> bool:
        return self.p < 1 - CONFIDENCE


def differences(pairs: Sequence[AnswerPair], *, seed: int = 0) -> list[Difference]:
    """Every metric that both sides have in at least one pair."""
    found = (_difference(metric, pairs, seed) for metric in METRICS)
    return [difference for difference in found if difference is not None]


def _difference(metric: Metric, pairs: Sequence[AnswerPair], seed: int) -> Difference | None:
    values = [
        (a, b)
        for pair in pairs
        if (a := metric.value(pair.a)) is not None and (b := metric.value(pair.b)) is not None
    ]
    if not values:
        return None
    middle = fmean if metric.mean else median
    change = [b - a for a, b in values]
    low, high = _interval(change, mean=metric.mean, seed=seed)
    return Difference(
        metric,
        len(values),
        middle([a for a, _ in values]),
        middle([b for _, b in values]),
        middle(change),
        low,
        high,
    )


def _interval(
    change: Sequence[float], *, mean: bool, seed: int
) -> tuple[float | None, float | None]:
    if len(change) < FEWEST:
        return None, None
    if min(change) == max(change):  # BCa is not defined where nothing varies
        return change[0], change[0]
    if mean:
        found = stats.bootstrap(
            (np.asarray(change),),
            np.mean,
            confidence_level=CONFIDENCE,
            n_resamples=RESAMPLES,
            vectorized=True,
            rng=np.random.default_rng(seed),
        ).confidence_interval
    else:
        found = stats.quantile_test(np.asarray(change), p=0.5).confidence_interval(CONFIDENCE)
    low, high = float(found.low), float(found.high)
    return (low, high) if isfinite(low) and isfinite(high) else (None, None)


def shares(pairs: Sequence[AnswerPair]) -> list[ShareDifference]:
    """Answered at all, not cut by the token limit, and as the query's `expect` demands.

    The last only over pairs in which both answers were checked.
    """
    checked = [pair for pair in pairs if None not in (pair.a.passed, pair.b.passed)]
    return [
        _share("answered", [(pair.a.answered, pair.b.answered) for pair in pairs]),
        _share("complete", [(pair.a.complete, pair.b.complete) for pair in pairs]),
        *(
            [_share(PASSED, [(bool(p.a.passed), bool(p.b.passed)) for p in checked])]
            * bool(checked)
        ),
    ]


def _share(name: str, held: Sequence[tuple[bool, bool]]) -> ShareDifference:
    only_a = sum(a and not b for a, b in held)
    only_b = sum(b and not a for a, b in held)
    apart = only_a + only_b
    p = float(stats.binomtest(only_a, apart).pvalue) if apart else 1.0
    return ShareDifference(name, len(held), sum(a for a, _ in held), sum(b for _, b in held), p)


def share_interval(count: int, of: int) -> tuple[float, float]:
    """The exact (Clopper-Pearson) 95 % interval of a share. `of` at least 1."""
    found = stats.binomtest(count, of).proportion_ci(CONFIDENCE)
    return float(found.low), float(found.high)

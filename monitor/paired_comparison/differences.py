"""Paired differences with confidence intervals.

Medians have exact, distribution-free intervals; means have Student's intervals of the differences.
Both come from SciPy, an optional dependency: this module is imported by `monitor compare` only.
Source: docs.scipy.org/doc/scipy/reference/generated/scipy.stats.quantile_test.html and ttest_1samp
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np
from scipy import stats

from monitor.paired_comparison.paired_answers import METRICS, AnswerPair, Metric

CONFIDENCE = 0.95
ANSWERED, PASSED = "answered", "passed its checks"
FEWEST = 6  # pairs: with fewer, no interval of the median reaches 95 %


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of both sides, and B − A over the pairs in which both were measured.

    `low`, `high`: the 95 % interval; None with fewer than six pairs. Units are those of the metric.
    `p`: how likely a difference as large is between equal sides; None as above.
    """

    metric: Metric
    pairs: int
    a: float
    b: float
    difference: float
    low: float | None = None
    high: float | None = None
    p: float | None = None

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


def differences(pairs: Sequence[AnswerPair]) -> list[Difference]:
    """Every metric that both sides have in at least one pair."""
    found = (_difference(metric, pairs) for metric in METRICS)
    return [difference for difference in found if difference is not None]


def _difference(metric: Metric, pairs: Sequence[AnswerPair]) -> Difference | None:
    values = [
        (a, b)
        for pair in pairs
        if (a := metric.value(pair.a)) is not None and (b := metric.value(pair.b)) is not None
    ]
    if not values:
        return None
    middle = fmean if metric.mean else median
    change = [b - a for a, b in values]
    low, high, p = _of_mean(change) if metric.mean else _of_median(change)
    return Difference(
        metric,
        len(values),
        middle([a for a, _ in values]),
        middle([b for _, b in values]),
        middle(change),
        low,
        high,
        p,
    )


_Interval = tuple[float | None, float | None, float | None]  # low, high, p


def _of_median(change: Sequence[float]) -> _Interval:
    """Order statistics and the sign test: both exact, whatever the distribution."""
    if len(change) < FEWEST:
        return None, None, None
    found = stats.quantile_test(np.asarray(change), p=0.5).confidence_interval(CONFIDENCE)
    differing = [value > 0 for value in change if value]
    return float(found.low), float(found.high), even_chance(sum(differing), len(differing))


def _of_mean(change: Sequence[float]) -> _Interval:
    """Student's interval: with 6 to 10 pairs of skewed costs a bootstrap covers too seldom."""
    if len(change) < FEWEST:
        return None, None, None
    if min(change) == max(change):  # nothing varies
        return change[0], change[0], even_chance(len(change) if change[0] else 0, len(change))
    found = stats.ttest_1samp(np.asarray(change), 0.0)
    low, high = found.confidence_interval(CONFIDENCE)
    return float(low), float(high), float(found.pvalue)


def shares(pairs: Sequence[AnswerPair]) -> list[ShareDifference]:
    """Answered at all, not cut by the token limit, and as the query's `expect` demands.

    The last only over pairs in which both answers were checked.
    """
    checked = [pair for pair in pairs if None not in (pair.a.passed, pair.b.passed)]
    return [
        _share(ANSWERED, [(pair.a.answered, pair.b.answered) for pair in pairs]),
        _share("complete", [(pair.a.complete, pair.b.complete) for pair in pairs]),
        *(
            [_share(PASSED, [(bool(p.a.passed), bool(p.b.passed)) for p in checked])]
            * bool(checked)
        ),
    ]


def _share(name: str, held: Sequence[tuple[bool, bool]]) -> ShareDifference:
    only_a = sum(a and not b for a, b in held)
    only_b = sum(b and not a for a, b in held)
    p = even_chance(only_a, only_a + only_b)
    return ShareDifference(name, len(held), sum(a for a, _ in held), sum(b for _, b in held), p)


def even_chance(count: int, of: int) -> float:
    """How likely a split as uneven is where both outcomes are equally likely (exact)."""
    return float(stats.binomtest(count, of).pvalue) if of else 1.0


def share_interval(count: int, of: int) -> tuple[float, float]:
    """The exact (Clopper-Pearson) 95 % interval of a share. `of` at least 1."""
    found = stats.binomtest(count, of).proportion_ci(CONFIDENCE)
    return float(found.low), float(found.high)

"""Up to which figures the sources of an answer are worse than those of earlier answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isnan
from statistics import median

from monitor.rules.limit_checks import at_least, between, positive
from monitor.rules.query_history import QueryHistory
from monitor.rules.source_losses import SourceLoss, compared
from monitor.rules.statistics import NORMAL_MAD

_SPREADS = 4.0  # standard deviations by which a score must be lower
_LATELY = 36  # answers from which a score must fall at once
_LOWEST = 0.2  # share of the earlier dates that may be exceptions, which the evidence counts
_EVERY = 12  # answers until the usual figures for the first look are computed again
_LONGEST = 48  # latest answers that may prove a loss
_DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class LossLimits:
    """Limits of what is fewer, worse or older than in the earlier answers to the same query.

    At least `answers` earlier ones must be known. Fewer: at most `share` of the usual number.
    Worse: a best score that is lower by `worse` and by four standard deviations. Older: a newest
    date that is more than `older_days` older.
    """

    answers: int = 12
    share: float = 0.67
    worse: float = 0.15
    older_days: float = 1.0

    def __post_init__(self) -> None:
        at_least(self, 4, "answers")
        between(self, 0.05, 0.95, "share", "worse")
        positive(self, "older_days")

    def suspicious(self, history: QueryHistory) -> bool:
        """Whether the latest answer looks worse than usual: a first look, which is cheap."""

        def usual() -> tuple[float, float, float]:
            earlier = len(history) - min(_LONGEST, len(history) // 2)
            scores = [x for x in history.column(1)[:earlier] if not isnan(x)]
            dates = [x for x in history.column(2)[:earlier] if not isnan(x)]
            return (
                self.share * median(history.column(0)[:earlier]),
                self._score_limit(scores) if scores else -inf,
                self._date_limit(dates) if dates else -inf,
            )

        counts, scores, dates = history.reference(usual, every=_EVERY)
        count, score, date = (history.latest(index, 1)[-1] for index in range(3))
        return bool(count <= counts or score <= scores or date <= dates)

    def low(self, kind: SourceLoss, history: QueryHistory, latest: int) -> bool:
        """Whether an answer can be worse than usual at all: a bound that is cheap."""
        values = history.column(kind.column)
        value = values[latest]
        match kind:
            case SourceLoss.NONE:
                return value == 0
            case SourceLoss.FEWER:
                return value <= self.share * max(values)
        best = max(one for one in values if not isnan(one))
        less = self.older_days * _DAY_S if kind is SourceLoss.OLDER else self.worse * abs(best)
        return value <= best - less

    def limit(
        self, kind: SourceLoss, history: QueryHistory, earlier: Sequence[int]
    ) -> float | None:
        """The value up to which an answer is worse than the earlier ones; None: not judged."""
        match kind:
            case SourceLoss.NONE:
                return 0.0 if median(history.of(0, earlier)) > 0 else None
            case SourceLoss.FEWER:
                limit = self.share * median(history.of(0, earlier))
                return limit if limit >= 1 else None
            case SourceLoss.WORSE:
                scores = history.of(1, earlier)  # of the day, and lately: they may drift
                return min(self._score_limit(scores), self._score_limit(scores[-_LATELY:]))
            case SourceLoss.OLDER:
                return self._date_limit(history.of(2, earlier))

    def _date_limit(self, dates: Sequence[float]) -> float:
        return sorted(dates)[int(_LOWEST * len(dates))] - self.older_days * _DAY_S

    def _score_limit(self, scores: Sequence[float]) -> float:
        middle = median(scores)
        spread = NORMAL_MAD * median([abs(score - middle) for score in scores])
        return middle - max(self.worse * abs(middle), _SPREADS * spread, 1e-9)

    def bad_answers(
        self, kind: SourceLoss, history: QueryHistory, begun: int, after: Sequence[int]
    ) -> tuple[list[bool], str] | None:
        """Which answers since the breach are as bad, and their figures; empty: as before.

        None if nothing is known from before it.
        """
        earlier = history.known(kind.column, until=begun)
        limit = 0.0 if kind is SourceLoss.NONE else None
        if kind is not SourceLoss.NONE and len(earlier) >= min(self.answers, 4):
            limit = self.limit(kind, history, earlier)
        if limit is None:
            return None
        values = history.column(kind.column)
        hits = [not values[nth] > limit for nth in after]
        bad = [values[nth] for nth, hit in zip(after, hits, strict=True) if hit]
        known = [value for value in bad if not isnan(value)]
        usual = history.of(kind.column, earlier)
        return hits, compared(kind, known, usual) if known and usual else ""

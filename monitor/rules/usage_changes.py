"""Figures of what answers use, how they moved, and which of them moved together."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from math import log
from statistics import fmean, geometric_mean, median
from typing import NamedTuple

from monitor.domain import usd_text
from monitor.rules.query_history import QueryHistory, UsageKey

LEAST = 1e-12  # lower bound of a figure: zero has no logarithm
_PART = 0.5  # share of a limit at which a figure explains a cost that moved
Limit = Callable[["UsageFigure"], float]  # the distance that is worth a notice


class UsageFigure(Enum):
    """A figure of an answer, causes before effects: its column in the history, and its name."""

    CACHED = 3, "cache-hit rate"
    PROMPT = 1, "prompt tokens"
    ANSWER = 2, "answer tokens"
    COST = 0, "cost"

    def __init__(self, column: int, words: str) -> None:
        self.column, self.words = column, words

    @property
    def is_share(self) -> bool:
        return self is UsageFigure.CACHED

    def middle(self, values: Sequence[float]) -> float:
        """The typical value. A cache is hit or missed, so the median of its shares says little."""
        return fmean(values) if self.is_share else median(values)

    def distance(self, now: float, before: float) -> float:
        """How far it moved: the difference of shares, otherwise the logarithm of the ratio."""
        if self.is_share:
            return now - before
        return log(max(now, LEAST) / max(before, LEAST))

    def explains(self, levels: tuple[float, float], cost: "UsageMove") -> bool:
        """Whether a move, from the second level to the first, changes the cost as it changed."""
        up = levels[0] > levels[1]
        return (up is not self.is_share) is (cost.now > cost.before)  # a cache makes it cheaper

    def text(self, value: float) -> str:
        match self:
            case UsageFigure.CACHED:
                return f"{value:.0%}"
            case UsageFigure.COST:
                return usd_text(Decimal(f"{value:.6g}"))
            case _:
                return f"{value:,.0f}"


class UsageMove(NamedTuple):
    """A query whose latest answers differ from its earlier ones in one figure."""

    key: UsageKey
    log_odds: float
    now: float
    before: float
    since: int  # the first of these answers, µs


class UsageChange(NamedTuple):
    figure: UsageFigure
    moves: Sequence[UsageMove]  # the strongest first

    @property
    def log_odds(self) -> float:
        return sum(move.log_odds for move in self.moves)


def separation(figure: UsageFigure, now: float, before: float) -> float:
    """The value that separates two levels of a figure."""
    if figure.is_share:
        return (now + before) / 2
    return geometric_mean((max(now, LEAST), max(before, LEAST)))


def with_companions(
    changes: Sequence[UsageChange],
    histories: Mapping[UsageKey, QueryHistory],
    limit: Limit,
    *,
    since: int | None,
    fewest: int,
) -> Sequence[UsageChange]:
    """The changes, and the other figures that moved with the strongest one; causes first.

    Alone these prove nothing. Where only the cost is proven, half of a limit is enough for what
    explains it, because several small moves add up. `since`, `fewest`: the earlier answers that
    count, µs, and how many are needed.
    """
    proven = {change.figure: change for change in changes}
    strongest = max(changes, key=lambda change: change.log_odds)
    part = _PART if [*proven] == [UsageFigure.COST] else 1.0
    found = []
    for figure in UsageFigure:
        moves = [
            UsageMove(move.key, 0.0, *levels, move.since)
            for move in strongest.moves
            if figure not in proven
            if (levels := _levels(figure, move, histories[move.key], since, fewest))
            if abs(figure.distance(*levels)) >= part * limit(figure)
            if part == 1 or figure.explains(levels, move)
        ]
        if figure in proven:
            found.append(proven[figure])
        elif moves:
            found.append(UsageChange(figure, moves))
    return found


def _levels(
    figure: UsageFigure, move: UsageMove, history: QueryHistory, since: int | None, fewest: int
) -> tuple[float, float] | None:
    """A figure's level since a move and before it; None if it did not stay at another level."""
    values = history.of(figure.column, history.known(figure.column, since=move.since - 1))
    earlier = history.known(figure.column, since=since, until=move.since)
    if not values or len(earlier) < fewest:
        return None
    now, before = figure.middle(values), figure.middle(history.of(figure.column, earlier))
    middle = separation(figure, now, before)
    beyond = sum((value > middle) is (now > before) for value in values)
    return (now, before) if 4 * beyond >= 3 * len(values) else None

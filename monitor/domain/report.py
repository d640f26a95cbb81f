"""The figures of reports: rows of schema `report`, as the database returns and pages show them.

Latencies are in ms, money is US dollars, absence is None.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

# The possible judgements of an answer. Each has its own share; the last three count neither for nor
# against a fallback.
IDENTITIES = ("expected", "fallback", "changed", "disputed", "unknown")
UNSURE = ("changed", "disputed", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityCounts:
    """Answers of one step by identity."""

    target: str
    at: datetime
    expected: int
    fallback: int
    changed: int
    disputed: int
    unknown: int

    @property
    def answers(self) -> int:
        return sum(getattr(self, identity) for identity in IDENTITIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswers:
    """Answers of one model on one day. `model` None: not identified."""

    target: str
    day: date
    model: str | None
    identity: str
    answers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryCost:
    """The cost of one canned query when one model answers it. `mean_usd` None: no price.

    If the model is unknown the cost is between `mean_usd` and `mean_high_usd`.
    """

    target: str
    query: str
    model: str | None
    answers: int
    mean_usd: Decimal | None
    mean_high_usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySpend:
    """The spend of one day; a meter that is off, or has no data, is None.

    `at_least`: something in it has no price. High ends count answers of unknown model as if the
    most expensive declared model gave them; None: the same as the low end.
    """

    day: date
    total_usd: Decimal
    probes_usd: Decimal | None
    traffic_usd: Decimal | None
    account_usd: Decimal | None
    at_least: bool
    total_high_usd: Decimal | None = None
    probes_high_usd: Decimal | None = None
    traffic_high_usd: Decimal | None = None

    @property
    def high_usd(self) -> Decimal:
        return self.total_usd if self.total_high_usd is None else self.total_high_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRow:
    """An incident as people look it up. `resolved_at` None: open."""

    number: int
    rule: str
    scope: str
    opened_at: datetime
    resolved_at: datetime | None
    peak: float | Decimal | None
    limit: float | Decimal | None
    because: str
    cost_usd: Decimal | None
    cost_at_least: bool
    cost_high_usd: Decimal | None = None
    first_seen_at: datetime | None = None
    opening_because: str | None = None
    recovering_reason: str | None = None  # open, but not in breach now

    @property
    def began_at(self) -> datetime:
        """Its first bad row, if known, as in messages."""
        return self.first_seen_at or self.opened_at

    @property
    def sentence(self) -> str:
        """The sentence it fired with; while it is open, also its current state."""
        fired = self.opening_because or self.because
        now = self.recovering_reason or self.because
        if self.resolved_at is None and now != fired:
            return f"{fired} Now: {now}"
        return fired

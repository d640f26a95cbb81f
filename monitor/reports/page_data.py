"""What a report shows, already counted and in order: one frozen page of everything.

Steps of time are named by the instant they begin at. A step in which nothing was seen has no
entry: a gap is shown as a gap. Latencies are ms, shares 0 to 1, absence is None.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from monitor.reports.scales import clock

# What an answer is judged to be. Each has a share of its own: the last three are on neither side
# of the fallback share.
IDENTITIES = ("expected", "fallback", "changed", "disputed", "unknown")
UNSURE = ("changed", "disputed", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class TtftPoint:
    """TTFT of one canned query in one step of time."""

    query: str
    at: datetime
    p50_ms: float
    p90_ms: float
    worst_ms: float
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityCounts:
    """Answers of one step by identity."""

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

    day: date
    model: str | None
    identity: str
    answers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeCounts:
    """Probes of one step, and how many of them failed. Those about us count as neither."""

    at: datetime
    good: int
    bad: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyBin:
    """TTFT samples above `low_ms`, up to `high_ms`, by identity of the answer."""

    low_ms: float
    high_ms: float
    expected: int
    fallback: int
    changed: int
    disputed: int
    unknown: int

    @property
    def samples(self) -> int:
        return sum(getattr(self, identity) for identity in IDENTITIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryFigures:
    """One canned query over the whole span. Phases are medians, each after the one before."""

    query: str
    probes: int
    answered: int
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    worst_ms: float | None
    over_limit: float | None  # share of TTFT samples over the limit
    dns_ms: float | None
    tcp_ms: float | None
    tls_ms: float | None
    head_ms: float | None  # request sent to response head
    text_ms: float | None  # response head to first answer text


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryCost:
    """What one canned query costs when one model answers it. `mean_usd` None: no price.

    Where the model is unknown it costs between `mean_usd` and `mean_high_usd`.
    """

    query: str
    model: str | None
    answers: int
    mean_usd: Decimal | None
    mean_high_usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySpend:
    """The spend of one day; a meter that is off, or silent, is None.

    `at_least`: something in it has no price. High ends count answers of unknown model as given
    by the most expensive declared model; None: the same as the low end.
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
        """Its first bad row, where that is known: as in messages."""
        return self.first_seen_at or self.opened_at

    @property
    def sentence(self) -> str:
        """What it fired with; while it is open, how it is now, too."""
        fired = self.opening_because or self.because
        now = self.recovering_reason or self.because
        if self.resolved_at is None and now != fired:
            return f"{fired} Now: {now}"
        return fired


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementQuality:
    """How well we measured: who timed the bytes, and which rounds were not asked whole."""

    kernel: int
    user: int
    degraded: int
    worst_lag_ms: float | None
    rounds_expected: int | None  # None: nobody said how often to ask
    rounds_missed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRow:
    """What the target's own health page says, and what our probes say of that.

    `healthy` None: it cannot be judged. `contradiction` is a sentence where it calls itself
    healthy while probes fail or fall back.
    """

    healthy: bool | None
    since: datetime
    checked_at: datetime
    says: str
    contradiction: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReport:
    """One target. `step` is that of `ttft`, `judged` and `tried`.

    Phases, outcomes and stamps are those of the latest probes alone where there are very many.
    """

    name: str
    limit_ms: float | None  # None: the rule is off
    step: timedelta
    probes: int
    answered: int
    failed: int
    p50_ms: float | None
    p90_ms: float | None
    over_limit: float | None
    known: int  # answers whose model is known to be expected, or not
    fell: int
    ttft: tuple[TtftPoint, ...]
    judged: tuple[IdentityCounts, ...]
    tried: tuple[ProbeCounts, ...]
    served: tuple[ModelAnswers, ...]
    bins: tuple[LatencyBin, ...]
    queries: tuple[QueryFigures, ...]
    costs: tuple[QueryCost, ...]
    outcomes: tuple[tuple[str, int], ...]  # commonest first
    quality: MeasurementQuality
    health: HealthRow | None

    @property
    def fallback_share(self) -> float | None:
        """Of the answers whose model is known, as rule `fallback` counts."""
        return self.fell / self.known if self.known else None

    @property
    def answers(self) -> int:
        return sum(item.answers for item in self.judged)

    def count(self, identity: str) -> int:
        """Answers of the whole span with this identity."""
        return sum(getattr(item, identity) for item in self.judged)

    def share_of(self, identity: str) -> float | None:
        """Of all answers, whether or not their model is known."""
        return self.count(identity) / self.answers if self.answers else None

    @property
    def unsure(self) -> tuple[str, ...]:
        """The identities on neither side of the fallback share that occurred."""
        return tuple(identity for identity in UNSURE if self.count(identity))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPage:
    """Everything one report shows. `until` is not in the future. Days are those of `zone`."""

    version: str
    made_at: datetime
    since: datetime
    until: datetime
    zone: ZoneInfo
    targets: tuple[TargetReport, ...]
    spend: tuple[DaySpend, ...]
    spend_limit_usd: Decimal | None  # None: the rule is off
    fallback_limit: float | None
    incidents: tuple[IncidentRow, ...]

    def clock(self, at: datetime, *, step: timedelta = timedelta(minutes=1)) -> str:
        """An instant on the zone's clock, as finely as the span, or steps of that length, ask."""
        fine = step < timedelta(minutes=1)
        return clock(at, self.zone, within=step if fine else self.until - self.since)

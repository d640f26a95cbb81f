"""The figures of reports: rows of schema `report`, as the database returns and pages show them.

Latencies are in ms, money is US dollars, absence is None.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

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
    """Answers of one model in one bar of time, by its start. `model` None: not identified."""

    target: str
    at: datetime
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
    bill_within_usd: Decimal | None = None  # the bill lies so near, by so many reconciled days
    reconciled_days: int = 0

    @property
    def high_usd(self) -> Decimal:
        return self.total_usd if self.total_high_usd is None else self.total_high_usd

    @property
    def of_probes(self) -> bool:
        """Whether it is certain that nothing but the monitor's own probes is in it."""
        alone = self.account_usd is None and not self.traffic_usd and not self.traffic_high_usd
        return alone and not self.at_least and bool(self.probes_usd or self.probes_high_usd)


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
    breach_since: datetime | None = None  # first bad row of the opening or of the latest return
    # Start and end of each breach before, oldest first.
    earlier_breaches: Sequence[Sequence[datetime]] | None = None
    breach_until: datetime | None = None  # first good row after the latest breach, if known

    @property
    def began_at(self) -> datetime:
        """Its first bad row, if known, as in messages."""
        return self.first_seen_at or self.opened_at

    @property
    def since(self) -> datetime:
        """The first bad row of the breach as it stands: of the opening, or of the latest return."""
        return self.breach_since or self.began_at

    @property
    def sentence(self) -> str:
        """The sentence it fired with; while it is open, also its current state."""
        fired = self.opening_because or self.because
        now = self.recovering_reason or self.because
        if self.resolved_at is None and now != fired:
            return f"{fired} Now: {now}"
        return fired

    def breaches(self, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Start and end of each breach, oldest first: one that came back has several."""
        yield from ((began, ended) for began, ended in self.earlier_breaches or ())
        since = self.breach_since if self.earlier_breaches else None
        yield since or self.began_at, self.breach_until or self.resolved_at or until

    def lasted(self, until: datetime) -> timedelta:
        """First bad row to the end of the latest breach; while it is open, to `until`."""
        if self.resolved_at is not None:
            until = self.breach_until or self.resolved_at
        return until - self.began_at


@dataclass(frozen=True, slots=True, kw_only=True)
class LastProbe:
    """One probe of the latest round of its target. `good` None: the failure was ours.

    `check_failed`: the first expectation of its query that the answer does not meet.
    """

    target: str
    slot: datetime
    started_at: datetime
    region: str
    query: str
    outcome: str
    error: str | None
    ttft_ms: float | None
    model: str | None
    identity: str
    cost_usd: Decimal | None
    good: bool | None
    check_failed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerExcerpt:
    """The start of one answer, or why there was none. Bad: failed, or not by an expected model."""

    target: str
    is_good: bool
    query: str
    at: datetime
    model: str | None
    identity: str
    outcome: str
    error: str | None
    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRound:
    """The latest round of a target: its probes by query; none if it was not probed for a week.

    `every` None: it is not configured any more.
    """

    target: str
    every: timedelta | None
    probes: tuple[LastProbe, ...] = ()

    @property
    def at(self) -> datetime | None:
        return self.probes[0].slot if self.probes else None

    def overdue(self, now: datetime) -> bool:
        """Whether three rounds should have been probed since; two minutes are not too late."""
        if self.every is None:
            return False
        return self.at is None or now - self.at > max(3 * self.every, timedelta(minutes=2))


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusSnapshot:
    """How things are at `made_at`: the last round of each target, open incidents, today's spend.

    `trouble`: a sentence if it could not be read again, and is an earlier one or empty. `notes`:
    sentences on what is wrong with the monitor itself.
    """

    version: str
    made_at: datetime
    zone: ZoneInfo
    rounds: tuple[LastRound, ...]
    incidents: tuple[IncidentRow, ...] = ()
    spend: DaySpend | None = None
    spend_limit_usd: Decimal | None = None  # None: the rule is off
    trouble: str | None = None
    notes: tuple[str, ...] = ()

"""What a report asks of the database: read from schema `report` alone, in one transaction.

Spans longer than `RAW` come from hours and days; they begin at a midnight of the day's zone, so
that hours, days and what is counted of them agree.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain.report import DaySpend, IdentityCounts, IncidentRow, ModelAnswers, QueryCost
from monitor.storage import report_queries as q

RAW = timedelta(hours=48)
HOURLY = timedelta(days=45)
LATEST = 20_000  # raw rows that phases and outcomes are taken from, shared among the targets
_MOST_STEPS = 360
_STEPS = tuple(timedelta(seconds=s) for s in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800))
_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class ReportSpan:
    """What is looked at, and in what steps. `raw`: short enough for raw rows."""

    since: datetime
    until: datetime
    step: timedelta
    zone: ZoneInfo

    @property
    def raw(self) -> bool:
        return self.step < _HOUR

    @property
    def parameters(self) -> dict[str, object]:
        return {
            "since": self.since,
            "until": self.until,
            "step": self.step,
            "zone": self.zone.key,
            "first_day": self.since.astimezone(self.zone).date(),
            "last_day": self.until.astimezone(self.zone).date(),
            "unit": "hour" if self.step < _DAY else "day",
        }


def span(now: datetime, length: timedelta, *, every: timedelta, zone: ZoneInfo) -> ReportSpan:
    """The span that ends now, in steps no shorter than the rounds and no more than readable."""
    since = now - length
    if length <= RAW:
        fitting = (s for s in _STEPS if s >= every and length / s <= _MOST_STEPS)
        return ReportSpan(since, now, next(fitting, _STEPS[-1]), zone)
    midnight = datetime.combine(since.astimezone(zone).date(), time(), zone).astimezone(UTC)
    return ReportSpan(midnight, now, _HOUR if length <= HOURLY else _DAY, zone)


class LatencyStepRow(NamedTuple):
    target: str
    region: str
    query: str
    at: datetime
    p50_ms: float | None
    p90_ms: float | None
    worst_ms: float | None
    samples: int
    good: int
    bad: int


class QueryFigureRow(NamedTuple):
    """`query` None: all queries of the target together."""

    target: str
    query: str | None
    probes: int
    good: int
    bad: int
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    worst_ms: float | None
    over_limit: float | None


class Spread(NamedTuple):
    """Samples within 1 % of `ms` by identity of the answer."""

    target: str
    identity: str
    ms: float
    samples: int


class Rounds(NamedTuple):
    target: str
    expected: int | None
    missed: int | None


class Phases(NamedTuple):
    target: str
    query: str
    dns_ms: float | None
    tcp_ms: float | None
    tls_ms: float | None
    head_ms: float | None
    text_ms: float | None


class Ended(NamedTuple):
    target: str
    outcome: str
    stamp: str
    probes: int
    worst_lag_ms: float | None


class HealthReportRow(NamedTuple):
    target: str
    healthy: bool | None
    since: datetime
    checked_at: datetime
    status: int | None
    unmet: Sequence[str]
    facts: Mapping[str, object]
    contradiction: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Everything a report is made of, each in the order of its statement."""

    steps: Sequence[LatencyStepRow]
    judged: Sequence[IdentityCounts]
    models: Sequence[ModelAnswers]
    figures: Sequence[QueryFigureRow]
    spread: Sequence[Spread]
    costs: Sequence[QueryCost]
    rounds: Sequence[Rounds]
    spend: Sequence[DaySpend]
    incidents: Sequence[IncidentRow]
    phases: Sequence[Phases]
    ended: Sequence[Ended]
    health: Sequence[HealthReportRow]


async def found(
    connection: AsyncConnection, span: ReportSpan, *, targets: Iterable[str], limit_ms: float | None
) -> Found:
    """Read it all. `targets`: whose raw rows are looked at for phases and outcomes."""
    names = list(targets)
    notified = span.parameters | {
        "targets": names,
        "limit_ms": limit_ms,
        "most": LATEST // max(len(names), 1),
    }

    async def rows(statement: str, shape: type[Row]) -> Sequence[Row]:
        found = await connection.execute(text(statement), notified)
        return [shape(**row._mapping) for row in found]

    hourly = q.STEPS_HOURLY if span.step < _DAY else q.STEPS_DAILY
    return Found(
        steps=await rows(q.STEPS_RAW if span.raw else hourly, LatencyStepRow),
        judged=await rows(q.JUDGED_RAW if span.raw else q.JUDGED_HOURLY, IdentityCounts),
        models=await rows(q.MODELS_RAW if span.raw else q.MODELS_DAILY, ModelAnswers),
        figures=await rows(q.FIGURES_RAW if span.raw else q.FIGURES_DAILY, QueryFigureRow),
        spread=await rows(q.SPREAD_RAW if span.raw else q.SPREAD_DAILY, Spread),
        costs=await rows(q.COSTS_RAW if span.raw else q.COSTS_DAILY, QueryCost),
        rounds=await rows(q.ROUNDS_HOURLY if span.raw else q.ROUNDS_DAILY, Rounds),
        spend=await rows(q.SPEND, DaySpend),
        incidents=await rows(q.INCIDENTS, IncidentRow),
        phases=await rows(q.PHASES, Phases),
        ended=await rows(q.ENDED, Ended),
        health=await rows(q.HEALTH, HealthReportRow),
    )


async def cadence(
    connection: AsyncConnection, *, since: datetime, until: datetime
) -> timedelta | None:
    """The usual time between two rounds in a span short enough for raw rows; None: not two."""
    if until - since > RAW:
        return None
    notified = {"since": since, "until": until}
    apart: timedelta | None = await connection.scalar(text(q.CADENCE), notified)
    return apart


async def zone(connection: AsyncConnection) -> ZoneInfo:
    """The zone whose days the rollups count; UTC before anything was rolled up."""
    name = await connection.scalar(text("SELECT report.zone()"))
    return ZoneInfo(name or "UTC")


async def first(connection: AsyncConnection) -> datetime | None:
    """The earliest round there is; None where nobody ever asked."""
    at: datetime | None = await connection.scalar(text("SELECT min(slot) FROM report.observations"))
    return at

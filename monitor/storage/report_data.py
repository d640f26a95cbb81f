"""What reports and the daily digest show, read from the schema `report`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import CursorResult, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import Identity
from monitor.domain.report import DaySpend, IdentityCounts, IncidentRow, ModelAnswers, QueryCost
from monitor.incidents.digest import (
    DigestAnswers,
    DigestIncident,
    DigestLatency,
    DigestMonitor,
    DigestSaving,
)
from monitor.storage import report_queries as q
from monitor.storage import spend_rows
from monitor.storage.outbox import backlog
from monitor.storage.tables import outbox

# What a report asks of the database: read from schema `report` alone, in one transaction.
#
# Spans longer than `RAW` come from hours and days; they begin at a midnight of the day's zone, so
# that hours, days and what is counted of them agree.


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
    """The earliest round; None if there is none."""
    at: datetime | None = await connection.scalar(text("SELECT min(slot) FROM report.observations"))
    return at


# What a daily digest tells of, counted: raw rows of the span, and the views of whole days.


_SINCE = "slot >= :since AND slot < :until AND origin <> 'manual'"

_LATENCIES = f"""
WITH judged AS (
    SELECT target, slot, ttft_judged_ms AS ms FROM report.observations
    WHERE {_SINCE} AND ttft_judged_ms IS NOT NULL
), rounds AS (
    SELECT target, count(*)::integer AS rounds, avg(mean) AS mean_ms
    FROM (SELECT target, slot, avg(ms) AS mean FROM judged GROUP BY 1, 2) AS means GROUP BY 1
)
SELECT target, rounds, mean_ms, count(*)::integer AS probes,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY ms) AS p95_ms,
    CASE WHEN CAST(:limit_ms AS double precision) IS NOT NULL
        THEN (count(*) FILTER (WHERE ms > :limit_ms))::integer END AS over
FROM judged JOIN rounds USING (target)
GROUP BY target, rounds, mean_ms
"""  # noqa: S608  put together from constants

_SERVED = f"""
SELECT target, model_detected AS model, identity, count(*)::integer AS answers
FROM report.observations
WHERE {_SINCE} AND (pieces > 0 OR identity <> 'unknown')
GROUP BY 1, 2, 3
"""  # noqa: S608

_DAYS = """
SELECT day, sum(spent_usd) AS total_usd, coalesce(sum(probes_usd), 0) AS probes_usd,
    coalesce(sum(traffic_usd), 0) AS traffic_usd, sum(account_usd) AS account_usd,
    bool_or(at_least) AS at_least,
    sum(spent_high_usd) AS total_high_usd, sum(probes_high_usd) AS probes_high_usd,
    sum(traffic_high_usd) AS traffic_high_usd
FROM report.spend_daily WHERE day IN (:yesterday, :today) GROUP BY day
"""

# A target whose saving is not known leaves the sum unknown: a part is not the whole.
_SAVING = """
SELECT CASE WHEN bool_and(saved_usd IS NOT NULL) THEN sum(saved_usd) END AS probes_usd,
    CASE WHEN bool_and(traffic_saved_usd IS NOT NULL) AND max(daily_queries) > 0
        THEN sum(traffic_saved_usd) END AS traffic_usd,
    (SELECT coalesce(sum(answered - priced), 0)::integer FROM report.cost_per_query_daily
        WHERE day = :yesterday) AS left_out
FROM report.savings_daily WHERE day = :yesterday
"""

_INCIDENTS = """
SELECT DISTINCT ON (announced_as) announced_as AS number, rule, target AS scope,
    min(opened_at) OVER one AS opened_at,
    CASE WHEN NOT bool_or(is_open) OVER one THEN max(resolved_at) OVER one END AS resolved_at,
    recovering_since
FROM report.incidents
WHERE resolved_at IS NULL OR resolved_at >= :since
WINDOW one AS (PARTITION BY announced_as)
ORDER BY announced_as, is_open DESC, recovering_since NULLS FIRST, part_of NULLS FIRST,
    incidents.number
"""

_ROUNDS = """
SELECT sum(expected)::integer AS rounds_expected, sum(missed)::integer AS rounds_missed
FROM (
    SELECT max(rounds_expected) AS expected, max(rounds_missed) AS missed
    FROM report.ttft_hourly WHERE hour >= :since AND hour < :until
    GROUP BY target, region, hour
) AS hours
"""

_PROBES = f"""
SELECT count(*)::integer AS probes,
    (count(*) FILTER (WHERE stamp = 'degraded'))::integer AS degraded
FROM report.observations WHERE {_SINCE}
"""  # noqa: S608

_LOST = "SELECT count(*)::integer FROM outbox WHERE result = 'dead' AND settled_at >= :since"


async def written(connection: AsyncConnection, notice: UUID) -> bool:
    """Whether this notice stands in the outbox already."""
    return await connection.scalar(select(outbox.c.id).where(outbox.c.id == notice)) is not None


async def latencies(
    connection: AsyncConnection,
    targets: Iterable[str],
    *,
    since: datetime,
    until: datetime,
    limit_ms: float | None,
) -> Sequence[DigestLatency]:
    """TTFT of each of the targets, of those that were not asked as well."""
    found = await _rows(connection, _LATENCIES, since=since, until=until, limit_ms=limit_ms)
    known = {row.target: DigestLatency(**row._mapping) for row in found}
    return [known.get(name, DigestLatency(target=name)) for name in targets]


async def served(
    connection: AsyncConnection, *, since: datetime, until: datetime
) -> Sequence[DigestAnswers]:
    """Who answered, by target, model and judgement."""
    found = await _rows(connection, _SERVED, since=since, until=until)
    return [DigestAnswers(**{**row._mapping, "identity": Identity(row.identity)}) for row in found]


async def days(connection: AsyncConnection, today: date) -> tuple[DaySpend | None, DaySpend | None]:
    """The spend of yesterday and of today so far, in that order; None: nothing is known."""
    yesterday = today - timedelta(days=1)
    found = await _rows(connection, _DAYS, yesterday=yesterday, today=today)
    known = {row.day: DaySpend(**row._mapping) for row in found}
    return known.get(yesterday), known.get(today)


async def saving(connection: AsyncConnection, today: date) -> DigestSaving:
    """What the expected models saved yesterday, over all targets."""
    row = (await _rows(connection, _SAVING, yesterday=today - timedelta(days=1))).one()
    return DigestSaving(**row._mapping)


async def incidents(connection: AsyncConnection, *, since: datetime) -> Sequence[DigestIncident]:
    """Incidents that were open at any time since, one of each number people know.

    It has the rule of a member that is in breach now, where there is one.
    """
    return [
        DigestIncident(**row._mapping) for row in await _rows(connection, _INCIDENTS, since=since)
    ]


async def own(
    connection: AsyncConnection, channel: str, *, since: datetime, until: datetime
) -> DigestMonitor:
    """How the monitor itself did; rounds by whole hours."""
    span = {"since": since, "until": until}
    rounds = (await _rows(connection, _ROUNDS, **span)).one()
    probes = (await _rows(connection, _PROBES, **span)).one()
    waiting = await backlog(connection, channel)
    used = await spend_rows.today(connection)
    lost: int = (await _rows(connection, _LOST, since=since)).scalar_one()
    return DigestMonitor(
        **rounds._mapping,
        **probes._mapping,
        budget_used_usd=used.usd,
        budget_margin_usd=used.margin_usd,
        waiting=waiting.waiting,
        lost=lost,
        broken_why=waiting.broken_why if waiting.broken_since is not None else None,
    )


async def _rows(connection: AsyncConnection, statement: str, **values: Any) -> CursorResult[Any]:
    return await connection.execute(text(statement), values)

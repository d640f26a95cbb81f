"""What reports and the daily digest show, read from the schema `report`."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import CursorResult, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import Identity
from monitor.domain.report import (
    AnswerExcerpt,
    DaySpend,
    IdentityCounts,
    IncidentRow,
    LastProbe,
    ModelAnswers,
    QueryCost,
)
from monitor.incidents.digest import (
    DigestAnswers,
    DigestIncident,
    DigestLatency,
    DigestMonitor,
    DigestSaving,
)
from monitor.storage import spend_rows
from monitor.storage.engine import sql, sql_file
from monitor.storage.outbox import backlogs, known

# What a report asks of the database: read from schema `report` alone, in one transaction.
#
# Spans longer than `RAW` come from hours and days; they begin at a midnight of the day's zone, so
# that hours, days and what is counted of them agree.


UTC_ZONE = ZoneInfo("UTC")  # whose days count before anything is known
RAW = timedelta(hours=48)
HOURLY = timedelta(days=45)
LATEST = 20_000  # raw rows that phases and outcomes are taken from, shared among the targets
_MOST_STEPS = 360
_STEPS = tuple(timedelta(seconds=s) for s in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800))
_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_BARS = tuple(timedelta(seconds=s) for s in (10, 60, 300, 900, 1800, 3600, 7200))

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class ReportSpan:
    """What is looked at, and in what steps. `raw`: short enough for raw rows."""

    since: datetime
    until: datetime
    step: timedelta
    zone: ZoneInfo

    @property
    def grain(self) -> int:
        """What it is read from: 0 raw rows, 1 hours, 2 days."""
        return 0 if self.step < _HOUR else 1 if self.step < _DAY else 2

    @property
    def bar(self) -> timedelta:
        """What one bar of "Who answered" stands for: a day, of a short span less."""
        length = self.until - self.since
        return next((bar for bar in _BARS if self.grain == 0 and length / bar <= 24), _DAY)

    @property
    def parameters(self) -> dict[str, object]:
        return {
            "since": self.since,
            "until": self.until,
            "step": self.step,
            "bar": self.bar,
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
    extra: int  # of these, sent on suspicion: they belong to no round


class HealthReportRow(NamedTuple):
    target: str
    healthy: bool | None
    since: datetime
    checked_at: datetime
    status: int | None
    unmet: Sequence[str]
    facts: Mapping[str, object]
    contradiction: str | None


@dataclass(frozen=True, slots=True)
class ReportQuery(Generic[Row]):
    """One statement of reports: its files `report_NAME.sql`, and the type of its rows.

    Three suffixes: other files for spans read from raw rows, from hours and from days. `latest`:
    it reads `report_latest.sql`, the latest raw rows, for what no rollup keeps.
    """

    name: str
    row: type[Row]
    suffixes: tuple[str, str, str] | None = None
    latest: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """File names for raw rows, hours and days, without `.sql`; one if it is always the same."""
        if self.suffixes is None:
            return (f"report_{self.name}",)
        return tuple(f"report_{self.name}_{suffix}" for suffix in self.suffixes)

    async def rows(
        self, connection: AsyncConnection, values: Mapping[str, object], *, grain: int = 0
    ) -> Sequence[Row]:
        """Its rows. `grain` 0: from raw rows, 1: from hours, 2: from days."""
        body = sql("report_latest") if self.latest else ""
        body += sql(self.files[grain % len(self.files)])
        found = await connection.execute(text(body), values)
        return [self.row(**row._mapping) for row in found]


# The statements of a report. All targets at once, so that their number costs nothing. Each has a
# row in docs/sql.md. Short spans are read from raw rows, long ones from hours and days: both give
# the same columns.
STEPS = ReportQuery("steps", LatencyStepRow, ("raw", "hourly", "daily"))
JUDGED = ReportQuery("judged", IdentityCounts, ("raw", "hourly", "hourly"))
MODELS = ReportQuery("models", ModelAnswers, ("raw", "daily", "daily"))
FIGURES = ReportQuery("figures", QueryFigureRow, ("raw", "daily", "daily"))
SPREAD = ReportQuery("spread", Spread, ("raw", "daily", "daily"))
COSTS = ReportQuery("costs", QueryCost, ("raw", "daily", "daily"))
ROUNDS = ReportQuery("rounds", Rounds, ("hourly", "daily", "daily"))
PHASES = ReportQuery("phases", Phases, latest=True)
ENDED = ReportQuery("ended", Ended, latest=True)
EXCERPTS = ReportQuery("excerpts", AnswerExcerpt, latest=True)
HEALTH = ReportQuery("health", HealthReportRow)
LAST_ROUNDS = ReportQuery("last_rounds", LastProbe)
SPEND = ReportQuery("spend", DaySpend)
INCIDENTS = ReportQuery("incidents", IncidentRow)

REPORT_QUERIES: tuple[ReportQuery[Any], ...] = (
    STEPS,
    JUDGED,
    MODELS,
    FIGURES,
    SPREAD,
    COSTS,
    ROUNDS,
    PHASES,
    ENDED,
    EXCERPTS,
    HEALTH,
    LAST_ROUNDS,
    SPEND,
    INCIDENTS,
)


class ReportRows:
    """The rows of a report by statement, in the order of each."""

    def __init__(self, rows: Mapping[str, Sequence[Any]]) -> None:
        self._rows = rows

    def __getitem__(self, query: ReportQuery[Row]) -> Sequence[Row]:
        return self._rows.get(query.name, ())

    def by_target(self) -> Mapping[str, "ReportRows"]:
        """The rows that name a target, one target at a time; every row is looked at once."""
        split: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        for name, rows in self._rows.items():
            for row in rows:
                if target := getattr(row, "target", None):
                    split[target][name].append(row)
        return {target: ReportRows(rows) for target, rows in split.items()}


# What the status page shows, of a span that begins and ends now.
STATUS_QUERIES: tuple[ReportQuery[Any], ...] = (LAST_ROUNDS, INCIDENTS, SPEND)


async def found(
    connection: AsyncConnection,
    span: ReportSpan,
    *,
    targets: Iterable[str],
    limit_ms: float | None = None,
    queries: Iterable[ReportQuery[Any]] = REPORT_QUERIES,
) -> ReportRows:
    """Read it all. `targets`: whose raw rows are looked at for what no rollup keeps."""
    names = list(targets)
    values = span.parameters | {
        "targets": names,
        "limit_ms": limit_ms,
        "most": LATEST // max(len(names), 1),
    }
    return ReportRows(
        {query.name: await query.rows(connection, values, grain=span.grain) for query in queries}
    )


async def cadence(
    connection: AsyncConnection, *, since: datetime, until: datetime
) -> timedelta | None:
    """The usual time between two rounds in a span short enough for raw rows; None: not two."""
    if until - since > RAW:
        return None
    notified = {"since": since, "until": until}
    apart: timedelta | None = await connection.scalar(sql_file("report_cadence"), notified)
    return apart


async def zone(connection: AsyncConnection) -> ZoneInfo:
    """The zone whose days the rollups count; UTC before anything was rolled up."""
    name = await connection.scalar(text("SELECT report.zone()"))
    return ZoneInfo(name) if name else UTC_ZONE


async def first(connection: AsyncConnection) -> datetime | None:
    """The earliest round of the raw rows; None if there is none."""
    at: datetime | None = await connection.scalar(text("SELECT min(slot) FROM report.observations"))
    return at


async def first_since(connection: AsyncConnection, since: datetime) -> datetime | None:
    """The earliest round since then, be it a raw row or a day rolled up; None if there is none."""
    at: datetime | None = await connection.scalar(sql_file("report_first"), {"since": since})
    return at


# What a daily digest tells of, counted: raw rows of the span, and the views of whole days.


_LOST = text("SELECT count(*)::integer FROM outbox WHERE result = 'dead' AND settled_at >= :since")


async def written(connection: AsyncConnection, notice: UUID) -> bool:
    """Whether this notice stands in the outbox already."""
    return await known(connection, notice)


async def latencies(
    connection: AsyncConnection,
    targets: Iterable[str],
    *,
    since: datetime,
    until: datetime,
    limit_ms: float | None,
) -> Sequence[DigestLatency]:
    """TTFT of each of the targets, of those that were not asked as well."""
    found = await _rows(connection, "digest_latencies", since=since, until=until, limit_ms=limit_ms)
    known = {row.target: DigestLatency(**row._mapping) for row in found}
    return [known.get(name, DigestLatency(target=name)) for name in targets]


async def served(
    connection: AsyncConnection, *, since: datetime, until: datetime
) -> Sequence[DigestAnswers]:
    """Who answered, by target, model and judgement."""
    found = await _rows(connection, "digest_served", since=since, until=until)
    return [DigestAnswers(**{**row._mapping, "identity": Identity(row.identity)}) for row in found]


async def days(connection: AsyncConnection, today: date) -> tuple[DaySpend | None, DaySpend | None]:
    """The spend of yesterday and of today so far, in that order; None: nothing is known."""
    yesterday = today - timedelta(days=1)
    found = await _rows(connection, "digest_days", yesterday=yesterday, today=today)
    known = {row.day: DaySpend(**row._mapping) for row in found}
    return known.get(yesterday), known.get(today)


async def saving(connection: AsyncConnection, today: date) -> DigestSaving:
    """What the expected models saved yesterday, over all targets."""
    row = (await _rows(connection, "digest_saving", yesterday=today - timedelta(days=1))).one()
    return DigestSaving(**row._mapping)


async def incidents(connection: AsyncConnection, *, since: datetime) -> Sequence[DigestIncident]:
    """Incidents that were open at any time since, one of each number people know.

    It has the rule of a member that is in breach now, where there is one.
    """
    found = await _rows(connection, "digest_incidents", since=since)
    return [DigestIncident(**row._mapping) for row in found]


async def own(
    connection: AsyncConnection, channels: Iterable[str], *, since: datetime, until: datetime
) -> DigestMonitor:
    """How the monitor itself did; rounds by whole hours."""
    span = {"since": since, "until": until}
    rounds = (await _rows(connection, "digest_rounds", **span)).one()
    probes = (await _rows(connection, "digest_probes", **span)).one()
    delivery = await backlogs(connection, channels)
    used = await spend_rows.today(connection)
    lost = await connection.scalar(_LOST, {"since": since}) or 0
    return DigestMonitor(
        **rounds._mapping,
        **probes._mapping,
        budget_used_usd=used.usd,
        budget_margin_usd=used.margin_usd,
        waiting=sum(one.waiting for one in delivery),
        lost=lost,
        broken={one.channel: one.broken_why or "" for one in delivery if one.broken_since},
    )


async def _rows(connection: AsyncConnection, name: str, **values: Any) -> CursorResult[Any]:
    return await connection.execute(sql_file(name), values)

"""The report: what the database found, put together into the page that reports show."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from monitor import __version__
from monitor.config import Settings
from monitor.domain.report import IncidentRow, LastRound
from monitor.reports import page_data
from monitor.reports.page_data import bins
from monitor.rules import FallbackRule, SpendRule, TtftRule, rule_of, unit_of
from monitor.storage import Database, report_data
from monitor.storage.report_data import ReportRows, ReportSpan

_EVER = timedelta(days=36_500)


async def page(
    database: Database,
    settings: Settings,
    *,
    length: timedelta | None,
    now: datetime,
    whole: bool = False,
) -> page_data.ReportPage:
    """Everything in the period that ends now, in one transaction. Raises DatabaseUnavailable.

    It begins with the first existing round, unless `whole`.
    """
    ttft = rule_of(settings.rules, TtftRule)
    fallback = rule_of(settings.rules, FallbackRule)
    spend = rule_of(settings.rules, SpendRule)
    limit_ms = ttft.limit_ms if ttft else None
    configured = {name: target.every for name, target in settings.targets.items()}
    every = min(configured.values())
    async with database.begin() as connection:
        zone = await report_data.zone(connection)
        first = await report_data.first_since(connection, now - (length or _EVER))
        if length is None or (first is not None and not whole):  # axes begin with the data
            length = min(length or _EVER, now - (first or now) + every)
        apart = await report_data.cadence(connection, since=now - length, until=now)
        every = max(every, apart or every)
        span = report_data.span(now, length, every=every, zone=zone)
        found = await report_data.found(
            connection, span, targets=settings.targets, limit_ms=limit_ms
        )
    each = found.by_target()
    names = dict.fromkeys(
        (*settings.targets, *sorted({item.target for item in found[report_data.FIGURES]}))
    )
    return page_data.ReportPage(
        version=__version__,
        made_at=now,
        since=span.since,
        until=span.until,
        zone=zone,
        targets=tuple(
            _target_report(
                each.get(name, ReportRows({})), span, name, limit_ms, configured.get(name)
            )
            for name in names
        ),
        spend=tuple(found[report_data.SPEND]),
        spend_limit_usd=spend.limit_usd if spend else None,
        fallback_limit=fallback.limit if fallback else None,
        incidents=tuple(_incident_row(item) for item in found[report_data.INCIDENTS]),
        bar=span.bar,
    )


def _target_report(
    found: ReportRows,
    span: ReportSpan,
    name: str,
    limit_ms: float | None,
    every: timedelta | None,
) -> page_data.TargetReport:
    whole = next((item for item in found[report_data.FIGURES] if item.query is None), None)
    outcomes = Counter[str]()
    for item in found[report_data.ENDED]:
        outcomes[item.outcome] += item.probes
    return page_data.TargetReport(
        name=name,
        limit_ms=limit_ms,
        step=span.step,
        probes=whole.probes if whole else 0,
        answered=whole.good if whole else 0,
        failed=whole.bad if whole else 0,
        p50_ms=whole.p50_ms if whole else None,
        p90_ms=whole.p90_ms if whole else None,
        over_limit=whole.over_limit if whole else None,
        known=sum(item.expected + item.fallback for item in found[report_data.JUDGED]),
        fell=sum(item.fallback for item in found[report_data.JUDGED]),
        ttft=tuple(_points(found)),
        judged=tuple(found[report_data.JUDGED]),
        tried=tuple(_tried(found)),
        served=tuple(found[report_data.MODELS]),
        bins=bins(
            [(item.ms, item.identity, item.samples) for item in found[report_data.SPREAD]], limit_ms
        ),
        queries=tuple(_queries(found)),
        costs=tuple(found[report_data.COSTS]),
        outcomes=tuple(outcomes.most_common()),
        quality=_quality(found),
        health=_health(found),
        excerpts=tuple(found[report_data.EXCERPTS]),
        last_round=LastRound(
            target=name, every=every, probes=tuple(found[report_data.LAST_ROUNDS])
        ),
    )


def _points(found: ReportRows) -> Iterator[page_data.TtftPoint]:
    """With several regions, each has its own line: their latencies differ."""
    several = len({item.region for item in found[report_data.STEPS]}) > 1
    for item in found[report_data.STEPS]:
        if item.p50_ms is None or item.p90_ms is None or item.worst_ms is None:
            continue
        yield page_data.TtftPoint(
            query=f"{item.query} · {item.region}" if several else item.query,
            at=item.at,
            p50_ms=item.p50_ms,
            p90_ms=item.p90_ms,
            worst_ms=item.worst_ms,
            samples=item.samples,
        )


def _tried(found: ReportRows) -> Iterator[page_data.ProbeCounts]:
    good, bad = Counter[datetime](), Counter[datetime]()
    for item in found[report_data.STEPS]:
        good[item.at] += item.good
        bad[item.at] += item.bad
    yield from (page_data.ProbeCounts(at=at, good=good[at], bad=bad[at]) for at in sorted(good))


def _queries(found: ReportRows) -> Iterator[page_data.QueryFigures]:
    phases = {item.query: item for item in found[report_data.PHASES]}
    for item in found[report_data.FIGURES]:
        if item.query is not None:
            spent = phases.get(item.query)
            yield page_data.QueryFigures(
                query=item.query,
                probes=item.probes,
                answered=item.good,
                p50_ms=item.p50_ms,
                p90_ms=item.p90_ms,
                p99_ms=item.p99_ms,
                worst_ms=item.worst_ms,
                over_limit=item.over_limit,
                dns_ms=spent.dns_ms if spent else None,
                tcp_ms=spent.tcp_ms if spent else None,
                tls_ms=spent.tls_ms if spent else None,
                head_ms=spent.head_ms if spent else None,
                text_ms=spent.text_ms if spent else None,
            )


def _quality(found: ReportRows) -> page_data.MeasurementQuality:
    rounds = next(iter(found[report_data.ROUNDS]), None)
    lags = [item.worst_lag_ms for item in found[report_data.ENDED] if item.worst_lag_ms is not None]

    def timed_by(stamp: str) -> int:
        return sum(item.probes for item in found[report_data.ENDED] if item.stamp == stamp)

    return page_data.MeasurementQuality(
        kernel=timed_by("kernel"),
        user=timed_by("user"),
        degraded=timed_by("degraded"),
        worst_lag_ms=max(lags, default=None),
        rounds_expected=rounds.expected if rounds else None,
        rounds_missed=rounds.missed if rounds else None,
        extra=sum(item.extra for item in found[report_data.ENDED]),
    )


def _health(found: ReportRows) -> page_data.HealthRow | None:
    reported = next(iter(found[report_data.HEALTH]), None)
    if reported is None:
        return None
    parts = ["no answer" if reported.status is None else f"HTTP {reported.status}"]
    parts += [f"{key} is {_word(value)}" for key, value in reported.facts.items()]
    parts += [f"not met: {text}" for text in reported.unmet]
    return page_data.HealthRow(
        healthy=reported.healthy,
        since=reported.since,
        checked_at=reported.checked_at,
        says=" · ".join(parts),
        contradiction=_sentence(reported.contradiction),
    )


def _sentence(text: str | None) -> str | None:
    return text and f"{text[:1].upper()}{text[1:]}."


def _word(value: object) -> str:
    if value is None:
        return "absent"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _incident_row(item: IncidentRow) -> IncidentRow:
    def value(given: float | Decimal | None) -> float | Decimal | None:
        return given if given is None or unit_of(item.rule).exact else float(given)

    return replace(item, peak=value(item.peak), limit=value(item.limit))

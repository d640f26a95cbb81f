"""The report: what the database found, put together into the page that reports show."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from monitor import __version__
from monitor.config import Settings
from monitor.domain.report import IncidentRow
from monitor.reports import page_data
from monitor.reports.page_data import bins
from monitor.rules import FallbackRule, SpendRule, TtftRule, rule_of, unit_of
from monitor.storage import Database, report_data
from monitor.storage.report_data import Found, ReportSpan

_BY_TARGET = (
    "steps",
    "judged",
    "models",
    "figures",
    "spread",
    "costs",
    "rounds",
    "phases",
    "ended",
    "health",
)


async def page(
    database: Database, settings: Settings, *, length: timedelta | None, now: datetime
) -> page_data.ReportPage:
    """Everything of the span that ends now, one transaction long. Raises Away.

    Without a length: since the first round there is.
    """
    ttft = rule_of(settings.rules, TtftRule)
    fallback = rule_of(settings.rules, FallbackRule)
    spend = rule_of(settings.rules, SpendRule)
    limit_ms = ttft.limit_ms if ttft else None
    every = min(target.every for target in settings.targets.values())
    async with database.begin() as connection:
        zone = await report_data.zone(connection)
        if length is None:
            length = now - (await report_data.first(connection) or now) + every
        apart = await report_data.cadence(connection, since=now - length, until=now)
        every = max(every, apart or every)
        span = report_data.span(now, length, every=every, zone=zone)
        found = await report_data.found(
            connection, span, targets=settings.targets, limit_ms=limit_ms
        )
    each = _by_target(found)
    names = dict.fromkeys((*settings.targets, *sorted({item.target for item in found.figures})))
    return page_data.ReportPage(
        version=__version__,
        made_at=now,
        since=span.since,
        until=span.until,
        zone=zone,
        targets=tuple(_target_report(each(name), span, name, limit_ms) for name in names),
        spend=tuple(found.spend),
        spend_limit_usd=spend.limit_usd if spend else None,
        fallback_limit=fallback.limit if fallback else None,
        incidents=tuple(_incident_row(item) for item in found.incidents),
    )


def _by_target(found: Found) -> Callable[[str], Found]:
    """What was found, one target at a time; every row is looked at once."""
    split: dict[str, dict[str, list[Any]]] = {}
    for part in _BY_TARGET:
        split[part] = defaultdict(list)
        for item in getattr(found, part):
            split[part][item.target].append(item)
    return lambda name: replace(found, **{part: rows[name] for part, rows in split.items()})


def _target_report(
    found: Found, span: ReportSpan, name: str, limit_ms: float | None
) -> page_data.TargetReport:
    whole = next((item for item in found.figures if item.query is None), None)
    outcomes = Counter[str]()
    for item in found.ended:
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
        known=sum(item.expected + item.fallback for item in found.judged),
        fell=sum(item.fallback for item in found.judged),
        ttft=tuple(_points(found)),
        judged=tuple(found.judged),
        tried=tuple(_tried(found)),
        served=tuple(found.models),
        bins=bins([(item.ms, item.identity, item.samples) for item in found.spread], limit_ms),
        queries=tuple(_queries(found)),
        costs=tuple(found.costs),
        outcomes=tuple(outcomes.most_common()),
        quality=_quality(found),
        health=_health(found),
    )


def _points(found: Found) -> Iterator[page_data.TtftPoint]:
    """Where several regions ask, each has a line of its own: their latencies differ."""
    several = len({item.region for item in found.steps}) > 1
    for item in found.steps:
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


def _tried(found: Found) -> Iterator[page_data.ProbeCounts]:
    good, bad = Counter[datetime](), Counter[datetime]()
    for item in found.steps:
        good[item.at] += item.good
        bad[item.at] += item.bad
    yield from (page_data.ProbeCounts(at=at, good=good[at], bad=bad[at]) for at in sorted(good))


def _queries(found: Found) -> Iterator[page_data.QueryFigures]:
    phases = {item.query: item for item in found.phases}
    for item in found.figures:
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


def _quality(found: Found) -> page_data.MeasurementQuality:
    rounds = next(iter(found.rounds), None)
    lags = [item.worst_lag_ms for item in found.ended if item.worst_lag_ms is not None]

    def timed_by(stamp: str) -> int:
        return sum(item.probes for item in found.ended if item.stamp == stamp)

    return page_data.MeasurementQuality(
        kernel=timed_by("kernel"),
        user=timed_by("user"),
        degraded=timed_by("degraded"),
        worst_lag_ms=max(lags, default=None),
        rounds_expected=rounds.expected if rounds else None,
        rounds_missed=rounds.missed if rounds else None,
    )


def _health(found: Found) -> page_data.HealthRow | None:
    reported = next(iter(found.health), None)
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

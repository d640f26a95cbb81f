"""Pages for tests: two days of an ordinary target, with a fallback, a gap and an incident."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from monitor.domain import report
from monitor.reports import page_data

SINCE = datetime(2026, 11, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
LLAMA, HAIKU = "meta-llama/llama-4-scout", "anthropic/claude-haiku-4-5"
FELL = range(20, 26)  # hours in which the fallback answered
GONE = range(34, 38)  # hours in which nobody looked


def target_report(**changes: Any) -> page_data.TargetReport:
    """A target asked two queries an hour: 600 and 900 ms, under the fallback 1600 ms more."""
    seen = [hour for hour in range(48) if hour not in GONE]
    ordinary = page_data.TargetReport(
        name="rag",
        limit_ms=1200.0,
        step=HOUR,
        probes=1056,
        answered=1050,
        failed=6,
        p50_ms=900.0,
        p90_ms=2200.0,
        over_limit=0.14,
        known=1000,
        fell=140,
        ttft=tuple(ttft_point(query, hour) for query in ("hi", "kbli") for hour in seen),
        judged=tuple(identity_counts(hour) for hour in seen),
        tried=tuple(
            page_data.ProbeCounts(at=SINCE + hour * HOUR, good=20, bad=4 if hour == 19 else 0)
            for hour in seen
        ),
        served=(
            model_answers(0, LLAMA, "expected", 20),
            model_answers(0, HAIKU, "fallback", 4),
            model_answers(1, LLAMA, "expected", 18),
            model_answers(1, None, "unknown", 2),
        ),
        bins=tuple(
            page_data.LatencyBin(
                low_ms=low, high_ms=high, expected=e, fallback=f, changed=0, disputed=0, unknown=u
            )
            for low, high, e, f, u in (
                (600.0, 848.5, 30, 0, 1),
                (848.5, 1200.0, 20, 1, 0),
                (1200.0, 1697.1, 2, 9, 0),
            )
        ),
        queries=(query_figures("hi"), query_figures("kbli", p50_ms=1000.0)),
        costs=(
            query_cost(LLAMA, 40, "0.000141"),
            query_cost(HAIKU, 6, "0.00095"),
            query_cost(None, 2, None),
        ),
        outcomes=(("answered", 1050), ("timeout_first_token", 6)),
        quality=page_data.MeasurementQuality(
            kernel=1050,
            user=0,
            degraded=6,
            worst_lag_ms=12.0,
            rounds_expected=528,
            rounds_missed=50,
        ),
        health=page_data.HealthRow(
            healthy=True,
            since=SINCE,
            checked_at=SINCE + HOUR,
            says="HTTP 200",
            contradiction="its health page says healthy while 3 of 24 answers "
            "fell back within the hour",
        ),
    )
    return replace(ordinary, **changes)


def ttft_point(query: str, hour: int) -> page_data.TtftPoint:
    base = {"hi": 600.0, "kbli": 900.0}.get(query, 700.0) + 15.0 * (hour % 7)
    slow = 1600.0 if hour in FELL else 0.0
    return page_data.TtftPoint(
        query=query, at=SINCE + hour * HOUR, p50_ms=base + slow, p90_ms=base + slow + 200,
        worst_ms=base + slow + 500, samples=12,
    )  # fmt: skip


def query_cost(model: str | None, answers: int, mean_usd: str | None) -> report.QueryCost:
    mean = None if mean_usd is None else Decimal(mean_usd)
    return report.QueryCost(target="rag", query="hi", model=model, answers=answers, mean_usd=mean)


def identity_counts(hour: int) -> report.IdentityCounts:
    fell = hour in FELL
    return report.IdentityCounts(target="rag", at=SINCE + hour * HOUR, expected=6 if fell else 24,
                       fallback=18 if fell else 0, changed=0, disputed=0, unknown=0)  # fmt: skip


def model_answers(day: int, model: str | None, identity: str, answers: int) -> report.ModelAnswers:
    at = SINCE + day * 24 * HOUR
    return report.ModelAnswers(target="rag", at=at, model=model, identity=identity, answers=answers)


def changed_page() -> page_data.ReportPage:
    """Nobody fell back, and 75 of 119 answers no longer match the expected model."""
    steps = (
        report.IdentityCounts(
            target="rag", at=SINCE, expected=44, fallback=0, changed=0, disputed=0, unknown=0
        ),
        report.IdentityCounts(
            target="rag", at=SINCE + HOUR, expected=0, fallback=0, changed=75, disputed=0, unknown=0
        ),
    )
    bins = (
        page_data.LatencyBin(
            low_ms=600.0, high_ms=848.5, expected=44, fallback=0, changed=75, disputed=2, unknown=1
        ),
    )
    answered = (model_answers(0, LLAMA, "expected", 44), model_answers(0, None, "changed", 75))
    return report_page(targets=(
        target_report(known=44, fell=0, judged=steps, served=answered, bins=bins),
    ))  # fmt: skip


def query_figures(query: str, **changes: Any) -> page_data.QueryFigures:
    ordinary = page_data.QueryFigures(
        query=query, probes=528, answered=525, p50_ms=700.0, p90_ms=2100.0, p99_ms=2400.0,
        worst_ms=3100.0, over_limit=0.14, dns_ms=2.0, tcp_ms=20.0, tls_ms=25.0, head_ms=40.0,
        text_ms=660.0,
    )  # fmt: skip
    return replace(ordinary, **changes)


def report_page(**changes: Any) -> page_data.ReportPage:
    ordinary = page_data.ReportPage(
        version="0.0.0",
        made_at=SINCE + 48 * HOUR,
        since=SINCE,
        until=SINCE + 48 * HOUR,
        zone=ZoneInfo("UTC"),
        targets=(target_report(),),
        spend=(
            report.DaySpend(
                day=SINCE.date(),
                total_usd=Decimal("0.62"),
                at_least=False,
                probes_usd=Decimal("0.12"),
                traffic_usd=Decimal("0.5"),
                account_usd=None,
            ),
            report.DaySpend(
                day=(SINCE + 24 * HOUR).date(),
                total_usd=Decimal("2.3"),
                probes_usd=Decimal("0.3"),
                traffic_usd=Decimal("1.2"),
                account_usd=Decimal("0.8"),
                at_least=True,
            ),
        ),
        spend_limit_usd=Decimal("2.00"),
        fallback_limit=0.10,
        incidents=(
            report.IncidentRow(
                number=3,
                rule="fallback",
                scope="rag",
                opened_at=SINCE + 20 * HOUR,
                resolved_at=SINCE + 26 * HOUR,
                peak=0.75,
                limit=0.10,
                cost_usd=Decimal("0.4"),
                cost_at_least=False,
                because="18 of 24 answers fell back.",
            ),
            report.IncidentRow(
                number=4,
                rule="spend",
                scope="all",
                opened_at=SINCE + 44 * HOUR,
                resolved_at=None,
                peak=Decimal("2.3"),
                limit=Decimal("2.00"),
                cost_usd=None,
                cost_at_least=False,
                because="The day has cost $2.30.",
            ),
        ),
    )
    return replace(ordinary, **changes)

"""`probe_budget`: our own probes have reached their daily budget."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import ClassVar

from monitor.domain import (
    ALL,
    CERTAIN,
    Finding,
    Incident,
    Severity,
    Spend,
    Subject,
    Verdict,
    VerdictState,
    amount_text,
    counted,
    lasting,
    usd_text,
)
from monitor.rules.limit_checks import at_least, positive
from monitor.rules.rule import Rule, Unit


@dataclass(frozen=True, slots=True)
class ProbeUsage:
    """Cost in USD and number of our own probes on one UTC day so far."""

    day: Spend
    probes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeBudgetRule(Rule):
    """Breach when probes reached their daily budget: probing stops until the next UTC day.

    Answers of an unknown model count as the most expensive declared one. The limits are those of
    section `probes`, which stop the probing itself. The incident ends with the day.

    Source: docs/alerts.md#probe_budget
    """

    name: ClassVar[str] = "probe_budget"
    subject: ClassVar[Subject] = Subject.PROBES
    unit: ClassVar[Unit] = Unit.USD
    first_step: ClassVar[str] = "Find what made probes more expensive, or raise the budget."
    evidence_sql: ClassVar[str] = (
        "SELECT target, model_detected, count(*), sum(coalesce(cost_usd, cost_high_usd)) "
        "FROM report.observations "
        "WHERE {rows} GROUP BY 1, 2 ORDER BY 4 DESC;"
    )
    inhibits: ClassVar[frozenset[str]] = frozenset({"no_data"})
    likely_cause: ClassVar[bool] = False
    chart: ClassVar[bool] = False
    set_elsewhere: ClassVar[Mapping[str, str]] = {
        "limit_usd": "probes.daily_budget_usd",
        "limit_probes": "probes.max_per_day",
    }

    severity: Severity = Severity.WARN
    limit_usd: Decimal = Decimal("0.50")
    limit_probes: int = 20_000

    def __post_init__(self) -> None:
        positive(self, "limit_usd")
        at_least(self, 1, "limit_probes")

    def judge(
        self, probing: ProbeUsage, latest_incident: Incident | None, now: datetime
    ) -> Verdict:
        """Judge the probes of today."""
        day, probes = probing.day, probing.probes
        reached = day.high_usd >= self.limit_usd or probes >= self.limit_probes
        open_ = latest_incident is not None and latest_incident.open
        since, recovered = None, ""
        if latest_incident is not None and open_ and latest_incident.once != f"{day.day}":
            state = VerdictState.OK  # the day of the incident is over
            since = latest_incident.until or _day_after(latest_incident.breach_since)
        elif reached:
            state, since = VerdictState.BREACH, now  # the last probe before probing stopped
        else:  # a higher budget, or a correction of the sum: probing continues on the same day
            state = VerdictState.HOLD if open_ else VerdictState.OK
            recovered = "Probing continues" if open_ else ""
        stopped = reached and state is VerdictState.BREACH
        pause = f" Probing pauses until {day.ends_at.astimezone(UTC):%H:%M} UTC." if stopped else ""
        spent = amount_text(day.total_usd, day.high_usd, beside=self.limit_usd)
        finding = Finding()
        if stopped:
            used = (
                f"daily budget of {usd_text(self.limit_usd, exact=True)} is used up"
                if day.high_usd >= self.limit_usd
                else f"daily limit of {counted(self.limit_probes, 'probe')} is reached"
            )
            finding = Finding(
                what=f"probing stopped: the {used}",
                was=f"probing was stopped {{when}}, because the {used.replace(' is ', ' was ')}",
                restored="probing continues",
                began="stopped at {since} ",
                extent=f"after {counted(probes, 'probe')} for {spent}. Nothing is monitored until "
                f"{day.ends_at.astimezone(UTC):%H:%M} UTC ({lasting(day.ends_at - now)})",
                certainty=f"{CERTAIN}, sum of all recorded costs"
                if day.high_usd >= self.limit_usd
                else f"{CERTAIN}, counted over {counted(probes, 'probe')}",
            )
        return Verdict(
            rule=self.name,
            scope=ALL,
            state=state,
            value=day.high_usd,
            limit=self.limit_usd,
            because=f"{probes} {_probes(probes)} of {day.day} cost {spent}; "
            f"budget {usd_text(self.limit_usd, exact=True)}, "
            f"{self.limit_probes} {_probes(self.limit_probes)}.{pause}",
            finding=finding,
            once=f"{day.day}" if stopped else None,
            since=since,
            recovered=recovered,
        )


def _day_after(at: datetime) -> datetime:
    """The midnight after an instant: probing continues then."""
    at = at.astimezone(UTC) + timedelta(days=1)
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _probes(number: int) -> str:
    return "probe" if number == 1 else "probes"

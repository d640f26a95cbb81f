"""`identity_unknown`: the answering model cannot be identified."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from monitor.domain import (
    CERTAIN,
    Finding,
    Identity,
    Incident,
    Outcome,
    Sample,
    Severity,
    Subject,
    Verdict,
    VerdictState,
    counted,
    instant,
)
from monitor.rules.limit_checks import at_least, between
from monitor.rules.rule import Rule, Unit
from monitor.rules.window import Window

_ROWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityUnknownRule(Rule):
    """Notice, once a week, that most answers of the last day do not identify their model.

    Judged on `answers` or more. While the model is unknown, `fallback` cannot fire.

    Source: docs/alerts.md#identity_unknown
    """

    name: ClassVar[str] = "identity_unknown"
    subject: ClassVar[Subject] = Subject.TARGET
    unit: ClassVar[Unit] = Unit.SHARE
    first_step: ClassVar[str] = (
        "Run `monitor baseline show {target}`. If you know which model answers now, capture it: "
        "`monitor baseline capture {target}`."
    )
    evidence_sql: ClassVar[str] = (
        "SELECT started_at, query, model_disclosed, confidence FROM report.observations "
        "WHERE {rows} AND identity = 'unknown' ORDER BY started_at;"
    )
    inhibits: ClassVar[frozenset[str]] = frozenset()
    likely_cause: ClassVar[bool] = False
    chart: ClassVar[bool] = False

    severity: Severity = Severity.INFO
    limit: float = 0.5
    answers: int = 100

    def __post_init__(self) -> None:
        between(self, 0, 1, "limit")
        at_least(self, 1, "answers")

    def judge(self, window: Window, latest_incident: Incident | None, now: datetime) -> Verdict:
        """Judge the last day of one target."""
        of, unknown = window.answered, window.unknown
        share = unknown / of if of else None
        if share is None or of < self.answers:
            state = VerdictState.NO_DATA
        else:
            state = VerdictState.NOTICE if share > self.limit else VerdictState.OK
        year, week, _ = now.astimezone(UTC).isocalendar()
        notified = state is VerdictState.NOTICE
        untold = [s for s in window.samples if s.identity is Identity.UNKNOWN] if notified else []
        known = (s.at for s in reversed(window.samples) if _identified(s)) if notified else iter(())
        at = next(known, None)
        latest = f"; the latest identified answer is of {instant(at, now=now)}" if at else ""
        return Verdict(
            rule=self.name,
            scope=window.scope,
            state=state,
            value=share,
            limit=self.limit,
            because=f"The model could not be identified for {unknown} of {counted(of, 'answer')} "
            "in the last 24 h.",
            rows=tuple(sample.id for sample in untold[: -_ROWS - 1 : -1]),
            finding=Finding(
                what=f"the model is unknown for {100 * (share or 0):.0f} % of the answers",
                extent=f"{unknown} of {counted(of, 'answer')} in the last 24 h{latest}. If another "
                "model gave these answers, the monitor would not notice",
                certainty=f"{CERTAIN}, counted over {counted(of, 'answer')}",
            ),
            once=f"{year}-W{week:02}" if notified else None,
            since=untold[0].at if untold else None,
        )


def _identified(sample: Sample) -> bool:
    return sample.outcome is Outcome.ANSWERED and sample.identity is not Identity.UNKNOWN

"""`unpriced`: answers whose cost is unknown."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from monitor.domain import (
    CERTAIN,
    Finding,
    Incident,
    Outcome,
    Sample,
    Severity,
    Subject,
    Verdict,
    VerdictState,
    counted,
)
from monitor.rules.limit_checks import at_least, between
from monitor.rules.rule import Rule, Unit
from monitor.rules.window import SPAN, Window

_ROWS = 20
_FIRST = timedelta(minutes=3)  # of a target: `monitor check` says so before anybody is notified

_KNOWN_START = SPAN - timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpricedRule(Rule):
    """Notice, once per day and model, that answers of a model known by name have no price.

    Judged from `answers` unpriced answers of a model, if they are more than `limit` of the last
    day's. Until they have a price, every sum that includes them says "at least". `identity_unknown`
    covers answers whose model could not be identified: their cost is a range, as is that of an
    unknown name.

    Source: docs/alerts.md#unpriced
    """

    name: ClassVar[str] = "unpriced"
    subject: ClassVar[Subject] = Subject.TARGET
    unit: ClassVar[Unit] = Unit.SHARE
    first_step: ClassVar[str] = "Add a price for the model to monitor.toml."
    evidence_sql: ClassVar[str] = (
        "SELECT model_detected, count(*) FROM report.observations "
        "WHERE {rows} AND cost_usd IS NULL AND cost_low_usd IS NULL GROUP BY 1 ORDER BY 2 DESC;"
    )
    inhibits: ClassVar[frozenset[str]] = frozenset()
    likely_cause: ClassVar[bool] = False
    chart: ClassVar[bool] = False

    severity: Severity = Severity.INFO
    limit: float = 0.0
    answers: int = 3

    def __post_init__(self) -> None:
        between(self, 0, 1, "limit")
        at_least(self, 1, "answers")

    def judge(self, window: Window, latest_incident: Incident | None, now: datetime) -> Verdict:
        """Judge the last day of one target."""
        of, missing = window.answered, window.unpriced
        day = now.astimezone(UTC).date()
        lately = [
            sample
            for sample in (window.samples if missing >= self.answers else ())
            if _unpriced(sample)
        ]
        today = [sample for sample in lately if sample.at.astimezone(UTC).date() == day]
        counts, newest = Counter[str](), None
        for sample in today:
            model = sample.model or ""
            counts[model] += 1
            newest = model if counts[model] == self.answers else newest
        named = ", ".join(sorted(counts))
        begun = bool(window.samples) and now - window.samples[0].at >= _FIRST
        notified = newest is not None and missing > self.limit * of and begun
        models = ", ".join(sorted(counts)[:3])
        answers, have = counted(of, "answer"), "has" if missing == 1 else "have"
        ranged = counted(window.ranged, "answer")
        ranged = (
            f" {ranged} of unknown model {'is' if window.ranged == 1 else 'are'} priced as a range."
        )
        return Verdict(
            rule=self.name,
            scope=window.scope,
            state=VerdictState.NOTICE
            if notified
            else VerdictState.OK
            if of
            else VerdictState.NO_DATA,
            value=missing / of if of else None,
            limit=self.limit,
            because=f"{missing} of {answers} of the last 24 h {have} no price"
            + (f": {named}." if named else ".")
            + ranged * bool(window.ranged),
            rows=tuple(sample.id for sample in today[: -_ROWS - 1 : -1]),
            facts={model: counted(count, "answer") for model, count in counts.most_common(5)}
            if len(counts) > 1  # otherwise the title and the extent state it
            else {},
            finding=Finding(
                what=f"no price is known for {models}",
                # Where the first one is as old as the window, an earlier one may be older.
                began="since {since}, " if now - lately[0].at < _KNOWN_START else "",
                extent=f"{missing} of {answers} in the last 24 h {have} no price. The real "
                "spend is higher than shown",
                certainty=f"{CERTAIN}, counted over {answers}",
            )
            if notified
            else Finding(),
            once=f"{day} {newest}" if notified else None,
            since=lately[0].at if notified else None,
        )


def _unpriced(sample: Sample) -> bool:
    known = sample.outcome is Outcome.ANSWERED and sample.model is not None
    return known and sample.cost_ends is None

"""`no_data`: no usable samples arrive."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import ClassVar

from monitor.domain import (
    CERTAIN,
    CauseOwner,
    Finding,
    Incident,
    Outcome,
    Severity,
    Subject,
    Verdict,
    VerdictState,
    lasting,
)
from monitor.rules.limit_checks import at_least
from monitor.rules.rule import Rule, Unit
from monitor.rules.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class NoDataRule(Rule):
    """Breach when no usable sample came for `intervals` intervals, or `least_s` if that is longer.

    The time counts from the end of the last probe, and is never shorter than the next probe may
    take. Silence counts from the start of this worker at the earliest: the external heartbeat check
    reports our own absence.

    Source: docs/alerts.md#no_data
    """

    name: ClassVar[str] = "no_data"
    subject: ClassVar[Subject] = Subject.TARGET
    unit: ClassVar[Unit] = Unit.SECONDS
    first_step: ClassVar[str] = (
        "Check that a worker runs and reaches the database; {target} is not monitored until this "
        "is fixed."
    )
    evidence_sql: ClassVar[str] = "SELECT * FROM report.health;"
    inhibits: ClassVar[frozenset[str]] = frozenset()
    likely_cause: ClassVar[bool] = False
    chart: ClassVar[bool] = False

    severity: Severity = Severity.PAGE
    intervals: int = 3
    least_s: float = 120.0

    def __post_init__(self) -> None:
        at_least(self, 1, "intervals")
        at_least(self, 0, "least_s")

    def judge(self, window: Window, latest_incident: Incident | None, now: datetime) -> Verdict:
        """Judge the silence of one target."""
        seen = window.ended_at
        watched = [min(at, now) for at in (seen, window.watched_since) if at is not None]
        if not watched or window.pace is None:
            return self._verdict(window, VerdictState.NO_DATA, None, None)
        silent = now - max(watched)
        allowed = max(self.intervals * window.pace, timedelta(seconds=self.least_s))
        allowed = max(allowed, window.probe_time)
        if latest_incident is not None and latest_incident.open:
            # A restart of the monitor is no sample: only a sample ends the silence.
            over = seen is not None and seen > latest_incident.turned_at and silent <= allowed
        else:
            over = silent <= allowed
        if not over:
            return self._verdict(window, VerdictState.BREACH, silent, allowed, since=max(watched))
        samples = self._verdict(window, VerdictState.OK, silent, allowed)
        if latest_incident is None or not latest_incident.open:
            return samples
        later = (
            sample.at for _, sample in window.tried if sample.at > latest_incident.breach_since
        )
        since = latest_incident.recovering_since or min(later, default=None)
        return replace(samples, recovered="Samples arrive again", since=since)

    def _verdict(
        self,
        window: Window,
        state: VerdictState,
        silent: timedelta | None,
        allowed: timedelta | None,
        *,
        since: datetime | None = None,
    ) -> Verdict:
        facts: dict[str, str] = {}
        finding = Finding()
        if silent is None or allowed is None:
            because = "No sample yet."
        elif state is VerdictState.OK:
            because = "Samples arrive."
        else:
            last = f"{window.tried[-1][1].at:%H:%M:%S} UTC" if window.tried else "never"
            idle = takewhile(lambda sample: sample.outcome.good is None, reversed(window.samples))
            how = Counter(sample.outcome for sample in idle).most_common(1)
            reason = ""
            for outcome, count in how:
                facts["Probes since then"] = f"{count} {outcome.value}"
                if outcome is Outcome.RATE_LIMITED:
                    reason = " (the service is rate limiting: HTTP 429)"
            minutes = silent // timedelta(minutes=1)
            none = "no measurement could be used" if facts else "no measurement was stored"
            because = f"No usable sample for {minutes} min{reason}; last sample: {last}."
            finding = Finding(
                what=f"no data for {lasting(silent)}, expected every {lasting(window.pace)}"
                if window.pace
                else f"no data for {lasting(silent)}",
                was=f"{none} {{when}}",
                restored="measured again",
                began=f"{none} since {{since}}",
                cause="rate limit of the service (HTTP 429)" if reason else "",
                cause_owner=CauseOwner.US if reason else None,
                first_step="Raise `every` or the service's rate limit." if reason else "",
                certainty=f"{CERTAIN}: {none}",
            )
        return Verdict(
            rule=self.name,
            scope=window.scope,
            state=state,
            value=None if silent is None else max(silent.total_seconds(), 0.0),
            limit=None if allowed is None else allowed.total_seconds(),
            because=because,
            facts=facts,
            finding=finding,
            since=since if state is VerdictState.BREACH else None,
        )

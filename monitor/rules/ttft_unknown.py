"""`ttft_unknown`: the TTFT cannot be judged, because its measurements were disturbed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import dropwhile, takewhile
from typing import ClassVar

from monitor.domain import (
    CERTAIN,
    Finding,
    Incident,
    Severity,
    Subject,
    Verdict,
    VerdictState,
    counted,
)
from monitor.rules.limit_checks import at_least, between, positive
from monitor.rules.packed_samples import microseconds
from monitor.rules.rule import Rule, Unit
from monitor.rules.window import Window

_ROWS = 20
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class TtftUnknownRule(Rule):
    """Notice that most TTFT measurements are not exact; repeated daily, and once at its end.

    Judged on the measurements of the last `minutes`, or on the latest `answers` if those are fewer.
    Meanwhile `ttft` judges few or none. It is over when at most half as many are disturbed. All
    other rules judge these answers as usual.

    Source: docs/alerts.md#ttft_unknown
    """

    name: ClassVar[str] = "ttft_unknown"
    subject: ClassVar[Subject] = Subject.TARGET
    unit: ClassVar[Unit] = Unit.SHARE
    first_step: ClassVar[str] = (
        "Check the load of the monitor's machine, then whether a proxy between the monitor and "
        "the service buffers the answer."
    )
    evidence_sql: ClassVar[str] = (
        "SELECT started_at, query, stamp, lag_ms, pieces, ttft_ms FROM report.observations "
        "WHERE {rows} ORDER BY started_at;"
    )
    inhibits: ClassVar[frozenset[str]] = frozenset()
    likely_cause: ClassVar[bool] = False
    chart: ClassVar[bool] = False
    passing: ClassVar[bool] = True

    severity: Severity = Severity.INFO
    limit: float = 0.5
    answers: int = 12
    minutes: float = 60.0

    def __post_init__(self) -> None:
        between(self, 0, 1, "limit")
        at_least(self, 1, "answers")
        positive(self, "minutes")

    def judge(self, window: Window, latest_incident: Incident | None, now: datetime) -> Verdict:
        """Judge the latest measurements of one target."""
        measured = [] if window.silent(now) else self._latest(window)
        log = window.log
        disturbed = [number for number in measured if log.kind(number).degraded]
        open_ = latest_incident is not None and latest_incident.open
        share = len(disturbed) / len(measured) if measured else None
        if share is None or len(measured) < self.answers:
            state = VerdictState.NO_DATA
        elif share > self.limit:
            state = VerdictState.BREACH
        else:
            state = VerdictState.HOLD if open_ and 2 * share > self.limit else VerdictState.OK
        whole = counted(len(measured), "measurement")
        share_of = f"{len(disturbed)} of {whole} {self._span(window, measured)}"
        verdict = Verdict(
            rule=self.name,
            scope=window.scope,
            state=state,
            value=share,
            limit=self.limit,
            because=f"{share_of} could not be used.",
            rows=tuple(log.sample(number).id for number in disturbed[:_ROWS]),
        )
        if state is VerdictState.BREACH:
            because = (
                f"TTFT cannot be judged: {share_of} could not be used. They were "
                "disturbed on the monitor's side (an overloaded machine) or arrived in one piece "
                "(a proxy that buffers)."
            )
            finding = Finding(
                what="the time to first token cannot be judged",
                was="the time to first token could not be judged {when}",
                restored="the time to first token can be judged again",
                began="disturbed since {since}: ",
                extent=f"{share_of} could not be used. A slow service would not be noticed now",
                certainty=f"{CERTAIN}, counted over {whole}",
            )
            return replace(verdict, because=because, since=log.at(disturbed[-1]), finding=finding)
        if state is VerdictState.OK and open_:
            exact = takewhile(
                lambda number: not log.kind(number).degraded,
                dropwhile(lambda number: log.kind(number).degraded, measured),
            )
            since = min(map(log.at, exact), default=None)
            return replace(verdict, recovered="TTFT can be judged again", since=since)
        return verdict

    def _latest(self, window: Window) -> list[int]:
        """The latest probes with a TTFT, exact or not, newest first, by number."""
        log, floor = window.log, microseconds(window.since(None))
        span = timedelta(minutes=self.minutes) // timedelta(microseconds=1)
        found: list[int] = []
        for number in range(log.end - 1, log.first - 1, -1):
            at = log.at_us(number)
            late = found and at <= log.at_us(found[0]) - span
            if at <= floor or (late and len(found) >= self.answers):
                break
            if log.ttft_ms(number) is not None or log.kind(number).degraded:
                found.append(number)
        return found

    def _span(self, window: Window, measured: Sequence[int]) -> str:
        first, last = (
            (window.log.at(measured[n]) for n in (-1, 0)) if measured else (_NEVER, _NEVER)
        )
        if last - first > timedelta(minutes=self.minutes):
            return f"since {first.astimezone(UTC):%H:%M} UTC"
        return "in the last hour" if self.minutes == 60 else f"in the last {self.minutes:g} minutes"

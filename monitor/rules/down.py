"""`down`: the service does not answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, takewhile
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
from monitor.rules.answer_series import breach_length
from monitor.rules.explanations import failure_words, named, reported_error
from monitor.rules.limit_checks import at_least, at_most, between
from monitor.rules.rule import Rule, Unit
from monitor.rules.window import PATIENCE, TRIED, Window

_ROWS = 60
_INSTANT = timedelta(microseconds=1)
# No connection is made: targets on the same host fail together.
_UNREACHABLE = (Outcome.REFUSED, Outcome.CONNECT, Outcome.DNS, Outcome.TLS)
_GATEWAY = ("HTTP 502", "HTTP 503", "HTTP 504")
_REPORTED = "Check what the service reports, then the service, its host and the latest deployment."


@dataclass(frozen=True, slots=True, kw_only=True)
class DownRule(Rule):
    """Breach when `failed` of the last `of` probes failed, over at least two rounds.

    A round that hangs counts as two if its failures are one interval (at most two minutes) apart:
    otherwise our deadlines would delay the alert for a target with many queries. Fewer failures are
    enough if they are all probes of `rounds` rounds in a row, so that a target with one query is
    judged as soon. It resolves after `good` good probes in a row, or after `rounds` rounds of good
    probes only. Rate-limited and aborted probes are ignored.

    Source: docs/alerts.md#down
    """

    name: ClassVar[str] = "down"
    subject: ClassVar[Subject] = Subject.TARGET
    unit: ClassVar[Unit] = Unit.COUNT
    first_step: ClassVar[str] = (
        "Check the service itself, then its host's status and the latest deployment."
    )
    evidence_sql: ClassVar[str] = (
        "SELECT started_at, query, outcome, http_status, error FROM report.observations "
        "WHERE {rows} ORDER BY started_at;"
    )
    inhibits: ClassVar[frozenset[str]] = frozenset({"fallback", "model_changed", "ttft"})
    likely_cause: ClassVar[bool] = True
    chart: ClassVar[bool] = True
    prevents: ClassVar[frozenset[str]] = frozenset({"ttft"})
    every_sample: ClassVar[bool] = True
    shares_faults: ClassVar[bool] = True

    severity: Severity = Severity.PAGE
    failed: int = 5
    of: int = 6
    rounds: int = 3
    good: int = 5

    def __post_init__(self) -> None:
        between(self, 1, TRIED, "failed", "of", "good")
        at_least(self, 2, "rounds")
        at_most(self, "failed", of="of")

    def judge(self, window: Window, latest_incident: Incident | None, now: datetime) -> Verdict:
        """Judge the last day of one target."""
        silent, open_ = window.silent(now), latest_incident is not None and latest_incident.open
        if not silent and not open_:  # without a failure, which is usual, no sample is made
            since = window.since(latest_incident)
            if good := window.good_in_a_row(self.of, since=since):
                return _none_failed(window.scope, VerdictState.OK, good, limit=float(self.failed))
        latest = [] if silent else self._latest(window, latest_incident)
        shown = latest[: self.of]
        bad = [sample for good, sample in shown if not good]
        enough = self.failed
        begun: datetime | None = None
        own: Sequence[tuple[bool, Sample]] = ()
        if not latest:
            state = VerdictState.NO_DATA
        elif latest_incident is not None and latest_incident.open:
            over = self._in_a_row(latest, good=True)
            state = (
                VerdictState.OK
                if over
                else VerdictState.HOLD
                if latest[0][0]
                else VerdictState.BREACH
            )
            begun = latest_incident.breach_since
            own = _tried(window, since=begun)
            if latest[0][0]:
                return self._recovering(window, state, _good(latest), since=_good(own))
            shown = self._since_recovery(own)  # while it lasts, only its own rows count
            begun = begun if len(shown) == len(own) else None
        elif len(bad) >= self.failed and (_rounds(bad) >= 2 or _lasting(bad, window)):
            state, shown = VerdictState.BREACH, self._breach(window, latest_incident, shown)
        elif self._in_a_row(latest, good=False):
            state, enough = VerdictState.BREACH, min(self.failed, len(bad))
            shown = self._breach(window, latest_incident, latest[:1])
        else:
            state = VerdictState.OK
        bad = [sample for good, sample in shown if not good]
        if not bad:
            return _none_failed(window.scope, state, len(shown), limit=float(self.failed))
        begun = begun or bad[-1].at
        earlier: Sequence[Sample] = ()
        if latest_incident is not None and latest_incident.open:
            if latest_incident.earlier_breaches:
                own = _tried(window, since=latest_incident.earlier_breaches[0][0])
            earlier = [sample for good, sample in own if not good and sample.at < begun]
        return Verdict(
            rule=self.name,
            scope=window.scope,
            state=state,
            value=float(len(bad)),
            limit=float(enough),
            because=f"{len(bad)} of the last {len(shown)} probes failed: {named(bad)}."
            if len(shown) > 1
            else f"The latest probe failed: {named(bad)}.",
            rows=tuple(sample.id for sample in bad[:_ROWS]),
            facts={"First failure": f"{begun.astimezone(UTC):%H:%M:%S} UTC"},
            finding=_finding(
                shown,
                begun,
                earlier,
                ongoing=latest_incident is not None and latest_incident.open,
            ),
            since=begun if state is VerdictState.BREACH else None,
        )

    def _recovering(
        self,
        window: Window,
        state: VerdictState,
        shown: Sequence[tuple[bool, Sample]],
        *,
        since: Sequence[tuple[bool, Sample]],
    ) -> Verdict:
        """An open outage whose latest probe is good.

        `since` is the start of the good probes after its last failure. Newest first.
        """
        answers = _none_failed(window.scope, state, len(shown), limit=float(self.failed))
        return replace(answers, recovered="Answers again", since=since[-1][1].at if since else None)

    def _latest(
        self, window: Window, latest_incident: Incident | None
    ) -> Sequence[tuple[bool, Sample]]:
        """The latest conclusive probes, newest first, as many as may be judged."""
        since = window.since(latest_incident)
        latest = list(islice(reversed(window.tried), max(self.of, self.good)))
        if latest and latest[-1][1].at <= since:
            return [(good, sample) for good, sample in latest if sample.at > since]
        return latest

    def _breach(
        self, window: Window, latest_incident: Incident | None, proof: Sequence[tuple[bool, Sample]]
    ) -> Sequence[tuple[bool, Sample]]:
        """The proof of a breach, extended to all consecutive failures before it, newest first."""
        tried = _tried(window, since=window.since(latest_incident) + _INSTANT)
        length = breach_length((not good for good, _ in tried), len(proof))
        return tried[: max(length, len(proof))]

    def _since_recovery(self, own: Sequence[tuple[bool, Sample]]) -> Sequence[tuple[bool, Sample]]:
        """The rows later than the latest good ones that proved a recovery, newest first.

        An incident that comes and goes stays open for a time. Failures in that time are a new
        breach.
        """
        for nth in range(1, len(own)):
            ends = own[nth][0] and not own[nth - 1][0]
            if ends and self._in_a_row(own[nth:], good=True):
                return own[:nth]
        return own

    def _in_a_row(self, latest: Sequence[tuple[bool, Sample]], *, good: bool) -> bool:
        if latest[0][0] is not good:
            return False
        same = [sample for _, sample in takewhile(lambda tried: tried[0] is good, latest)]
        return _rounds(same) >= self.rounds or (good and len(same) >= self.good)


def _finding(
    shown: Sequence[tuple[bool, Sample]],
    begun: datetime,
    earlier: Sequence[Sample],
    *,
    ongoing: bool,
) -> Finding:
    """What failed, as the header phrases it, and the service's own error message.

    `earlier`: the failures of earlier breaches of the incident; its end names those as well.
    `ongoing`: it is open. A server that starts again may answer with errors for a while.
    """
    bad = [sample for good, sample in shown if not good]
    since = [good for good, sample in shown if sample.at >= begun]
    error, of, together = reported_error(bad), len(shown), ""
    unconnected = False
    for alike in (_unconnected, _behind_gateway):
        lost = list(filter(alike, bad))
        if 2 * len(lost) > len(bad) and (ongoing or alike(bad[0])):
            together, unconnected = f"do not answer: {failure_words(lost)}", alike is _unconnected
            break
    probes = f"{len(bad)} of {of} probes" if of > 1 else "the latest probe"
    failed = f"{failure_words(bad)} on {probes}"
    answered = sum(since)  # in between
    whole = failed
    if earlier:
        whole = f"{failure_words([*bad, *earlier])} on {len(bad) + len(earlier)} probes"
    return Finding(
        what=f"does not answer: {failed}",
        was=f"{'probes failed' if answered else 'no answer'} {{when}} ({whole})",
        restored="answers again",
        together=together,
        restored_together="answer again" if together else "",
        unconnected=unconnected,
        began="probes have failed since {since}; " if answered else "no answer since {since}",
        extent=f"{answered} of {len(since)} since then succeeded" if answered else "",
        first_step=_REPORTED if error else "",
        certainty=f"{CERTAIN} that probes failed, counted over {counted(of, 'probe')}",
    )


def _unconnected(sample: Sample) -> bool:
    return sample.outcome in _UNREACHABLE


def _behind_gateway(sample: Sample) -> bool:
    """Whether a gateway answers, and says that the server behind it does not."""
    return sample.outcome is Outcome.UNAVAILABLE or (sample.error or "")[:8] in _GATEWAY


def _tried(window: Window, *, since: datetime) -> Sequence[tuple[bool, Sample]]:
    """The conclusive probes of the last day since an instant, newest first."""
    lately = takewhile(lambda sample: sample.at >= since, reversed(window.samples))
    return [(good, sample) for sample in lately if (good := sample.outcome.good) is not None]


def _good(latest: Sequence[tuple[bool, Sample]]) -> Sequence[tuple[bool, Sample]]:
    """The good probes since the last failure, newest first."""
    return list(takewhile(lambda tried: tried[0], latest))


def _rounds(samples: Sequence[Sample]) -> int:
    return len({sample.round for sample in samples})


def _lasting(bad: Sequence[Sample], window: Window) -> bool:
    """Whether the failures of one round are further apart than one interval."""
    if window.pace is None:
        return False
    return bad[0].at - bad[-1].at >= min(window.pace, PATIENCE)


@lru_cache(maxsize=256)  # most verdicts are this one
def _none_failed(scope: str, state: VerdictState, tried: int, *, limit: float) -> Verdict:
    return Verdict(
        rule=DownRule.name,
        scope=scope,
        state=state,
        value=0.0 if tried else None,
        limit=limit,
        because=f"None of the last {tried} probes failed."
        if tried > 1
        else "The latest probe did not fail."
        if tried
        else "No recent probe.",
    )

"""`ttft`: the first token arrives too late, with statistical confidence over several probes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice, takewhile
from math import log
from statistics import median, median_high
from typing import ClassVar, Literal

from monitor.domain import (
    CERTAIN,
    UNJUDGED,
    CauseOwner,
    Finding,
    Incident,
    Outcome,
    Sample,
    Severity,
    Subject,
    Verdict,
    VerdictState,
    certainty_text,
    confidence_text,
    counted,
    latency_text,
)
from monitor.rules.answer_series import breach_length
from monitor.rules.limit_checks import at_least, between, positive, unseen
from monitor.rules.rule import Rule, Unit
from monitor.rules.slow_queries import by_query, suspect
from monitor.rules.statistics import distance_evidence, scatter
from monitor.rules.window import WITHIN_LIMIT, Window
from monitor.rules.window_rounds import RoundMean, RoundSamples

_STRETCHES = (3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 96)
_SHOWN = 3  # rounds named in a sentence
_OUTRIGHT = log(1e7)  # this many rounds on one side by chance: less than one in so many
_ROWS = 60
_PROOF = ("Evidence", "Scatter")  # facts of the opening that later rounds do not change

_Heard = tuple[RoundSamples, RoundMean]


@dataclass(frozen=True, slots=True, kw_only=True)
class TtftRule(Rule):
    """Breach when the mean TTFT of rounds exceeds the limit beyond what chance explains.

    A query counts as at most `cap` times the limit; a missed first-token deadline counts as exactly
    that. `evidence…` are log-odds. The scatter of round means is measured over the last day, starts
    at `scatter` and is never taken below `scatter_floor`. While fewer than `learnt_rounds` rounds
    are known, `evidence_first` is sufficient: a new monitor takes few decisions, an old one many.
    Without such evidence, `rounds_outright` rounds in a row on one side are sufficient, so that a
    service steadily just over its limit is reported. With `mode` "consecutive", `rounds` rounds in
    a row over the limit are a breach; with "immediate", one probe is.

    Source: docs/alerts.md#ttft
    """

    name: ClassVar[str] = "ttft"
    subject: ClassVar[Subject] = Subject.TARGET
    unit: ClassVar[Unit] = Unit.MILLISECONDS
    first_step: ClassVar[str] = (
        "Compare the queries: one slow query points to retrieval, all slow to model or host."
    )
    evidence_sql: ClassVar[str] = (
        "SELECT started_at, query, ttft_ms, model_detected FROM report.observations "
        "WHERE {rows} ORDER BY started_at;"
    )
    inhibits: ClassVar[frozenset[str]] = frozenset()
    likely_cause: ClassVar[bool] = True
    chart: ClassVar[bool] = True
    names_models: ClassVar[bool] = True

    severity: Severity = Severity.WARN
    limit_ms: float = 1200.0
    mode: Literal["evidence", "consecutive", "immediate"] = "evidence"
    rounds: int = 3
    evidence: float = 10.0
    evidence_first: float = 7.0
    learnt_rounds: int = 24
    rounds_outright: int = 24
    rounds_to_resolve: int = 4
    evidence_to_resolve: float = 3.0
    cap: float = 2.0
    scatter: float = 0.30
    scatter_floor: float = 0.10

    def __post_init__(self) -> None:
        positive(self, "limit_ms", "evidence", "evidence_first", "evidence_to_resolve")
        positive(self, "scatter", "scatter_floor")
        at_least(self, 1, "rounds", "rounds_to_resolve", "learnt_rounds")
        between(self, 3, _STRETCHES[-1], "rounds_outright")
        between(self, 1, 100, "cap")

    def judge(self, window: Window, latest_incident: Incident | None, now: datetime) -> Verdict:
        """Judge the last day of one target."""
        if window.silent(now):
            return self._unknown(window, "No recent round.")
        if (disturbed := self._disturbed(window, latest_incident)) is not None:
            return disturbed
        if self.mode == "immediate":
            return self._immediate(window, latest_incident)
        closed = window.closed(window.since(latest_incident))
        received = list(islice(self._heard(closed, window), max(_SHOWN, self.rounds)))
        if not received:
            return self._unknown(window, "No complete round yet.")
        judged = self._consecutive if self.mode == "consecutive" else self._evidence
        return judged(window, latest_incident, received)

    def _disturbed(self, window: Window, latest_incident: Incident | None) -> Verdict | None:
        """The verdict while no round has an exact measurement; None if the rounds can be judged.

        Earlier slow rounds say nothing about now: an open incident is neither in breach nor over.
        """
        silent: list[Sample] = []
        for round_ in window.closed():
            if any(True for _ in self._heard([round_], window)):
                break
            silent += round_.samples
        disturbed = [sample for sample in silent if sample.degraded]
        if not disturbed or len({sample.round for sample in silent}) < self.rounds:
            return None
        of = sum(sample.degraded or sample.ttft_ms is not None for sample in silent)
        count = f"{len(disturbed)} of {counted(of, 'measurement')}"
        verdict = self._unknown(window, f"{count} could not be used.")
        if latest_incident is None or not latest_incident.open:
            return verdict
        since = latest_incident.recovering_since or min(sample.at for sample in disturbed)
        return replace(verdict, state=VerdictState.HOLD, recovered=UNJUDGED, since=since)

    def _evidence(
        self, window: Window, latest_incident: Incident | None, latest: Sequence[_Heard]
    ) -> Verdict:
        open_ = latest_incident is not None and latest_incident.open
        over = [mean.capped_ms > self.limit_ms for _, mean in latest[: self.rounds]]
        if latest_incident is not None and latest_incident.open and over[0]:
            return self._going_on(window, latest_incident, least=self.rounds_to_resolve)
        if open_ or (len(over) == self.rounds and all(over)):
            proof = self._proof(window, latest_incident, open_=open_)
            if proof is not None:
                stretch, facts, certainty = proof
                if latest_incident is not None and open_:
                    return self._recovering(
                        window, VerdictState.OK, stretch, latest_incident, facts
                    )
                stretch = self._breach(window, latest_incident, len(stretch))
                return self._verdict(window, VerdictState.BREACH, stretch, facts, certainty)
        if latest_incident is not None and open_:
            return self._recovering(window, VerdictState.HOLD, latest, latest_incident)
        return self._verdict(window, VerdictState.OK, latest)

    def _recovering(
        self,
        window: Window,
        state: VerdictState,
        received: Sequence[_Heard],
        latest_incident: Incident,
        facts: Mapping[str, str] | None = None,
    ) -> Verdict:
        """An open incident whose latest round is within the limit.

        Until the end is certain, the sentence describes only the rounds within the limit.
        """
        begun = latest_incident.breach_since - timedelta(microseconds=1)
        closed = window.closed(max(window.since(None), begun))
        within = list(takewhile(lambda one: not self._slow(one), self._heard(closed, window)))
        shown = within[:_SHOWN] if within and state is VerdictState.HOLD else received
        started = (sample.at for round_, _ in within[-1:] for sample in round_.samples)
        return replace(
            self._verdict(window, state, shown, facts),
            recovered=WITHIN_LIMIT if within else "",
            since=min(started, default=None),
        )

    def _going_on(self, window: Window, latest_incident: Incident, *, least: int) -> Verdict:
        """An open incident that is in breach, judged by the latest of its own rounds.

        Rounds before its first slow one do not count, nor those before `least` rounds in a row
        within the limit: what came after these is a new breach.
        """
        begun = latest_incident.breach_since
        closed = window.closed(max(window.since(None), begun - timedelta(microseconds=1)))
        own: list[_Heard] = []
        slow = 0  # of `own`, up to the earliest slow one
        for received in self._heard(closed, window):
            own.append(received)
            if self._slow(received):
                slow = len(own)
            elif len(own) - slow >= least:
                own = own[:slow]
                begun = self._slow_since(own) or begun
                break
        shown = own[: max(_SHOWN, self.rounds)]
        verdict = self._verdict(window, VerdictState.BREACH, shown)
        samples = [sample for round_, _ in shown for sample in round_.samples]
        facts, finding = latest_incident.facts, verdict.finding
        # A cause that was found stays; where it only points to a place, the queries of now count.
        if latest_incident.finding.cause_owner in (None, CauseOwner.CANNOT_TELL):
            where = suspect(samples, self.limit_ms)
            finding = replace(finding, cause=where.cause, first_step=where.first_step)
        return replace(
            verdict,
            facts={label: facts[label] for label in _PROOF if label in facts} | by_query(samples),
            finding=finding,
            since=begun,
        )

    def _breach(
        self, window: Window, latest_incident: Incident | None, proven: int
    ) -> Sequence[_Heard]:
        """The rounds that prove a breach, extended to all consecutive slow rounds before them."""
        received = list(self._heard(window.closed(window.since(latest_incident)), window))
        return received[: max(proven, breach_length(map(self._slow, received), proven))]

    def _slow(self, received: _Heard) -> bool:
        ms = received[1].ms if self.mode == "consecutive" else received[1].capped_ms
        return ms > self.limit_ms

    def _proof(
        self, window: Window, latest_incident: Incident | None, *, open_: bool
    ) -> tuple[Sequence[_Heard], Mapping[str, str], str] | None:
        """The shortest stretch whose median is certainly over the limit; if open, below it.

        With the facts that prove it, and the confidence.
        """
        closed = window.closed(window.since(latest_incident))
        received = list(islice(self._heard(closed, window), _STRETCHES[-1]))
        off = [log(mean.capped_ms / self.limit_ms) for _, mean in received]
        day = [log(mean.capped_ms) for _, mean in self._heard(window.closed(), window)]
        spread = scatter(
            day, prior=self.scatter, floor=self.scatter_floor, learnt=self.learnt_rounds
        )
        side, least, needed, middle = 1, self.rounds, self.evidence, median
        if open_:  # if only half of the rounds are within the limit, the incident is not over
            side, least, needed = -1, self.rounds_to_resolve, self.evidence_to_resolve
            middle = median_high
        elif len(day) < self.learnt_rounds:
            needed = self.evidence_first
        for n in (n for n in _STRETCHES if least <= n <= len(off)):
            distance = side * middle(off[:n])
            log_odds = distance_evidence(distance, values=n, scatter=spread)
            if distance > 0 and log_odds >= needed:
                return (
                    received[:n],
                    {
                        "Evidence": f"confidence {confidence_text(log_odds)} in {n} rounds",
                        "Scatter": f"{100 * spread:.0f} % from round to round",
                    },
                    f"{certainty_text(log_odds)}, from {n} rounds",
                )
        outright = off[: self.rounds_outright]
        if len(outright) == self.rounds_outright and all(side * each > 0 for each in outright):
            where = "over" if side > 0 else "under"
            evidence = f"{len(outright)} rounds {where} in a row"
            certainty = f"{certainty_text(_OUTRIGHT)}, from {evidence}"
            return received[: len(outright)], {"Evidence": evidence}, certainty
        return None

    def _consecutive(
        self, window: Window, latest_incident: Incident | None, latest: Sequence[_Heard]
    ) -> Verdict:
        latest = latest[: self.rounds]
        over = [self._slow(received) for received in latest]
        enough = len(over) == self.rounds
        if enough and all(over):
            if latest_incident is not None and latest_incident.open:
                return self._going_on(window, latest_incident, least=self.rounds)
            return self._verdict(
                window,
                VerdictState.BREACH,
                self._breach(window, latest_incident, self.rounds),
                certainty=f"{CERTAIN}, as {self.rounds} rounds in a row are over the limit"
                if self.rounds > 1
                else f"{CERTAIN}, as the latest round is over the limit",
            )
        if latest_incident is not None and latest_incident.open:
            state = VerdictState.HOLD if any(over) or not enough else VerdictState.OK
            return self._recovering(window, state, latest, latest_incident)
        return self._verdict(window, VerdictState.OK, latest)

    def _immediate(self, window: Window, latest_incident: Incident | None) -> Verdict:
        """The latest probe, or an earlier unjudged late one if no incident is open."""
        readings = (sample for sample in reversed(window.samples) if _timed(sample))
        judged = next(readings, None)
        if judged is None:
            return self._unknown(window, "No probe has a TTFT.")
        if not (self._late(judged) or (latest_incident is not None and latest_incident.open)):
            since = window.lately
            late = filter(self._late, takewhile(lambda sample: sample.at > since, readings))
            judged = next((sample for sample in late if unseen(sample, latest_incident)), judged)
        over, value = self._late(judged), judged.ttft_ms
        took = "gave no first token in time" if value is None else f"took {value:.0f} ms"
        finding = Finding(
            what=self._slow_text(value) + f" for query {judged.query}",
            was=self._was(value) + f" for query {judged.query}",
            restored="fast enough again",
            began="slow since {since}: ",
            extent="one probe" + (f", {times}" if (times := self._times(value)) else ""),
            certainty=f"{CERTAIN}, as each probe is judged alone",
        )
        return Verdict(
            rule=self.name,
            scope=window.scope,
            state=VerdictState.BREACH if over else VerdictState.OK,
            value=value,
            limit=self.limit_ms,
            because=f"Query {judged.query} {took}; limit {self.limit_ms:g} ms.",
            rows=(judged.id,),
            literal=True,
            finding=finding if over else Finding(),
            since=self._late_since(window, latest_incident, judged)
            if over
            else self._in_time_since(window)
            if latest_incident is not None and latest_incident.open
            else None,
        )

    def _late_since(
        self, window: Window, latest_incident: Incident | None, judged: Sample
    ) -> datetime:
        """Start of the unjudged run of late answers to this query."""
        floor = window.since(latest_incident)
        earlier = (
            sample
            for sample in reversed(window.samples)
            if floor < sample.at < judged.at and sample.query == judged.query and _timed(sample)
        )
        return min((sample.at for sample in takewhile(self._late, earlier)), default=judged.at)

    def _in_time_since(self, window: Window) -> datetime | None:
        """Start of the latest answers in a row that are within the limit."""
        timed = filter(_timed, reversed(window.samples))
        return min((s.at for s in takewhile(lambda s: not self._late(s), timed)), default=None)

    def _late(self, sample: Sample) -> bool:
        return sample.ttft_ms is None or sample.ttft_ms > self.limit_ms

    def _heard(self, rounds: Iterable[RoundSamples], window: Window) -> Iterator[_Heard]:
        """Rounds with enough readings: two, or one if a round has one query."""
        least = min(2, window.queries or 2)
        for round_ in rounds:
            mean = round_.mean(self.cap * self.limit_ms)
            if mean is not None and mean.readings >= least:
                yield round_, mean

    def _verdict(
        self,
        window: Window,
        state: VerdictState,
        received: Sequence[_Heard],
        facts: Mapping[str, str] | None = None,
        certainty: str = "",
    ) -> Verdict:
        value, because = self._summary([mean for _, mean in received])
        # Nearly every verdict has no facts, and its samples are not made.
        samples = [sample for round_, _ in received for sample in round_.samples] if facts else []
        finding = Finding()
        if state is VerdictState.BREACH:
            finding = replace(
                suspect(samples, self.limit_ms) if facts else Finding(),
                what=self._slow_text(value),
                was=self._was(value),
                restored="fast enough again",
                began="slow since {since}: ",
                extent=self._extent(value, len(received)),
                certainty=certainty,
            )
        return Verdict(
            rule=self.name,
            scope=window.scope,
            state=state,
            value=value,
            limit=self.limit_ms,
            because=because,
            rows=tuple(sample.id for sample in samples[:_ROWS]),
            facts={**facts, **by_query(samples)} if facts else {},
            finding=finding,
            since=self._slow_since(received) if state is VerdictState.BREACH else None,
        )

    def _summary(self, means: Sequence[RoundMean]) -> tuple[float | None, str]:
        """The TTFT of the rounds, newest first, and the sentence; None if most have no TTFT."""
        limit, rounds = f"limit {self.limit_ms:g} ms.", len(means)
        silent = sum(not mean.measured for mean in means)
        if 2 * silent >= rounds:
            where = f"{rounds} rounds" if rounds > 1 else "the last round"
            where = where if silent == rounds else f"{silent} of {where}"
            return None, f"No first token in {where}; {limit}"
        value = median([mean.ms for mean in means])
        over = "the last round" if rounds == 1 else f"the median of {rounds} rounds"
        last = [f"{mean.ms:.0f} ms" if mean.measured else "none" for mean in means[:_SHOWN]]
        if all(mean.measured for mean in means[:_SHOWN]):
            last = [", ".join(last).replace(" ms,", ",")]
        return value, f"TTFT is {value:.0f} ms, {over}; {limit} Latest first: {', '.join(last)}."

    def _slow_text(self, value: float | None) -> str:
        limit = latency_text(self.limit_ms)
        if value is None:
            return f"slow: no first token in time, limit {limit}"
        return f"slow: {latency_text(value, beside=self.limit_ms)} to first token, limit {limit}"

    def _times(self, value: float | None) -> str:
        """How many times the limit, if that is informative."""
        times = 0.0 if value is None else value / self.limit_ms
        return f"{times:.1f} × the limit" if times >= 1.1 else ""

    def _extent(self, value: float | None, rounds: int) -> str:
        if value is None:
            return f"no first token in {f'the last {rounds} rounds' if rounds > 1 else 'time'}"
        which = f"the median of the last {rounds} rounds" if rounds > 1 else "the last round"
        return f"{which} is {self._times(value) or latency_text(value, beside=self.limit_ms)}"

    def _was(self, value: float | None) -> str:
        took = "no first token in time" if value is None else "{peak} to first token"
        return f"slow {{when}}: {took}, limit {latency_text(self.limit_ms)}"

    def _slow_since(self, received: Sequence[_Heard]) -> datetime | None:
        """Start of the first slow round among those that prove the breach, given newest first."""
        slow = [round_ for round_, mean in filter(self._slow, received)]
        return min((sample.at for sample in slow[-1].samples), default=None) if slow else None

    def _unknown(self, window: Window, because: str) -> Verdict:
        return Verdict(
            rule=self.name,
            scope=window.scope,
            state=VerdictState.NO_DATA,
            value=None,
            limit=self.limit_ms,
            because=because,
        )


def _timed(sample: Sample) -> bool:
    return sample.ttft_ms is not None or sample.outcome is Outcome.TIMEOUT_FIRST_TOKEN

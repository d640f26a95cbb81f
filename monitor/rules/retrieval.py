"""`retrieval`: the sources of a canned query vanish, or become fewer, worse or older."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import islice, takewhile
from statistics import median
from typing import ClassVar

from monitor.domain import (
    Finding,
    Incident,
    Severity,
    Subject,
    Verdict,
    VerdictState,
    certainty_text,
)
from monitor.rules.answer_series import breach_length
from monitor.rules.limit_checks import at_least, between, positive, removed, unjudged_end
from monitor.rules.loss_limits import LossLimits
from monitor.rules.packed_samples import instant, microseconds
from monitor.rules.query_history import QueryHistory
from monitor.rules.rule import Rule, Unit
from monitor.rules.source_losses import (
    KEPT_US,
    EmptyResults,
    JudgedQuery,
    LossProof,
    ProvenLoss,
    SourceLoss,
    compared,
    first_of_rounds,
    from_cache,
    judged_answers,
    outside,
    weighed,
    without_repetition,
)
from monitor.rules.statistics import rarity
from monitor.rules.window import Window

_ROWS = 60
_STRETCHES = (2, 3, 4, 6, 8, 12, 16, 24, 36, 48)  # answers of each query that may prove a breach
_TOGETHER = 4.5  # less evidence if all queries lose their sources: one fault explains it
_LEARNT_US = 6 * 3_600_000_000  # history from which a query alone is judged as quickly
# With less: the fewest rounds, all without sources, also as a share of the rounds before.
_YOUNG_ROUNDS, _YOUNG_SHARE = 6, 0.5
_USUAL_ROUNDS = 3  # the fewest rounds of a breach other than by vanished sources
_REPEATED = 1 / 8  # worth of an answer whose figures repeat those of the one before
_USUAL = "The queries bring their usual sources."


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalRule(LossLimits, Rule):
    """Breach when a canned query that usually brings sources brings none, fewer, worse or older.

    Each query is compared with its own answers of the last day, and the evidence of all queries is
    added. No sources: two rounds are enough, if so many empty results would be chance in fewer than
    one in 700,000 cases (`evidence`), or one in 20 million (`evidence_usual`) where empty results
    happen anyway. If only one query has none, extra probes (at most `confirmations` a round) must
    confirm it, or a third round. Fewer (at most `share` of the usual number), a best score that is
    lower by `worse` and by four standard deviations, and a newest date that is more than
    `older_days` older than all of the last day need three rounds and `evidence_other`. It resolves
    after `good` usual answers in a row of each query. What is fewer, worse or older for a whole
    day is the usual.

    Source: docs/alerts.md#retrieval
    """

    name: ClassVar[str] = "retrieval"
    subject: ClassVar[Subject] = Subject.TARGET
    unit: ClassVar[Unit] = Unit.COUNT
    first_step: ClassVar[str] = (
        "Check the index and the embedding service, then the latest import of documents."
    )
    evidence_sql: ClassVar[str] = (
        "SELECT started_at, query, source_count, source_best_score, source_newest_at "
        "FROM report.observations WHERE {rows} ORDER BY started_at;"
    )
    # Without the retrieved texts the prompt is shorter.
    inhibits: ClassVar[frozenset[str]] = frozenset({"answer_check", "cost_drift"})
    likely_cause: ClassVar[bool] = True
    chart: ClassVar[bool] = False

    severity: Severity = Severity.WARN
    rounds: int = 2
    evidence: float = 13.5
    evidence_usual: float = 17.0
    evidence_other: float = 24.0
    good: int = 3
    confirmations: int = 3

    def __post_init__(self) -> None:
        at_least(self, 2, "rounds", "good")
        between(self, 0, 4, "confirmations")
        positive(self, "evidence", "evidence_usual", "evidence_other")
        LossLimits.__post_init__(self)

    def judge(self, window: Window, latest_incident: Incident | None, now: datetime) -> Verdict:
        """Judge the last day of one target."""
        if latest_incident is not None and latest_incident.open:
            return self._still(window, latest_incident, now)
        histories: Mapping[str, QueryHistory] = window.histories.sources
        if not histories or window.silent(now):
            return self._verdict(window.scope, VerdictState.NO_DATA, "No answer lists sources.")
        losses: list[ProvenLoss] = []
        if any(self.suspicious(history) for history in histories.values()):
            histories = window.asked_sources
            past = None
            if latest_incident is not None and (over_at := latest_incident.resolved_at) is not None:
                past = (microseconds(latest_incident.breach_since), microseconds(over_at))
            losses = self._losses(histories, microseconds(window.since(latest_incident)), past)
        if losses:
            return self._breach(window, losses, {})
        return self._verdict(window.scope, VerdictState.OK, _USUAL)

    def _still(self, window: Window, latest_incident: Incident, now: datetime) -> Verdict:
        """Judge an open incident: each query must bring again what it brought before."""
        histories = window.asked_sources
        begun = microseconds(latest_incident.breach_since)
        bad, passing, newly, gone = dict[str, str](), list[int](), list[ProvenLoss](), list[str]()
        lasting, recovered = dict[SourceLoss, list[LossProof]](), list[int]()
        for label, text in latest_incident.facts.items():
            query = label.removeprefix("Query ")
            kind = next((kind for kind in SourceLoss if text.startswith(kind.words)), None)
            if kind is None or query == label:
                continue
            if query not in window.asked:
                gone.append(query)
                continue
            history = histories.get(query)
            if history is None or not (after := history.known(0, since=begun - 1)):
                bad[label] = text
                continue
            found = self.bad_answers(kind, history, begun, after)
            if found is None:
                continue  # its earlier answers are older than a day: what it brings is the usual
            hits, figures = found
            good = breach_length((not hit for hit in reversed(hits)), 1) if not hits[-1] else 0
            if good >= self.good:
                recovered.append(history.at(after[-good]))
                continue
            bad[label] = f"{kind.words}: {figures}" if figures else text
            if good:
                passing.append(history.at(after[-good]))
                continue
            figures = bad[label].removeprefix(f"{kind.words}: ")
            until = history.at(after[-1])
            proof = LossProof(query, sum(hits), len(hits), 0.0, begun, until, {}, figures)
            lasting.setdefault(kind, []).append(proof)
        turned = microseconds(window.since(latest_incident))
        if any(self.suspicious(history) for history in histories.values()):
            past = (begun, microseconds(now))
            newly = [
                loss._replace(proofs=proofs)
                for loss in self._losses(histories, turned, past)
                if (proofs := [p for p in loss.proofs if f"Query {p.query}" not in bad])
            ]
        if not bad and not newly:
            return self._over(latest_incident, recovered, gone)
        if window.silent(now) and not newly:
            return self._verdict(window.scope, VerdictState.NO_DATA, "No recent answer.")
        if len(passing) == len(bad) and not newly:
            because, since = "The queries bring their usual sources again.", max(passing)
            holding = self._verdict(window.scope, VerdictState.HOLD, because)
            return replace(holding, recovered="Usual sources again", since=instant(since))
        for loss in newly:
            lasting.setdefault(loss.kind, []).extend(loss.proofs)
        if lasting:
            losses = [ProvenLoss(kind, lasting[kind]) for kind in SourceLoss if kind in lasting]
            verdict = self._breach(window, losses, bad)
            return verdict if newly else _goes_on(verdict, latest_incident)
        return replace(
            self._verdict(window.scope, VerdictState.BREACH, latest_incident.because),
            value=latest_incident.value,
            facts=bad,
            since=latest_incident.breach_since,
            finding=latest_incident.finding,
        )

    def _over(self, incident: Incident, recovered: Sequence[int], gone: Sequence[str]) -> Verdict:
        """The end: queries recovered, or are not sent, or have brought the same for a day."""
        ordinary = self._verdict(incident.scope, VerdictState.OK, _USUAL)
        if recovered:
            return replace(ordinary, since=instant(max(recovered)))
        if gone:
            return unjudged_end(ordinary, removed(gone), incident)
        return replace(
            ordinary,
            because="The queries have brought the same for a day: it is their usual now.",
            finding=Finding(
                extent="What the queries have brought for a day is their usual now",
                restored="sources are compared with those of the last day",
            ),
        )

    def _losses(
        self, histories: Mapping[str, QueryHistory], since: int, past: tuple[int, int] | None
    ) -> list[ProvenLoss]:
        """What became worse, the worst first. Answers within `past`, an earlier breach, say nothing
        about what is usual."""
        found = []
        cached = from_cache(history.rows(range(3)) for history in histories.values())
        for kind in SourceLoss:
            series = [
                JudgedQuery(query, history, known, outside(past, history, known))
                for query, history in histories.items()
                if (known := judged_answers(kind, history))
            ]
            suspects = [one for one in series if self.low(kind, one.history, one.known[-1])]
            for n in _STRETCHES:
                proofs = [
                    proof for one in suspects if (proof := self._proof(kind, one, n, since, cached))
                ]
                least, needed = _USUAL_ROUNDS, self.evidence_other
                if kind is SourceLoss.NONE and proofs:
                    least, needed, proofs = self._vanished(series, proofs, cached)
                rounds = frozenset[int]().union(*(proof.rounds for proof in proofs))
                if len(rounds) >= max(least, 2) and sum(p.log_odds for p in proofs) >= needed:
                    proofs.sort(key=lambda proof: -proof.log_odds)
                    found.append(ProvenLoss(kind, proofs))
                    break
        return without_repetition(found)

    def _vanished(
        self, series: Sequence[JudgedQuery], proofs: Sequence[LossProof], cached: bool
    ) -> tuple[int, float, list[LossProof]]:
        """The rounds and the evidence that vanished sources need, and the proofs with theirs."""
        alone, before, least = len(proofs) == 1, {}, self.rounds
        begun = min(proof.since for proof in proofs)
        for query, history, known, usual in series:
            by_itself = alone and query == proofs[0].query
            if history.at(known[-1]) < begun:
                continue  # it is no longer asked
            # A query alone that lost its sources before, and got them again, does so by itself.
            first = bisect_left(known, begun, key=history.at)
            earlier = known[:first] if by_itself else [nth for nth in usual if nth < known[first]]
            counts = history.of(0, first_of_rounds(history, earlier))
            if by_itself and begun - history.at(usual[0]) < _LEARNT_US:
                if proofs[0].hits < proofs[0].of:
                    continue
                least = max(_YOUNG_ROUNDS, int(_YOUNG_SHARE * len(counts)))
            if counts and median(counts) > 0:
                before[query] = EmptyResults.of_counts(counts)
        proven = [proof for proof in proofs if proof.query in before]
        judged = weighed(proven, before, cached=cached)
        together = not alone and {proof.query for proof in proofs} >= before.keys()
        needed = self.evidence_usual if any(b.empty for b in before.values()) else self.evidence
        unconfirmed = alone and proofs[0].hits == len(proofs[0].rounds)
        return max(least, self.rounds + unconfirmed), needed - _TOGETHER * together, judged

    def _proof(
        self, kind: SourceLoss, judged: JudgedQuery, n: int, since: int, cached: bool
    ) -> LossProof | None:
        """Whether the latest n answers of a query are worse than its earlier ones."""
        query, history, known, usual = judged
        values = history.column(kind.column)
        if kind is SourceLoss.NONE:  # how long empty results follow each other matters
            fresh = (values[nth] == 0 for nth in reversed(known) if history.at(nth) > since)
            n = max(n, breach_length(fresh, n))
        latest = known[-n:]
        if len(latest) < n or history.at(latest[0]) <= since:
            return None
        first = latest[0]
        earlier = [nth for nth in usual if nth < first]
        if len(earlier) < self.answers:
            return None
        limit = self.limit(kind, history, earlier)
        if limit is None:
            return None
        hits = [values[nth] <= limit for nth in latest]
        if not hits[-1] or 4 * sum(hits) < 3 * n:
            return None
        kept_us = KEPT_US if cached else None
        worth = partial(history.worth, columns=range(3), repeated=_REPEATED, kept_us=kept_us)
        log_odds = rarity(
            hits,
            worth(latest),
            before=[values[nth] <= limit for nth in earlier],
            worth_before=worth(earlier),
        )
        if not log_odds:
            return None
        length = breach_length((values[nth] <= limit for nth in reversed(known)), n)
        bad = [nth for nth in known[-length:] if values[nth] <= limit]
        hit_at = [(nth, history.at(nth)) for nth, hit in zip(latest, hits, strict=True) if hit]
        return LossProof(
            query,
            sum(hits),
            n,
            log_odds,
            history.at(bad[0]),
            history.at(latest[-1]),
            {history.slot(nth): at for nth, at in reversed(hit_at)},
            compared(kind, history.of(kind.column, bad), history.of(kind.column, earlier)),
        )

    def _breach(
        self, window: Window, losses: Sequence[ProvenLoss], known: Mapping[str, str]
    ) -> Verdict:
        worst = losses[0]
        queries = {proof.query for loss in losses for proof in loss.proofs}
        since = min(proof.since for loss in losses for proof in loss.proofs)
        begun = instant(since)
        hits, of = sum(p.hits for p in worst.proofs), sum(p.of for p in worst.proofs)
        first, several = worst.proofs[0], len(worst.proofs) > 1
        names = f"{len(worst.proofs)} queries" if several else f"query {first.query}"
        example = f"{first.query}: {first.text}" if several else first.text
        facts = dict(known)
        for loss in losses:
            for proof in loss.proofs:
                facts.setdefault(f"Query {proof.query}", f"{loss.kind.words}: {proof.text}")
        shown = takewhile(lambda s: s.at >= begun, reversed(window.samples))
        rows = islice((s.id for s in shown if s.query in queries), _ROWS)
        also = ", ".join(loss.kind.words for loss in losses[1:])
        log_odds = max(sum(proof.log_odds for proof in loss.proofs) for loss in losses)
        return replace(
            self._verdict(
                window.scope,
                VerdictState.BREACH,
                f"{hits} of the last {of} answers to {', '.join(p.query for p in worst.proofs)} "
                f"have {worst.kind.words} ({example}).",
            ),
            value=float(hits),
            rows=tuple(rows),
            facts=facts,
            since=begun,
            finding=Finding(
                what=f"{worst.kind.words} for {names}: {example}"
                + (f"; also {also}" if also else ""),
                was=f"{worst.kind.words} for {names} {{when}} ({example})",
                restored="queries bring their usual sources again",
                extent=f"{hits} of the last {of} answers",
                certainty=f"{certainty_text(log_odds)}, compared with the answers of the last day",
            ),
        )

    def _verdict(self, scope: str, state: VerdictState, because: str) -> Verdict:
        return Verdict(
            rule=self.name,
            scope=scope,
            state=state,
            value=0.0 if state is not VerdictState.NO_DATA else None,
            limit=float(self.rounds),
            because=because,
        )


def _goes_on(verdict: Verdict, latest_incident: Incident) -> Verdict:
    """A breach that goes on: present figures; what it was, and the proof, are of the opening."""
    was, certainty = latest_incident.finding.was, latest_incident.finding.certainty
    finding = replace(verdict.finding, was=was or verdict.finding.was, certainty=certainty)
    return replace(verdict, rows=latest_incident.rows, finding=finding)

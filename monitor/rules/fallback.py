"""`fallback`: too many answers come from a model that was not requested."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import ClassVar, Self

from monitor.domain import (
    Finding,
    Identity,
    Incident,
    Sample,
    Severity,
    Subject,
    Verdict,
    VerdictState,
    certainty_text,
    cost_change_text,
    counted,
    log_odds,
    share_text,
    usd_text,
)
from monitor.identity.model_names.common_name import common_name, named_apart, without_ids
from monitor.rules.answer_series import AnswerSeries
from monitor.rules.limit_checks import unseen
from monitor.rules.rule import Rule, Unit
from monitor.rules.statistics import ShareLimits, recovering, unjudged
from monitor.rules.window import WITHIN_LIMIT, Window

_ROWS = 60
_INSTEAD_OF = "Instead of"
_CONFIDENCE = re.compile(r" \(confidence [^()]*\)")  # already stated in the sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackRule(ShareLimits, Rule):
    """Breach when k of n known answers fell back and chance does not explain k/n > `limit`.

    A hit is an answer by a fallback. Answers of an unknown model are ignored.

    Source: docs/alerts.md#fallback
    """

    name: ClassVar[str] = "fallback"
    subject: ClassVar[Subject] = Subject.TARGET
    unit: ClassVar[Unit] = Unit.SHARE
    first_step: ClassVar[str] = "Check the key, credit and rate limits at the primary provider."
    evidence_sql: ClassVar[str] = (
        "SELECT started_at, query, identity, model_detected, confidence, cost_usd "
        "FROM report.observations WHERE {rows} ORDER BY started_at;"
    )
    inhibits: ClassVar[frozenset[str]] = frozenset({"model_changed", "ttft"})
    likely_cause: ClassVar[bool] = True
    chart: ClassVar[bool] = True
    suspects_model: ClassVar[bool] = True
    every_sample: ClassVar[bool] = True

    severity: Severity = Severity.PAGE

    def judge(self, window: Window, latest_incident: Incident | None, now: datetime) -> Verdict:
        """Judge the last day of one target."""
        known = window.known
        fresh = 0 if window.silent(now) else window.stretch(known, latest_incident)
        open_ = latest_incident is not None and latest_incident.open
        stored_late = len(known) > 0 and unseen(known.samples[-1], latest_incident)
        if self.mode == "immediate" and (fresh or (stored_late and not window.silent(now))):
            n = 1 if open_ else unjudged(known, window, latest_incident, len(known))
            n = n if open_ else max(n, known.breach(n, fresh))
            if latest_incident is not None and open_ and not known.hits(n):
                return self._recovering(window, VerdictState.OK, n, latest_incident)
            return self._verdict(
                window, VerdictState.BREACH if known.hits(n) else VerdictState.OK, n
            )
        if latest_incident is not None and open_:
            n = self.over(known, fresh, latest_incident)
            if n:
                return self._recovering(window, VerdictState.OK, n, latest_incident)
            # Counted over its own answers: none from before its first fallback.
            since = latest_incident.since
            lately = min(self.of, (known.since(since) if since else 0) or len(known))
            if fresh and known.hits(lately) <= self.limit * lately:
                return self._recovering(window, VerdictState.HOLD, lately, latest_incident)
            own = self.own(known, latest_incident, since=since) if since else 0
            state = VerdictState.BREACH if fresh else VerdictState.NO_DATA
            return self._verdict(window, state, own or lately, ongoing=latest_incident)
        n = self.proven(known, fresh)
        if n:
            n = max(n, known.breach(n, fresh))
            return self._verdict(window, VerdictState.BREACH, n)
        return self._verdict(
            window, VerdictState.OK if fresh else VerdictState.NO_DATA, min(self.of, fresh)
        )

    def _recovering(
        self, window: Window, state: VerdictState, n: int, latest_incident: Incident
    ) -> Verdict:
        verdict = self._verdict(window, state, n)
        return recovering(verdict, window.known, latest_incident, recovered=WITHIN_LIMIT)

    def _verdict(
        self,
        window: Window,
        state: VerdictState,
        n: int,
        *,
        ongoing: Incident | None = None,
    ) -> Verdict:
        known, literal = window.known, self.mode == "immediate"
        hits = known.hits(n)
        if not hits:
            return _none_fell(window.scope, state, n, limit=self.limit, literal=literal)
        fallen, unknown = known.hit_samples(n), _unidentified(window, n)
        answers = "identified answers" if unknown else "answers"
        facts, finding = dict[str, str](), Finding()
        if state is VerdictState.BREACH:
            usually = _UsualAnswers.of(known, ongoing, a_day=window.a_day)
            facts = _compared(fallen, usually, window)
            finding = _finding(fallen, usually, window, of=n, unknown=unknown)
        by = common_name(fallen[0].model) if fallen[0].model else "another model"
        return Verdict(
            rule=self.name,
            scope=window.scope,
            state=state,
            value=hits / n,
            limit=self.limit,
            because=f"{hits} of the last {n} {answers} ({hits / n:.0%}) came from {by}; "
            f"limit {self.limit:.0%}."
            if n > 1
            else f"The latest {answers[:-1]} came from {by}; limit {self.limit:.0%}.",
            rows=tuple(sample.id for sample in fallen[:_ROWS]),
            facts=facts,
            literal=literal,
            finding=finding,
            since=fallen[-1].at if state is VerdictState.BREACH else None,
        )


@lru_cache(maxsize=256)  # most verdicts are this one
def _none_fell(scope: str, state: VerdictState, n: int, *, limit: float, literal: bool) -> Verdict:
    return Verdict(
        rule=FallbackRule.name,
        scope=scope,
        state=state,
        value=0.0 if n else None,
        limit=limit,
        because=f"None of the last {n} answers fell back; limit {limit:.0%}."
        if n > 1
        else f"The latest answer did not fall back; limit {limit:.0%}."
        if n
        else "No recent answer identifies its model.",
        literal=literal,
    )


def _unidentified(window: Window, n: int) -> int:
    """The answers of unknown model since the identified one before the latest n of these."""
    known, log = window.known.samples, window.log
    since = known[-n - 1].at if n < len(known) else known[-n].at
    latest = map(log.kind, range(log.before(since), log.end))
    named = (Identity.EXPECTED, Identity.FALLBACK)
    return sum(bool(one.outcome.good) and one.identity not in named for one in latest)


@dataclass(frozen=True, slots=True)
class _UsualAnswers:
    """The expected model as it usually answers: the names it has, and the cost of an answer.

    `known_as`: the earlier finding of an open incident. It has both if the window no longer holds
    an answer of the expected model.
    """

    names: str  # the most frequent first; empty if it is not known
    usd: Decimal | None
    known_as: Finding

    @classmethod
    def of(cls, known: AnswerSeries, ongoing: Incident | None, *, a_day: int | None) -> Self:
        expected = (s for s in reversed(known.samples) if s.identity is Identity.EXPECTED)
        latest = list(islice(expected, _ROWS))
        if latest or ongoing is None:
            return cls(names(latest), _mean_usd(latest), ongoing.finding if ongoing else Finding())
        usual_day = ongoing.finding.usual_usd_a_day
        usd = usual_day / a_day if usual_day is not None and a_day else None
        return cls(ongoing.facts.get(_INSTEAD_OF, ""), usd, ongoing.finding)


def _finding(
    fallen: Sequence[Sample], usually: _UsualAnswers, window: Window, *, of: int, unknown: int
) -> Finding:
    """Which model answers instead of the expected one, how often, at what cost, how certain.

    `of`: identified answers, beside `unknown` others.
    """
    hits, fallen, known_as = len(fallen), fallen[:_ROWS], usually.known_as
    a_day = window.a_day
    new, usual = _first(names(fallen)), _first(usually.names)
    models = tuple(model for model in (new, usual) if model)
    shown = dict(zip(models, named_apart(models), strict=True))
    instead = shown[usual] if usual else "the expected model"
    now, before = _mean_usd(fallen), usually.usd
    share = Decimal(hits) / of
    day = usual_day = None
    if now is not None and a_day:
        usual_day = None if before is None else before * a_day
        if share == 1 or before is not None:
            day = (share * now + (1 - share) * (before or 0)) * a_day
    strongest = _strongest(fallen)
    why = without_ids(_CONFIDENCE.sub("", strongest.why), models)
    sure = strongest.confidence
    name = shown[new] if new else "another model"
    what, restored = f"{name} answers instead of {instead}", f"{instead} answers again"
    if not usual and known_as.what:
        what, restored = known_as.what, known_as.restored
    compared = day is not None and (usual_day or not known_as.money)
    return Finding(
        what=what,
        was=f"{{when}} {name} gave {{peak}} of the answers",
        restored=restored,
        extent=_extent(hits, of, unknown),
        money=cost_change_text(day, usual_day) if day is not None and compared else "",
        first_step=f"Check the key, credit and rate limits at the provider of {instead}."
        if usual
        else "",
        certainty=why if sure is None else f"{certainty_text(log_odds(sure))}: {why}",
        usd_a_day=day,
        usual_usd_a_day=usual_day,
        of_probes=window.of_probes,
    )


def _extent(hits: int, of: int, unknown: int) -> str:
    if not unknown:
        return f"{share_text(hits, of, 'answers')} came from it"
    return (
        f"{share_text(hits, of, 'identified answers')} came from it "
        f"({unknown} more could not be identified)"
    )


def _compared(fallen: Sequence[Sample], usually: _UsualAnswers, window: Window) -> dict[str, str]:
    """Which model answers instead, the evidence for it, and the cost now and before."""
    fallen = fallen[:_ROWS]
    notified = {
        "Answers": names(fallen),
        _INSTEAD_OF: usually.names,
        "Evidence": _strongest(fallen).why,
    }
    now, before = _mean_usd(fallen), usually.usd
    if now is not None:
        notified["Cost a query"] = usd_text(now) + (
            f", before {usd_text(before)}" if before else ""
        )
        if a_day := window.a_day:
            earlier = f", before {usd_text(before * a_day)}" if before else ""
            queries = counted(a_day, "probe" if window.of_probes else "query")
            notified["Cost a day"] = f"{usd_text(now * a_day)}{earlier}, for {queries}"
    return {label: reported for label, reported in notified.items() if reported}


def _strongest(fallen: Sequence[Sample]) -> Sample:
    """The answer with the strongest evidence, the latest of several: its words are shown."""
    return max(fallen, key=lambda sample: sample.confidence or 0.0)


def _first(models: str) -> str:
    return models.partition(", ")[0]


def names(samples: Iterable[Sample]) -> str:
    """The models of the samples, most frequent first, at most three; empty if none is known."""
    counted = Counter(sample.model for sample in samples if sample.model)
    return ", ".join(name for name, _ in counted.most_common(3))


def _mean_usd(samples: Iterable[Sample]) -> Decimal | None:
    """Mean cost of a sample; None if no price is known."""
    costs = [sample.cost_usd for sample in samples if sample.cost_usd is not None]
    return sum(costs, Decimal(0)) / len(costs) if costs else None

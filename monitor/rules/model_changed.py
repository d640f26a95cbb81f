"""`model_changed`: answers no longer match the expected model, and no other model is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import takewhile
from statistics import fmean, median
from typing import ClassVar

from monitor.domain import (
    Finding,
    Identity,
    Incident,
    Sample,
    Severity,
    Subject,
    Verdict,
    VerdictState,
    amount_text,
    certainty_text,
    confidence_text,
    counted,
    log_odds,
    share_text,
)
from monitor.identity.model_names.common_name import common_name
from monitor.rules.answer_series import AnswerSeries
from monitor.rules.explanations import matching
from monitor.rules.fallback import names
from monitor.rules.limit_checks import at_least
from monitor.rules.rule import Rule, Unit
from monitor.rules.statistics import ShareLimits, divergence, recovering, unjudged
from monitor.rules.window import Window

_ROWS = 60
_UNNAMED = "the expected model"
_RECOVERED = "Answers match the expected model again"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChangedRule(ShareLimits, Rule):
    """Breach when the change detector has passed its threshold, or `disputed` repeats.

    An answer that records that the detector passed its threshold is a breach since the detector's
    first suspicion. Rows that are `changed` without that record, as in a backtest, are a breach if
    `changed` of them follow each other and none was alone before. A share of `changed` and
    `disputed` answers over `limit`, with the evidence that `fallback` requires, is also a breach.

    It is over when answers match the expected model again, with the same evidence, or when a person
    confirmed a baseline (`window.baseline_at`). Answers by a named fallback neither open nor end
    it. Answers of an unknown model are ignored.

    Source: docs/alerts.md#model_changed
    """

    name: ClassVar[str] = "model_changed"
    subject: ClassVar[Subject] = Subject.TARGET
    unit: ClassVar[Unit] = Unit.SHARE
    first_step: ClassVar[str] = (
        "Check the provider's key and routing. If you changed the model on purpose: `monitor "
        "baseline accept {target}`. Once you know which model answers: `monitor baseline capture "
        "{target} --model NAME`."
    )
    evidence_sql: ClassVar[str] = (
        "SELECT started_at, query, identity, model_disclosed, ttft_ms, cost_usd, identity_reason "
        "FROM report.observations WHERE {rows} ORDER BY started_at;"
    )
    inhibits: ClassVar[frozenset[str]] = frozenset({"ttft"})
    likely_cause: ClassVar[bool] = True
    chart: ClassVar[bool] = True
    suspects_model: ClassVar[bool] = True
    needs_baseline: ClassVar[bool] = True
    opens_before_proof: ClassVar[bool] = True
    every_sample: ClassVar[bool] = True

    severity: Severity = Severity.PAGE
    changed: int = 2

    def __post_init__(self) -> None:
        ShareLimits.__post_init__(self)
        at_least(self, 1, "changed")

    def judge(self, window: Window, latest_incident: Incident | None, now: datetime) -> Verdict:
        """Judge the last day of one target."""
        if latest_incident is not None and latest_incident.open:
            return self._open(window, latest_incident, now)
        unnamed = window.unnamed
        fresh = 0 if window.silent(now) else self._fresh(unnamed, window, latest_incident)
        if unnamed.hits(fresh) and (n := self._breach(window, latest_incident, fresh)):
            began_at = _began_at(unnamed, n, floor=self._floor(window, latest_incident))
            n = max(n, min(unnamed.since(began_at), fresh))
            return self._breached(window, unnamed, n, VerdictState.BREACH, since=began_at)
        state = VerdictState.OK if fresh else VerdictState.NO_DATA
        return self._calm(window, unnamed, min(self.of, fresh), state)

    def _open(self, window: Window, latest_incident: Incident, now: datetime) -> Verdict:
        """The verdict on an open incident."""
        if window.baseline_at is not None and window.baseline_at > latest_incident.turned_at:
            return self._confirmed(window, window.baseline_at, latest_incident.until)
        compared = window.compared
        fresh = 0 if window.silent(now) else self._fresh(compared, window, latest_incident)
        if not fresh:
            return self._calm(window, compared, 0, VerdictState.NO_DATA)
        literal = self.mode == "immediate"
        n = int(not compared.is_hit(1)) if literal else self.over(compared, fresh, latest_incident)
        if n:
            return self._recovering(window, n, VerdictState.OK, latest_incident)
        began_at = latest_incident.since or latest_incident.opened_at
        lately = min(self.of, compared.since(began_at))
        if compared.hits(lately) <= self.limit * lately:
            return self._recovering(window, lately, VerdictState.HOLD, latest_incident)
        n = self.own(compared, latest_incident, since=began_at)
        if latest_incident.recovering_since is not None and (hits := compared.hit_samples(n)):
            began_at = hits[-1].at
        verdict = self._breached(window, compared, n, VerdictState.BREACH, since=began_at)
        # the window no longer holds an answer that names the expected model
        known_as = latest_incident.finding
        if not known_as.what or _UNNAMED not in verdict.finding.what:
            return verdict
        finding = replace(
            verdict.finding, what=known_as.what, was=known_as.was, restored=known_as.restored
        )
        return replace(verdict, finding=finding)

    def _recovering(
        self, window: Window, n: int, state: VerdictState, latest_incident: Incident
    ) -> Verdict:
        verdict = self._calm(window, window.compared, n, state)
        return recovering(verdict, window.compared, latest_incident, recovered=_RECOVERED)

    def _floor(self, window: Window, latest_incident: Incident | None) -> datetime:
        """The instant after which answers may be judged."""
        since = window.since(latest_incident)
        return since if window.baseline_at is None else max(since, window.baseline_at)

    def _fresh(
        self, answers: AnswerSeries, window: Window, latest_incident: Incident | None
    ) -> int:
        """How many of the latest may be judged: those after the last transition and baseline."""
        fresh = window.stretch(answers, latest_incident)
        if window.baseline_at is None:
            return fresh
        return min(fresh, answers.later_than(window.baseline_at))

    def _breach(self, window: Window, latest_incident: Incident | None, fresh: int) -> int:
        """How many of the latest answers are a breach, back to its first hit; 0: none."""
        answers = window.unnamed
        if self.mode == "immediate":
            n = unjudged(answers, window, latest_incident, fresh)
            return max(n, answers.breach(n, fresh)) if answers.hits(n) else 0
        n = self.proven(answers, fresh)
        if not n and self.mode == "evidence":
            n = _detected(answers, window, latest_incident, fresh) or self._in_a_row(answers, fresh)
        return answers.breach(n, fresh) if n else 0

    def _in_a_row(self, answers: AnswerSeries, fresh: int) -> int:
        """How many of the latest are `changed`, if enough are and no earlier one is; else 0."""
        if fresh < self.changed or answers.hits(self.changed) < self.changed:
            return 0
        changed = [sample.identity is Identity.CHANGED for sample in answers.samples[-fresh:]]
        run = sum(takewhile(bool, reversed(changed)))
        return run if self.changed <= run == sum(changed) else 0

    def _breached(
        self, window: Window, answers: AnswerSeries, n: int, state: VerdictState, *, since: datetime
    ) -> Verdict:
        """A breach over the latest n answers. `since`: when the first of them came."""
        hits = answers.hit_samples(n)
        suspected = _suspected(window, hits, since)
        aside = _not_compared(window, answers.samples[-n:], hits, since)
        hits, n = [*hits, *suspected], n + len(suspected) - aside.named
        expected = [s for s in answers.samples if s.identity is Identity.EXPECTED and s.at < since]
        model = common_name(names(expected[-1:])) or _UNNAMED
        share = len(hits) / n
        return Verdict(
            rule=self.name,
            scope=window.scope,
            state=state,
            value=share,
            limit=self.limit,
            because=f"Answers no longer match {model} since "
            f"{since.astimezone(UTC):%Y-%m-%d %H:%M} UTC: {_seen(hits, n, aside)} "
            f"(confidence {confidence_text(self._log_odds(hits, n))}). {_author(hits)}",
            rows=tuple(sample.id for sample in hits[:_ROWS]),
            facts=_facts(hits, expected),
            finding=Finding(
                what=f"answers no longer match {model}",
                was=f"{{peak}} of the answers did not match {model} {{when}}",
                restored=f"answers match {model} again",
                extent=f"{_extent(len(hits), n, aside)} {_author(hits)}",
                money=_cost_change(hits, expected),
                certainty=f"{certainty_text(self._log_odds(hits, n))} that answers changed",
            ),
            literal=self.mode == "immediate",
            since=since if state is VerdictState.BREACH else None,
        )

    def _log_odds(self, hits: Sequence[Sample], n: int) -> float:
        """Log-odds that answers changed, as the detector states or the share proves them."""
        stated = [hit.confidence for hit in hits if hit.identity is Identity.CHANGED]
        sure = max((one for one in stated if one is not None), default=0.0)
        by_share = n * divergence(len(hits) / n, self.limit)
        return max(by_share, log_odds(sure))

    def _calm(self, window: Window, answers: AnswerSeries, n: int, state: VerdictState) -> Verdict:
        """The verdict that the latest n answers are no breach."""
        literal = self.mode == "immediate"
        return _calm(window.scope, state, n, answers.hits(n), limit=self.limit, literal=literal)

    def _confirmed(self, window: Window, at: datetime, matched_at: datetime | None) -> Verdict:
        return Verdict(
            rule=self.name,
            scope=window.scope,
            state=VerdictState.OK,
            value=0.0,
            limit=self.limit,
            because=f"A person confirmed the baseline at {at.astimezone(UTC):%H:%M} UTC.",
            literal=True,  # a confirmation by a person needs no evidence
            since=matched_at or at,  # answers may have matched again before
            finding=Finding(extent="A person confirmed the baseline"),
        )


def _detected(
    answers: AnswerSeries, window: Window, latest_incident: Incident | None, fresh: int
) -> int:
    """The answers back to the latest that passed the detector's threshold; 0 if all are judged."""
    since = window.unjudged(latest_incident)
    for n in range(1, fresh + 1):
        if answers.samples[-n].at <= since:
            break
        if answers.samples[-n].change_detected:
            return n
    return 0


def _began_at(answers: AnswerSeries, n: int, *, floor: datetime) -> datetime:
    """Start of a breach of the latest n answers: the detector's first suspicion if it is known.

    A suspicion at or before `floor` belongs to an earlier breach.
    """
    hits = answers.hit_samples(n)
    known = [hit.change_since for hit in hits if hit.change_since and hit.change_since > floor]
    return min([*known, hits[-1].at])


def _suspected(window: Window, hits: Sequence[Sample], since: datetime) -> Sequence[Sample]:
    """Answers before the detector's finding that were stored as unknown, newest first.

    One answer alone proves nothing, but the detector counted it.
    """
    detected = [hit.at for hit in hits if hit.change_since is not None]
    if not detected or min(detected) <= since:
        return []
    return [
        sample
        for sample in reversed(window.samples)
        if since <= sample.at < min(detected)
        and sample.outcome.good
        and sample.identity is Identity.UNKNOWN
        and sample.compared
    ]


@dataclass(frozen=True, slots=True)
class _Aside:
    """Answers that could not be compared; `named`: counted, for the response names the model."""

    count: int = 0
    named: int = 0

    def __str__(self) -> str:
        return f"{self.count} {'other' if self.count == 1 else 'others'} could not be compared"


def _not_compared(
    window: Window, counted: Sequence[Sample], hits: Sequence[Sample], since: datetime
) -> _Aside:
    """They say nothing about a change of style; without one, a name alone is a comparison."""
    if not any(hit.identity is Identity.CHANGED for hit in hits):
        return _Aside()
    named = sum(not s.compared and s.identity is Identity.EXPECTED for s in counted)
    unnamed = sum(
        not s.compared and s.identity is Identity.UNKNOWN and bool(s.outcome.good)
        for s in window.samples
        if s.at >= since
    )
    return _Aside(named + unnamed, named)


def _extent(hits: int, n: int, aside: _Aside) -> str:
    """The share of the compared answers that differ, and how many were not compared."""
    share = share_text(hits, n, "compared answers" if aside.count else "answers")
    return f"{share} {'differs' if hits == 1 else 'differ'}{f'; {aside}' if aside.count else ''}."


def _seen(hits: Sequence[Sample], n: int, aside: _Aside) -> str:
    """How many answers to how many queries differ."""
    to = counted(len({hit.query for hit in hits}), "query")
    answers = counted(n, "compared answer" if aside.count else "answer")
    differ = "differs" if len(hits) == 1 else "differ"
    share = f"{len(hits)} of {answers} ({len(hits) / n:.0%}) to {to} {differ}"
    return f"{share}; {aside}" if aside.count else share


def _author(hits: Sequence[Sample]) -> str:
    """What is known about the model of the latest of them."""
    latest = hits[0] if hits else None
    if latest is not None and latest.identity is Identity.FALLBACK:
        model = common_name(latest.model) if latest.model else "a known fallback"
        return f"The latest came from {model}."
    if latest is not None and latest.identity is Identity.DISPUTED:
        return "The evidence about the answering model is contradictory."
    return "The answering model is unknown."


def _facts(hits: Sequence[Sample], expected: Sequence[Sample]) -> Mapping[str, str]:
    """Which features changed, which names are given, and latency and cost of the same queries."""
    if not hits:
        return {}
    requested = {sample.query for sample in hits}
    expected = [sample for sample in expected if sample.query in requested]
    notified = {"Difference": hits[0].why, "Model named": names(hits)}
    after, before = _median_ms(hits), _median_ms(expected)
    if after is not None:
        notified["TTFT"] = f"{after:.0f} ms" + (f", before {before:.0f} ms" if before else "")
    cost, cost_before = _mean_cost(hits), _mean_cost(expected)
    if cost or cost_before:
        notified["Cost a query"] = cost or "unknown, because the model is unknown"
        notified["Cost a query"] += f", before {cost_before}" if cost_before else ""
    return {label: reported for label, reported in notified.items() if reported}


def _cost_change(hits: Sequence[Sample], expected: Sequence[Sample]) -> str:
    """The cost of an answer compared with before; empty if either is unknown."""
    requested = {sample.query for sample in hits}
    now = _mean_ends(hits)
    before = _mean_ends([sample for sample in expected if sample.query in requested])
    if now is None or before is None or not before[0]:
        return ""
    low, high = (f"{usd / before[1]:.1f}".removesuffix(".0") for usd in now)
    if low == high:
        return f"{'about the same cost' if low == '1' else f'{low} × the cost'} per answer"
    least, most = (
        "the same cost" if times == "1" else f"{times} × as much" for times in (low, high)
    )
    return f"between {least} and {most} per answer, depending on the model"


def _mean_cost(samples: Sequence[Sample]) -> str | None:
    """Mean cost of a sample in words; None if it is unknown."""
    ends = _mean_ends(samples)
    return None if ends is None else amount_text(*ends)


def _mean_ends(samples: Sequence[Sample]) -> tuple[Decimal, Decimal] | None:
    """Mean cost of a sample; low and high end if the model is unknown.

    A range without width has one declared price, that of the expected model, and a range that
    begins at zero omits models. Neither describes an unknown model.
    """
    ends = [
        (low, high)
        for sample in samples
        for low, high in ([sample.cost_ends] if sample.cost_ends is not None else [])
        if sample.cost_usd is not None or 0 < low < high
    ]
    if not ends:
        return None
    low, high = (sum(usd, Decimal(0)) / len(ends) for usd in zip(*ends, strict=True))
    return low, high


def _median_ms(samples: Sequence[Sample]) -> float | None:
    """The mean of the queries' medians; None if no TTFT is known."""
    by_query: dict[str, list[float]] = {}
    for sample in samples:
        if sample.ttft_ms is not None:
            by_query.setdefault(sample.query, []).append(sample.ttft_ms)
    return fmean(map(median, by_query.values())) if by_query else None


@lru_cache(maxsize=256)  # most verdicts are this one
def _calm(
    scope: str, state: VerdictState, n: int, hits: int, *, limit: float, literal: bool
) -> Verdict:
    return Verdict(
        rule=ModelChangedRule.name,
        scope=scope,
        state=state,
        value=hits / n if n else None,
        limit=limit,
        because=f"{matching(n - hits, n)} the expected model."
        if n
        else "No recent answer can be compared with the expected model.",
        literal=literal,
    )

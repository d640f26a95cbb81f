"""`answer_check`: the answers to a canned query fail their expectations."""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice, takewhile
from math import comb
from typing import ClassVar

from monitor.domain import (
    CERTAIN,
    Finding,
    Incident,
    Sample,
    Severity,
    Subject,
    Verdict,
    VerdictState,
)
from monitor.redaction import plain
from monitor.rules.limit_checks import at_least, at_most, between, removed, unjudged_end
from monitor.rules.packed_sequence import PackedSequence
from monitor.rules.rule import Rule, Unit
from monitor.rules.window import Window

_ROWS = 60
_MOST = 50  # answers of one query that are judged
_USUAL = 200  # earlier answers of a query that show how often it fails anyway
_CHANCE = 0.001  # that so many answers in a row fail by the usual rate
_SHOWN = 160  # characters of a failed check


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCheckRule(Rule):
    """Breach when `rounds` answers in a row to one canned query fail its expectations.

    Each query is judged by itself. A query that failed now and then before needs more in a row: as
    many as its own rate makes improbable (1 in 1,000). `failed` of its last `of` answers are a
    breach, too, under the same condition. It resolves after `good` passing answers in a row of each
    query that failed so, or once the query is no longer sent. Answers that were not checked are
    ignored.

    Source: docs/alerts.md#answer_check
    """

    name: ClassVar[str] = "answer_check"
    subject: ClassVar[Subject] = Subject.TARGET
    unit: ClassVar[Unit] = Unit.COUNT
    first_step: ClassVar[str] = (
        "Read the answers, then check the prompt, the retrieved documents and the token limit."
    )
    evidence_sql: ClassVar[str] = (
        "SELECT started_at, query, check_failed, left(answer_excerpt, 80) AS answer "
        "FROM report.observations WHERE {rows} ORDER BY started_at;"
    )
    inhibits: ClassVar[frozenset[str]] = frozenset()
    likely_cause: ClassVar[bool] = True
    chart: ClassVar[bool] = False

    severity: Severity = Severity.WARN
    rounds: int = 3
    failed: int = 5
    of: int = 6
    good: int = 3

    def __post_init__(self) -> None:
        at_least(self, 2, "rounds")
        between(self, 2, _MOST, "rounds", "failed", "of", "good")
        at_most(self, "failed", of="of")

    def judge(self, window: Window, latest_incident: Incident | None, now: datetime) -> Verdict:
        """Judge the last day of one target."""
        open_ = latest_incident is not None and latest_incident.open
        begun = latest_incident.breach_since if latest_incident is not None and open_ else None
        since = window.since(latest_incident)
        # Without a failure there is nothing to prove; most windows have none.
        queries = _by_query(window) if open_ or window.checks_failed else {}
        sent = window.asked if queries else ()
        gone, recovered = list[str](), list[datetime]()
        shown: list[Sample] = []  # the failures that prove a breach
        passing: list[datetime] = []  # of queries that recover: since when they pass
        ended: list[Sample] = []  # the failures of these, which belong to the same breach
        for query, answers in queries.items():
            latest = list(islice(reversed(answers), _MOST))
            if query not in sent:
                if open_ and self._affected([one for one in latest if one.at >= (begun or since)]):
                    gone.append(query)
                continue
            if not open_:
                shown += self._proof([one for one in latest if one.at > since], answers)
                continue
            own = [one for one in latest if begun is None or one.at >= begun]
            passed = list(takewhile(lambda one: one.check_passed, own))
            if not self._affected(own):
                continue
            if not passed:
                shown += _failures(own)
                continue
            ended += _failures(own)
            (recovered if len(passed) >= self.good else passing).append(passed[-1].at)
        if shown:
            shown += ended
            shown.sort(key=lambda one: one.at, reverse=True)
            return self._breach(window.scope, shown, queries)
        checked = window.checked
        ordinary = Verdict(
            rule=self.name,
            scope=window.scope,
            state=VerdictState.OK if checked and not window.silent(now) else VerdictState.NO_DATA,
            value=0.0 if checked else None,
            limit=float(self.rounds),
            because="The latest answers pass their checks." if checked else "No checked answer.",
        )
        if latest_incident is not None and gone and not passing and not recovered:
            return unjudged_end(ordinary, removed(gone), latest_incident)
        ordinary = replace(ordinary, since=max([*passing, *recovered], default=None))
        if not passing:
            return ordinary
        return replace(
            ordinary, state=VerdictState.HOLD, recovered="Answers pass their checks again"
        )

    def _proof(self, latest: Sequence[Sample], answers: Sequence[Sample]) -> Sequence[Sample]:
        """The failures of one query that are a breach; none if they may be chance."""
        in_a_row = list(takewhile(lambda one: not one.check_passed, latest))
        if len({sample.round for sample in in_a_row}) >= self.rounds:
            rate = _usual_rate(answers, len(in_a_row))
            if rate ** len(in_a_row) <= _CHANCE:
                return in_a_row
        failed = _failures(latest[: self.of])
        if len(failed) >= self.failed and len({sample.round for sample in failed}) >= 2:
            rate = _usual_rate(answers, self.of)
            if _tail(len(failed), self.of, rate) <= _CHANCE:
                return failed
        return ()

    def _affected(self, answers: Sequence[Sample]) -> bool:
        """Whether a query failed as a breach does; a failure now and then joins no incident."""
        failures, longest, run = 0, 0, 0
        for answer in answers:
            failures += not answer.check_passed
            run = 0 if answer.check_passed else run + 1
            longest = max(longest, run)
        return longest >= self.rounds or failures >= self.failed

    def _breach(
        self, scope: str, shown: Sequence[Sample], queries: Mapping[str, Sequence[Sample]]
    ) -> Verdict:
        failing = Counter(sample.query for sample in shown)
        worst, count = failing.most_common(1)[0]
        begun = min(sample.at for sample in shown)
        tried = sum(sample.at >= begun for query in failing for sample in queries[query])
        check = plain(next(s.check_failed or "" for s in shown if s.query == worst), _SHOWN)
        names = f"query {worst}" if len(failing) == 1 else f"{len(failing)} queries"
        return Verdict(
            rule=self.name,
            scope=scope,
            state=VerdictState.BREACH,
            value=float(count),
            limit=float(self.rounds),
            because=f"{len(shown)} of {tried} answers to {', '.join(sorted(failing))} failed their "
            f"check. {worst}: {check}.",
            rows=tuple(sample.id for sample in shown[:_ROWS]),
            facts={
                "First failure": f"{begun.astimezone(UTC):%H:%M:%S} UTC",
                **{
                    f"Query {query}": plain(
                        next(s.check_failed or "" for s in shown if s.query == query), _SHOWN
                    )
                    for query, _ in failing.most_common(5)
                },
            },
            finding=Finding(
                what=f"wrong answers to {names}: {check}",
                was=f"the answers to {names} failed their check {{when}} ({check})",
                restored="answers pass their checks again",
                extent=f"{len(shown)} of the last {tried} answers failed",
                certainty=f"{CERTAIN} that the check failed, counted over {tried} answers",
            ),
            since=begun,
        )


def _by_query(window: Window) -> dict[str, Sequence[Sample]]:
    """The checked answers of rounds to each query, oldest first."""
    log = window.log
    found: dict[str, array[int]] = {}
    for number in range(log.first, log.end) if window.checked else ():
        kind = log.kind(number)
        if kind.check_passed is not None and not kind.extra:
            found.setdefault(kind.query, array("I")).append(number)
    return {query: PackedSequence(numbers, log.sample) for query, numbers in found.items()}


def _usual_rate(answers: Sequence[Sample], latest: int) -> float:
    """How often a query failed before its latest answers; 0 if it never did."""
    before = list(islice(reversed(answers), latest, latest + _USUAL))
    failures = len(_failures(before))
    return (failures + 0.5) / (len(before) + 1) if failures else 0.0


def _tail(least: int, of: int, rate: float) -> float:
    """The chance of so many failures or more."""
    return sum(comb(of, n) * rate**n * (1 - rate) ** (of - n) for n in range(least, of + 1))


def _failures(samples: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.check_passed is False]

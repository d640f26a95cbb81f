"""`cost_drift`: what the answers to a query use or cost moved, although the model did not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from math import exp, isnan, log
from statistics import fmean, median
from typing import ClassVar

from monitor.domain import (
    Finding,
    Incident,
    Severity,
    Subject,
    Verdict,
    VerdictState,
    certainty_text,
    cost_change_text,
)
from monitor.rules.answer_series import breach_length
from monitor.rules.limit_checks import at_least, between, positive
from monitor.rules.packed_samples import instant, microseconds
from monitor.rules.query_history import QueryHistory, UsageKey
from monitor.rules.rule import Rule, Unit
from monitor.rules.statistics import rarity
from monitor.rules.usage_changes import (
    LEAST,
    UsageChange,
    UsageFigure,
    UsageMove,
    separation,
    with_companions,
)
from monitor.rules.window import Window

_ROWS = 60
_NAMED = 8  # queries in the facts of a notice
_STRETCHES = (4, 6, 8, 12, 16, 24, 36, 48)  # answers of each query that may prove a change
_FEWEST_ROUNDS = 4
_REPEATED = 1 / 8  # worth of a figure that repeats the one before, as of a result in a cache
_STEADY = 0.95  # share of earlier figures that repeat the one before where all do, without a cache
_MISSED = 1 / 2  # the same of a cache-hit rate: one miss often follows another
_LATEST = 8  # answers of the first look, of which more than half must differ
_EVERY = 24  # answers until the usual figures for the first look are computed again
_SAMPLED = 96  # earlier answers that these figures are computed from
_SOONER = 0.9  # share of a limit at which the first look asks for a closer one
_LOST = 0.75  # share of the usual sources: with fewer, the prompt is shorter
_SETTLED = timedelta(hours=1)  # then the new level is what later answers are compared with


@dataclass(frozen=True, slots=True, kw_only=True)
class CostDriftRule(Rule):
    """Notice, once per change, that cost, tokens or cache-hit rate of canned queries moved.

    The latest answers of each query are compared with its earlier ones of the last day by the same
    model, or of unknown model before and after, and with figures from the same source. Tokens and
    cost must move by `limit`, the cache-hit rate by `limit_cached`, for at least four rounds, and
    the evidence of all queries together must reach `evidence`. After an hour the new level is what
    later answers are compared with. A figure that is not reported is not 0: it is not judged.

    Source: docs/alerts.md#cost_drift
    """

    name: ClassVar[str] = "cost_drift"
    subject: ClassVar[Subject] = Subject.TARGET
    unit: ClassVar[Unit] = Unit.SHARE
    first_step: ClassVar[str] = (
        "Check the latest change of the prompt, of the retrieved context and of the token limit."
    )
    evidence_sql: ClassVar[str] = (
        "SELECT started_at, query, prompt_tokens, cached_tokens, answer_tokens, cost_usd "
        "FROM report.observations WHERE {rows} ORDER BY started_at;"
    )
    inhibits: ClassVar[frozenset[str]] = frozenset()
    likely_cause: ClassVar[bool] = True
    chart: ClassVar[bool] = False
    passing: ClassVar[bool] = True

    severity: Severity = Severity.INFO
    limit: float = 0.2
    limit_cached: float = 0.2
    answers: int = 12
    evidence: float = 20.0

    def __post_init__(self) -> None:
        between(self, 0.05, 10, "limit")
        between(self, 0.05, 0.95, "limit_cached")
        at_least(self, 8, "answers")
        positive(self, "evidence")

    def judge(self, window: Window, latest_incident: Incident | None, now: datetime) -> Verdict:
        """Judge the last day of one target."""
        latest = window.histories.usage
        if not latest or window.silent(now):
            return self._verdict(window.scope, VerdictState.NO_DATA, "No answer with usage.")
        if latest_incident is not None and latest_incident.open:
            settled = now - latest_incident.opened_at >= _SETTLED
            return self._verdict(
                window.scope,
                VerdictState.OK if settled else VerdictState.HOLD,
                "Later answers are compared with the new level.",
            )
        since = None
        if latest_incident is not None:
            since = microseconds(latest_incident.breach_since) - 1
        fresh = microseconds(max(window.since(latest_incident), window.lately))
        current = {
            key: history for key, history in latest.items() if history.at(len(history) - 1) > fresh
        }
        changes = [
            change
            for figure in UsageFigure
            if any(self._suspicious(figure, history, since) for history in current.values())
            if (change := self._change(figure, current, since)) is not None
        ]
        if changes and latest_incident is not None:
            begun = microseconds(latest_incident.breach_since)
            changes = [c for c in changes if not self._regained(c, window, current, begun)]
        if changes:
            moved = with_companions(changes, current, self._least, since=since, fewest=self.answers)
            return self._breach(window, moved, current)
        because = "The answers use and cost what they usually do."
        return self._verdict(window.scope, VerdictState.OK, because)

    def _least(self, figure: UsageFigure) -> float:
        """The distance that is worth a notice."""
        return self.limit_cached if figure.is_share else log(1 + self.limit)

    def _suspicious(self, figure: UsageFigure, history: QueryHistory, since: int | None) -> bool:
        """Whether the latest answers seem to differ: a first look, which is cheap."""
        usual = history.reference(lambda: self._bounds(history, since), every=_EVERY, key=since)
        bounds = usual[figure.column]
        if bounds is None:
            return False
        low, high = bounds
        column = history.latest(figure.column, _LATEST)
        if not figure.is_share and low < column[-1] < high:
            return False
        latest = [value for value in column if not isnan(value)]
        return len(latest) > 1 and not low < figure.middle(latest) < high

    def _bounds(self, history: QueryHistory, since: int | None) -> list[tuple[float, float] | None]:
        """Between which values the latest answers of each column look as usual."""
        found: list[tuple[float, float] | None] = [None] * len(UsageFigure)
        for figure in UsageFigure:
            most = None if figure.is_share else _SAMPLED  # a mean of few says too little
            values = history.earlier(figure.column, since=since, latest=_STRETCHES[-1], most=most)
            if not values:
                continue
            middle, least = figure.middle(values), _SOONER * self._least(figure)
            if figure.is_share:
                found[figure.column] = middle - least, middle + least
            else:
                spread = median([abs(value - middle) for value in values])
                found[figure.column] = (
                    min(middle / exp(least), middle - spread),
                    max(middle * exp(least), middle + spread, LEAST),
                )
        return found

    def _change(
        self,
        figure: UsageFigure,
        histories: Mapping[UsageKey, QueryHistory],
        since: int | None,
    ) -> UsageChange | None:
        """The shortest stretch of latest answers that proves a change."""
        known = {}
        for key, history in histories.items():
            positions = history.known(figure.column, since=since)
            known[key] = positions, history.of(figure.column, positions)
        for n in _STRETCHES:
            moves, rounds = [], set[int]()
            for key, history in histories.items():
                positions, values = known[key]
                move = self._move(figure, key, history, positions, values, n)
                if move is not None:
                    moves.append(move)
                    rounds.update(history.slot(nth) for nth in positions[-n:])
            for up in (True, False):
                alike = [move for move in moves if (move.now > move.before) is up]
                enough = sum(move.log_odds for move in alike) >= self.evidence
                if enough and len(rounds) >= _FEWEST_ROUNDS:
                    alike.sort(key=lambda move: -move.log_odds)
                    return UsageChange(figure, alike)
        return None

    def _move(
        self,
        figure: UsageFigure,
        key: UsageKey,
        history: QueryHistory,
        positions: Sequence[int],
        values: Sequence[float],
        n: int,
    ) -> UsageMove | None:
        """How the latest n answers differ from the earlier ones; None if they hardly do."""
        if len(values) < n + self.answers:
            return None
        now, before = figure.middle(values[-n:]), figure.middle(values[:-n])
        if abs(figure.distance(now, before)) < self._least(figure):
            return None
        up = now > before
        middle = separation(figure, now, before)
        beyond = [(value > middle) is up for value in values]
        if 4 * sum(beyond[-n:]) < 3 * n:
            return None
        steady = history.repeats(figure.column, positions[:-n]) > _STEADY
        repeated = _MISSED if figure.is_share else 1.0 if steady else _REPEATED
        worth = history.worth(positions, (figure.column,), repeated=repeated)
        log_odds = rarity(beyond[-n:], worth[-n:], before=beyond[:-n], worth_before=worth[:-n])
        if not log_odds:
            return None
        length = breach_length(reversed(beyond), n)
        now, before = figure.middle(values[-length:]), figure.middle(values[:-length])
        return UsageMove(key, log_odds, now, before, history.at(positions[-length]))

    def _regained(
        self,
        change: UsageChange,
        window: Window,
        histories: Mapping[UsageKey, QueryHistory],
        begun: int,
    ) -> bool:
        """Whether queries that had lost sources have them again, and use what they used before.

        `begun`: start of the latest change, µs. Rule `retrieval` reports both.
        """
        column = change.figure.column
        for move in change.moves:
            usage, sources = histories[move.key], window.histories.sources.get(move.key[0])
            before = usage.of(column, usage.known(column, until=begun))
            if not before or sources is None:
                return False
            if abs(change.figure.distance(move.now, change.figure.middle(before))) >= self._least(
                change.figure
            ):
                return False
            counts = [
                sources.of(0, sources.known(0, since=since, until=until))
                for since, until in ((None, begun), (begun - 1, move.since), (move.since - 1, None))
            ]
            if not all(counts):
                return False
            usual, lost, now = map(median, counts)
            if not (lost <= _LOST * usual and now > _LOST * usual):
                return False
        return True

    def _breach(
        self,
        window: Window,
        changes: Sequence[UsageChange],
        histories: Mapping[UsageKey, QueryHistory],
    ) -> Verdict:
        first = changes[0]
        strongest = first.moves[0]
        since = min(move.since for change in changes for move in change.moves)
        begun = instant(since)
        queries = sorted({move.key[0] for change in changes for move in change.moves})
        facts = {}
        for change in changes:
            for move in change.moves[: _NAMED // len(changes)]:
                facts[f"{change.figure.words.capitalize()}, {move.key[0]}"] = _compared(
                    change.figure, move
                )
        day, usual_day = _money(window, histories, since)
        named = f"query {queries[0]}" if len(queries) == 1 else f"{len(queries)} queries"
        what = f"{first.figure.words} of {named}: {_compared(first.figure, strongest)}"
        if len(first.moves) > 1:
            what += f" ({strongest.key[0]})"
        others = ", ".join(change.figure.words for change in changes[1:])
        model = "the model is the same" if strongest.key[1] else "no other model is known to answer"
        shown = [s.id for s in window.samples if s.at >= begun and s.query in queries]
        verdict = self._verdict(
            window.scope,
            VerdictState.BREACH,
            f"{what[0].upper()}{what[1:]}, and {model}."
            + (f" {others.capitalize()} moved as well." if others else ""),
        )
        ratio = first.figure.distance(strongest.now, strongest.before)
        return replace(
            verdict,
            value=abs(ratio)
            if first.figure.is_share
            else abs(strongest.now - strongest.before) / max(strongest.before, LEAST),
            limit=self.limit_cached if first.figure.is_share else self.limit,
            rows=tuple(shown[: -_ROWS - 1 : -1]),
            facts=facts,
            once=f"{begun:%Y-%m-%dT%H:%M:%SZ}",
            since=begun,
            finding=Finding(
                what=what + (f"; also {others}" if others else ""),
                was=f"{what} {{when}}",
                restored="later answers are compared with the new level",
                began="changed since {since}; ",
                extent=model,
                money=cost_change_text(day, usual_day) if day is not None and usual_day else "",
                certainty=f"{certainty_text(max(change.log_odds for change in changes))}, compared "
                "with the earlier answers of the last day",
                usd_a_day=day,
                usual_usd_a_day=usual_day,
                of_probes=window.of_probes,
            ),
        )

    def _verdict(self, scope: str, state: VerdictState, because: str) -> Verdict:
        return Verdict(
            rule=self.name,
            scope=scope,
            state=state,
            value=None if state is VerdictState.NO_DATA else 0.0,
            limit=self.limit,
            because=because,
        )


def _compared(figure: UsageFigure, move: UsageMove) -> str:
    return f"{figure.text(move.now)}, before {figure.text(move.before)}"


def _money(
    window: Window, histories: Mapping[UsageKey, QueryHistory], since: int
) -> tuple[Decimal | None, Decimal | None]:
    """What the queries of a day cost since the change, and before it; None if it is not known."""
    if not window.a_day:
        return None, None
    after, before = [], []
    for history in histories.values():
        costs = UsageFigure.COST.column
        now = history.of(costs, history.known(costs, since=since - 1))
        usual = history.of(costs, history.known(costs, until=since))
        if now and usual:
            after.append(fmean(now))
            before.append(fmean(usual))
    if not after:
        return None, None
    return _a_day(after, window.a_day), _a_day(before, window.a_day)


def _a_day(costs: Sequence[float], queries: int) -> Decimal:
    return Decimal(f"{fmean(costs):.6g}") * queries

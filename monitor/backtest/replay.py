"""The replay itself: rows through the rules and the incident logic, in the rows' own time."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from monitor.backtest.events import BacktestEvent, SpendLedger, event
from monitor.backtest.input_rows import BacktestRow, rows
from monitor.domain import (
    ALL,
    Identity,
    Incident,
    NoticeStatus,
    Sample,
    Verdict,
    VerdictState,
    incident_key,
)
from monitor.identity.model_names.compare import same
from monitor.incidents import ReminderPolicy, Silence, plan
from monitor.rules import (
    OF_TARGETS,
    Rule,
    SpendRule,
    SpendUpperBound,
    Window,
    is_literal,
    of_query,
)

AT_ONCE = (
    "fallback",
    "model_changed",
    "down",
)  # judged with every sample; the others with every round

_STEP, _SHORT, _LONG = timedelta(minutes=5), timedelta(hours=2), timedelta(hours=1)
_TOLD = 1000  # notices remembered, lest they be told again


def replay(
    lines: Iterable[str],
    rules: Mapping[str, Rule],
    *,
    identity: Callable[[str], Identity],
    policy: ReminderPolicy | None = None,
    silence: Silence = (),
) -> Iterator[BacktestEvent]:
    """Events for rows of JSON Lines. Raises BadRow, after the events of the rows before it."""
    playing = Replay(rules, policy=policy or ReminderPolicy(), silence=silence)
    for row in rows(lines, identity):
        yield from playing.take(row)


class Replay:
    """Windows, money and incidents at one instant of virtual time."""

    def __init__(
        self, rules: Mapping[str, Rule], *, policy: ReminderPolicy, silence: Silence = ()
    ) -> None:
        of_targets = [rules[name] for name in OF_TARGETS if name in rules]
        self._literal = [rule for rule in of_targets if is_literal(rule)]
        others = [rule for rule in of_targets if not is_literal(rule)]
        self._at_once = [rule for rule in others if rule.name in AT_ONCE]
        self._a_round = [rule for rule in others if rule.name not in AT_ONCE]
        self._spend = rules.get("spend")
        self._policy, self._silence = policy, tuple(silence)
        self._windows: dict[str, Window] = {}
        self._by_query: dict[tuple[str, str], Window] = {}  # for what is taken literally
        self._incidents: dict[tuple[str, str], Incident] = {}
        self._told: dict[UUID, None] = {}
        self._ledger: SpendLedger | None = None
        self._now: datetime | None = None

    def take(self, row: BacktestRow) -> Iterator[BacktestEvent]:
        """Take one row; rows come in order of time."""
        if self._now is not None and row.at - self._now > _STEP:
            yield from self._wait(row.at)
        self._now = row.at
        verdicts = self._spent(row)
        closed = False
        if row.sample is not None:
            window = self._windows.get(row.target)
            if window is None:
                window = self._windows[row.target] = Window(row.target)
            closed = window.add(row.sample)
            verdicts += self._judged(self._at_once, window)
            if self._literal:
                verdicts += self._judged_literally(row.target, row.sample)
            if closed:
                verdicts += self._judged(self._a_round, window)
                verdicts += self._missing(row)
        yield from self._settle(verdicts, whole=closed)

    def _missing(self, row: BacktestRow) -> list[Verdict]:
        """What is to be said of other targets whose rows have stopped while this one's come."""
        silent = [
            window
            for target, window in self._windows.items()
            if target != row.target and window.silent(row.at)
        ]
        return [verdict for window in silent for verdict in self._judged(self._a_round, window)]

    def _wait(self, until: datetime) -> Iterator[BacktestEvent]:
        """Let time pass in which no row comes: silence is judged, too."""
        since = self._now = self._now or until
        while until - self._now > _STEP:
            self._now += _STEP if self._now - since < _SHORT else _LONG
            if self._now >= until:
                break
            verdicts = []
            for window in self._windows.values():
                verdicts += self._judged([*self._at_once, *self._a_round], window)
            if self._ledger is not None and self._spend is not None:
                self._ledger.reach(self._now)
                verdicts.append(self._judge_spend(self._spend, self._ledger, sliced=False))
            yield from self._settle(verdicts, whole=True)

    def _spent(self, row: BacktestRow) -> list[Verdict]:
        rule = self._spend
        if not isinstance(rule, SpendRule):
            return []
        if self._ledger is None:
            looked_back = timedelta(hours=rule.rate_hours)
            self._ledger = SpendLedger(rule.timezone, looked_back=looked_back, start=row.at)
        failed = row.sample is not None and not row.sample.outcome.good
        usd = row.cost_usd or Decimal(0) if failed else row.cost_usd
        ledger = self._ledger
        sliced = ledger.add(row.at, usd, margin_usd=row.margin_usd)
        if not sliced and ledger.total_usd + ledger.margin_usd <= rule.limit_usd:
            return []  # nothing new can be said of it
        return [
            self._judge_spend(rule, ledger, sliced=sliced),
            *([self._judge_upper_end(rule, ledger)] if ledger.margin_usd else ()),
        ]

    def _judge_spend(self, rule: Rule, ledger: SpendLedger, *, sliced: bool) -> Verdict:
        latest_incident = self._incidents.get((rule.name, ALL))
        return rule.judge(ledger.days(sliced=sliced), latest_incident, self._at)

    def _judge_upper_end(self, rule: Rule, ledger: SpendLedger) -> Verdict:
        latest_incident = self._incidents.get((rule.name, ALL))
        return rule.judge(SpendUpperBound(ledger.days(sliced=False)), latest_incident, self._at)

    def _judged(self, rules: Iterable[Rule], window: Window) -> list[Verdict]:
        return [
            rule.judge(window, self._incidents.get((rule.name, window.scope)), self._at)
            for rule in rules
        ]

    def _judged_literally(self, target: str, sample: Sample) -> list[Verdict]:
        """The verdicts on the one query that a sample is of."""
        window = self._by_query.get((target, sample.query))
        if window is None:
            window = self._by_query[target, sample.query] = Window(target, queries=1)
        window.add(sample)
        verdicts = []
        for rule in self._literal:
            latest_incident = self._incidents.get(incident_key(rule.name, target, sample.query))
            verdict = rule.judge(window, latest_incident, self._at)
            verdicts.append(of_query(verdict, sample.query))
        return verdicts

    def _settle(self, verdicts: Iterable[Verdict], *, whole: bool) -> Iterator[BacktestEvent]:
        """Plan, if anything may come of it: between rounds only what turns counts."""
        notified = self._incidents.values()
        busy = whole and any(i.open or i.told is NoticeStatus.FIRING for i in notified)
        chosen = verdicts if busy else [verdict for verdict in verdicts if self._turns(verdict)]
        if not chosen:
            return
        steps = plan(
            self._incidents.values(),
            chosen,
            silence=self._silence,
            policy=self._policy,
            now=self._at,
        )
        for step in steps:
            if step.incident is not None:
                self._incidents[step.incident.key] = step.incident
            elif step.notice is not None and self._known(step.notice.id):
                continue
            if (found := event(step, self._at)) is not None:
                yield found

    def _turns(self, verdict: Verdict) -> bool:
        latest_incident = self._incidents.get(
            incident_key(verdict.rule, verdict.scope, verdict.query)
        )
        open_ = latest_incident is not None and latest_incident.open
        match verdict.state:
            case VerdictState.BREACH:
                return not open_ or (
                    latest_incident is not None and verdict.once != latest_incident.once
                )
            case VerdictState.OK:
                return open_
            case VerdictState.NOTICE:
                return True
            case _:
                return False

    def _known(self, notice: UUID) -> bool:
        """Whether a notice was told before; it is from now on."""
        known = notice in self._told
        self._told[notice] = None
        if len(self._told) > _TOLD:
            del self._told[next(iter(self._told))]
        return known

    @property
    def _at(self) -> datetime:
        if self._now is None:
            raise RuntimeError("no row was taken yet")
        return self._now


def judged_by_name(expected: Collection[str]) -> Callable[[str], Identity]:
    """Judge a model by its name alone: one of those expected, another, or nobody can tell."""

    def identity(model: str) -> Identity:
        agreements = [same(model, name) for name in expected]
        if True in agreements:
            return Identity.EXPECTED
        return Identity.FALLBACK if False in agreements else Identity.UNKNOWN

    return identity

"""Events of a backtest: what would have changed or been sent, and when."""

import json
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from monitor.backtest.input_rows import BacktestRow, rows
from monitor.domain import (
    ALL,
    Identity,
    Incident,
    Notice,
    NoticeStatus,
    Sample,
    Spend,
    Subject,
    Verdict,
    VerdictState,
    incident_key,
)
from monitor.identity.model_names.compare import same
from monitor.incidents.inhibitions import Inhibitions
from monitor.incidents.planner import IncidentStep, plan
from monitor.incidents.silences import Silence
from monitor.incidents.state_machine import IncidentChange, ReminderPolicy
from monitor.pricing.meters import day_of
from monitor.rules import (
    DEFAULT_RULES,
    SLICE,
    Rule,
    SpendRule,
    SpendUpperBound,
    Window,
    is_literal,
    of_query,
    rule_of,
)

_EVENTS = {
    IncidentChange.OPENED: "fire",
    IncidentChange.REOPENED: "fire",
    IncidentChange.GREW: "remind",
    IncidentChange.RESOLVED: "resolve",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestEvent:
    """`event` is fire, resolve, warn or remind. `notice`: the notification of it, if any."""

    at: datetime
    rule: str
    target: str
    event: str
    value: float | Decimal | None
    limit: float | Decimal | None
    because: str
    notice: Notice | None
    # in mode "immediate" the canned query it is about; else None, for the whole target
    query: str = ""


def event(step: IncidentStep, at: datetime) -> BacktestEvent | None:
    """The event that a step of the plan means to a reader; None for bookkeeping."""
    incident, notice = step.incident, step.notice
    if (
        incident is None or step.change is IncidentChange.REMINDED
    ):  # a reminder may be about the remaining parts
        if notice is None:
            return None
        return BacktestEvent(
            at=at,
            rule=notice.rule,
            target=notice.scope,
            event="warn" if incident is None else "remind",
            value=notice.value,
            limit=notice.limit,
            because=notice.sentence,
            notice=notice,
            query=incident.query if incident is not None else "",
        )
    if step.change not in _EVENTS:
        return None
    return BacktestEvent(
        at=at,
        rule=incident.rule,
        target=incident.scope,
        event=_EVENTS[step.change],
        value=incident.value,
        limit=incident.limit,
        because=incident.because if incident.open else incident.ended or "",
        notice=notice,
        query=incident.query,
    )


def as_json(event: BacktestEvent) -> str:
    """One line of JSON in the documented format."""
    at = event.at.astimezone(UTC).isoformat(timespec="milliseconds")
    return json.dumps(
        {
            "ts": at.replace("+00:00", "Z"),
            "rule": event.rule,
            "target": event.target,
            **({"query": event.query} if event.query else {}),
            "event": event.event,
            "value": None if event.value is None else round(float(event.value), 6),
            "limit": None if event.limit is None else float(event.limit),
            "because": event.because,
        }
    )


# The money of a replay: exact daily sums, with the recent slices that `spend` uses.


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SpendLedger:
    """Sums of today and yesterday in one zone. Time only moves forward."""

    def __init__(self, timezone: str, *, looked_back: timedelta, start: datetime) -> None:
        self._zone = ZoneInfo(timezone)
        self._looked_back = looked_back
        self._slices: deque[tuple[datetime, Decimal]] = deque()
        self._yesterday: Spend | None = None
        self._begin(start)

    def reach(self, now: datetime) -> None:
        """Advance the time: a finished day becomes yesterday."""
        if now >= self._ends_at:
            over = self._today(sliced=False)
            self._begin(now)
            self._yesterday = over if over.ends_at == self._starts_at else None

    def add(self, at: datetime, usd: Decimal | None, *, margin_usd: Decimal = Decimal(0)) -> bool:
        """Add an amount, None if unknown; True if it began a new slice."""
        self.reach(at)
        if usd is None:
            self._at_least = True
            return False
        self.total_usd += usd
        self.margin_usd += margin_usd
        start = at - (at - _EPOCH) % SLICE
        began = not self._slices or self._slices[-1][0] < start
        if began:
            self._slices.append((start, usd))
            while self._slices[0][0] < start - self._looked_back:
                self._slices.popleft()
        else:
            self._slices[-1] = (self._slices[-1][0], self._slices[-1][1] + usd)
        return began

    def days(self, *, sliced: bool) -> list[Spend]:
        """Yesterday, if there were rows, and today; today's slices only if requested."""
        today = self._today(sliced=sliced)
        return [self._yesterday, today] if self._yesterday else [today]

    def _begin(self, at: datetime) -> None:
        self._day, self._starts_at, self._ends_at = day_of(at, self._zone)
        self.total_usd = self.margin_usd = Decimal(0)
        self._at_least = False

    def _today(self, *, sliced: bool) -> Spend:
        return Spend(
            day=self._day,
            starts_at=self._starts_at,
            ends_at=self._ends_at,
            total_usd=self.total_usd,
            at_least=self._at_least,
            margin_usd=self.margin_usd,
            slices=tuple(self._slices) if sliced else (),
        )


# The replay itself: rows through the rules and the incident logic, in the rows' own time.


INHIBITIONS = Inhibitions(DEFAULT_RULES)
_STEP, _SHORT, _LONG = timedelta(minutes=5), timedelta(hours=2), timedelta(hours=1)
_TOLD = 1000  # remembered notices, so that none is sent twice


def replay(
    lines: Iterable[str],
    rules: Mapping[str, Rule],
    *,
    identity: Callable[[str], Identity],
    policy: ReminderPolicy | None = None,
    silence: Silence = (),
) -> Iterator[BacktestEvent]:
    """Events for rows of JSON Lines. Raises BadBacktestRow, after the earlier rows' events."""
    playing = Replay(rules, policy=policy or ReminderPolicy(), silence=silence)
    for row in rows(lines, identity):
        yield from playing.take(row)


class Replay:
    """Windows, money and incidents at one instant of virtual time."""

    def __init__(
        self, rules: Mapping[str, Rule], *, policy: ReminderPolicy, silence: Silence = ()
    ) -> None:
        of_targets = [rule for rule in rules.values() if rule.subject is Subject.TARGET]
        self._literal = [rule for rule in of_targets if is_literal(rule)]
        others = [rule for rule in of_targets if not is_literal(rule)]
        self._at_once = [rule for rule in others if rule.every_sample]
        self._a_round = [rule for rule in others if not rule.every_sample]
        self._spend = rule_of(rules, SpendRule)
        self._policy, self._silence = policy, tuple(silence)
        self._windows: dict[str, Window] = {}
        self._by_query: dict[tuple[str, str], Window] = {}  # for what is taken literally
        self._incidents: dict[tuple[str, str], Incident] = {}
        self._told: dict[UUID, None] = {}
        self._ledger: SpendLedger | None = None
        self._now: datetime | None = None

    def take(self, row: BacktestRow) -> Iterator[BacktestEvent]:
        """Process one row; rows come in order of time."""
        if self._now is not None and row.at - self._now > _STEP:
            yield from self._wait(row.at)
        self._now = row.at
        verdicts = self._spent(row)
        closed = False
        if row.sample is not None:
            window = self._windows.get(row.target)
            if window is None:
                window = self._windows[row.target] = Window(row.target)
            # The worker judges after an extra probe, too: it may confirm a loss.
            closed = window.add(row.sample) or row.sample.extra
            verdicts += self._judged(self._at_once, window)
            if self._literal:
                verdicts += self._judged_literally(row.target, row.sample)
            if closed:
                verdicts += self._judged(self._a_round, window)
                verdicts += self._missing(row)
        yield from self._settle(verdicts, whole=closed)

    def _missing(self, row: BacktestRow) -> list[Verdict]:
        """Events of other targets whose rows have stopped while this target's continue."""
        silent = [
            window
            for target, window in self._windows.items()
            if target != row.target and window.silent(row.at)
        ]
        return [verdict for window in silent for verdict in self._judged(self._a_round, window)]

    def _wait(self, until: datetime) -> Iterator[BacktestEvent]:
        """Advance the time without rows: silence is judged, too."""
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
        if rule is None:
            return []
        if self._ledger is None:
            looked_back = timedelta(hours=rule.rate_hours)
            self._ledger = SpendLedger(rule.timezone, looked_back=looked_back, start=row.at)
        failed = row.sample is not None and not row.sample.outcome.good
        usd = row.cost_usd or Decimal(0) if failed else row.cost_usd
        ledger = self._ledger
        sliced = ledger.add(row.at, usd, margin_usd=row.margin_usd)
        if not sliced and ledger.total_usd + ledger.margin_usd <= rule.limit_usd:
            return []  # its judgement cannot change any more
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
        """The verdicts on the one query that a sample belongs to."""
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
        """Plan, if anything may change: between rounds only changed verdicts count."""
        notified = self._incidents.values()
        busy = whole and any(i.open or i.told is NoticeStatus.FIRING for i in notified)
        chosen = verdicts if busy else [verdict for verdict in verdicts if self._turns(verdict)]
        if not chosen:
            return
        steps = plan(
            self._incidents.values(),
            chosen,
            inhibitions=INHIBITIONS,
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
        """Whether a notice was sent before; from now on it counts as sent."""
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
    """Judge a model by its name alone: expected, another, or unknown."""

    def identity(model: str) -> Identity:
        agreements = [same(model, name) for name in expected]
        if True in agreements:
            return Identity.EXPECTED
        return Identity.FALLBACK if False in agreements else Identity.UNKNOWN

    return identity

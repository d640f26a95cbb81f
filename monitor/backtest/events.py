"""Events of a backtest: what would have changed or been told, and when."""

import json
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from monitor.domain import Notice, Spend
from monitor.incidents import IncidentChange, IncidentStep
from monitor.pricing.meters import day_of
from monitor.rules import SLICE

_EVENTS = {
    IncidentChange.OPENED: "fire",
    IncidentChange.REOPENED: "fire",
    IncidentChange.GREW: "remind",
    IncidentChange.RESOLVED: "resolve",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestEvent:
    """`event` is fire, resolve, warn or remind. `notice`: what is told of it, if anything."""

    at: datetime
    rule: str
    target: str
    event: str
    value: float | Decimal | None
    limit: float | Decimal | None
    because: str
    notice: Notice | None
    query: str = ""  # the canned query it is about, in mode "immediate"; else the whole target


def event(step: IncidentStep, at: datetime) -> BacktestEvent | None:
    """What a step of the plan means to the person reading; None for mere bookkeeping."""
    incident, notice = step.incident, step.notice
    if (
        incident is None or step.change is IncidentChange.REMINDED
    ):  # a reminder may be of what is left
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
    """One line of JSON, as the project promises it."""
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


# The money of a replay: summed exactly by day, with the recent slices `spend` looks at.


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SpendLedger:
    """Sums of today and yesterday in one zone. Time only goes forward."""

    def __init__(self, timezone: str, *, looked_back: timedelta, start: datetime) -> None:
        self._zone = ZoneInfo(timezone)
        self._looked_back = looked_back
        self._slices: deque[tuple[datetime, Decimal]] = deque()
        self._yesterday: Spend | None = None
        self._begin(start)

    def reach(self, now: datetime) -> None:
        """Let time pass: a day that is over becomes yesterday."""
        if now >= self._ends_at:
            over = self._today(sliced=False)
            self._begin(now)
            self._yesterday = over if over.ends_at == self._starts_at else None

    def add(self, at: datetime, usd: Decimal | None, *, margin_usd: Decimal = Decimal(0)) -> bool:
        """Add money, None if nobody knows how much; True when it began a new slice."""
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
        """Yesterday, if it was seen, and today; today's slices only if asked for."""
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

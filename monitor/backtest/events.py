"""Events of a backtest: what would have changed or been told, and when."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from monitor.domain import Notice
from monitor.incidents import IncidentChange, IncidentStep

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

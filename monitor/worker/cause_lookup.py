"""What changed around a target before it broke: its health pages, and our own configuration."""

import re
from collections.abc import Iterator
from datetime import datetime

from monitor.domain import Incident, Verdict, VerdictState
from monitor.redaction import plain
from monitor.rules import Window
from monitor.rules.likely_cause import BEFORE, EXPLAINED, CauseEvent
from monitor.rules.likely_cause import explained as by_events
from monitor.storage import Connection, health_readings, observations
from monitor.storage.health_readings import HealthChange

_DEPLOYED = re.compile(r"version|release|revision|commit|build|sha", re.IGNORECASE)  # told first
_FACTS, _CHARS = 2, 40  # of one change, and of each name and value in it


async def explained(
    connection: Connection, verdict: Verdict, window: Window, latest_incident: Incident | None,
    now: datetime,
) -> Verdict:  # fmt: skip
    """A breach with its likely cause, where what is stored shows one; any other as it is."""
    if verdict.state is not VerdictState.BREACH or verdict.rule not in EXPLAINED:
        return verdict
    begun = (
        latest_incident.opened_at if latest_incident is not None and latest_incident.open else now
    )
    since = begun - BEFORE
    events = [
        CauseEvent(change.at, what)
        for change in await health_readings.changes(connection, window.scope, since=since)
        for what in _health_change(change)
    ]
    in_force = await observations.configurations(connection, window.scope, since=since, until=now)
    events += [CauseEvent(at, "our own configuration changed") for at in in_force[1:]]
    return by_events(verdict, window, events, latest_incident, now)


def _health_change(change: HealthChange) -> Iterator[str]:
    """What a health page says now, against before; the first differences of many."""
    if change.status != change.status_before:
        yield f"its health page answers {_status(change.status)}, " \
              f"before {_status(change.status_before)}"  # fmt: skip
        return
    names = [n for n, v in change.facts.items() if change.facts_before.get(n) != v]
    names.sort(key=lambda name: (not _DEPLOYED.search(name), name))
    notified = ", ".join(
        f"{plain(name, _CHARS)} {_value(change.facts[name])}, "
        f"before {_value(change.facts_before.get(name))}"
        for name in names[:_FACTS]
    )
    more = f" and {len(names) - _FACTS} more" if len(names) > _FACTS else ""
    if notified:
        yield f"its health page changed, as after a deploy: {notified}{more}"


def _status(status: int | None) -> str:
    return "nothing" if status is None else str(status)


def _value(value: object) -> str:
    return "nothing" if value is None else plain(str(value), _CHARS)

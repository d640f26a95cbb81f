"""Work that stands alone: what fails costs one subject's verdict and no other."""

import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from monitor.domain import (
    Incident,
    Outcome,
    Subject,
    Target,
    Verdict,
    VerdictState,
    incident_key,
)
from monitor.redaction import plain
from monitor.rules import RULES, Rule, Window, is_literal, of_query
from monitor.rules.explanations import BEFORE, FACT, CauseEvent, answered_by, caused
from monitor.rules.explanations import explained as by_events
from monitor.storage import (
    Connection,
    account_readings,
    lost,
    observations,
    unavailable,
)
from monitor.storage.account_readings import HealthChange
from monitor.worker.context import WorkerContext
from monitor.worker.window_memory import EventsBefore, WindowMemory

log = logging.getLogger(__name__)

T = TypeVar("T")


async def isolated(
    connection: Connection, subject: str, work: Callable[[], Awaitable[T]]
) -> T | None:
    """What came of one subject's queries and rules; None where they failed: undone and logged."""
    try:
        async with connection.begin_nested():
            return await work()
    except Exception as error:
        if lost(error):
            raise
        if busy := unavailable(error):
            log.warning("evaluation skipped", extra={"subject": subject, "reason": str(busy)})
        else:
            log.exception("evaluation failed", extra={"subject": subject})
        return None


# What changed around a target before it broke: its health pages, and our own configuration.


_DEPLOYED = re.compile(r"version|release|revision|commit|build|sha", re.IGNORECASE)  # told first
_FACTS, _CHARS = 2, 40  # of one change, and of each name and value in it


async def explained(
    connection: Connection,
    verdict: Verdict,
    window: Window,
    latest_incident: Incident | None,
    now: datetime,
    *,
    known: EventsBefore,
) -> Verdict:
    """A breach with its likely cause, where what is stored shows one; any other as it is.

    `known`: what came before incidents that are open. It is read once for each.
    """
    if verdict.state is not VerdictState.BREACH or not RULES[verdict.rule].likely_cause:
        return verdict
    open_ = latest_incident is not None and latest_incident.open
    begun = latest_incident.opened_at if latest_incident is not None and open_ else now
    events = known.get((window.scope, begun))
    if events is None:
        since = begun - BEFORE
        changes = await account_readings.changes(connection, window.scope, since=since)
        in_force = await observations.configurations(
            connection, window.scope, since=since, until=now
        )
        events = [
            *(CauseEvent(change.at, what) for change in changes for what in _health_change(change)),
            *(CauseEvent(at, "the monitor's configuration changed") for at in in_force[1:]),
        ]
        if open_:
            known[window.scope, begun] = events
    return by_events(verdict, window, events, latest_incident, now)


def _health_change(change: HealthChange) -> Iterator[str]:
    """What a health page says now, against before; the first differences of many."""
    if change.status != change.status_before:
        yield (
            f"its health page returned {_status(change.status)}, "
            f"before {_status(change.status_before)}"
        )
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


# Who answered, as a fact of incidents about speed and money.


_TARGETS = 3  # named in a message about the whole day


def slow(verdict: Verdict, window: Window, target: Target, before: Incident | None) -> Verdict:
    """A breach with who gave the answers since it began, where its rule names models."""
    if not RULES[verdict.rule].names_models or verdict.state is not VerdictState.BREACH:
        return verdict
    open_ = before is not None and before.open
    began_at = before.since or before.opened_at if before is not None and open_ else verdict.since
    log = window.log
    kinds = map(log.kind, range(log.first if began_at is None else log.before(began_at), log.end))
    counts = Counter(
        (kind.identity, kind.model) for kind in kinds if kind.outcome is Outcome.ANSWERED
    )
    return _with(verdict, answered_by(counts, expected=_expected(target)), before)


async def expensive(
    connection: Connection,
    verdict: Verdict,
    targets: Collection[Target],
    before: Incident | None,
    *,
    since: datetime,
) -> Verdict:
    """A breach with who gave the day's answers, whenever a message of it is due."""
    announced = before is not None and before.open and before.once == verdict.once
    if not RULES[verdict.rule].names_models or verdict.state is not VerdictState.BREACH:
        return verdict
    if announced:
        return verdict
    counts = await observations.identities(connection, since=since)
    reported = []
    for target in targets:
        sentence = answered_by(counts.get(target.name, {}), expected=_expected(target))
        if sentence is not None:
            reported.append(f"{target.name}: {sentence}")
    return _with(verdict, ". ".join(reported[:_TARGETS]) or None, before)


def _expected(target: Target) -> str | None:
    return next(iter(target.expected_models), None)


def _with(verdict: Verdict, sentence: str | None, before: Incident | None) -> Verdict:
    """The verdict with this fact, and with those its open incident has already."""
    if sentence is None:
        return verdict
    facts = before.facts if before is not None and before.open else {}
    return caused(replace(verdict, facts={**facts, **verdict.facts, FACT: sentence}), sentence)


# What the rules say of one target: its window of samples, and a verdict for each rule.


Standing = Mapping[tuple[str, str], Incident]  # the latest incidents, by key


async def of_target(
    connection: Connection,
    context: WorkerContext,
    memory: WindowMemory,
    latest_incident: Standing,
    now: datetime,
    target: Target,
    *,
    confirmed: Mapping[str, datetime | None] | None,
) -> list[Verdict] | None:
    """Every rule's judgement of one target, or of each of its queries, as the rules' modes say.

    `confirmed` None: the baselines could not be read; rules that need them do not judge. The result
    is None if the window could not be read.
    """
    rules = [rule for rule in context.settings.rules.values() if rule.subject is Subject.TARGET]
    literal = any(map(is_literal, rules))
    read = partial(memory.windows, connection, target, literal=literal, now=now)
    if memory.fresh(target, now, literal=literal):
        windows: Mapping[str, Window] | None = await read()
    else:
        windows = await isolated(connection, f"target {target.name}", read)
    if windows is None:
        return None
    for window in windows.values():
        window.watched_since = context.began_at
        window.baseline_at = (confirmed or {}).get(target.name)
    found = []
    for rule in rules:
        if rule.needs_baseline and confirmed is None:
            continue  # what a person confirmed would be judged as a change, and opened again
        for query, window in windows.items():
            if bool(query) is not is_literal(rule):
                continue
            before = latest_incident.get(incident_key(rule.name, target.name, query))
            if verdict := judged(rule, window, before, now):
                verdict = of_query(verdict, query) if query else verdict
                if verdict.state is VerdictState.BREACH:
                    more = partial(
                        _explained, connection, memory, verdict, window, target, before, now
                    )
                    what = f"explanation of {rule.name}"
                    verdict = await isolated(connection, what, more) or verdict
                found.append(verdict)
    return found


async def _explained(
    connection: Connection,
    memory: WindowMemory,
    verdict: Verdict,
    window: Window,
    target: Target,
    before: Incident | None,
    now: datetime,
) -> Verdict:
    verdict = await explained(connection, verdict, window, before, now, known=memory.events)
    return slow(verdict, window, target, before)


def judged(rule: Rule, judged: object, incident: Incident | None, now: datetime) -> Verdict | None:
    """The verdict of a rule; None where it failed."""
    try:
        return rule.judge(judged, incident, now)
    except Exception:
        log.exception("rule failed", extra={"rule": rule.name})
        return None

"""Work that stands alone: what fails costs one subject's verdict and no other."""

import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from monitor.domain import (
    Incident,
    Outcome,
    Sample,
    Subject,
    Target,
    Verdict,
    VerdictState,
    incident_key,
)
from monitor.redaction import plain
from monitor.rules import RULES, SAMPLES, SPAN, Rule, Window, is_literal, of_query
from monitor.rules.explanations import BEFORE, FACT, CauseEvent, answered_by, caused
from monitor.rules.explanations import explained as by_events
from monitor.storage import (
    Connection,
    account_readings,
    fingerprints,
    lost,
    observations,
    unavailable,
)
from monitor.storage.account_readings import HealthChange
from monitor.worker.context import WorkerContext

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
) -> Verdict:
    """A breach with its likely cause, where what is stored shows one; any other as it is."""
    if verdict.state is not VerdictState.BREACH or not RULES[verdict.rule].likely_cause:
        return verdict
    begun = (
        latest_incident.opened_at if latest_incident is not None and latest_incident.open else now
    )
    since = begun - BEFORE
    events = [
        CauseEvent(change.at, what)
        for change in await account_readings.changes(connection, window.scope, since=since)
        for what in _health_change(change)
    ]
    in_force = await observations.configurations(connection, window.scope, since=since, until=now)
    events += [CauseEvent(at, "the monitor's configuration changed") for at in in_force[1:]]
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
    counts = Counter(
        (sample.identity, sample.model)
        for sample in window.samples
        if sample.outcome is Outcome.ANSWERED and (began_at is None or sample.at >= began_at)
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


async def confirmed(
    connection: Connection, targets: Collection[Target]
) -> dict[str, datetime | None]:
    """When a person last confirmed the baseline of each target.

    All in one subject: a table that is locked is waited for once, not once for each target.
    """
    return {one.name: await fingerprints.confirmed_at(connection, one.name) for one in targets}


async def of_target(
    connection: Connection,
    context: WorkerContext,
    latest_incident: Standing,
    now: datetime,
    target: Target,
    *,
    confirmed: Mapping[str, datetime | None] | None,
) -> list[Verdict]:
    """Every rule's judgement of one target, or of each of its queries, as the rules' modes say.

    `confirmed` None: the baselines could not be read; rules that need them do not judge.
    """
    samples = await observations.samples(
        connection, target.name, since=now - SPAN, until=now, most=SAMPLES
    )
    rules = context.settings.rules
    windows = _windows(
        samples,
        target,
        context,
        baseline_at=(confirmed or {}).get(target.name),
        literal=any(map(is_literal, rules.values())),
    )
    found = []
    for name, rule in rules.items():
        if rule.subject is not Subject.TARGET:
            continue
        if rule.needs_baseline and confirmed is None:
            continue  # what a person confirmed would be judged as a change, and opened again
        for query, window in windows.items():
            if bool(query) is not is_literal(rule):
                continue
            before = latest_incident.get(incident_key(name, target.name, query))
            if verdict := judged(rule, window, before, now):
                verdict = of_query(verdict, query) if query else verdict
                more = partial(_explained, connection, verdict, window, target, before, now)
                found.append(await isolated(connection, f"explanation of {name}", more) or verdict)
    return found


async def _explained(
    connection: Connection,
    verdict: Verdict,
    window: Window,
    target: Target,
    before: Incident | None,
    now: datetime,
) -> Verdict:
    verdict = await explained(connection, verdict, window, before, now)
    return slow(verdict, window, target, before)


def _windows(
    samples: Sequence[Sample],
    target: Target,
    context: WorkerContext,
    *,
    baseline_at: datetime | None,
    literal: bool,
) -> Mapping[str, Window]:
    """The window of a target, under an empty name; with one of each query for what is `literal`."""
    chosen: dict[str, Sequence[Sample]] = {"": samples}
    if literal:
        for query in target.queries:
            chosen[query.id] = [sample for sample in samples if sample.query == query.id]
    return {
        query: Window.of(
            these,
            scope=target.name,
            every=target.every,
            queries=1 if query else len(target.queries),
            deadline=target.deadline,
            watched_since=context.began_at,
            a_day=target.daily_queries or SPAN // target.every * len(target.queries),
            baseline_at=baseline_at,
        )
        for query, these in chosen.items()
    }


def judged(rule: Rule, judged: object, incident: Incident | None, now: datetime) -> Verdict | None:
    """The verdict of a rule; None where it failed."""
    try:
        return rule.judge(judged, incident, now)
    except Exception:
        log.exception("rule failed", extra={"rule": rule.name})
        return None

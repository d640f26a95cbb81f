"""Work that stands alone: what fails costs one subject's verdict and no other."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import NamedTuple, TypeVar

from monitor.domain import (
    Incident,
    Outcome,
    Subject,
    Target,
    Verdict,
    VerdictState,
    incident_key,
)
from monitor.rules import RULES, Rule, Window, is_literal, of_query
from monitor.rules.explanations import FACT, answered_by
from monitor.rules.likely_cause import caused
from monitor.storage import Connection, fingerprints, lost, observations, refused, unavailable
from monitor.worker import cause_search
from monitor.worker.context import WorkerContext
from monitor.worker.window_memory import WindowMemory

log = logging.getLogger(__name__)

READING_S = 15  # an evaluation reads windows that are not in memory for so long
KEPT_READING_S = 1.0  # the same where the next evaluation goes on
LARGE_READING_S = 0.05  # and in a large fleet, where nearly all are read before
LARGE = 200  # more targets are a large fleet
FEW = 20  # windows that an evaluation of it reads by itself
TURN_S = 0.002  # after which other tasks get a turn

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
        elif refusal := refused(error):
            log.error("evaluation failed", extra={"subject": subject, "reason": str(refusal)})
        else:
            log.exception("evaluation failed", extra={"subject": subject})
        return None


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
    """The verdict with this fact; if it has no facts, with those of its open incident."""
    if sentence is None:
        return verdict
    facts = verdict.facts or (before.facts if before is not None and before.open else {})
    return caused(replace(verdict, facts={**facts, FACT: sentence}), sentence)


# What the rules say of one target: its window of samples, and a verdict for each rule.


Standing = Mapping[tuple[str, str], Incident]  # the latest incidents, by key


class TargetVerdicts(NamedTuple):
    """The verdicts on targets, and the names of those that could be judged."""

    verdicts: list[Verdict]
    names: list[str]


async def of_targets(
    connection: Connection,
    context: WorkerContext,
    memory: WindowMemory,
    latest_incident: Standing,
    now: datetime,
    names: Sequence[str],
) -> TargetVerdicts:
    """Every rule's judgement of these targets; a failure affects only its own verdict."""
    literal = any(map(is_literal, context.settings.rules.values()))
    skipped, reading_s = 0, float(READING_S)
    if memory is context.state.windows:
        reading_s = KEPT_READING_S
        if len(context.settings.targets) > LARGE:  # most of them are read before, and few here
            reading_s = LARGE_READING_S
            targets = map(context.settings.targets.__getitem__, names)
            fresh = {one.name for one in targets if memory.fresh(one, now, literal=literal)}
            missing = [name for name in names if name not in fresh]
            memory.drop(missing[FEW:])
            skipped = len(missing[FEW:])  # before the others, which take the time
            names = [*missing[:FEW], *(name for name in names if name in fresh)]
    read = partial(fingerprints.confirmed_at, connection, names)
    confirmed = await isolated(connection, "baselines", read)
    found = TargetVerdicts([], [])
    began = yielded = time.monotonic()
    for nth, name in enumerate(names):
        target = context.settings.targets[name]
        late = nth and time.monotonic() - began > reading_s  # one is read in any case
        if late and not memory.fresh(target, now, literal=literal):
            memory.drop([name])
            skipped += 1
            continue
        verdicts = await of_target(
            connection, context, memory, latest_incident, now, target, confirmed=confirmed
        )
        if verdicts is not None:
            found.verdicts.extend(verdicts)
            found.names.append(name)
        if time.monotonic() - yielded > TURN_S:
            await asyncio.sleep(0)  # let probes be read
            yielded = time.monotonic()
    if skipped:
        level = logging.DEBUG if memory is context.state.windows else logging.WARNING
        facts = {"subject": f"{skipped} targets", "reason": "no time left"}
        log.log(level, "evaluation skipped", extra=facts)
    return found


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
        window.watched_since = context.watched_since(target.name)
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
                    verdict = await _explained(
                        connection, memory, verdict, window, target, before, now
                    )
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
    """A breach with its likely cause, and with who answered. What fails is left out."""
    known = cause_search.remembered(verdict, target, before, now, known=memory.causes)
    if known is None:
        search = partial(cause_search.explained, connection, verdict, window, target, before, now,
                         known=memory.causes)  # fmt: skip
        known = await isolated(connection, f"explanation of {verdict.rule}", search) or verdict
    try:
        return slow(known, window, target, before)
    except Exception:
        log.exception("rule failed", extra={"rule": verdict.rule})
        return known


def judged(rule: Rule, judged: object, incident: Incident | None, now: datetime) -> Verdict | None:
    """The verdict of a rule; None where it failed."""
    try:
        return rule.judge(judged, incident, now)
    except Exception:
        log.exception("rule failed", extra={"rule": rule.name})
        return None

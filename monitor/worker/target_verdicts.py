"""What the rules say of one target: its window of samples, and a verdict for each rule."""

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import partial

from monitor.domain import Incident, Sample, Target, Verdict, incident_key
from monitor.rules import OF_TARGETS, SAMPLES, SPAN, Rule, Window, is_literal, of_query
from monitor.storage import Connection, fingerprints, observations
from monitor.worker import answered_by_fact, cause_lookup
from monitor.worker.context import WorkerContext
from monitor.worker.isolation import isolated

log = logging.getLogger(__name__)

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

    `confirmed` None: the baselines could not be read, and `model_changed` is not judged.
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
    for name in OF_TARGETS:
        if name == "model_changed" and confirmed is None:
            continue  # what a person confirmed would be judged as a change, and opened again
        for query, window in windows.items():
            if bool(query) is not is_literal(rules.get(name)):
                continue
            before = latest_incident.get(incident_key(name, target.name, query))
            if verdict := judged(rules.get(name), window, before, now):
                verdict = of_query(verdict, query) if query else verdict
                more = partial(_explained, connection, verdict, window, target, before, now)
                found.append(await isolated(connection, f"explanation of {name}", more) or verdict)
    return found


async def _explained(
    connection: Connection, verdict: Verdict, window: Window, target: Target,
    before: Incident | None, now: datetime,
) -> Verdict:  # fmt: skip
    verdict = await cause_lookup.explained(connection, verdict, window, before, now)
    return answered_by_fact.slow(verdict, window, target, before)


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


def judged(
    rule: Rule | None, judged: object, incident: Incident | None, now: datetime
) -> Verdict | None:
    """The verdict of a rule; None where there is no such rule, no verdict, or it failed."""
    if rule is None:
        return None
    try:
        return rule.judge(judged, incident, now)
    except Exception:
        log.exception("rule failed", extra={"rule": rule.name})
        return None

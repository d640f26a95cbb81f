"""Who answered, as a fact of incidents about speed and money."""

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from monitor.domain import Incident, Outcome, Target, Verdict, VerdictState
from monitor.rules import Window
from monitor.rules.answered_by import FACT, answered_by
from monitor.storage import Connection, observations

_TARGETS = 3  # named in a message about the whole day


def slow(verdict: Verdict, window: Window, target: Target, before: Incident | None) -> Verdict:
    """A breach of `ttft` with who gave the answers since it began; any other as it is."""
    if verdict.rule != "ttft" or verdict.state is not VerdictState.BREACH:
        return verdict
    open_ = before is not None and before.open
    began_at = before.since or before.opened_at if before is not None and open_ else verdict.since
    counts = Counter(
        (sample.identity, sample.model) for sample in window.samples
        if sample.outcome is Outcome.ANSWERED and (began_at is None or sample.at >= began_at)
    )  # fmt: skip
    return _with(verdict, answered_by(counts, expected=_expected(target)), before)


async def expensive(
    connection: Connection,
    verdict: Verdict,
    targets: Collection[Target],
    before: Incident | None,
    *,
    since: datetime,
) -> Verdict:
    """A breach of `spend` with who gave the day's answers, whenever a message is due."""
    announced = before is not None and before.open and before.once == verdict.once
    if verdict.rule != "spend" or verdict.state is not VerdictState.BREACH or announced:
        return verdict
    counts = await observations.identities(connection, since=since)
    reported = []
    for target in targets:
        sentence = answered_by(counts.get(target.name, {}), expected=_expected(target))
        if sentence is not None:
            reported.append(f"{target.name}: {sentence}" if len(targets) > 1 else sentence)
    return _with(verdict, ". ".join(reported[:_TARGETS]) or None, before)


def _expected(target: Target) -> str | None:
    return next(iter(target.expected_models), None)


def _with(verdict: Verdict, sentence: str | None, before: Incident | None) -> Verdict:
    """The verdict with this fact, and with those its open incident has already."""
    if sentence is None:
        return verdict
    facts = before.facts if before is not None and before.open else {}
    return replace(verdict, facts={**facts, **verdict.facts, FACT: sentence})

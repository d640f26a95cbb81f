"""One read before a probe, and one transaction after it.

The read loads everything that judging the answer and the budget need. The transaction stores the
observation together with what was learned from it: no answer is counted twice or forgotten.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import Evidence, Observation, Target
from monitor.identity.fingerprint.features import AnswerText
from monitor.identity.fingerprint.tracker import TrackerState
from monitor.identity.learning import (
    AnswerCount,
    CapturedAnswer,
    IdentityLearning,
    LearntProfile,
    ProfileKey,
)
from monitor.identity.token_counts.comparison import REMEMBERED, CountsKey, Fitted
from monitor.identity.token_counts.counts import TokenCount
from monitor.storage import baseline_answers, fingerprints, observations, spend_rows
from monitor.storage.engine import Database
from monitor.storage.fingerprints import BaselineEpoch, BaselineState
from monitor.storage.spend_rows import ProbesSpent

log = logging.getLogger(__name__)

_BAD_ROW = ("22", "23")  # classes of SQLSTATE: data exception, constraint violation

Rejected = tuple[Observation, str]  # and why


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBaseline:
    """The current baseline as it is stored, and the answers from which its profile is learned.

    `answers` by model, oldest first; None: the profile in memory is still valid. `track` starts
    again when the profile is learned again.
    """

    state: BaselineState
    counts: Sequence[AnswerCount]
    key: ProfileKey
    track: TrackerState
    answers: Mapping[str, Sequence[AnswerText]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBefore:
    """What the database knows before a probe.

    `direct`: the evidence of answers to direct identity queries, newest first. `counts`: token
    counts of earlier answers, newest first. `confirmed`: token counts of captured answers, by
    model; None: those in memory are still valid. `hosts`: recent hosts of the expected model; empty
    unless something is suspected.
    """

    spent: ProbesSpent
    direct: Sequence[tuple[Evidence, ...]]
    baseline: StoredBaseline | None
    counts: Sequence[TokenCount]
    confirmed_key: CountsKey
    confirmed: Mapping[str, Sequence[TokenCount]] | None
    seen_to_fit: frozenset[Fitted]
    hosts: Sequence[str]


async def load(
    connection: AsyncConnection,
    target: Target,
    *,
    now: datetime,
    profile: LearntProfile | None,
    confirmed: CountsKey | None,
) -> StoredBefore:
    """Everything a probe needs to know. `profile`, `confirmed`: what is in memory already."""
    baseline = await _baseline(connection, target, profile)
    suspected = baseline is not None and baseline.track.since is not None
    key = CountsKey(*await baseline_answers.newest(connection, target.name), target.queries)
    direct = [query.id for query in target.queries if query.identity]
    return StoredBefore(
        spent=await spend_rows.today(connection),
        direct=await observations.direct_answers(connection, target.name, direct, until=now)
        if direct
        else (),
        baseline=baseline,
        counts=await baseline_answers.before(connection, target.name, at=now, most=REMEMBERED),
        confirmed_key=key,
        confirmed=None
        if key == confirmed
        else await baseline_answers.confirmed(connection, target.name, target.queries),
        seen_to_fit=await baseline_answers.seen_to_fit(connection, target.name),
        hosts=await observations.hosts(connection, target.name) if suspected else (),
    )


async def _baseline(
    connection: AsyncConnection, target: Target, known: LearntProfile | None
) -> StoredBaseline | None:
    """The current baseline, with the answers to learn from if a model has many more than before.

    Never during a suspicion: all its answers are measured by the same profile.
    """
    state = await fingerprints.state(connection, target.name)
    if state is None:
        return None
    counts = await baseline_answers.counts(connection, state.epoch)
    fresh = TrackerState(epoch=state.epoch.number)
    latest = max((c.latest_at for c in counts if c.model is not None), default=None)
    until = state.learnt_until or latest
    track = state.track or fresh

    async def answers_until(until: datetime | None) -> Mapping[str, Sequence[AnswerText]]:
        return await baseline_answers.answers(connection, state.epoch, target.queries, until=until)

    key = ProfileKey(state.epoch.number, until, target.queries)
    holds = known is not None and known.key == key
    answers = None if holds else await answers_until(until)
    if latest is not None and until is not None and latest > until and track.since is None:
        learnt = (
            known
            if holds and known
            else LearntProfile(
                key=key, profile=None, answers={m: len(of) for m, of in (answers or {}).items()}
            )
        )
        if learnt.outgrown(counts):
            key = ProfileKey(state.epoch.number, latest, target.queries)
            holds = known is not None and known.key == key
            answers = None if holds else await answers_until(latest)
            track = fresh
    return StoredBaseline(state=state, counts=counts, key=key, track=track, answers=answers)


async def store(
    database: Database,
    new: Sequence[Observation],
    learnings: Mapping[UUID, IdentityLearning] | None = None,
) -> tuple[int, Sequence[Rejected]]:
    """Store observations; returns how many, and those that the database refuses, with why.

    `learnings`: what was learned from them, by observation; written with it, and only if it is
    stored. A bad row affects no other row, and a failure to learn affects no observation. Raises
    DatabaseUnavailable, and every error that no row caused.
    """
    found = [learnings[one.id] for one in new if learnings and one.id in learnings]
    try:
        async with database.begin() as connection:
            stored = await observations.added(connection, new)
            for learning in found:
                if learning.observation in stored:
                    await learn(connection, learning)
            return len(stored), ()
    except DBAPIError as error:
        if found:
            log.exception("identity learning failed")
            return await store(database, new)
        state = getattr(error.orig, "sqlstate", None) or ""
        if not state.startswith(_BAD_ROW):
            raise
        if len(new) == 1:
            constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
            return 0, [(new[0], constraint or f"SQLSTATE {state}")]
    halves = [await store(database, half) for half in (new[::2], new[1::2])]
    return sum(stored for stored, _ in halves), [item for _, bad in halves for item in bad]


async def learn(connection: AsyncConnection, learning: IdentityLearning) -> None:
    """Store what was learned from one answer. Safe beside other workers that do the same."""
    if learning.step or learning.captured or learning.release:
        state = await fingerprints.state(connection, learning.target, lock=True)
        if learning.step is not None and state is not None:
            await _follow(connection, learning, state)
        await _capture(connection, learning, state.epoch if state else None)
    await baseline_answers.fits(connection, learning.target, learning.fits)


async def _follow(
    connection: AsyncConnection, learning: IdentityLearning, state: BaselineState
) -> None:
    """Store the tracker state after this answer; `state` is locked.

    If another worker stored a later state meanwhile, the answer is applied to that one. If a person
    accepted another baseline meanwhile, nothing is stored.
    """
    step, style = learning.step, learning.style
    if step is None or style is None or style.learnt.key.epoch != state.epoch.number:
        return
    until = style.learnt.key.learnt_until
    if until is None:
        return
    if not style.learnt.recorded and style.learnt.profile is not None:
        others = {m: n for m, n in style.learnt.answers.items() if m != state.epoch.model}
        await fingerprints.learnt(connection, state.epoch, style.learnt.profile, others)
    if (state.track, state.learnt_until) != (style.stored, style.stored_until):
        if state.learnt_until != until:
            return
        step = step.again(state.track or TrackerState(epoch=state.epoch.number))
    await fingerprints.keep(connection, learning.target, step.track, learnt_until=until)
    if step.track.standing != step.before.standing:
        await fingerprints.note(
            connection,
            state.epoch,
            step.match,
            observation=learning.observation,
            at=step.evidence.at,
            since=step.track.since or step.before.since,
        )


async def _capture(
    connection: AsyncConnection, learning: IdentityLearning, epoch: BaselineEpoch | None
) -> None:
    captured = learning.captured
    if captured is not None and epoch is None:
        epoch = await _begun(connection, learning.target, captured)
    if epoch is None:
        return
    if captured is not None:
        await baseline_answers.add(
            connection,
            epoch,
            captured.query,
            [captured.answer],
            model=captured.model,
            verified_by=captured.verified_by,
        )
    if learning.release:
        await baseline_answers.release(connection, epoch)


async def _begun(
    connection: AsyncConnection, target: str, captured: CapturedAnswer
) -> BaselineEpoch | None:
    if not captured.begins or captured.model is None or captured.verified_by is None:
        return None
    return await fingerprints.begin(
        connection, target, captured.model, verified_by=captured.verified_by
    )

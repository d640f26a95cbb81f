"""One read before the probes of a batch, and one transaction after them.

The read loads everything that judging the answers needs. The transaction stores the
observations together with what was learned from them: no answer is counted twice or forgotten.
Both take the same number of statements whatever the number of targets.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import Observation, Target
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
from monitor.storage import baseline_answers, fingerprints, leases, observations
from monitor.storage.baseline_answers import CapturedSoFar, NewAnswer
from monitor.storage.engine import Database, DatabaseRefused
from monitor.storage.fingerprints import BaselineEpoch, BaselineState, KeptState
from monitor.storage.leases import RoundEnd

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
    """What the database knows about a target before a probe.

    `direct`: what answers to direct identity queries claimed, newest first. `counts`: token counts
    of earlier answers, newest first. `confirmed`: token counts of captured answers, by model; None:
    those in memory are still valid. `hosts`: recent hosts of the expected model; empty unless
    something is suspected.
    """

    direct: Sequence[frozenset[str]]
    baseline: StoredBaseline | None
    counts: Sequence[TokenCount]
    confirmed_key: CountsKey
    confirmed: Mapping[str, Sequence[TokenCount]] | None
    seen_to_fit: frozenset[Fitted]
    hosts: Sequence[str]


class InMemory(NamedTuple):
    """What a worker has learned about a target already; None: nothing."""

    profile: LearntProfile | None = None
    confirmed: CountsKey | None = None


async def load(
    connection: AsyncConnection, targets: Mapping[str, tuple[Target, InMemory]], *, now: datetime
) -> Mapping[str, StoredBefore]:
    """Everything that a probe of each target needs to know, by name."""
    names = list(targets)
    direct = {
        name: [query.id for query in target.queries if query.identity]
        for name, (target, _) in targets.items()
    }
    claims = await self_claims(connection, direct, until=now)
    counts = await baseline_answers.before(connection, names, at=now, most=REMEMBERED)
    fitted = await baseline_answers.seen_to_fit(connection, names)
    states = await fingerprints.states(connection, names)
    epochs = [state.epoch for state in states.values()]
    captured = await baseline_answers.captured(connection, epochs) if epochs else {}
    found = {}
    for name, (target, memory) in targets.items():
        state, kept = states.get(name), captured.get(name, CapturedSoFar())
        baseline = None
        if state is not None:
            baseline = await _baseline(
                connection, target, memory.profile, state=state, counts=kept.counts
            )
        suspected = baseline is not None and baseline.track.since is not None
        epoch = state.epoch.number if state and kept.newest else 0
        key = CountsKey(epoch, kept.newest, target.queries)
        confirmed: Mapping[str, Sequence[TokenCount]] | None = None
        if key != memory.confirmed:
            confirmed = {}
            if key.newest:
                confirmed = await baseline_answers.confirmed(connection, name, target.queries)
        found[name] = StoredBefore(
            direct=claims.get(name, ()),
            baseline=baseline,
            counts=counts[name],
            confirmed_key=key,
            confirmed=confirmed,
            seen_to_fit=fitted[name],
            hosts=await observations.hosts(connection, name) if suspected else (),
        )
    return found


async def self_claims(
    connection: AsyncConnection,
    asked: Mapping[str, Collection[str]],
    *,
    until: datetime,
    most: int = 100,
) -> Mapping[str, Sequence[frozenset[str]]]:
    """What the latest answers to direct identity queries claimed, by target, newest first.

    `asked`: the queries by target. `until` is now. Answers that claimed nothing are left out.
    """
    pairs = [(target, query) for target, queries in asked.items() for query in queries]
    if not pairs:
        return {}
    values = {
        "targets": [target for target, _ in pairs],
        "queries": [query for _, query in pairs],
        "until": until + observations.PARTITIONS_AHEAD,
        "most": most,
    }
    found: dict[str, list[frozenset[str]]] = {}
    for target, claims in await connection.execute(_SELF_CLAIMS, values):
        if claims:
            found.setdefault(target, []).append(frozenset(claims))
    return found


_SELF_CLAIMS = text("""
    WITH asked AS (
        SELECT target, array_agg(query) AS queries
        FROM unnest(CAST(:targets AS text[]), CAST(:queries AS text[])) AS pair (target, query)
        GROUP BY target
    )
    SELECT asked.target, latest.claims FROM asked CROSS JOIN LATERAL (
        SELECT jsonb_path_query_array(o.evidence, '$[*] ? (@.kind == "self").claim') AS claims
        FROM observations AS o
        WHERE o.target = asked.target AND o.query = ANY(asked.queries) AND o.origin <> 'manual'
            AND o.outcome = 'answered' AND o.started_at <= :until
        ORDER BY o.started_at DESC LIMIT :most
    ) AS latest
""")


async def _baseline(
    connection: AsyncConnection,
    target: Target,
    known: LearntProfile | None,
    *,
    state: BaselineState,
    counts: Sequence[AnswerCount],
) -> StoredBaseline:
    """The current baseline, with the answers to learn from if a model has many more than before.

    Never during a suspicion: all its answers are measured by the same profile.
    """
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
            track = replace(fresh, sources=track.sources)
    return StoredBaseline(state=state, counts=counts, key=key, track=track, answers=answers)


async def store(
    database: Database,
    new: Sequence[Observation],
    learnings: Mapping[UUID, IdentityLearning] | None = None,
    *,
    ends: Sequence[RoundEnd] = (),
    region: str = "",
    worker: str = "",
) -> tuple[int, Sequence[Rejected]]:
    """Store observations; returns how many, and those that the database refuses, with why.

    `learnings`: what was learned from them, by observation; written with it, and only if it is
    stored. `ends`: of rounds of this region and worker. A bad row affects no other row, and a
    failure to learn or to end a round affects no observation. Raises DatabaseUnavailable, and every
    error that no row caused.
    """
    found = [learnings[one.id] for one in new if learnings and one.id in learnings]
    try:
        async with database.begin() as connection:
            stored = await observations.added(connection, new)
            await learn(connection, [one for one in found if one.observation in stored])
            await leases.finish(connection, ends, region=region, worker=worker)
            return len(stored), ()
    except DatabaseRefused as refused:
        if not found:
            raise
        # Only what is learned lacks its tables or rights, perhaps.
        log.error("identity learning failed", extra={"reason": str(refused)})
        return await store(database, new, ends=ends, region=region, worker=worker)
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None) or ""
        if ends and not new:
            log.exception("round status not saved", extra={"count": len(ends)})
            return 0, ()
        if not found and not (new and state.startswith(_BAD_ROW)):
            raise
        if len(new) > 1:
            parts = [new[::2], new[1::2]]
        elif found:
            log.exception("identity learning failed", extra={"target": found[0].target})
            parts, learnings = [new], None
        else:
            parts = []
            constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
            rejected = [(new[0], constraint or f"SQLSTATE {state}")]
    if not parts:
        if ends:
            await store(database, [], ends=ends, region=region, worker=worker)
        return 0, rejected
    results = [await store(database, part, learnings) for part in parts]
    if ends:
        await store(database, [], ends=ends, region=region, worker=worker)
    return sum(count for count, _ in results), [one for _, bad in results for one in bad]


async def learn(connection: AsyncConnection, learnings: Sequence[IdentityLearning]) -> None:
    """Store what was learned from answers, in their order.

    Safe beside other workers that do the same.
    """
    touched = {one.target for one in learnings if one.step or one.captured or one.release}
    states = await fingerprints.states(connection, touched, lock=True) if touched else {}
    kept: dict[str, KeptState] = {}
    answers: list[NewAnswer] = []
    for learning in learnings:
        state = states.get(learning.target)
        if learning.step is not None and state is not None:
            followed = await _follow(connection, learning, state)
            if followed is not None:
                kept[learning.target] = followed
                track, until = followed.track, followed.learnt_until
                state = states[learning.target] = replace(state, track=track, learnt_until=until)
        epoch = state.epoch if state else None
        captured = learning.captured
        if captured is not None and epoch is None:
            epoch = await _begun(connection, learning.target, captured)
            if epoch is not None:
                states[learning.target] = BaselineState(epoch, None, None)
        if captured is not None and epoch is not None:
            answer = (captured.query, captured.answer, captured.model, captured.verified_by)
            answers.append(NewAnswer(epoch, *answer))
        if learning.release and epoch is not None:
            await baseline_answers.release(connection, epoch)
            answers = [one for one in answers if one.epoch != epoch or one.model is not None]
    await fingerprints.keep(connection, kept.values())
    await baseline_answers.add_each(connection, answers)
    fits = {(one.target, fitted) for one in learnings for fitted in one.fits}
    await baseline_answers.fits(connection, fits)


async def _follow(
    connection: AsyncConnection, learning: IdentityLearning, state: BaselineState
) -> KeptState | None:
    """The tracker state after this answer; None: unchanged. `state` is locked.

    If another worker stored a later state meanwhile, the answer is applied to that one. If a person
    accepted another baseline meanwhile, nothing is stored.
    """
    step, style = learning.step, learning.style
    if step is None or style is None or style.learnt.key.epoch != state.epoch.number:
        return None
    until = style.learnt.key.learnt_until
    if until is None:
        return None
    if not style.learnt.recorded and style.learnt.profile is not None:
        others = {m: n for m, n in style.learnt.answers.items() if m != state.epoch.model}
        await fingerprints.learnt(connection, state.epoch, style.learnt.profile, others)
    if (state.track, state.learnt_until) != (style.stored, style.stored_until):
        if state.learnt_until != until:
            return None
        step = step.again(state.track or TrackerState(epoch=state.epoch.number))
    if step.track.standing != step.before.standing:
        await fingerprints.note(
            connection,
            state.epoch,
            step.match,
            observation=learning.observation,
            at=step.evidence.at,
            since=step.track.since or step.before.since,
        )
    return KeptState(learning.target, step.track, until)


async def _begun(
    connection: AsyncConnection, target: str, captured: CapturedAnswer
) -> BaselineEpoch | None:
    if not captured.begins or captured.model is None or captured.verified_by is None:
        return None
    return await fingerprints.begin(
        connection, target, captured.model, verified_by=captured.verified_by
    )

"""The looks of answers, followed: before each probe is judged, after it, and in a burst on doubt.

What a probe's answer looks like is worked out and written down in one transaction that holds
the target's state: two workers cannot count each other's answers away, a restart neither
forgets nor repeats.
"""

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from monitor.cpu_limit import limited
from monitor.domain import ClaimKind, Identity, Observation, Outcome, Query, Reply, Target
from monitor.identity import same
from monitor.identity.fingerprint.features import AnswerText
from monitor.identity.fingerprint.match import StyleMatch, follow_answer
from monitor.identity.fingerprint.profile import StyleProfile, TooFewAnswers, learn_profile
from monitor.identity.fingerprint.tracker import BURST, TrackerState
from monitor.identity.token_counts import counts
from monitor.redaction import plain, redact
from monitor.storage import (
    Connection,
    Database,
    DatabaseUnavailable,
    baseline_answers,
    fingerprints,
    observations,
)
from monitor.storage.fingerprints import BaselineEpoch, BaselineState

log = logging.getLogger(__name__)

PAUSE = timedelta(minutes=1)  # between the probes of a burst
GROWN = 1.25  # times the answers learnt from: then fingerprints are learnt anew
_HOSTS = 3  # named of those where the expected model ran
# Token counts confirm nobody: they are measured by answers that were confirmed.
_CONFIRMING = (ClaimKind.RECEIPT, ClaimKind.HEADER, ClaimKind.SIBLING)


@dataclass(frozen=True, slots=True)
class LearntProfile:
    """Fingerprints in memory; `key` says from which answers."""

    key: tuple[object, ...]
    profile: StyleProfile | None
    reason: str  # there are none


@dataclass(frozen=True, slots=True)
class FingerprintCache:
    """The fingerprints of every target, learnt once and kept as long as they hold."""

    learnt: dict[str, LearntProfile] = field(default_factory=dict)


def answer_of(query: Query, reply: Reply, secrets: Sequence[str]) -> AnswerText:
    """What fingerprints see of a reply. Text that held a secret of ours has no chunks."""
    reported = reply.text
    text = redact(reported, secrets)
    chunks = tuple(piece.text for piece in reply.final_pieces if piece.text)
    return AnswerText(query.id, text, chunks if text == reported else (), counts.disclosed(reply))


async def follow(
    database: Database,
    fingerprint_cache: FingerprintCache,
    target: Target,
    answer: AnswerText,
    *,
    observation: UUID,
    at: datetime,
    extra: bool = False,
) -> StyleMatch | None:
    """Who one whole answer looks like; None where no baseline was ever captured.

    `extra`: it was asked in a burst. With the database away nothing is followed. Raises
    CpuLimitExceeded.
    """
    try:
        async with database.begin() as connection:
            state = await fingerprints.state(connection, target.name)
            if state is None:
                return None
            state = await _in_force(connection, target, state)
            known = await _learnt(connection, fingerprint_cache, target, state)
    except DatabaseUnavailable as unavailable:
        log.warning(
            "fingerprint skipped", extra={"target": target.name, "reason": str(unavailable)}
        )
        return None
    if known.profile is None or state.learnt_until is None:
        return StyleMatch(Identity.UNKNOWN, None, 0.0, reason=f"Writing style: {known.reason}.")
    try:
        async with database.begin() as connection:
            locked = await fingerprints.state(connection, target.name, lock=True)
            if locked is None or locked.epoch != state.epoch:
                return None  # a new baseline was accepted this instant
            before = locked.track or TrackerState(epoch=state.epoch.number)
            track, style_match = limited(
                follow_answer, before, known.profile, answer, at=at, extra=extra
            )
            await fingerprints.keep(connection, target.name, track, learnt_until=state.learnt_until)
            if track.standing != before.standing:
                await fingerprints.note(
                    connection,
                    state.epoch,
                    style_match,
                    observation=observation,
                    at=at,
                    since=track.since or before.since,
                )
    except DatabaseUnavailable as unavailable:
        log.warning(
            "fingerprint state not saved", extra={"target": target.name, "reason": str(unavailable)}
        )
        return None
    return style_match


async def explain_by_host(
    database: Database, target: Target, reply: Reply, style_match: StyleMatch | None
) -> StyleMatch | None:
    """A change that came with another host says so: it is the likeliest reason for it."""
    host = next((claim.value for claim in reply.claims if claim.kind is ClaimKind.HOST), None)
    if style_match is None or style_match.identity is not Identity.CHANGED or host is None:
        return style_match
    try:
        async with database.begin() as connection:
            before = await observations.hosts(connection, target.name)
    except DatabaseUnavailable:
        return style_match
    if not before or host in before:
        return style_match
    usual = ", ".join(plain(name, 40) for name in before[:_HOSTS])
    return replace(
        style_match,
        reason=f"{style_match.reason} The host changed, too: {plain(host, 40)}, before {usual}.",
    )


async def _in_force(connection: Connection, target: Target, state: BaselineState) -> BaselineState:
    """The state with the answers to learn from settled: anew when a model has many more.

    Never under suspicion: what is suspected is measured by one yardstick.
    """
    counts = [
        c for c in await baseline_answers.counts(connection, state.epoch) if c.model is not None
    ]
    if not counts:
        return state
    latest = max(count.latest_at for count in counts)
    if state.learnt_until is None:
        return replace(state, learnt_until=latest)
    if latest <= state.learnt_until or (state.track and state.track.since):
        return state
    before = await baseline_answers.answers(
        connection, state.epoch, target.queries, until=state.learnt_until
    )
    now: Counter[str] = Counter()
    for count in counts:
        now[count.model or ""] += count.answers
    if all(total < GROWN * len(before.get(model, ())) for model, total in now.items()):
        return state
    fresh = TrackerState(epoch=state.epoch.number)
    await fingerprints.keep(connection, target.name, fresh, learnt_until=latest)
    return BaselineState(state.epoch, latest, fresh)


async def _learnt(
    connection: Connection,
    fingerprint_cache: FingerprintCache,
    target: Target,
    state: BaselineState,
) -> LearntProfile:
    worded = hashlib.sha256("\0".join(q.id + q.text for q in target.queries).encode()).hexdigest()
    key = (state.epoch.number, state.learnt_until, worded)
    known = fingerprint_cache.learnt.get(target.name)
    if known and known.key == key:
        return known
    answers = await baseline_answers.answers(
        connection, state.epoch, target.queries, until=state.learnt_until
    )
    profile, reason = await asyncio.to_thread(profiled, state.epoch, answers)
    if profile:
        counts = {model: len(of) for model, of in answers.items() if model != state.epoch.model}
        await fingerprints.learnt(connection, state.epoch, profile, counts)
    fingerprint_cache.learnt[target.name] = LearntProfile(key, profile, reason)
    return fingerprint_cache.learnt[target.name]


def profiled(
    epoch: BaselineEpoch, answers: Mapping[str, Sequence[AnswerText]]
) -> tuple[StyleProfile | None, str]:
    """The looks of an epoch's models, or why there are none yet."""
    others = {model: of for model, of in answers.items() if model != epoch.model}
    try:
        return learn_profile(
            epoch.model,
            answers.get(epoch.model, ()),
            others,
            epoch=epoch.number,
            verified_by=epoch.verified_by,
        ), ""
    except TooFewAnswers as reason:
        return None, str(reason)


async def capture(
    database: Database, target: Target, answer: AnswerText, seen: Observation
) -> None:
    """Learn from an answer whose author the response itself confirms; hold one under suspicion.

    What is held becomes a baseline if a person accepts it, and is forgotten when all is well.
    """
    if seen.outcome is not Outcome.ANSWERED:
        return
    query = next(query for query in target.queries if query.id == answer.query)
    model, verified_by = _confirmed(target, seen)
    try:
        async with database.begin() as connection:
            state = await fingerprints.state(connection, target.name)
            if state is None and seen.identity is Identity.EXPECTED and model and verified_by:
                epoch = await fingerprints.begin(
                    connection, target.name, model, verified_by=verified_by
                )
            elif state is None:
                return
            else:
                epoch = state.epoch
            suspected = state is not None and state.track is not None and state.track.since
            if model and verified_by:
                if not await _full(connection, epoch, query, model):
                    await baseline_answers.add(
                        connection, epoch, query, [answer], model=model, verified_by=verified_by
                    )
            elif suspected and seen.identity is not Identity.EXPECTED:
                await baseline_answers.add(
                    connection, epoch, query, [answer], model=None, verified_by=None
                )
            elif not suspected and seen.identity is Identity.EXPECTED:
                await baseline_answers.release(connection, epoch)
    except DatabaseUnavailable as unavailable:
        log.warning(
            "baseline answer not saved", extra={"target": target.name, "reason": str(unavailable)}
        )


def _confirmed(target: Target, seen: Observation) -> tuple[str | None, str | None]:
    """The declared model that the response's own word confirms, and by which word."""
    sign = {Identity.EXPECTED: -1, Identity.FALLBACK: 1}.get(seen.identity, 0)
    text = [e.kind for e in seen.evidence if e.kind in _CONFIRMING and e.nats * sign > 0]
    if not text or seen.model_detected is None:
        return None, None
    detected = seen.model_detected
    declared = (*target.expected_models, *target.fallback_models)
    model = next((name for name in declared if same(name, detected)), detected)
    return model, "receipt" if ClaimKind.RECEIPT in text else "disclosure"


async def _full(connection: Connection, epoch: BaselineEpoch, query: Query, model: str) -> bool:
    counts = await baseline_answers.counts(connection, epoch)
    return any(
        count.answers >= baseline_answers.MOST
        for count in counts
        if count.model == model and count.query == query.id
    )


async def burst(
    database: Database,
    target: Target,
    ask: Callable[[Query], Awaitable[bool]],
    *,
    pause: timedelta = PAUSE,
) -> int:
    """Up to four probes, a minute apart, while something is suspected; returns how many.

    `ask` sends one probe of origin "burst", stores it, and returns False where no further one
    may be sent: the budget is used up, or the worker leaves. Targets asked every minute or
    more often need none.
    """
    if target.every <= pause:
        return 0
    requested = 0
    queries = target.queries
    while requested < BURST:
        try:
            async with database.begin() as connection:
                state = await fingerprints.state(connection, target.name)
        except DatabaseUnavailable:
            break
        if state is None or state.track is None or not state.track.wants_more:
            break
        await asyncio.sleep(pause.total_seconds())
        if not await ask(queries[requested % len(queries)]):
            break
        requested += 1
    return requested

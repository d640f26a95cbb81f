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
from monitor.identity import counting, same
from monitor.identity.features import Answer
from monitor.identity.looks import Looks, looked
from monitor.identity.profile import Profile, TooFew, learnt
from monitor.identity.tracking import BURST, Track
from monitor.scrub import plain, redact
from monitor.store import Away, Connection, Database, captured, identities, observations
from monitor.store.identities import Epoch, State

log = logging.getLogger(__name__)

PAUSE = timedelta(minutes=1)  # between the probes of a burst
GROWN = 1.25  # times the answers learnt from: then fingerprints are learnt anew
_HOSTS = 3  # named of those where the expected model ran
# Token counts confirm nobody: they are measured by answers that were confirmed.
_CONFIRMING = (ClaimKind.RECEIPT, ClaimKind.HEADER, ClaimKind.SIBLING)


@dataclass(frozen=True, slots=True)
class Learnt:
    """Fingerprints in memory; `key` says from which answers."""

    key: tuple[object, ...]
    profile: Profile | None
    why: str  # there are none


@dataclass(frozen=True, slots=True)
class Gallery:
    """The fingerprints of every target, learnt once and kept as long as they hold."""

    learnt: dict[str, Learnt] = field(default_factory=dict)


def answer_of(query: Query, reply: Reply, secrets: Sequence[str]) -> Answer:
    """What fingerprints see of a reply. Text that held a secret of ours has no chunks."""
    said = reply.text
    text = redact(said, secrets)
    chunks = tuple(piece.text for piece in reply.final_pieces if piece.text)
    return Answer(query.id, text, chunks if text == said else (), counting.disclosed(reply))


async def follow(
    database: Database,
    gallery: Gallery,
    target: Target,
    answer: Answer,
    *,
    observation: UUID,
    at: datetime,
    extra: bool = False,
) -> Looks | None:
    """Who one whole answer looks like; None where no baseline was ever captured.

    `extra`: it was asked in a burst. With the database away nothing is followed. Raises
    CpuLimitExceeded.
    """
    try:
        async with database.begin() as connection:
            state = await identities.state(connection, target.name)
            if state is None:
                return None
            state = await _in_force(connection, target, state)
            known = await _learnt(connection, gallery, target, state)
    except Away as away:
        log.warning("looks not followed", extra={"target": target.name, "why": str(away)})
        return None
    if known.profile is None or state.learnt_until is None:
        return Looks(Identity.UNKNOWN, None, 0.0, reason=f"Writing style: {known.why}.")
    try:
        async with database.begin() as connection:
            locked = await identities.state(connection, target.name, lock=True)
            if locked is None or locked.epoch != state.epoch:
                return None  # a new baseline was accepted this instant
            before = locked.track or Track(epoch=state.epoch.number)
            track, looks = limited(looked, before, known.profile, answer, at=at, extra=extra)
            await identities.keep(connection, target.name, track, learnt_until=state.learnt_until)
            if track.standing != before.standing:
                await identities.note(
                    connection, state.epoch, looks, observation=observation, at=at,
                    since=track.since or before.since,
                )  # fmt: skip
    except Away as away:
        log.warning("looks not kept", extra={"target": target.name, "why": str(away)})
        return None
    return looks


async def moved(
    database: Database, target: Target, reply: Reply, looks: Looks | None
) -> Looks | None:
    """A change that came with another host says so: it is the likeliest reason for it."""
    host = next((claim.value for claim in reply.claims if claim.kind is ClaimKind.HOST), None)
    if looks is None or looks.identity is not Identity.CHANGED or host is None:
        return looks
    try:
        async with database.begin() as connection:
            before = await observations.hosts(connection, target.name)
    except Away:
        return looks
    if not before or host in before:
        return looks
    usual = ", ".join(plain(name, 40) for name in before[:_HOSTS])
    return replace(looks, reason=f"{looks.reason} It came with another host: {plain(host, 40)}, "
                                 f"before {usual}.")  # fmt: skip


async def _in_force(connection: Connection, target: Target, state: State) -> State:
    """The state with the answers to learn from settled: anew when a model has many more.

    Never under suspicion: what is suspected is measured by one yardstick.
    """
    counts = [c for c in await captured.counts(connection, state.epoch) if c.model is not None]
    if not counts:
        return state
    latest = max(count.latest_at for count in counts)
    if state.learnt_until is None:
        return replace(state, learnt_until=latest)
    if latest <= state.learnt_until or (state.track and state.track.since):
        return state
    before = await captured.answers(
        connection, state.epoch, target.queries, until=state.learnt_until
    )
    now: Counter[str] = Counter()
    for count in counts:
        now[count.model or ""] += count.answers
    if all(total < GROWN * len(before.get(model, ())) for model, total in now.items()):
        return state
    fresh = Track(epoch=state.epoch.number)
    await identities.keep(connection, target.name, fresh, learnt_until=latest)
    return State(state.epoch, latest, fresh)


async def _learnt(connection: Connection, gallery: Gallery, target: Target, state: State) -> Learnt:
    worded = hashlib.sha256("\0".join(q.id + q.text for q in target.queries).encode()).hexdigest()
    key = (state.epoch.number, state.learnt_until, worded)
    known = gallery.learnt.get(target.name)
    if known and known.key == key:
        return known
    answers = await captured.answers(
        connection, state.epoch, target.queries, until=state.learnt_until
    )
    profile, why = await asyncio.to_thread(profiled, state.epoch, answers)
    if profile:
        counts = {model: len(of) for model, of in answers.items() if model != state.epoch.model}
        await identities.learnt(connection, state.epoch, profile, counts)
    gallery.learnt[target.name] = Learnt(key, profile, why)
    return gallery.learnt[target.name]


def profiled(epoch: Epoch, answers: Mapping[str, Sequence[Answer]]) -> tuple[Profile | None, str]:
    """The looks of an epoch's models, or why there are none yet."""
    others = {model: of for model, of in answers.items() if model != epoch.model}
    try:
        return learnt(epoch.model, answers.get(epoch.model, ()), others, epoch=epoch.number,
                      verified_by=epoch.verified_by), ""  # fmt: skip
    except TooFew as why:
        return None, str(why)


async def capture(database: Database, target: Target, answer: Answer, seen: Observation) -> None:
    """Learn from an answer whose author the response itself confirms; hold one under suspicion.

    What is held becomes a baseline if a person accepts it, and is forgotten when all is well.
    """
    if seen.outcome is not Outcome.ANSWERED:
        return
    query = next(query for query in target.queries if query.id == answer.query)
    model, verified_by = _confirmed(target, seen)
    try:
        async with database.begin() as connection:
            state = await identities.state(connection, target.name)
            if state is None and seen.identity is Identity.EXPECTED and model and verified_by:
                epoch = await identities.begin(
                    connection, target.name, model, verified_by=verified_by
                )
            elif state is None:
                return
            else:
                epoch = state.epoch
            suspected = state is not None and state.track is not None and state.track.since
            if model and verified_by:
                if not await _full(connection, epoch, query, model):
                    await captured.add(
                        connection, epoch, query, [answer], model=model, verified_by=verified_by
                    )
            elif suspected and seen.identity is not Identity.EXPECTED:
                await captured.add(connection, epoch, query, [answer], model=None, verified_by=None)
            elif not suspected and seen.identity is Identity.EXPECTED:
                await captured.release(connection, epoch)
    except Away as away:
        log.warning("answer not learnt", extra={"target": target.name, "why": str(away)})


def _confirmed(target: Target, seen: Observation) -> tuple[str | None, str | None]:
    """The declared model that the response's own word confirms, and by which word."""
    sign = {Identity.EXPECTED: -1, Identity.FALLBACK: 1}.get(seen.identity, 0)
    words = [e.kind for e in seen.evidence if e.kind in _CONFIRMING and e.nats * sign > 0]
    if not words or seen.model_detected is None:
        return None, None
    detected = seen.model_detected
    declared = (*target.expected_models, *target.fallback_models)
    model = next((name for name in declared if same(name, detected)), detected)
    return model, "receipt" if ClaimKind.RECEIPT in words else "disclosure"


async def _full(connection: Connection, epoch: Epoch, query: Query, model: str) -> bool:
    counts = await captured.counts(connection, epoch)
    return any(
        count.answers >= captured.MOST
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
    asked = 0
    queries = target.queries
    while asked < BURST:
        try:
            async with database.begin() as connection:
                state = await identities.state(connection, target.name)
        except Away:
            break
        if state is None or state.track is None or not state.track.wants_more:
            break
        await asyncio.sleep(pause.total_seconds())
        if not await ask(queries[asked % len(queries)]):
            break
        asked += 1
    return asked

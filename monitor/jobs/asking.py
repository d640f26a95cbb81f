"""The probe job: claim a slot, ask its canned queries one after another, store what came back."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import uuid4

from monitor import identity
from monitor.cpu_limit import CpuLimitExceeded, limited
from monitor.dialects import dialect_of, read
from monitor.domain import Ending, Observation, Outcome, Query, Target, Transcript
from monitor.identity.features import Answer
from monitor.jobs import accounting, identifying, interpreting, thinning
from monitor.jobs.spooling import keep
from monitor.jobs.watch import Watch
from monitor.measure import outcome
from monitor.observe import Occasion, observe
from monitor.store import Away, budget, observations, short_waits, slots
from monitor.wire import exchange, quiet
from monitor.wire.head import LONGEST_WAIT_S

LONGEST_ANSWER = 200_000  # characters; a longer one is neither compared nor learnt from

log = logging.getLogger(__name__)

TAKEN = "another worker asks it"
NOT_RUNNING = "no worker was running when it was due"
STILL_ASKING = "the round before it took too long"
BACKING_OFF = "the service is rate limiting (HTTP 429): backing off as its Retry-After asks"
BEFORE_S = 5  # what a database may take before a probe: after it the probe goes without
LONGEST_BACK_OFF = timedelta(seconds=LONGEST_WAIT_S)


async def ask_round(
    watch: Watch, target: Target, slot: datetime, *, between: Callable[[], Awaitable[None]]
) -> int:
    """Ask one round; returns how many observations came of it. `between` runs after each but
    the last, while nothing is measured.

    With the database away the round is asked all the same: its observations wait in the
    spool, and the first row of a slot wins when the database is back. A frozen one delays the
    round by seconds.
    """
    with short_waits():
        return await _asked(watch, target, slot, between)


async def _asked(
    watch: Watch, target: Target, slot: datetime, between: Callable[[], Awaitable[None]]
) -> int:
    why, queries = await _admitted(watch, target, slot)
    if why:
        log.info("round missed", extra={"target": target.name, "slot": slot, "why": why})
        watch.metrics.round(target.name, whole=why in (TAKEN, thinning.THINNED))
        return 0
    asked, missed = 0, thinning.THINNED if len(queries) < len(target.queries) else None
    with quiet():
        for query in queries:
            spent_up, history = await _before(watch, target)
            if spent_up or watch.leaving.is_set():
                missed = spent_up or "the worker was stopped"
                break
            observation = await probe(watch, target, query, slot=slot, history=history)
            watch.metrics.observed(observation)
            await keep(watch, [observation])
            asked += 1
            if observation.outcome.good is None:
                missed = observation.error or observation.outcome.value
                break
            if query is not queries[-1]:
                await between()
    watch.metrics.round(target.name, whole=missed in (None, thinning.THINNED))
    await _finish(watch, target, slot, missed)
    return asked


async def _admitted(
    watch: Watch, target: Target, slot: datetime
) -> tuple[str | None, Sequence[Query]]:
    """Why this worker is not to ask the round, if so; and the queries it is to ask."""
    missed = BACKING_OFF if _backing_off(watch, target) else None
    queries: Sequence[Query] = target.queries
    try:
        async with watch.database.begin(deadline_s=BEFORE_S) as connection:
            if not await slots.claim(connection, target.name, watch.region, slot, watch.worker):
                return TAKEN, ()
            if missed is None:
                queries = await thinning.asked(connection, watch, target, slot)
                missed = None if queries else thinning.THINNED
            if missed:
                await slots.finish(connection, target.name, watch.region, slot, missed=missed)
    except Away as away:
        log.warning("slot not claimed", extra={"target": target.name, "why": str(away)})
    return missed, queries


def _backing_off(watch: Watch, target: Target) -> bool:
    """Whether a 429 asked us to wait. An end further away than we ever wait is a clock's error."""
    until = watch.patience.get(target.name)
    return until is not None and timedelta(0) < until - watch.now() <= LONGEST_BACK_OFF


async def note_missed(
    watch: Watch, target: Target, slot: datetime, *, reason: str = NOT_RUNNING
) -> None:
    """Record that nobody probed a slot, where the target was probed before. Raises Away."""
    async with watch.database.begin() as connection:
        if await slots.miss(
            connection, target.name, watch.region, slot, worker=watch.worker, reason=reason
        ):
            facts = {"target": target.name, "slot": slot, "why": reason}
            log.warning("round missed", extra=facts)


async def _before(watch: Watch, target: Target) -> tuple[str | None, identity.Standing]:
    """Why no further probe may be paid for today, if so; and what direct questions said.

    The budget is counted in the database before each probe, so that no restart evades it, and
    with it what waits in the spool. While the database is away, what it last said counts.
    """
    probes, history = watch.settings.file.probes, identity.Standing()
    midnight = watch.now().replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        async with watch.database.begin(deadline_s=BEFORE_S) as connection:
            spent = await budget.today(connection)
            direct = [query.id for query in target.queries if query.identity]
            history = identity.recalled(
                await observations.direct_answers(
                    connection, target.name, direct, until=watch.now()
                )
            )
        watch.spent.clear()
        watch.spent[midnight] = spent
    except Away:
        spent = watch.spent.get(midnight, budget.Probed(Decimal(0), 0))
    spent += watch.spool.spent(midnight)
    if spent.high_usd >= probes.daily_budget_usd or spent.count >= probes.max_per_day:
        return "the daily budget of probes is used up", history
    return None, history


async def probe(
    watch: Watch,
    target: Target,
    query: Query,
    *,
    slot: datetime,
    origin: str = "round",
    history: identity.Standing,
) -> Observation:
    """Ask one query once. Never retried: a retry hides what is measured and pays twice."""
    identity.prepare()
    dialect = dialect_of(target)
    transcript = await exchange(
        dialect.ask(query, target), dialect=dialect, target=target, query=query, probe=uuid4(),
        http=watch.wire, raw=False,
    )  # fmt: skip
    # A 503 announces an outage: probing goes on, so that its length is known.
    if transcript.retry_after_s is not None and transcript.status == 429:
        wait = timedelta(seconds=transcript.retry_after_s)
        watch.patience[target.name] = watch.now() + wait
    occasion = Occasion(
        target=target,
        query=query,
        origin=origin,
        slot=slot,
        region=watch.region,
        worker=watch.worker,
        config_hash=watch.settings.config_hash,
        excerpt_chars=watch.settings.file.storage.excerpt_chars,
        secrets=watch.settings.secrets,
    )
    try:
        seen, answer = await _interpreted(watch, transcript, occasion, history)
    except CpuLimitExceeded:
        log.warning("interpretation stopped", extra={"target": target.name, "id": transcript.id})
        watch.metrics.interpretation_stopped(target.name)
        return interpreting.uninterpreted(transcript, occasion, dialect=dialect, book=watch.book)
    if answer is not None:
        await identifying.capture(watch.database, target, answer, seen)
    return seen


async def _interpreted(
    watch: Watch, transcript: Transcript, occasion: Occasion, history: identity.Standing
) -> tuple[Observation, Answer | None]:
    """The observation, and the answer where it is a whole one.

    A step is limited in its CPU time, and between two steps others get their turn. Raises
    CpuLimitExceeded.
    """
    target, query = occasion.target, occasion.query
    dialect = dialect_of(target)
    reply = limited(read, dialect, transcript)
    await asyncio.sleep(0)
    whole = outcome(transcript, reply)[0] is Outcome.ANSWERED
    answer = None
    if whole and sum(len(piece.text) for piece in reply.pieces) <= LONGEST_ANSWER:
        answer = limited(identifying.answer_of, query, reply, occasion.secrets)
        await asyncio.sleep(0)
    looks = None
    if answer is not None:
        looks = await identifying.follow(
            watch.database, watch.gallery, target, answer,
            observation=transcript.id, at=transcript.started_at,
            extra=occasion.origin == "burst",
        )  # fmt: skip
        looks = await identifying.moved(watch.database, target, reply, looks)
    accounts = None
    if whole and transcript.ending is not Ending.CUT:
        accounts = await accounting.accounts(
            watch.database, watch.confirmed, watch.counters, target, query, reply,
            at=transcript.started_at,
        )  # fmt: skip
    seen = limited(
        observe, transcript, occasion, dialect=dialect, book=watch.book, standing=history,
        looks=looks, accounts=accounts, reply=reply,
    )  # fmt: skip
    return seen, answer


async def ask_more(watch: Watch, target: Target, query: Query) -> bool:
    """One further probe on suspicion; False where none may be sent any more."""
    spent_up, history = await _before(watch, target)
    if spent_up or watch.leaving.is_set():
        return False
    with quiet():
        seen = await probe(watch, target, query, slot=watch.now(), origin="burst", history=history)
    watch.metrics.observed(seen)
    await keep(watch, [seen])
    return seen.outcome.good is not None


async def _finish(watch: Watch, target: Target, slot: datetime, missed: str | None) -> None:
    try:
        async with watch.database.begin() as connection:
            await slots.finish(connection, target.name, watch.region, slot, missed=missed)
    except Away as away:
        log.warning("round not marked", extra={"target": target.name, "why": str(away)})

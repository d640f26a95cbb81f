"""Answers interpreted within a limit of CPU time: what takes longer is stored as unknown.

Every function involved is linear and reads a bounded part of an answer; the limit is for the
mistake nobody has found yet. It is enforced on the event loop, step by step.

Source: docs/adr/0010-limit-on-interpretation.md
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import uuid4

from monitor import identity
from monitor.cpu_limit import LIMIT_S, CpuLimitExceeded, limited
from monitor.dialects import dialect_of, read, unread
from monitor.domain import Dialect, Ending, Observation, Outcome, Query, Target, Transcript
from monitor.identity.fingerprint.features import AnswerText
from monitor.pricing.book import PriceBook
from monitor.probing.client import exchange
from monitor.probing.http_message import LONGEST_WAIT_S
from monitor.probing.observe import ProbeOccasion, observe
from monitor.probing.resources import gc_paused
from monitor.probing.timing import outcome
from monitor.storage import DatabaseUnavailable, leases, observations, short_waits, spend_rows
from monitor.worker import fingerprinting, probe_throttling, token_counting
from monitor.worker.context import WorkerContext
from monitor.worker.outage import keep

EXCEEDED = (
    f"Interpreting the answer took more than {LIMIT_S * 1000:.0f} ms of CPU time and was stopped; "
    "the model was not identified."
)


def observed(
    transcript: Transcript, occasion: ProbeOccasion, *, dialect: Dialect, book: PriceBook
) -> Observation:
    """One probe's observation, without fingerprint, token counts and earlier answers."""
    identity.prepare()
    try:
        return limited(
            observe,
            transcript,
            occasion,
            dialect=dialect,
            book=book,
            self_id_history=identity.SelfIdHistory(),
        )
    except CpuLimitExceeded:
        return uninterpreted(transcript, occasion, dialect=dialect, book=book)


def uninterpreted(
    transcript: Transcript, occasion: ProbeOccasion, *, dialect: Dialect, book: PriceBook
) -> Observation:
    """The observation of an answer whose interpretation exceeded the limit."""
    return observe(
        transcript,
        occasion,
        dialect=dialect,
        book=book,
        self_id_history=identity.SelfIdHistory(),
        reply=unread(transcript),
        uninterpreted=EXCEEDED,
    )


# The probe job: claim a slot, ask its canned queries one after another, store what came back.


LONGEST_ANSWER = 200_000  # characters; a longer one is neither compared nor learnt from

log = logging.getLogger(__name__)

TAKEN = "another worker runs it"
NOT_RUNNING = "no worker was running when it was due"
STILL_ASKING = "the previous round took too long"
BACKING_OFF = "the service is rate limiting (HTTP 429): waiting as its Retry-After demands"
BEFORE_S = 5  # what a database may take before a probe: after it the probe goes without
LONGEST_BACK_OFF = timedelta(seconds=LONGEST_WAIT_S)


async def run_round(
    context: WorkerContext,
    target: Target,
    slot: datetime,
    *,
    between: Callable[[], Awaitable[None]],
) -> int:
    """Ask one round; returns how many observations came of it. `between` runs after each but
    the last, while nothing is measured.

    With the database away the round is asked all the same: its observations wait in the
    spool, and the first row of a slot wins when the database is back. A frozen one delays the
    round by seconds.
    """
    with short_waits():
        return await _probe_queries(context, target, slot, between)


async def _probe_queries(
    context: WorkerContext, target: Target, slot: datetime, between: Callable[[], Awaitable[None]]
) -> int:
    reason, queries = await _admitted(context, target, slot)
    if reason:
        log.info("round missed", extra={"target": target.name, "slot": slot, "reason": reason})
        context.metrics.round(target.name, whole=reason in (TAKEN, probe_throttling.THINNED))
        return 0
    requested, missed = 0, probe_throttling.THINNED if len(queries) < len(target.queries) else None
    with gc_paused():
        for query in queries:
            spent_up, history = await _budget_and_history(context, target)
            if spent_up or context.state.leaving.is_set():
                missed = spent_up or "the worker was stopped"
                break
            observation = await probe(context, target, query, slot=slot, history=history)
            context.metrics.observed(observation)
            await keep(context, [observation])
            requested += 1
            if observation.outcome.good is None:
                missed = observation.error or observation.outcome.value
                break
            if query is not queries[-1]:
                await between()
    context.metrics.round(target.name, whole=missed in (None, probe_throttling.THINNED))
    await _finish(context, target, slot, missed)
    return requested


async def _admitted(
    context: WorkerContext, target: Target, slot: datetime
) -> tuple[str | None, Sequence[Query]]:
    """Why this worker is not to ask the round, if so; and the queries it is to ask."""
    missed = BACKING_OFF if _backing_off(context, target) else None
    queries: Sequence[Query] = target.queries
    try:
        async with context.database.begin(deadline_s=BEFORE_S) as connection:
            if not await leases.claim(
                connection, target.name, context.region, slot, context.worker
            ):
                return TAKEN, ()
            if missed is None:
                queries = await probe_throttling.queries_of_round(connection, context, target, slot)
                missed = None if queries else probe_throttling.THINNED
            if missed:
                await leases.finish(connection, target.name, context.region, slot, missed=missed)
    except DatabaseUnavailable as unavailable:
        log.warning("round claim failed", extra={"target": target.name, "reason": str(unavailable)})
    return missed, queries


def _backing_off(context: WorkerContext, target: Target) -> bool:
    """Whether a 429 asked us to wait. An end further away than we ever wait is a clock's error."""
    until = context.state.backoff_until.get(target.name)
    return until is not None and timedelta(0) < until - context.now() <= LONGEST_BACK_OFF


async def note_missed(
    context: WorkerContext, target: Target, slot: datetime, *, reason: str = NOT_RUNNING
) -> None:
    """Record that nobody probed a slot, where the target was probed before. Raises Away."""
    async with context.database.begin() as connection:
        if await leases.miss(
            connection, target.name, context.region, slot, worker=context.worker, reason=reason
        ):
            facts = {"target": target.name, "slot": slot, "reason": reason}
            log.warning("round missed", extra=facts)


async def _budget_and_history(
    context: WorkerContext, target: Target
) -> tuple[str | None, identity.SelfIdHistory]:
    """Why no further probe may be paid for today, if so; and what direct questions said.

    The budget is counted in the database before each probe, so that no restart evades it, and
    with it what waits in the spool. While the database is away, what it last said counts.
    """
    probes, history = context.settings.file.probes, identity.SelfIdHistory()
    midnight = context.now().replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        async with context.database.begin(deadline_s=BEFORE_S) as connection:
            spent = await spend_rows.today(connection)
            direct = [query.id for query in target.queries if query.identity]
            history = identity.self_id_history(
                await observations.direct_answers(
                    connection, target.name, direct, until=context.now()
                )
            )
        context.state.spent.clear()
        context.state.spent[midnight] = spent
    except DatabaseUnavailable:
        spent = context.state.spent.get(midnight, spend_rows.ProbesSpent(Decimal(0), 0))
    spent += context.state.spool.spent(midnight)
    if spent.high_usd >= probes.daily_budget_usd or spent.count >= probes.max_per_day:
        return "the daily probe budget is used up", history
    return None, history


async def probe(
    context: WorkerContext,
    target: Target,
    query: Query,
    *,
    slot: datetime,
    origin: str = "round",
    history: identity.SelfIdHistory,
) -> Observation:
    """Ask one query once. Never retried: a retry hides what is measured and pays twice."""
    identity.prepare()
    dialect = dialect_of(target)
    transcript = await exchange(
        dialect.build_request(query, target),
        dialect=dialect,
        target=target,
        query=query,
        probe=uuid4(),
        http=context.client,
        raw=False,
    )
    # A 503 announces an outage: probing goes on, so that its length is known.
    if transcript.retry_after_s is not None and transcript.status == 429:
        wait = timedelta(seconds=transcript.retry_after_s)
        context.state.backoff_until[target.name] = context.now() + wait
    occasion = ProbeOccasion(
        target=target,
        query=query,
        origin=origin,
        slot=slot,
        region=context.region,
        worker=context.worker,
        config_hash=context.settings.config_hash,
        excerpt_chars=context.settings.file.storage.excerpt_chars,
        secrets=context.settings.secrets,
    )
    try:
        seen, answer = await _interpreted(context, transcript, occasion, history)
    except CpuLimitExceeded:
        log.warning("interpretation stopped", extra={"target": target.name, "id": transcript.id})
        context.metrics.interpretation_stopped(target.name)
        return uninterpreted(transcript, occasion, dialect=dialect, book=context.book)
    if answer is not None:
        await fingerprinting.capture(context.database, target, answer, seen)
    return seen


async def _interpreted(
    context: WorkerContext,
    transcript: Transcript,
    occasion: ProbeOccasion,
    history: identity.SelfIdHistory,
) -> tuple[Observation, AnswerText | None]:
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
        answer = limited(fingerprinting.answer_of, query, reply, occasion.secrets)
        await asyncio.sleep(0)
    style_match = None
    if answer is not None:
        style_match = await fingerprinting.follow(
            context.database,
            context.state.fingerprint_cache,
            target,
            answer,
            observation=transcript.id,
            at=transcript.started_at,
            extra=occasion.origin == "burst",
        )
        style_match = await fingerprinting.explain_by_host(
            context.database, target, reply, style_match
        )
    accounts = None
    if whole and transcript.ending is not Ending.CUT:
        accounts = await token_counting.accounts(
            context.database,
            context.state.confirmed_counts,
            context.counters,
            target,
            query,
            reply,
            at=transcript.started_at,
        )
    seen = limited(
        observe,
        transcript,
        occasion,
        dialect=dialect,
        book=context.book,
        self_id_history=history,
        style_match=style_match,
        accounts=accounts,
        reply=reply,
    )
    return seen, answer


async def probe_again(context: WorkerContext, target: Target, query: Query) -> bool:
    """One further probe on suspicion; False where none may be sent any more."""
    spent_up, history = await _budget_and_history(context, target)
    if spent_up or context.state.leaving.is_set():
        return False
    with gc_paused():
        seen = await probe(
            context, target, query, slot=context.now(), origin="burst", history=history
        )
    context.metrics.observed(seen)
    await keep(context, [seen])
    return seen.outcome.good is not None


async def _finish(
    context: WorkerContext, target: Target, slot: datetime, missed: str | None
) -> None:
    try:
        async with context.database.begin() as connection:
            await leases.finish(connection, target.name, context.region, slot, missed=missed)
    except DatabaseUnavailable as unavailable:
        log.warning(
            "round status not saved", extra={"target": target.name, "reason": str(unavailable)}
        )

"""Probes a round, and interprets its answers within a limit of CPU time.

Every function involved is linear and reads a bounded part of an answer; the limit protects against
an unknown bug. It is enforced on the event loop, step by step; an answer that exceeds it is stored
with an unknown model. Source: docs/adr/0010-limit-on-interpretation.md
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

from monitor import identity
from monitor.cpu_limit import LIMIT_S, CpuLimitExceeded, Parameters, Result, limited
from monitor.dialects import dialect_of, read, unread
from monitor.domain import (
    Dialect,
    Identity,
    IdentityJudgement,
    Observation,
    Outcome,
    Query,
    Reply,
    Target,
    Transcript,
)
from monitor.identity import AnswerEvidence, IdentityContext, IdentityLearning
from monitor.identity.fingerprint.features import AnswerText
from monitor.identity.token_counts.counts import Counter, counted, disclosed
from monitor.pricing.book import PriceBook
from monitor.probing.client import exchange
from monitor.probing.http_message import LONGEST_WAIT_S
from monitor.probing.observe import (
    AnswerCheck,
    ProbeOccasion,
    ReadTranscript,
    checked,
    evidence,
    observe,
    redacted,
)
from monitor.probing.resources import gc_paused
from monitor.redaction import redact
from monitor.storage import DatabaseUnavailable, leases, short_waits
from monitor.worker import identity_memory, probe_throttling
from monitor.worker.context import SpentOn, WorkerContext
from monitor.worker.identity_memory import counters_of
from monitor.worker.outage import keep

EXCEEDED = (
    f"Interpreting the answer took more than {LIMIT_S * 1000:.0f} ms of CPU time and was stopped; "
    "the model was not identified."
)
CHECK_EXCEEDED = (
    f"matches: the pattern took more than {LIMIT_S * 1000:.0f} ms of CPU time; write a simpler one"
)
LONGEST_ANSWER = 200_000  # characters; a longer answer is neither compared nor captured
LARGE_EVENTS = 10_000
LONG_STEP_S = 0.005

log = logging.getLogger(__name__)

TAKEN = "another worker runs it"
NOT_RUNNING = "no worker was running when it was due"
STILL_ASKING = "the previous round took too long"
BACKING_OFF = "the service is rate limiting (HTTP 429): waiting as its Retry-After demands"
BEFORE_S = 5  # how long a database may take before a probe; after that the probe goes without it
LONGEST_BACK_OFF = timedelta(seconds=LONGEST_WAIT_S)


async def run_round(
    context: WorkerContext,
    target: Target,
    slot: datetime,
    *,
    between: Callable[[], Awaitable[None]],
) -> Sequence[Observation]:
    """Probe one round; returns its observations.

    `between` runs after each query but the last, while nothing is measured. Without the database
    the round is probed anyway: its observations wait in the spool, and the first row of a slot wins
    when the database is back. A frozen database delays the round by seconds.
    """
    with short_waits():
        return await _probe_queries(context, target, slot, between)


async def _probe_queries(
    context: WorkerContext, target: Target, slot: datetime, between: Callable[[], Awaitable[None]]
) -> Sequence[Observation]:
    reason, queries = await _admitted(context, target, slot)
    if reason:
        log.info("round missed", extra={"target": target.name, "slot": slot, "reason": reason})
        context.metrics.round(target.name, whole=reason in (TAKEN, probe_throttling.THINNED))
        return ()
    seen: list[Observation] = []
    missed = probe_throttling.THINNED if len(queries) < len(target.queries) else None
    with gc_paused():
        for query in queries:
            spent_up, known = await before_probe(context, target)
            if spent_up or context.state.leaving.is_set():
                missed = spent_up or "the worker was stopped"
                break
            made = await probe(context, target, query, slot=slot, known=known)
            await keep_probe(context, made)
            observation = made.observation
            seen.append(observation)
            if observation.outcome.good is None:
                missed = observation.error or observation.outcome.value
                break
            if query is not queries[-1]:
                await between()
    context.metrics.round(target.name, whole=missed in (None, probe_throttling.THINNED))
    await _finish(context, target, slot, missed)
    return seen


async def _admitted(
    context: WorkerContext, target: Target, slot: datetime
) -> tuple[str | None, Sequence[Query]]:
    """Why this worker is not to probe the round, if so; and the queries to send."""
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
    """Whether an HTTP 429 asked us to wait. An end later than the longest wait is a clock error."""
    until = context.state.backoff_until.get(target.name)
    return until is not None and timedelta(0) < until - context.now() <= LONGEST_BACK_OFF


async def note_missed(
    context: WorkerContext, target: Target, slot: datetime, *, reason: str = NOT_RUNNING
) -> None:
    """Record a missed slot, if the target was probed before. Raises DatabaseUnavailable."""
    async with context.database.begin() as connection:
        if await leases.miss(
            connection, target.name, context.region, slot, worker=context.worker, reason=reason
        ):
            facts = {"target": target.name, "slot": slot, "reason": reason}
            log.warning("round missed", extra=facts)


async def before_probe(
    context: WorkerContext, target: Target
) -> tuple[str | None, IdentityContext]:
    """Why no further probe may be paid for today, if so; and what is known about the target.

    Read from the database before each probe: no restart evades the budget, and the previous answer
    counts for this one. What waits in the spool is added to the spend. While the database is away,
    its last figures count, and nothing is known about the target.
    """
    probes, now, state = context.settings.file.probes, context.now(), context.state
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    known = IdentityContext()
    try:
        before = await identity_memory.load(
            context.database, state.identity, target, now=now, deadline_s=BEFORE_S
        )
        known, state.spent = before.identity, SpentOn(midnight, before.spent)
    except DatabaseUnavailable as unavailable:
        log.warning(
            "identity history skipped", extra={"target": target.name, "reason": str(unavailable)}
        )
    spent = state.spool.spent(midnight)
    if state.spent is not None and state.spent.midnight == midnight:
        spent += state.spent.probes
    if spent.high_usd >= probes.daily_budget_usd or spent.count >= probes.max_per_day:
        return "the daily probe budget is used up", known
    return None, known


@dataclass(frozen=True, slots=True)
class InterpretedProbe:
    """One probe's observation, and what was learned from it. `stopped`: it exceeded the limit."""

    observation: Observation
    learning: IdentityLearning | None = None
    stopped: bool = False


async def probe(
    context: WorkerContext,
    target: Target,
    query: Query,
    *,
    slot: datetime,
    origin: str = "round",
    known: IdentityContext,
) -> InterpretedProbe:
    """Send one query once. Never retried: a retry hides what is measured and costs twice."""
    identity.prepare()
    dialect = dialect_of(target)
    with ExitStack() as held:  # until it is interpreted, an answer counts as memory of the streams
        transcript = await exchange(
            dialect.build_request(query, target),
            dialect=dialect,
            target=target,
            query=query,
            probe=uuid4(),
            http=context.client,
            raw=False,
            held=held,
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
        made = await interpreted(
            transcript,
            occasion,
            dialect=dialect,
            book=context.book,
            known=known,
            counters=context.counters,
            large=context.state.interpreting,
        )
    if made.stopped:
        log.warning("interpretation stopped", extra={"target": target.name, "id": transcript.id})
        context.metrics.interpretation_stopped(target.name)
    return made


async def interpreted(
    transcript: Transcript,
    occasion: ProbeOccasion,
    *,
    dialect: Dialect,
    book: PriceBook,
    known: IdentityContext | None,
    counters: Mapping[str, Counter] | None = None,
    large: asyncio.Lock | None = None,
) -> InterpretedProbe:
    """A transcript parsed, judged and priced, with what was `known` before the probe.

    `known` None: judged on its own, without writing style, token counts or history. Each step has a
    limit of CPU time, and other tasks run between two steps. An answer that exceeds the limit keeps
    its times, outcome and tokens; its model is unknown. A very large answer holds the lock `large`,
    so that the memory for one at a time is needed.
    """
    async with large if large and _large(transcript) else nullcontext():
        return await _interpreted(transcript, occasion, dialect, book, known, counters)


async def _interpreted(
    transcript: Transcript,
    occasion: ProbeOccasion,
    dialect: Dialect,
    book: PriceBook,
    known: IdentityContext | None,
    counters: Mapping[str, Counter] | None,
) -> InterpretedProbe:
    try:
        probed = await _step(_read, transcript, dialect)
        answer = count = None
        if known is not None:
            if probed.outcome is Outcome.ANSWERED and _comparable(probed.reply):
                answer = await _step(answer_of, occasion.query, probed.reply, occasion.secrets)
            if probed.whole:
                own = counters_of(occasion.target, counters or {})
                count = await _step(counted, probed.reply, occasion.query.id, own)
        said = limited(evidence, probed, occasion, answer=answer, count=count)
        judged = await _step(_judged, said, occasion, known or IdentityContext())
        target = occasion.target
        models = (judged.judgement.model, *target.expected_models, *target.fallback_models)
        book.prepare(models, at=transcript.started_at)
        check = await _checked(probed, occasion)
        seen = await _step(
            observe, probed, occasion, said, judged.judgement, book=book, check=check
        )
    except CpuLimitExceeded:
        return InterpretedProbe(_uninterpreted(transcript, occasion, book), stopped=True)
    if known is None:
        return InterpretedProbe(seen)
    learnt = identity.learning(
        judged, said, occasion.target, known, outcome=seen.outcome, observation=seen.id
    )
    return InterpretedProbe(seen, learnt)


async def _step(
    work: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """The result of `work`, within the limit.

    Other tasks run afterwards, after a long step for as long as it took.
    """
    began = time.perf_counter()
    result = limited(work, *args, **kwargs)
    took = time.perf_counter() - began
    await asyncio.sleep(took if took > LONG_STEP_S else 0)
    return result


async def _checked(probed: ReadTranscript, occasion: ProbeOccasion) -> AnswerCheck | None:
    """The check of the content. A pattern that takes too long gives no result."""
    try:
        return await _step(checked, probed, occasion)
    except CpuLimitExceeded:
        return AnswerCheck(None, CHECK_EXCEEDED)


def _large(transcript: Transcript) -> bool:
    """Whether it is far larger than any legitimate answer, so that it is interpreted alone."""
    return (
        len(transcript.heard) > LARGE_EVENTS
        or sum(len(h.text) + len(h.reasoning) for h in transcript.heard) > LONGEST_ANSWER
    )


def _read(transcript: Transcript, dialect: Dialect) -> ReadTranscript:
    return ReadTranscript.of(transcript, read(dialect, transcript))


def _comparable(reply: Reply) -> bool:
    return sum(len(piece.text) for piece in reply.pieces) <= LONGEST_ANSWER


def _judged(
    said: AnswerEvidence, occasion: ProbeOccasion, known: IdentityContext
) -> identity.JudgedAnswer:
    judged = identity.judge(said, occasion.target, known)
    return replace(judged, judgement=redacted(judged.judgement, occasion.secrets))


def _uninterpreted(transcript: Transcript, occasion: ProbeOccasion, book: PriceBook) -> Observation:
    """The observation of an answer whose interpretation exceeded the limit."""
    probed = ReadTranscript.of(transcript, unread(transcript))
    unknown = IdentityJudgement(Identity.UNKNOWN, None, 0.0, (), EXCEEDED)
    return observe(probed, occasion, evidence(probed, occasion), unknown, book=book)


def answer_of(query: Query, reply: Reply, secrets: Sequence[str]) -> AnswerText:
    """The parts of a reply that fingerprints need."""
    return AnswerText(query.id, redact(reply.text, secrets), disclosed(reply))


async def probe_again(context: WorkerContext, target: Target, query: Query) -> bool:
    """One further probe on suspicion; False if no more may be sent."""
    spent_up, known = await before_probe(context, target)
    if spent_up or context.state.leaving.is_set():
        return False
    with gc_paused():
        made = await probe(context, target, query, slot=context.now(), origin="burst", known=known)
    await keep_probe(context, made)
    return made.observation.outcome.good is not None


async def keep_probe(context: WorkerContext, made: InterpretedProbe) -> None:
    """Count a probe, and store its observation with what was learned from it."""
    context.metrics.observed(made.observation)
    if made.learning is not None:
        context.state.learnings[made.observation.id] = made.learning
    await keep(context, [made.observation])


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

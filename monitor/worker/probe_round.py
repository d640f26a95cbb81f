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
from monitor.probing.garbage_collection import gc_paused
from monitor.probing.observe import (
    AnswerCheck,
    ProbeOccasion,
    ReadTranscript,
    checked,
    evidence,
    observe,
    redacted,
)
from monitor.probing.probe_ids import new_probe_id
from monitor.redaction import redact
from monitor.storage.leases import RoundEnd
from monitor.worker import probe_throttling
from monitor.worker.admission import (
    AdmittedRound,
    admit,
    backing_off,
    before_probe,
    budget_used_up,
)
from monitor.worker.context import WorkerContext
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


async def run_round(
    context: WorkerContext,
    target: Target,
    slot: datetime,
    *,
    between: Callable[[], Awaitable[None]],
) -> Sequence[Observation]:
    """Claim and probe one round; returns its observations."""
    admitted = await admit(context, [(target, slot)])
    return await probe_admitted(context, admitted[0], between=between) if admitted else ()


async def probe_admitted(
    context: WorkerContext, admitted: AdmittedRound, *, between: Callable[[], Awaitable[None]]
) -> Sequence[Observation]:
    """Probe a round; returns its observations.

    `between` runs after each query but the last, while nothing is measured. The end of the round is
    stored with its last observation.
    """
    target, queries, known = admitted.target, admitted.queries, admitted.known
    missed = probe_throttling.THINNED if len(queries) < len(target.queries) else None
    seen: list[Observation] = []
    ends: list[AdmittedRound] = []
    with gc_paused():
        for query in queries:
            if known is None:
                _, known = await before_probe(context, target)
            spent_up = budget_used_up(context)
            if spent_up or context.state.leaving.is_set():
                missed = spent_up or "the worker was stopped"
                break
            made = await probe(context, target, query, slot=admitted.slot, known=known)
            observation, known = made.observation, None
            seen.append(observation)
            if observation.outcome.good is None:
                missed = observation.error or observation.outcome.value
            if observation.outcome.good is None or query is queries[-1]:
                ends = [admitted]
            await keep_probe(context, made, ends=[one.end(missed) for one in ends])
            if ends:
                break
            await between()
    if not ends:
        await keep(context, [], ends=[admitted.end(missed)])
    context.metrics.round(target.name, whole=missed in (None, probe_throttling.THINNED))
    return seen


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
    confirms: bool = False,
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
            probe=new_probe_id(),
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
            config_hash=context.settings.hash_of(target.name),
            excerpt_chars=context.settings.file.storage.excerpt_chars,
            secrets=context.settings.secrets,
            confirms=confirms,
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
            comparable = not occasion.confirms and _comparable(probed.reply)
            if probed.outcome is Outcome.ANSWERED and comparable:
                answer = await _step(answer_of, occasion.query, probed.reply, occasion.secrets)
                answer = replace(answer, lists_sources=not dialect.never_lists_sources)
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
    sources = reply.sources.count if reply.sources else None
    return AnswerText(query.id, redact(reply.text, secrets), disclosed(reply), sources)


async def probe_again(
    context: WorkerContext, target: Target, query: Query, confirms: bool = False
) -> bool:
    """One further probe on suspicion; False if no more may be sent. See `ProbeOccasion`."""
    spent_up, known = await before_probe(context, target)
    if spent_up or backing_off(context, target) or context.state.leaving.is_set():
        return False
    with gc_paused():
        slot = context.now()
        made = await probe(
            context, target, query, slot=slot, origin="burst", known=known, confirms=confirms
        )
    await keep_probe(context, made)
    return made.observation.outcome.good is not None


async def keep_probe(
    context: WorkerContext, made: InterpretedProbe, *, ends: Sequence[RoundEnd] = ()
) -> None:
    """Count a probe, and store its observation with what was learned from it."""
    context.metrics.observed(made.observation)
    if made.learning is not None:
        context.state.learnings[made.observation.id] = made.learning
    target = context.settings.targets.get(made.observation.target)
    within_s = context.batch_s(target.every) if target else 0.0
    await keep(context, [made.observation], ends=ends, within_s=within_s)

"""From a transcript and its judgement to the observation: times, tokens and price.

Pure: everything that is not in the transcript is an argument.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from monitor.answer_checks import LONGEST as CHECKED_CHARS
from monitor.answer_checks import CheckedAnswer, failed_check
from monitor.domain import (
    Claim,
    ClaimKind,
    Cost,
    CostRange,
    Ending,
    IdentityJudgement,
    Observation,
    Outcome,
    Query,
    Reply,
    Target,
    TextDelta,
    Transcript,
    Unpriced,
    Usage,
)
from monitor.identity.claims import FALLBACK_COUNTS, beginning
from monitor.identity.fingerprint.features import AnswerText
from monitor.identity.learning import AnswerEvidence
from monitor.identity.token_counts import counts
from monitor.identity.token_counts.counts import TokenCount
from monitor.pricing.book import PriceBook
from monitor.pricing.cost import priced_or_ranged
from monitor.pricing.cost import tokens as billed_tokens
from monitor.probing import timing
from monitor.redaction import plain, redact, stored_bytes

CHUNKS = 4_000  # limits on stored texts
EXCERPT = 2_000  # characters of an answer that can ever be stored
EXCERPTED = 40_000  # characters from which they are taken: more than `plain` examines
BLOCK = 64_000  # characters of an answer that are hashed in one step


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOccasion:
    """Why, where and with which configuration a probe was sent.

    `confirms`: it was sent because the same query had no sources. Its writing style is not
    compared: several answers on one occasion are not independent, and a baseline has none of them.
    """

    target: Target
    query: Query
    origin: str  # round | burst | manual
    slot: datetime
    region: str
    worker: str
    config_hash: str
    excerpt_chars: int = 200
    confirms: bool = False
    secrets: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ReadTranscript:
    """A transcript, its parsed reply, and how the probe ended; `error` says why."""

    transcript: Transcript
    reply: Reply
    outcome: Outcome
    error: str | None

    @classmethod
    def of(cls, transcript: Transcript, reply: Reply) -> "ReadTranscript":
        return cls(transcript, reply, *timing.outcome(transcript, reply))

    @property
    def whole(self) -> bool:
        """Whether it is a complete answer that we did not cut."""
        return self.outcome is Outcome.ANSWERED and self.transcript.ending is not Ending.CUT


@dataclass(frozen=True, slots=True)
class AnswerCheck:
    """Whether an answer met its query's expectations; None: not known. `failed`: the first failed
    check, or why there is no result.
    """

    passed: bool | None
    failed: str | None = None


def evidence(
    probed: ReadTranscript,
    occasion: ProbeOccasion,
    *,
    answer: AnswerText | None = None,
    count: TokenCount | None = None,
) -> AnswerEvidence:
    """The evidence of one response about its model, with our secrets removed."""
    return AnswerEvidence(
        at=probed.transcript.started_at,
        claims=tuple(_safe(claim, occasion.secrets) for claim in probed.reply.claims),
        pieces=probed.reply.final_pieces,
        query=occasion.query,
        answer=answer,
        count=count,
        burst=occasion.origin == "burst",
    )


def observe(
    probed: ReadTranscript,
    occasion: ProbeOccasion,
    said: AnswerEvidence,
    who: IdentityJudgement,
    *,
    book: PriceBook,
    check: AnswerCheck | None = None,
) -> Observation:
    """The observation of one probe. `said` is the evidence on which the judgement `who` rests.

    `check`: what the answer's content showed; None if it was not checked.
    """
    target, query = occasion.target, occasion.query
    transcript, reply = probed.transcript, probed.reply
    timings = timing.timing(transcript, reply)
    claims = said.claims
    if said.count:
        claims = (*claims, counts.claim(said.count))
    cut = transcript.ending is Ending.CUT or not timing.complete(transcript, reply)
    final = reply.final_pieces
    answer_chars = sum(len(piece.text) for piece in final)
    chars = answer_chars + sum(len(piece.reasoning) for piece in final)
    cost = _cost(reply, who, occasion, book, transcript, chars=chars, cut=cut)
    counted = billed_tokens(reply.usage, chars=chars, query=query, target=target, cut=cut)
    received = bool(reply.pieces)
    return Observation(
        id=transcript.id,
        target=target.name,
        query=query.id,
        origin=occasion.origin,
        region=occasion.region,
        worker=occasion.worker,
        slot=occasion.slot,
        started_at=transcript.started_at,
        outcome=probed.outcome,
        error=None if probed.error is None else plain(redact(probed.error, occasion.secrets)),
        http_status=transcript.status,
        dialect=target.dialect,
        instrument=timing.INSTRUMENT,
        config_hash=occasion.config_hash,
        stamp=timings.stamp,
        lag_ms=transcript.lag_ms,
        dns_ms=timings.dns_ms,
        connect_ms=timings.connect_ms,
        tls_ms=timings.tls_ms,
        ttfb_ms=timings.ttfb_ms,
        ttft_ms=timings.ttft_ms,
        ttft_any_ms=timings.ttft_any_ms,
        total_ms=timings.total_ms,
        tpot_ms=timings.tpot_ms,
        pieces=sum(1 for piece in reply.pieces if piece.text),
        chunk_lengths=tuple(islice((len(p.text) for p in reply.pieces if p.text), CHUNKS)),
        answer_chars=answer_chars,
        answer_sha256=_digest(final) if answer_chars else None,
        answer_excerpt=_excerpt(final, occasion) if answer_chars else None,
        prompt_tokens=counted.prompt if received else reply.usage.prompt_tokens,
        answer_tokens=counted.answer if received else reply.usage.answer_tokens,
        reasoning_tokens=reply.usage.reasoning_tokens,
        cached_tokens=reply.usage.cached_tokens,
        cache_write_tokens=reply.usage.cache_write_tokens,
        model_disclosed=_disclosed(claims, untrusted=target.untrusted),
        model_detected=who.model,
        identity=who.identity,
        confidence=who.confidence,
        identity_reason=plain(who.reason),
        evidence=who.evidence,
        claims=claims,
        cost_usd=cost.usd if isinstance(cost, Cost) else None,
        cost_source=cost.source if isinstance(cost, Cost) else None,
        cost_reason=None if isinstance(cost, Cost) else cost.reason,
        rates={} if isinstance(cost, Unpriced) else cost.rates,
        faults=reply.faults,
        cost_low_usd=cost.low if isinstance(cost, CostRange) else None,
        finish=reply.finish,
        source_count=reply.sources.count if reply.sources else None,
        source_best_score=reply.sources.best_score if reply.sources else None,
        source_newest_at=reply.sources.newest_at if reply.sources else None,
        cost_high_usd=cost.high if isinstance(cost, CostRange) else None,
        check_passed=check.passed if check else None,
        check_failed=check.failed if check else None,
    )


def checked(probed: ReadTranscript, occasion: ProbeOccasion) -> AnswerCheck | None:
    """Check the content of an answer; None if the probe was not answered."""
    if probed.outcome is not Outcome.ANSWERED:
        return None
    reply = probed.reply
    failed = failed_check(
        occasion.query.expect,
        CheckedAnswer(
            beginning(reply.final_pieces, CHECKED_CHARS),
            reply.finish,
            reply.sources.count if reply.sources else None,
            cut=not probed.whole,
        ),
    )
    safe = None if failed is None else plain(redact(failed, occasion.secrets))
    return AnswerCheck(failed is None, safe)


def _cost(
    reply: Reply,
    who: IdentityJudgement,
    occasion: ProbeOccasion,
    book: PriceBook,
    transcript: Transcript,
    *,
    chars: int,
    cut: bool,
) -> Cost | CostRange | Unpriced:
    if not reply.pieces and reply.usage == Usage():
        return Unpriced("no answer was received")
    return priced_or_ranged(
        reply.usage,
        model=who.model,
        judged=who.identity.fallback is not None,
        chars=chars,
        query=occasion.query,
        target=occasion.target,
        book=book,
        at=transcript.started_at,
        cut=cut,
    )


def _digest(pieces: Iterable[TextDelta]) -> str:
    """SHA-256 of the answer as it is stored, without holding it in one piece."""
    digest, held = hashlib.sha256(), ""
    for block in _blocks(pieces):
        text = held + block
        held = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""  # half of a character
        digest.update(stored_bytes(text[:-1] if held else text))
    digest.update(stored_bytes(held))
    return digest.hexdigest()


def _blocks(pieces: Iterable[TextDelta]) -> Iterator[str]:
    """The answer's text in order, in blocks that are not empty."""
    block: list[str] = []
    size = 0
    for piece in pieces:
        block.append(piece.text)
        size += len(piece.text)
        if size >= BLOCK:
            yield "".join(block)
            block, size = [], 0
    if size:
        yield "".join(block)


def _excerpt(pieces: Iterable[TextDelta], occasion: ProbeOccasion) -> str | None:
    if not occasion.excerpt_chars:
        return None
    text = beginning(pieces, EXCERPTED)  # redacting all of a very long answer takes too long
    return plain(redact(text, occasion.secrets), min(occasion.excerpt_chars, EXCERPT))


# In these fields gateways name deployments and groups, not models.
_NO_NAMES = frozenset({"id", "x-litellm-model-id", "x-litellm-model-group"}) | FALLBACK_COUNTS


def _disclosed(claims: Sequence[Claim], *, untrusted: Collection[str]) -> str | None:
    """The name that the response discloses, most trusted kind first; constants disclose none."""
    silent = _NO_NAMES.union(untrusted)
    named = {claim.kind: claim.value for claim in reversed(claims) if claim.source not in silent}
    for kind in (ClaimKind.HEADER, ClaimKind.SIBLING, ClaimKind.FIELD):
        if kind in named:
            return plain(named[kind], 200)
    return None


def redacted(who: IdentityJudgement, secrets: Sequence[str]) -> IdentityJudgement:
    """The judgement with our secrets removed, in case the service sent one back as a name."""
    if not secrets:
        return who
    return replace(
        who,
        model=None if who.model is None else redact(who.model, secrets),
        reason=redact(who.reason, secrets),
        evidence=tuple(
            replace(item, claim=redact(item.claim, secrets), detail=redact(item.detail, secrets))
            for item in who.evidence
        ),
    )


def _safe(claim: Claim, secrets: Sequence[str]) -> Claim:
    return replace(claim, value=plain(redact(claim.value, secrets)))

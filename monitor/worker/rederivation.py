"""Derives model and cost again from stored facts.

Raw facts stay. What only the live stream showed (a second answer, a fingerprint) cannot be examined
again: if it decided, and no receipt contradicts it, the judgement is kept.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from monitor import identity
from monitor.cpu_limit import CpuLimitExceeded, limited
from monitor.domain import (
    ClaimKind,
    Cost,
    CostRange,
    CostSource,
    Evidence,
    Identity,
    IdentityJudgement,
    Outcome,
    Query,
    Target,
    TextDelta,
    Unpriced,
    Usage,
)
from monitor.identity import AnswerEvidence, IdentityContext
from monitor.identity.token_counts.counts import TokenCount
from monitor.pricing.book import PriceBook
from monitor.pricing.cost import WRITTEN_1H, priced_or_ranged
from monitor.redaction import plain
from monitor.storage import Connection, rederive
from monitor.storage.rederive import DerivedJudgement, StoredObservation
from monitor.worker.identity_memory import StoredCounts

REMEMBERED = 40  # earlier direct answers that may count for a later one
_OF_THE_STREAM = frozenset({ClaimKind.TEXT, ClaimKind.CHUNKS, ClaimKind.TIMING})


@dataclass(frozen=True, slots=True)
class ChangedJudgement:
    """A judgement that changed."""

    before: DerivedJudgement
    after: DerivedJudgement


async def derive(
    connection: Connection, stored: Sequence[StoredObservation], target: Target, book: PriceBook
) -> list[ChangedJudgement]:
    """Judge observations of one target again, oldest first, and write those that change.

    They were read in the same transaction, which holds their locks.
    """
    if not stored:
        return []
    identity.prepare()
    direct = [query.id for query in target.queries if query.identity]
    reported: deque[Sequence[Evidence]] = deque(maxlen=REMEMBERED)
    reported += await rederive.said_before(
        connection, target.name, direct, at=stored[0].started_at, most=REMEMBERED
    )
    books = await StoredCounts.opened(connection, target, at=stored[0].started_at)
    new = []
    for item in stored:
        count, counts = books.of(item)
        known = IdentityContext(self_id_history=identity.self_id_history(reported), counts=counts)
        made = _within_limit(item, target, book, known=known, count=count)
        new.append((item, made))
        received = item.outcome is Outcome.ANSWERED and item.origin != "manual"
        if received and item.query in direct:
            reported.appendleft(made.who.evidence)
    changed = [(item, made) for item, made in new if made != item.stands]
    await rederive.rewrite(connection, target.name, [(item.key, made) for item, made in changed])
    return [ChangedJudgement(item.stands, made) for item, made in changed]


def _within_limit(
    stored: StoredObservation,
    target: Target,
    book: PriceBook,
    *,
    known: IdentityContext,
    count: TokenCount | None,
) -> DerivedJudgement:
    """A new judgement; the current one if judging exceeds the limit of CPU time."""
    named = (claim.value for claim in stored.claims)
    declared = (*target.expected_models, *target.fallback_models)
    recorded = (receipt.claim.value for receipt in stored.receipts)
    book.prepare((*named, *declared, *recorded, stored.stands.who.model), at=stored.started_at)
    try:
        return limited(judged, stored, target, book, known=known, count=count)
    except CpuLimitExceeded:
        return stored.stands


def judged(
    stored: StoredObservation,
    target: Target,
    book: PriceBook,
    *,
    known: IdentityContext,
    count: TokenCount | None = None,
) -> DerivedJudgement:
    """The judgement of stored facts by current rules, names and prices."""
    who = _who(stored, target, known, count)
    cost = _recorded_cost(stored, target, book) or _cost(stored, who, target, book)
    return DerivedJudgement(who, cost)


def _query(stored: StoredObservation, target: Target) -> Query | None:
    return next((query for query in target.queries if query.id == stored.query), None)


def _who(
    stored: StoredObservation, target: Target, known: IdentityContext, count: TokenCount | None
) -> IdentityJudgement:
    stands = stored.stands.who
    streamed = tuple(item for item in stands.evidence if item.kind in _OF_THE_STREAM)
    by_stream = any(item.nats for item in streamed) or stands.identity is Identity.CHANGED
    if by_stream and not stored.receipts:
        return stands
    said = AnswerEvidence(
        at=stored.started_at,
        claims=(*stored.claims, *(record.claim for record in stored.receipts)),
        pieces=(TextDelta(0, text=_said(stored)),),
        query=_query(stored, target),
        count=count,
    )
    who = identity.judge(said, target, known).judgement
    return replace(who, evidence=(*who.evidence, *streamed), reason=plain(who.reason))


def _said(stored: StoredObservation) -> str:
    """The stored parts of the answer: its start for some days, and its self-identification."""
    received = stored.answer_excerpt or ""
    own = [
        item.detail.removeprefix("text: ")
        for item in stored.stands.who.evidence
        if item.kind is ClaimKind.SELF
    ]
    return "\n".join([received, *(f"{text}." for text in own if text not in received)])


def _recorded_cost(
    stored: StoredObservation, target: Target, book: PriceBook
) -> Cost | Unpriced | None:
    """The cost from the provider's records; None if they do not contain it."""
    costs = [
        _priced(record.usage, record.claim.value, stored, target, book, judged=True)
        for record in stored.receipts
        if _tells_cost(record.usage)
    ]
    if not costs or len(costs) < len(stored.receipts):
        return None
    known = [cost for cost in costs if isinstance(cost, Cost)]  # a record names its model
    if len(known) < len(costs):
        return next(cost for cost in costs if isinstance(cost, Unpriced))
    source = max((cost.source for cost in known), key=list(CostSource).index)
    return Cost(sum((cost.usd for cost in known), Decimal(0)), source, known[0].rates)


def _tells_cost(usage: Usage) -> bool:
    charged = bool(usage.cost_usd or usage.upstream_cost_usd)
    return charged or None not in (usage.prompt_tokens, usage.answer_tokens)


def _cost(
    stored: StoredObservation, who: IdentityJudgement, target: Target, book: PriceBook
) -> Cost | CostRange | Unpriced:
    """Tokens as they were priced × the current price; a provider's charge is unchanged."""
    stands = stored.stands.cost
    charged = isinstance(stands, Cost) and not stands.rates  # of a stream whole or cut
    if charged or not stored.pieces or None in (stored.prompt_tokens, stored.answer_tokens):
        return stands
    counted = Usage(
        prompt_tokens=stored.prompt_tokens,
        answer_tokens=stored.answer_tokens,
        reasoning_tokens=stored.reasoning_tokens,
        cached_tokens=stored.cached_tokens,
        cache_write_tokens=stored.cache_write_tokens,
        cache_write_1h_tokens=_written_1h(stands),
    )
    # If nothing was priced, it is unknown how tokens were counted: it is only an estimate.
    estimated = not _reported(stands)
    return _priced(
        counted,
        who.model,
        stored,
        target,
        book,
        judged=who.identity.fallback is not None,
        estimated=estimated,
    )


def _written_1h(stands: Cost | CostRange | Unpriced) -> int | None:
    """Tokens cached for an hour, which a row records if it was priced by them."""
    noted = "" if isinstance(stands, Unpriced) else stands.rates.get(WRITTEN_1H, "")
    return int(noted) if noted.isdecimal() else None


def _reported(stands: Cost | CostRange | Unpriced) -> bool:
    """Whether the service reported the tokens: a range records them only if it estimated."""
    if isinstance(stands, CostRange):
        return "answer_tokens" not in stands.rates
    return isinstance(stands, Cost) and stands.source is CostSource.REPORTED


def _priced(
    usage: Usage,
    model: str | None,
    stored: StoredObservation,
    target: Target,
    book: PriceBook,
    *,
    judged: bool,
    estimated: bool = False,
) -> Cost | CostRange | Unpriced:
    query = _query(stored, target) or Query(id=stored.query, text="")
    cost = priced_or_ranged(
        usage,
        model=model,
        judged=judged,
        chars=0,
        query=query,
        target=target,
        book=book,
        at=stored.started_at,
        cut=estimated,
    )
    if isinstance(cost, Unpriced) or not cost.rates:
        return cost
    stands = stored.stands.cost
    if isinstance(stands, (Cost, CostRange)):
        floor = stands.rates.get("prompt_tokens", "").startswith("at least")
    else:
        floor = query.prompt_tokens is None
    if estimated and floor:
        return replace(
            cost, rates={**cost.rates, "prompt_tokens": f"at least {usage.prompt_tokens}"}
        )
    if stored.receipts:  # the row's own counts are others
        counted = {
            "prompt_tokens": f"{usage.prompt_tokens}",
            "answer_tokens": f"{usage.answer_tokens}",
        }
        return replace(cost, rates={**cost.rates, **counted})
    return cost

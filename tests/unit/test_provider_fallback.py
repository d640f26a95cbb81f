"""A provider's own fallback within one response: who answered, and at whose price."""

from datetime import UTC, datetime
from pathlib import Path

from monitor.dialects import dialect_of, read
from monitor.domain import Cost, Framing, Identity, Query
from monitor.identity.judge import judge_disclosure
from monitor.identity.model_names.compare import same
from monitor.pricing.book import price_book
from monitor.pricing.cost import priced
from tests.example_transcripts import split, target, transcript

RECORDED = Path(__file__).parents[1] / "transcripts/anthropic_messages/server_side_fallback.txt"


def test_anthropics_server_side_fallback_is_a_fallback_at_the_price_of_who_answered() -> None:
    events = list(split(RECORDED.read_bytes(), Framing.SSE))
    reply = read(dialect_of(target("anthropic_messages")), transcript(events))
    who = judge_disclosure(reply.claims, expected=["claude-opus-4-1"])
    assert (who.identity, who.model) == (Identity.FALLBACK, "claude-haiku-4-5")
    cost = priced(
        reply.usage,
        model=who.model,
        chars=len(reply.text),
        query=Query(id="q", text="When?"),
        target=target("anthropic_messages"),
        book=price_book({}, same=same),
        at=datetime(2026, 11, 1, tzinfo=UTC),
        cut=False,
    )
    assert isinstance(cost, Cost)
    # 404 + 8 cached prompt tokens and 200 answer tokens at $1, $0.10 and $5 a million
    assert str(cost.usd) == "0.001404800000"

"""One ordinary observation and one ordinary notice, to be changed by `replace`."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from monitor.domain import (
    Claim,
    ClaimKind,
    CostSource,
    Evidence,
    Identity,
    Notice,
    NoticeStatus,
    Observation,
    Outcome,
    StampSource,
)

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
LLAMA, HAIKU = "meta-llama/llama-4-scout", "anthropic/claude-haiku-4-5"


def observation(**changes: Any) -> Observation:
    """A good answer by the expected model: 900 ms, $0.000007."""
    ordinary = Observation(
        id=uuid4(),
        target="rag",
        query="hi",
        origin="round",
        region="local",
        worker="w1",
        slot=NOON,
        started_at=NOON,
        outcome=Outcome.ANSWERED,
        error=None,
        http_status=200,
        dialect="bali_zero",
        instrument=1,
        config_hash="0" * 12,
        stamp=StampSource.KERNEL,
        lag_ms=0.1,
        dns_ms=None,
        connect_ms=1.0,
        tls_ms=None,
        ttfb_ms=5.0,
        ttft_ms=900.0,
        ttft_any_ms=900.0,
        total_ms=1500.0,
        tpot_ms=20.0,
        pieces=3,
        chunk_lengths=(5, 6, 4),
        answer_chars=15,
        answer_sha256="f" * 64,
        answer_excerpt="Hello there, you",
        prompt_tokens=30,
        answer_tokens=5,
        reasoning_tokens=None,
        cached_tokens=None,
        cache_write_tokens=None,
        model_disclosed=LLAMA,
        model_detected=LLAMA,
        identity=Identity.EXPECTED,
        confidence=0.9,
        evidence=(Evidence(ClaimKind.FIELD, LLAMA, -1.5, "model"),),
        claims=(Claim(ClaimKind.FIELD, "model", LLAMA),),
        cost_usd=Decimal("0.000007"),
        cost_source=CostSource.REPORTED,
        cost_reason=None,
        rates={"input": "0.20"},
    )
    return replace(ordinary, **changes)


def notice(**changes: Any) -> Notice:
    """An incident opening."""
    ordinary = Notice(
        id=uuid4(), status=NoticeStatus.FIRING, rule="ttft", scope="rag", number=1, at=NOON,
        sentence="TTFT is 2200 ms, limit 1200 ms", value=2200.0, limit=1200.0, since=NOON,
    )  # fmt: skip
    return replace(ordinary, **changes)

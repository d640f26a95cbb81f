"""Streams written as marks: one character is one probe, a bar ends a round.

`.` answered by the expected model, `F` by a fallback, `?` by nobody can tell whom,
`C` changed, `D` disputed,
`x` failed, `T` no first token in time, `-` aborted, `r` rate-limited.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from monitor.domain import Identity, Incident, Outcome, Sample
from monitor.incidents.inhibitions import Inhibitions
from monitor.rules import DEFAULT_RULES, Window

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
EVERY = timedelta(minutes=5)
INHIBITIONS = Inhibitions(DEFAULT_RULES)
LLAMA, HAIKU = "meta-llama/llama-4-scout", "anthropic/claude-haiku-4-5"

_ANSWERED = Outcome.ANSWERED
_MARKS: dict[str, tuple[Outcome, Identity, str | None]] = {
    ".": (_ANSWERED, Identity.EXPECTED, LLAMA),
    "F": (_ANSWERED, Identity.FALLBACK, HAIKU),
    "C": (_ANSWERED, Identity.CHANGED, None),
    "D": (_ANSWERED, Identity.DISPUTED, LLAMA),
    "?": (_ANSWERED, Identity.UNKNOWN, None),
    "x": (Outcome.REFUSED, Identity.UNKNOWN, None),
    "T": (Outcome.TIMEOUT_FIRST_TOKEN, Identity.UNKNOWN, None),
    "-": (Outcome.ABORTED, Identity.UNKNOWN, None),
    "r": (Outcome.RATE_LIMITED, Identity.UNKNOWN, None),
}


def sample(mark: str = ".", **changes: Any) -> Sample:
    """One probe at noon: 1000 ms and $0.000007, unless its mark says it failed."""
    outcome, identity, model = _MARKS[mark]
    good = outcome is _ANSWERED
    ordinary = Sample(
        id=UUID(int=1), at=NOON, round=NOON, query="q0", outcome=outcome,
        ttft_ms=1000.0 if good else None, identity=identity, model=model,
        cost_usd=Decimal("0.000007") if good else None,
    )  # fmt: skip
    return replace(ordinary, **changes)


def marked(marks: str, *, start: datetime = NOON, every: timedelta = EVERY) -> Iterator[Sample]:
    """Samples of rounds written as marks, two seconds apart within a round."""
    number = 0
    for order, requested in enumerate(marks.split("|")):
        slot = start + order * every
        for query, mark in enumerate(requested):
            number += 1
            at = slot + timedelta(seconds=2 * query + 1)
            yield sample(mark, id=UUID(int=number), at=at, round=slot, query=f"q{query}")


def timed(rounds: Sequence[Sequence[float | None]], *, start: datetime = NOON) -> Iterator[Sample]:
    """Samples of rounds written as the TTFT of each query in ms; None: too degraded to judge."""
    for order, latencies in enumerate(rounds):
        slot = start + order * EVERY
        for query, ttft_ms in enumerate(latencies):
            yield sample(
                id=UUID(int=100 * order + query + 1), at=slot + timedelta(seconds=2 * query + 1),
                round=slot, query=f"q{query}", ttft_ms=ttft_ms, degraded=ttft_ms is None,
            )  # fmt: skip


def window(
    samples: Iterator[Sample], *, queries: int = 3, asked: Sequence[str] | None = None
) -> Window:
    """A window of one target asked every five minutes."""
    return Window.of(samples, scope="rag", every=EVERY, queries=queries, asked=asked)


def after(window: Window) -> datetime:
    """A second after the newest sample."""
    return window.samples[-1].at + timedelta(seconds=1)


def incident(
    rule: str, *, opened_at: datetime = NOON, scope: str = "rag", **changes: Any
) -> Incident:
    """An open incident that was told."""
    ordinary = Incident(
        rule=rule, scope=scope, opened_at=opened_at, last_breach_at=opened_at,
        last_told_at=opened_at, value=1.0, limit=0.1, because="It broke.", peak=1.0,
        opening_value=1.0, number=41,
    )  # fmt: skip
    return replace(ordinary, **changes)

"""Which canned queries are slow, and where that points: at retrieval, or at the model."""

from collections.abc import Iterable, Sequence
from statistics import median

from monitor.domain import (
    Finding,
    Outcome,
    Sample,
    counted,
)

_SHOWN = 3  # queries named in a sentence
_QUERIES = 10  # named in a fact


def suspect(samples: Sequence[Sample], limit_ms: float) -> Finding:
    """Where to look: at the retrieval of single queries, or at what all queries share."""
    taken = _medians(samples)
    slow = sorted(query for query, ms in taken.items() if ms > limit_ms)
    if len(taken) < 2 or not slow:
        return Finding()
    if len(slow) == len(taken):
        return Finding(
            cause=f"the model or its host, as all {len(taken)} queries were slow",
            first_step="Check the status of the model's provider and the load of the server "
            "that runs the model.",
        )
    named = ", ".join(slow[:_SHOWN]) + (" and others" if len(slow) > _SHOWN else "")
    were, query = ("were", "queries") if len(slow) > 1 else ("was", "query")
    return Finding(
        cause=f"retrieval, as only {len(slow)} of {len(taken)} queries {were} slow: {named}",
        first_step=f"Check the retrieval of {query} {named}.",
    )


def by_query(samples: Iterable[Sample]) -> dict[str, str]:
    """Whether one query is slow or all are, and how many gave no first token."""
    slowest = sorted(((ms, query) for query, ms in _medians(samples).items()), reverse=True)
    late = sum(sample.outcome is Outcome.TIMEOUT_FIRST_TOKEN for sample in samples)
    notified = {"By query": ", ".join(f"{query} {ms:.0f} ms" for ms, query in slowest[:_QUERIES])}
    return notified | ({"No first token": counted(late, "probe")} if late else {})


def _medians(samples: Iterable[Sample]) -> dict[str, float]:
    """The median TTFT of each query that has one, ms."""
    taken: dict[str, list[float]] = {}
    for sample in samples:
        if sample.ttft_ms is not None:
            taken.setdefault(sample.query, []).append(sample.ttft_ms)
    return {query: median(ms) for query, ms in taken.items()}

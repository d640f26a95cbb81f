"""Latencies counted into the bars of a histogram: quarter octaves around the limit."""

from collections import Counter
from collections.abc import Iterable
from math import floor, log2

from monitor.reports.page_data import IDENTITIES, LatencyBin

AN_OCTAVE = 4
UNLIMITED_MS = 1000.0  # the mark to count from where no limit is in force


def bins(
    samples: Iterable[tuple[float, str, int]], limit_ms: float | None
) -> tuple[LatencyBin, ...]:
    """Bars from the least to the greatest sample, empty ones between them included.

    Samples are (ms, identity of the answer, how many); the limit is an edge between two bars.
    """
    mark = limit_ms or UNLIMITED_MS
    counts: Counter[tuple[int, str]] = Counter()
    for ms, identity, many in samples:
        # What equals the limit is within it: bars hold what lies above their lower edge.
        counts[-floor(-AN_OCTAVE * log2(max(ms, 0.001) / mark)) - 1, identity] += many
    places = [place for place, _ in counts]
    if not places:
        return ()
    return tuple(
        LatencyBin(low_ms=_edge(place, mark), high_ms=_edge(place + 1, mark),
            **{identity: counts[place, identity] for identity in IDENTITIES})
        for place in range(min(places), max(places) + 1)
    )  # fmt: skip


def _edge(place: int, mark: float) -> float:
    return float(mark * 2 ** (place / AN_OCTAVE))

"""From samples and truths to figures: pairing, percentiles, medians over runs, ratios."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import ceil
from statistics import median

from benchmarks.truth.load import Ran, Sample
from benchmarks.truth.server import Truth

OURS = "rag-monitor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """How far off one request's TTFT was; the sides are None where no start was told.

    The request side is from the client's start to the server's read, the token side from
    the server's write to the client's stamp. Together they are the error. `late_ms` is the
    part of it that the server's own kernel stamp proves to be the server's: it read that late.
    """

    error_ms: float
    request_ms: float | None
    token_ms: float | None
    degraded: bool
    late_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one run came to, or the median of several. None: not measurable.

    Errors are absolute, and those of samples that the client itself flagged as degraded
    stand apart. Names are the keys of `--json`.
    """

    requests: int
    failed: int
    degraded: int
    error_p50_ms: float | None
    error_p95_ms: float | None
    error_p99_ms: float | None
    error_max_ms: float | None
    beyond_max_ms: float | None  # of errors less what is proven to be the server's
    late_max_ms: float | None  # of the server
    degraded_max_ms: float | None
    request_p50_ms: float | None
    token_p50_ms: float | None
    token_p99_ms: float | None
    cpu_s_per_1000: float
    rss_mib: float
    lag_p99_ms: float | None


def paired(samples: Sequence[Sample], truths: Mapping[str, Truth]) -> tuple[list[Error], int]:
    """Each sample held against the truth of its request, and how many could not be."""
    errors = []
    for sample in samples:
        truth = truths.get(sample.id)
        if truth is None or sample.ttft_ms is None:
            continue
        error_ms, request_ms = sample.ttft_ms - truth.ttft_ms, None
        if sample.start_ns is not None:
            request_ms = (truth.read_ns - sample.start_ns) / 1e6
        errors.append(
            Error(
                error_ms=abs(error_ms),
                request_ms=request_ms,
                token_ms=None if request_ms is None else error_ms - request_ms,
                degraded=sample.degraded,
                late_ms=truth.late_ms if error_ms > 0 else 0.0,
            )
        )
    return errors, len(samples) - len(errors)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of them do not exceed; None of no values."""
    ordered = sorted(values)
    return ordered[max(ceil(share * len(ordered)), 1) - 1] if ordered else None


def figures(ran: Ran, truths: Mapping[str, Truth], *, requests: int) -> Figures:
    """What one run of so many requests came to."""
    pairs, unpaired = paired(ran.samples, truths)
    sound = [pair for pair in pairs if not pair.degraded]
    errors = [pair.error_ms for pair in sound]
    notified = [pair.request_ms for pair in sound if pair.request_ms is not None]
    received = [pair.token_ms for pair in sound if pair.token_ms is not None]
    flagged = [pair.error_ms for pair in pairs if pair.degraded]
    return Figures(
        requests=requests,
        failed=unpaired + requests - len(ran.samples),
        degraded=len(flagged),
        error_p50_ms=percentile(errors, 0.5),
        error_p95_ms=percentile(errors, 0.95),
        error_p99_ms=percentile(errors, 0.99),
        error_max_ms=percentile(errors, 1),
        beyond_max_ms=percentile([max(p.error_ms - p.late_ms, 0) for p in sound], 1),
        late_max_ms=percentile([pair.late_ms for pair in pairs], 1),
        degraded_max_ms=percentile(flagged, 1),
        request_p50_ms=percentile(notified, 0.5),
        token_p50_ms=percentile(received, 0.5),
        token_p99_ms=percentile(received, 0.99),
        cpu_s_per_1000=ran.cpu_s / requests * 1000,
        rss_mib=ran.rss_mib,
        lag_p99_ms=percentile(ran.lag_ms, 0.99),
    )


SUMS = ("requests", "failed", "degraded")
WORSTS = ("error_max_ms", "beyond_max_ms", "late_max_ms", "degraded_max_ms", "rss_mib")


def summary(runs: Sequence[Figures]) -> Figures:
    """Several runs as one: counts added up, maxima and memory at their worst, medians else."""
    merged: dict[str, float | None] = {}
    for field in fields(Figures):
        known = [value for run in runs if (value := getattr(run, field.name)) is not None]
        if field.name in SUMS:
            merged[field.name] = sum(known)
        elif not known:
            merged[field.name] = None
        else:
            merged[field.name] = max(known) if field.name in WORSTS else median(known)
    return Figures(**merged)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: a client, over plain TCP or TLS, at so many streams."""

    client: str
    tls: bool
    streams: int
    runs: int
    figures: Figures

    @property
    def ours(self) -> bool:
        return self.client == OURS

    @property
    def setting(self) -> tuple[bool, int]:
        """What rows must share to be compared."""
        return self.tls, self.streams


def place(tls: bool, streams: int) -> str:
    """A setting in words."""
    return f"{streams:,} stream{'s' * (streams > 1)}{' over TLS' * tls}"


def ratios(row: Row, rows: Sequence[Row]) -> tuple[float | None, float | None]:
    """How many times our error a row's error is, at p50 and p99; None without both."""
    ours = next((r.figures for r in rows if r.ours and r.setting == row.setting), None)
    if ours is None:
        return None, None
    theirs = row.figures
    return (
        _ratio(theirs.error_p50_ms, ours.error_p50_ms),
        _ratio(theirs.error_p99_ms, ours.error_p99_ms),
    )


def _ratio(theirs: float | None, ours: float | None) -> float | None:
    return theirs / ours if theirs is not None and ours else None

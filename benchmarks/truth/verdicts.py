"""What must be reached, held against what was measured."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.truth.figures import Row, place, ratios

# streams → error in ms at p50 and p99, and at most
ERRORS = {
    1: (0.1, 0.5, 2),
    10: (0.1, 0.5, 2),
    100: (0.05, 0.2, 2),
    500: (0.05, 0.2, 2),
    1000: (0.05, 0.5, 5),
}
UNFLAGGED_MS = 5
TLS_P50_MS = 0.15
CROWD = 500  # streams, for what follows
CPU_S_PER_1000 = 2
RSS_MIB = 140
TIMES_SMALLER = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One thing to reach. `found` None: not measured, so not reached."""

    what: str
    limit: float
    found: float | None
    at_least: bool = False

    @property
    def met(self) -> bool:
        if self.found is None:
            return False
        return self.found >= self.limit if self.at_least else self.found <= self.limit


def goals(rows: Sequence[Row]) -> Iterator[Goal]:
    """Every goal that the rows let us judge: those of settings we were measured in."""
    for row in (row for row in rows if row.ours):
        yield from _of_ours(row)
    for tls in (False, True):
        others = [r for r in rows if not r.ours and r.setting == (tls, CROWD)]
        if not others:
            continue
        times = [ratios(row, rows) for row in others]
        for n, name in enumerate(("p50", "p99")):
            known = [ratio for pair in times if (ratio := pair[n]) is not None]
            yield Goal(
                what=f"{place(tls, CROWD)}: times smaller than the next best, {name}",
                limit=TIMES_SMALLER,
                found=min(known, default=None),
                at_least=True,
            )


def _of_ours(row: Row) -> Iterator[Goal]:
    seen, where = row.figures, place(*row.setting)
    yield Goal(what=f"{where}: requests failed", limit=0, found=seen.failed)
    if row.tls:
        yield Goal(what=f"{where}: error p50, ms", limit=TLS_P50_MS, found=seen.error_p50_ms)
    elif row.streams in ERRORS:
        p50, p99, most = ERRORS[row.streams]
        yield Goal(what=f"{where}: error p50, ms", limit=p50, found=seen.error_p50_ms)
        yield Goal(what=f"{where}: error p99, ms", limit=p99, found=seen.error_p99_ms)
        yield Goal(what=f"{where}: error max, ms", limit=most, found=seen.error_max_ms)
    yield Goal(what=f"{where}: unflagged and not the server's, ms", limit=UNFLAGGED_MS,
               found=seen.beyond_max_ms)  # fmt: skip
    if row.streams == CROWD:
        yield Goal(what=f"{where}: resident, MiB", limit=RSS_MIB, found=seen.rss_mib)
        if not row.tls:
            yield Goal(what=f"{where}: CPU s per 1,000", limit=CPU_S_PER_1000,
                       found=seen.cpu_s_per_1000)  # fmt: skip

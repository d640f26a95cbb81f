"""The arithmetic of a run: which slots were served, how late, how exactly; the tables."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.truth.figures import percentile
from benchmarks.truth.pages import number, table
from benchmarks.truth.verdicts import Goal

JUDGED = ((1000, 1), (5000, 4))  # targets and workers that the goals are stated for
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class AskedProbe(NamedTuple):
    """A request as the service saw it; `ttft_ms` None: it answered with a failure."""

    id: str
    target: str
    at: datetime
    ttft_ms: float | None


class StoredProbe(NamedTuple):
    """A row of the database."""

    id: str
    slot: datetime
    origin: str
    ttft_ms: float | None
    stamp: str


class FleetWindow(NamedTuple):
    """What was due: every slot whose start lies between these instants.

    `after`: how long after its slot each target is probed.
    """

    begins: datetime
    ends: datetime
    every: timedelta
    after: Mapping[str, timedelta]

    def slot_at(self, target: str, at: datetime) -> datetime:
        """The slot that a target's probe at this time belongs to."""
        return EPOCH + (at - self.after[target] - EPOCH) // self.every * self.every

    def due(self) -> dict[tuple[str, datetime], datetime]:
        """When each round is due, by target and slot."""
        found = {}
        for target, after in self.after.items():
            slot = self.slot_at(target, self.begins) + self.every
            while slot + after <= self.ends:
                found[target, slot] = slot + after
                slot += self.every
        return found


@dataclass(frozen=True, slots=True)
class ServedRounds:
    """How the due rounds were served. `lost`: asked, but no row was stored.

    Delays are in s, errors in ms and without degraded samples.
    """

    due: int
    missed: int
    doubled: int
    lost: int
    degraded: int
    delays: Sequence[float]
    errors: Sequence[float]


def served(
    window: FleetWindow, asked: Iterable[AskedProbe], stored: Iterable[StoredProbe]
) -> ServedRounds:
    """Rounds, requests and rows put together. Bursts are nobody's round."""
    due = window.due()
    rows = {row.id: row for row in stored}
    times: Counter[tuple[str, datetime]] = Counter()
    delays, errors, lost, degraded = [], [], 0, 0
    for probe in asked:
        row = rows.get(probe.id)
        if row is not None and row.origin != "round":
            continue
        slot = row.slot if row else window.slot_at(probe.target, probe.at)
        if (probe.target, slot) not in due:
            continue
        times[probe.target, slot] += 1
        delays.append((probe.at - due[probe.target, slot]).total_seconds())
        if row is None:
            lost += 1
        elif row.stamp == "degraded":
            degraded += 1
        elif row.ttft_ms is not None and probe.ttft_ms is not None:
            errors.append(abs(row.ttft_ms - probe.ttft_ms))
    doubled = sum(count > 1 for count in times.values())
    return ServedRounds(
        len(due), len(due) - len(times), doubled, lost, degraded, sorted(delays), sorted(errors)
    )


def read_log(log: Path, epoch_ns: int) -> list[AskedProbe]:
    """The service's log. `epoch_ns`: the wall clock less the monotonic one."""
    with log.open(newline="") as file:
        return [
            AskedProbe(
                id=request,
                target=target,
                at=EPOCH + timedelta(microseconds=(int(read) + epoch_ns) / 1000),
                ttft_ms=(int(first) - int(read)) / 1e6 if int(first) else None,
            )
            for request, target, read, first in csv.reader(file)
        ]


Buckets = Mapping[float, float]  # counts up to a bound


def between(before: Buckets, after: Buckets) -> Buckets:
    """What a histogram counted in between."""
    return {bound: count - before.get(bound, 0) for bound, count in after.items()}


def together(histograms: Iterable[Buckets]) -> Buckets:
    """The histograms of several workers as one."""
    total: Counter[float] = Counter()
    for histogram in histograms:
        total.update(histogram)
    return total


def bound_of(histogram: Buckets, share: float) -> float | None:
    """The smallest bound that at least this share of the values do not exceed; None of none."""
    whole = histogram.get(inf, 0)
    within = [b for b, count in sorted(histogram.items()) if count >= share * whole]
    return within[0] if whole else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRun:
    """One run. Counts of a probe are means over the probes of the window; None: not measured."""

    targets: int
    workers: int
    seeded: int  # rows before the start
    started_s: float
    probes: int
    rounds: ServedRounds
    worker_cpu_s: float
    postgres_cpu_s: float
    service_cores: float
    others_cores: float
    transactions: int
    rows_written: int
    rows_read: int
    rss_mib: float  # of the largest worker at the end
    rss_begin_mib: float
    connections: int
    evaluation_p50_s: float | None
    evaluation_p99_s: float | None
    lag_p99_s: float | None
    scrape_s: float | None
    scrape_bytes: int | None
    unavailable: int
    outage_s: float | None

    def a_probe(self, total: float) -> float | None:
        return total / self.probes if self.probes else None


SIZE = ("targets", "workers", "rows before")
ROUNDS = (
    *SIZE, "due", "missed", "doubled", "lost", "start delay p50 / p99 / max s",
    "TTFT error p50 / p99 ms", "degraded", "database unavailable", "outage announced s",
)  # fmt: skip
COSTS = (
    *SIZE, "CPU ms a probe: workers", "Postgres", "transactions a probe",
    "rows written / read a probe", "RSS MiB a worker", "KiB a target", "connections a worker",
    "evaluation p50 / p99 ms", "loop lag p99 ms", "/metrics s, MB", "service, others: cores",
)  # fmt: skip


def page(runs: Sequence[FleetRun]) -> str:
    """Two tables: how the rounds were served, and what that took."""
    return "\n\n".join(
        (
            table(ROUNDS, [_rounds(run) for run in runs]),
            table(COSTS, [_costs(run, growth(run, runs)) for run in runs]),
        )
    )


def growth(run: FleetRun, runs: Sequence[FleetRun]) -> float | None:
    """KiB a target: against the run with the fewest targets on as many workers."""
    same = [one for one in runs if (one.workers, one.seeded > 0) == (run.workers, run.seeded > 0)]
    least = min(same, key=lambda one: one.targets)
    if least.targets == run.targets:
        return None
    return (run.rss_mib - least.rss_mib) * 1024 / (run.targets - least.targets)


def goals(runs: Sequence[FleetRun]) -> list[Goal]:
    """The goals for the sizes that they are stated for: see docs/benchmarks.md#fleets."""
    found: list[Goal] = []
    for run in runs:
        if (run.targets, run.workers) not in JUDGED:
            continue
        at = f"{run.targets:,} targets on {run.workers}: "
        rounds, connections = run.rounds, run.connections / run.workers
        each: list[tuple[str, float, float | None]] = [
            ("slots missed", 0, rounds.missed),
            ("slots doubled", 0, rounds.doubled),
            ("probes lost", 0, rounds.lost),
            ("start delay p99, s", 1, percentile(rounds.delays, 0.99)),
            ("CPU ms a probe", 25, run.a_probe(run.worker_cpu_s * 1000)),
            ("transactions a probe", 2, run.a_probe(run.transactions)),
            ("KiB a target", 120, growth(run, runs)),
            ("evaluation p99, s", 0.1, run.evaluation_p99_s),
            ("connections a worker", 4, connections),
        ]
        found += [
            Goal(what=at + what, limit=limit, found=value)
            for what, limit, value in each
            if value is not None
        ]
    return found


def _rounds(run: FleetRun) -> tuple[str, ...]:
    rounds = run.rounds
    counts = (rounds.due, rounds.missed, rounds.doubled, rounds.lost)
    share = 100 * rounds.degraded / rounds.due if rounds.due else 0
    return (
        *_size(run),
        *(f"{count:,}" for count in counts),
        _several(percentile(rounds.delays, part) for part in (0.5, 0.99, 1)),
        _several(percentile(rounds.errors, part) for part in (0.5, 0.99)),
        f"{share:.1f} %",
        f"{run.unavailable:,}",
        number(run.outage_s),
    )


def _costs(run: FleetRun, kib: float | None) -> tuple[str, ...]:
    size = None if run.scrape_bytes is None else run.scrape_bytes / 1e6
    return (
        *_size(run),
        number(run.a_probe(run.worker_cpu_s * 1000)),
        number(run.a_probe(run.postgres_cpu_s * 1000)),
        number(run.a_probe(run.transactions)),
        _several(run.a_probe(rows) for rows in (run.rows_written, run.rows_read)),
        f"{run.rss_begin_mib:.0f} → {run.rss_mib:.0f}",
        number(kib),
        number(run.connections / run.workers),
        _several(_ms(bound) for bound in (run.evaluation_p50_s, run.evaluation_p99_s)),
        number(_ms(run.lag_p99_s)),
        f"{number(run.scrape_s)}, {number(size)}",
        f"{number(run.service_cores)}, {number(run.others_cores)}",
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def _size(run: FleetRun) -> tuple[str, ...]:
    return f"{run.targets:,}", f"{run.workers}", f"{run.seeded:,}"


def _several(values: Iterable[float | None]) -> str:
    return " / ".join(number(value) for value in values)


def document(run: FleetRun) -> dict[str, Any]:
    """A run for programs; delays and errors as percentiles."""
    fields = asdict(run)
    rounds = fields.pop("rounds")
    for name in ("delays", "errors"):
        values = rounds.pop(name)
        parts = {"p50": 0.5, "p99": 0.99, "max": 1}
        rounds[name] = {part: percentile(values, share) for part, share in parts.items()}
    return fields | {"rounds": rounds}

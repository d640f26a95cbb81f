"""Whether one worker carries the configuration: `monitor check` warns of a load beyond it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from math import ceil

from monitor.cli.check_details import CheckLine
from monitor.config import Settings
from monitor.domain import Target
from monitor.worker.round_schedule import WITHIN, phase

# What one worker carries. Source: docs/scale.md#limits, measured by benchmarks/fleet.py
PROBES_A_MINUTE = 1000
ROUNDS_A_SECOND = 40

SECOND = timedelta(seconds=1)


def lines(settings: Settings) -> Iterator[CheckLine]:
    """A warning if the load is more than one worker carries, with the remedy."""
    targets = settings.targets.values()
    probes, rounds = busiest_minute(targets), busiest_second(targets)
    workers = ceil(max(probes / PROBES_A_MINUTE, rounds / ROUNDS_A_SECOND))
    if workers <= 1:
        return
    shared = "" if settings.environment.database_url else " that DATABASE_URL names"
    yield CheckLine(
        "load",
        None,
        f"{probes:,.0f} probes a minute and {rounds:,} rounds in one second are due at the busiest "
        f"time; one worker carries {PROBES_A_MINUTE:,} and {ROUNDS_A_SECOND}: run {workers} "
        f"workers on one database{shared}, or raise every (docs/scale.md)",
    )


def busiest_minute(targets: Iterable[Target]) -> float:
    """Probes a minute while rounds of all intervals are due: they begin within five minutes."""
    return sum(len(t.queries) * timedelta(minutes=1) / min(t.every, WITHIN) for t in targets)


def busiest_second(targets: Iterable[Target]) -> int:
    """The most rounds that are due within one second: the busiest seconds of all intervals meet."""
    seconds: dict[timedelta, Counter[int]] = {}
    for target in targets:
        seconds.setdefault(target.every, Counter())[phase(target) // SECOND] += 1
    return sum(max(found.values()) for found in seconds.values())

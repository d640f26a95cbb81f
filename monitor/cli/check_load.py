"""Whether one worker carries the configuration: `monitor check` warns of a load beyond it."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from math import ceil

from monitor.cli.check_details import CheckLine
from monitor.config import Settings
from monitor.cpu_limit import CpuLimitExceeded, limited
from monitor.domain import Target
from monitor.redaction import plain
from monitor.worker.round_schedule import WITHIN, phase

# What one worker carries. Source: docs/scale.md#limits, measured by benchmarks/fleet.py
PROBES_A_MINUTE = 1000
ROUNDS_A_SECOND = 40

SECOND = timedelta(seconds=1)


def lines(settings: Settings) -> Iterator[CheckLine]:
    """Warnings of a load that is more than one worker carries, and of slow patterns."""
    targets = settings.targets.values()
    yield from _slow_patterns(targets)
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


def _slow_patterns(targets: Iterable[Target]) -> Iterator[CheckLine]:
    """Patterns of `expect` whose time explodes on a long text of one of their own characters."""
    for target in targets:
        for query in target.queries:
            wanted = query.expect.matches or ""
            characters = dict.fromkeys([*filter(str.isalnum, wanted), "a", "1", " "])
            texts = [character * 3_000 + "\n!" for character in list(characters)[:12]]
            try:
                for text in texts if wanted else ():
                    limited(re.search, wanted, text)
            except CpuLimitExceeded:
                yield CheckLine(
                    f"expectation of {target.name}",
                    None,
                    f"query {query.id}: the pattern “{plain(wanted, 60)}” takes too long for some "
                    "texts, and such answers are not checked: avoid a repetition inside a "
                    "repetition, as in (a+)+",
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

"""How soon a change reaches people, and how often by mistake: `python -m benchmarks.model_changed
DIR SECONDS`.

DIR holds `repeated.jsonl`: many answers of two models to the same prompts. As in
`benchmarks.false_alarms`, baselines of 20 answers to each of five prompts are drawn again and
again. Streams go answer by answer through the change detector and rule `model_changed`; no
fallback is known. An answer below the threshold counts as expected, which is the slowest case.
Exit status 1 where a goal is missed. Bounded by CPU seconds; seeded.
"""

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import median
from uuid import UUID

from benchmarks.false_alarms import LENGTH, MOST, WARM, Setting, draws
from monitor.domain import Identity, Incident, Outcome, Sample, VerdictState
from monitor.identity.fingerprint.tracker import TrackerState
from monitor.incidents.state_machine import ReminderPolicy, advance
from monitor.rules import ModelChangedRule, Window

BEGUN, EVERY = datetime(2026, 3, 2, tzinfo=UTC), timedelta(minutes=5)
KEPT = 20  # answers captured of each query
SWAPS = 6  # of each draw
GOOD = 20_160  # probes one false alarm is allowed in


class Watched:
    """One target from its baseline on: the detector, the rule, and what is open."""

    def __init__(self, setting: Setting, draw: Random) -> None:
        self.setting, self.draw = setting, draw
        self.track, self.window = TrackerState(epoch=1), Window("rag", every=EVERY, queries=1)
        self.rule, self.asked = ModelChangedRule(), 0
        self.incident: Incident | None = None

    def answered(self, *, changed: bool) -> bool:
        """Follow one more answer; True when it opened an incident."""
        pool = self.setting.other if changed else self.setting.good
        known = self.setting.profile.fingerprint.vectors
        self.track = self.track.bet(self.draw.choice(pool).vector, known, self.draw.random())
        at = BEGUN + self.asked * EVERY
        self.asked += 1
        passed = self.track.changed
        self.window.add(Sample(
            id=UUID(int=self.asked), at=at, round=at, query="q", outcome=Outcome.ANSWERED,
            ttft_ms=900.0, identity=Identity.CHANGED if passed else Identity.EXPECTED,
            model=None if passed else "expected", cost_usd=None, change_detected=passed,
        ))  # fmt: skip
        before = self.incident
        verdict = self.rule.judge(self.window, before, at)
        self.incident, _ = advance(before, verdict, policy=ReminderPolicy(), now=at)
        return verdict.state is VerdictState.BREACH and not (before and before.open)


def good(setting: Setting, draw: Random) -> int:
    """Incidents opened in one stream of good answers."""
    watched = Watched(setting, draw)
    return sum(watched.answered(changed=False) for _ in range(LENGTH))


def announced(setting: Setting, draw: Random, *, share: float) -> int:
    """Probes from a swap to its announcement; `MOST` where it is missed."""
    watched = Watched(setting, draw)
    for _ in range(WARM):
        watched.answered(changed=False)
    for nth in range(1, MOST):
        if watched.answered(changed=draw.random() < share):
            return nth
    return MOST


def shown(name: str, found: Sequence[int]) -> tuple[float, int]:
    """Print median, 90th percentile and misses; returns the first two."""
    ordered = sorted(found)
    middle, late = median(ordered), ordered[int(0.9 * (len(ordered) - 1))]
    missed = sum(each == MOST for each in ordered)
    print(f"{name}: median {middle:g}, p90 {late}, missed {missed} of {len(ordered)}")
    return middle, late


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    directory, seconds = Path(sys.argv[1]), float(sys.argv[2])
    draw, began = Random(2026), time.process_time()
    probes = opened = 0
    delays: dict[str, list[int]] = {}
    partial: list[int] = []
    for name, setting in draws(directory, draw, (KEPT,)):
        opened += good(setting, draw)
        probes += LENGTH
        for _ in range(SWAPS):
            delays.setdefault(name, []).append(announced(setting, draw, share=1.0))
        partial.append(announced(setting, draw, share=0.3))
        if time.process_time() - began > seconds:
            break
    print(f"{probes} good probes: {opened} incidents opened")
    for name, found in sorted(delays.items()):
        shown(name, found)
    shown("30 % of the answers", partial)
    middle, late = shown("all", [each for found in delays.values() for each in found])
    goals = (
        (f"false alarms in {GOOD} good probes", opened * GOOD / probes, 1),
        ("median probes to the announcement", middle, 6),
        ("90th percentile", late, 15),
    )
    for what, value, limit in goals:
        print(f"{'ok  ' if value <= limit else 'MISS'} {what}: {value:.3g} (goal <= {limit})")
    sys.exit(any(value > limit for _, value, limit in goals))


if __name__ == "__main__":
    main()

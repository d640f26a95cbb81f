"""When rounds begin: targets at different phases, late rounds only where the next is far."""

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from itertools import pairwise

import pytest

from monitor.domain import Query, Target
from monitor.worker.round_schedule import phase, start_delays, worth_probing_late

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def target(name: str, every: timedelta) -> Target:
    return Target(name=name, url="http://x", dialect="bali_zero", every=every,
                  queries=(Query(id="hi", text="Hi"),))  # fmt: skip


def shares(names: Iterable[str], every: timedelta = MINUTE) -> list[float]:
    """The phases of these targets as shares of the interval, in order."""
    return sorted(phase(target(name, every)) / every for name in names)


def gaps(names: Iterable[str]) -> list[float]:
    """From each phase to the next, around the interval."""
    found = shares(names)
    return [after - before for before, after in pairwise([*found, found[0] + 1])]


@pytest.mark.parametrize(
    ("every", "within"),
    [(10 * SECOND, 10 * SECOND), (MINUTE, MINUTE), (6 * HOUR, 5 * MINUTE)],
)  # fmt: skip
def test_a_phase_lies_within_the_interval_and_five_minutes(
    every: timedelta, within: timedelta
) -> None:
    for n in range(100):
        assert timedelta(0) <= phase(target(f"t{n}", every)) < within


def test_a_phase_depends_on_the_name_alone() -> None:
    """Adding or removing a target moves no other; every worker and release finds the same."""
    assert phase(target("rag", 5 * MINUTE)) == phase(target("rag", 6 * HOUR))
    assert phase(target("rag", MINUTE)) == timedelta(seconds=38.414211)


@pytest.mark.parametrize("pattern", ["t{}", "rag-{}", "shop-eu-{}", "tenant{}.example"])
def test_phases_are_spread_evenly(pattern: str) -> None:
    found = shares(pattern.format(n) for n in range(1_000))
    eighths = Counter(int(8 * share) for share in found)
    assert all(90 <= eighths[nth] <= 160 for nth in range(8))


def test_eight_targets_on_one_backend_never_begin_together() -> None:
    for group in range(200):
        found = gaps(f"g{group}-{n}" for n in range(8))
        assert min(found) > 0
        assert max(found) < 0.8  # at least two are far from each other


@pytest.mark.parametrize(("count", "apart"), [(1, 15.0), (2, 7.5), (8, 1.875)])
def test_rounds_at_the_start_are_spread_over_seconds_and_one_begins_at_once(
    count: int, apart: float
) -> None:
    found = start_delays(target(f"t{n}", 5 * MINUTE) for n in range(count))
    assert sorted(found.values()) == [timedelta(seconds=apart * nth) for nth in range(count)]


@pytest.mark.parametrize(
    ("every", "late", "requested"),
    [
        (MINUTE, timedelta(0), True),
        (MINUTE, 30 * SECOND, True),
        (MINUTE, 31 * SECOND, False),
        (6 * HOUR, 5 * HOUR, True),
        (6 * HOUR, 6 * HOUR - 5 * MINUTE, True),
        (6 * HOUR, 6 * HOUR - 4 * MINUTE, False),
    ],
)
def test_a_late_round_leaves_half_an_interval_or_five_minutes_to_the_next(
    every: timedelta, late: timedelta, requested: bool
) -> None:
    assert worth_probing_late(late, every) is requested

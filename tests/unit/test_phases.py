"""When rounds begin: targets at different phases, late rounds only where the next is far."""

from datetime import timedelta

import pytest

from monitor.domain import Query, Target
from monitor.worker import phases, worth_asking_late

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def target(name: str, every: timedelta) -> Target:
    return Target(name=name, url="http://x", dialect="bali_zero", every=every,
                  queries=(Query(id="hi", text="Hi"),))  # fmt: skip


def watched(count: int, every: timedelta) -> dict[str, Target]:
    return {f"t{n}": target(f"t{n}", every) for n in range(count)}


@pytest.mark.parametrize(
    ("every", "apart"),
    [(10 * SECOND, 1.25 * SECOND), (MINUTE, 7.5 * SECOND), (5 * MINUTE, 37.5 * SECOND),
     (6 * HOUR, 37.5 * SECOND)],
)  # fmt: skip
def test_eight_targets_are_spread_evenly_over_the_interval_or_five_minutes(
    every: timedelta, apart: timedelta
) -> None:
    found = sorted(phases(watched(8, every)).values())
    assert found == [nth * apart for nth in range(8)]


def test_phases_are_the_same_for_every_worker_and_in_any_order() -> None:
    one = watched(8, MINUTE)
    assert phases(dict(reversed(one.items()))) == phases(one)


def test_a_single_target_begins_with_its_slot() -> None:
    assert phases(watched(1, MINUTE)) == {"t0": timedelta(0)}


@pytest.mark.parametrize(
    ("every", "late", "asked"),
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
    every: timedelta, late: timedelta, asked: bool
) -> None:
    assert worth_asking_late(late, every) is asked

"""The wall clock held against the monotonic clock, with clocks one can move by hand."""

from dataclasses import dataclass

import pytest

from monitor.probing.resources import KernelClock

S, MS, US = 10**9, 10**6, 10**3
WALL = 1_700_000_000 * S


@dataclass
class Hands:
    """Two clocks. `torn_ns` passes between any two readings."""

    now_ns: int = 0
    ahead_ns: int = WALL
    torn_ns: int = 0

    def monotonic(self) -> int:
        self.now_ns += self.torn_ns
        return self.now_ns

    def wall(self) -> int:
        self.now_ns += self.torn_ns
        return self.now_ns + self.ahead_ns


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def clock(hands: Hands) -> KernelClock:
    return KernelClock(hands.monotonic, hands.wall)


@pytest.mark.parametrize(
    ("age_ns", "arrived_ns"),
    [
        (0, 100 * S),
        (3 * MS, 100 * S - 3 * MS),
        (60 * S, 40 * S),
        (60 * S + 1, None),  # nothing waits longer than a minute
        (-500 * US, 100 * S),  # noise: never after now
        (-500 * US - 1, None),
        (3600 * S, None),
    ],
)
def test_a_stamp_is_an_instant_of_the_monotonic_clock(
    clock: KernelClock, age_ns: int, arrived_ns: int | None
) -> None:
    assert clock.arrival(WALL + 100 * S - age_ns, 100 * S) == arrived_ns
    assert clock.steps == (arrived_ns is None)


@pytest.mark.parametrize(
    ("moved_ns", "steps"), [(0, 0), (500 * US, 0), (500 * US + 1, 1), (-3600 * S, 1)]
)
def test_an_offset_that_moved_is_a_step(
    hands: Hands, clock: KernelClock, moved_ns: int, steps: int
) -> None:
    hands.ahead_ns += moved_ns
    clock.compare()
    assert clock.steps == steps
    clock.compare()
    assert clock.steps == steps, "a step is counted once"
    assert clock.arrival(WALL + moved_ns + 100 * S, 100 * S) == 100 * S


def test_readings_torn_apart_by_the_scheduler_say_nothing(hands: Hands, clock: KernelClock) -> None:
    hands.torn_ns = 30 * MS
    clock.compare()
    assert clock.steps == 0

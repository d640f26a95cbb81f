"""The wall clock held against the monotonic clock: the kernel stamps with the former.

Between steps the two run exactly apart (slewing moves both alike), so one carefully
measured offset turns every stamp into a reading of the monotonic clock, and a moved offset
is a stepped clock.
"""

import time
from collections.abc import Callable

STEP_NS = 500_000  # an offset that moved by more is a step, not noise
OLDEST_NS = 60_000_000_000  # no segment waits longer than a whole probe lasts
CLOSE_NS = 20_000  # two readings this close were not torn apart by the scheduler


class KernelClock:
    """Tells when a kernel stamp was by the monotonic clock, and counts the steps it sees."""

    def __init__(
        self,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.steps = 0
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._offset_ns = self._measured()[0]

    def compare(self) -> None:
        """Measure the offset again; count a step if it moved."""
        offset, torn = self._measured()
        if torn > CLOSE_NS:
            return  # the scheduler came between: this says nothing
        if abs(offset - self._offset_ns) > STEP_NS:
            self.steps += 1
        self._offset_ns = offset

    def arrival(self, stamp_ns: int, now_ns: int) -> int | None:
        """A kernel stamp as a monotonic instant, not after `now_ns`.

        None, and a step counted, where the stamp's age cannot be: negative or over a minute.
        """
        age = now_ns - (stamp_ns - self._offset_ns)
        if not -STEP_NS <= age <= OLDEST_NS:
            self.steps += 1
            return None
        return now_ns - max(age, 0)

    def _measured(self) -> tuple[int, int]:
        tries = []
        for _ in range(5):
            before = self._monotonic_ns()
            wall = self._wall_ns()
            after = self._monotonic_ns()
            tries.append((after - before, wall - (before + after) // 2))
            if after - before <= CLOSE_NS:
                break
        torn, offset = min(tries)
        return offset, torn

"""The database's clock as one machine saw it, so that a step of it is noticed."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

# Goes on while the machine is suspended, where there is such a clock.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
STEP = timedelta(seconds=10)  # less is drift, or a slow answer


class ClockStep(NamedTuple):
    """The clock stepped by `by`. Until then it had gone evenly from `since` to `until`.

    Both are instants of the clock before the step.
    """

    by: timedelta
    since: datetime
    until: datetime


def steady_s() -> float:
    """Seconds of a clock that nobody sets, since the machine started."""
    return time.clock_gettime(_STEADY)


def boot_id() -> str | None:
    """This start of this machine: processes that share it share the steady clock. None: unknown."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return None
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/time').readlink()}"
    return None


@dataclass(slots=True)
class ClockHistory:
    """`seen`: the database's clock and the steady one at the latest look.

    `since`: the database's clock went evenly from here. `boot` None: nothing is kept for a restart.
    """

    seen: tuple[datetime, float] | None = None
    since: datetime | None = None
    boot: str | None = field(default_factory=boot_id)
    steady: Callable[[], float] = steady_s

    def look(self, now: datetime) -> ClockStep | None:
        """Note the database's clock; the step it made since the look before, or None."""
        steady = self.steady()
        before, since, self.seen = self.seen, self.since, (now, steady)
        if before is None or since is None or steady < before[1]:
            self.since = now
            return None
        by = now - before[0] - timedelta(seconds=steady - before[1])
        if abs(by) <= STEP:
            return None
        self.since = now
        return ClockStep(by, since, now - by)

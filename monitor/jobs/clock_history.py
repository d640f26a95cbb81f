"""The database's clock as one worker saw it, so that a step of it is noticed."""

import time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

# Goes on while the machine is suspended, where there is such a clock.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(slots=True)
class ClockHistory:
    """`noticed`: when this worker set observations of the future aside, the latest ones."""

    noticed: deque[datetime] = field(default_factory=lambda: deque(maxlen=1000))
    seen: tuple[datetime, float] | None = None

    def step(self, now: datetime) -> timedelta:
        """How much further than time the database's clock went since the call before."""
        steady = time.clock_gettime(_STEADY)
        before, self.seen = self.seen, (now, steady)
        if before is None:
            return timedelta(0)
        return now - before[0] - timedelta(seconds=steady - before[1])

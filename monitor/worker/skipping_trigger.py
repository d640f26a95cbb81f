"""When a job runs next, whatever its clock does."""

from datetime import datetime

from apscheduler.triggers.interval import IntervalTrigger


class SkippingTrigger(IntervalTrigger):  # type: ignore[misc]  # it has no types
    """Runs at intervals, without the runs that a clock jumped over.

    The scheduler lists every run that was due before it runs the last one: after a jump by years
    that takes minutes, blocks the event loop and fills the memory.
    """

    def get_next_fire_time(
        self, previous_fire_time: datetime | None, now: datetime
    ) -> datetime | None:
        if previous_fire_time is not None:
            passed = (now - previous_fire_time) // self.interval
            previous_fire_time += max(passed - 1, 0) * self.interval
        following: datetime | None = super().get_next_fire_time(previous_fire_time, now)
        return following

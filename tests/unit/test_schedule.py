"""The schedule after a clock step: nothing lists the times that were missed."""

from datetime import UTC, datetime, timedelta

from apscheduler.triggers.interval import IntervalTrigger

from monitor.worker.skipping_trigger import SkippingTrigger
from tests.case_tables import each

START = datetime(2026, 11, 30, 12, tzinfo=UTC)
YEARS = timedelta(days=730)


def due_times(trigger: IntervalTrigger, since: datetime, now: datetime, *, most: int) -> int:
    """How many times APScheduler would list as due, as in its `Job._get_run_times`."""
    count, at = 0, since
    while at <= now and count < most:
        count += 1
        at = trigger.get_next_fire_time(at, now)
    return count


def test_a_step_of_years_lists_no_missed_times() -> None:
    trigger = SkippingTrigger(seconds=1, start_date=START, timezone=UTC)
    assert due_times(trigger, START, START + YEARS, most=100) <= 2
    plain = IntervalTrigger(seconds=1, start_date=START, timezone=UTC)
    assert due_times(plain, START, START + YEARS, most=100) == 100


@each("late", [timedelta(0), timedelta(seconds=3), timedelta(seconds=10)])
def test_without_a_step_it_is_an_ordinary_interval(late: timedelta) -> None:
    trigger = SkippingTrigger(seconds=10, start_date=START, timezone=UTC)
    following = trigger.get_next_fire_time(START, START + late)
    assert following == START + timedelta(seconds=10)


def test_times_stay_on_the_grid_after_a_step() -> None:
    trigger = SkippingTrigger(seconds=10, start_date=START, timezone=UTC)
    now = START + YEARS + timedelta(seconds=3)
    assert trigger.get_next_fire_time(START, now) == START + YEARS

"""When nothing is told: mutes by a person, and maintenance windows that come again."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from monitor.domain import ALL

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_WEEK: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """Silence for a reason, until an instant. `all` stands for every rule or every scope."""

    until: datetime
    reason: str
    rule: str = ALL
    scope: str = ALL

    def covers(self, rule: str, scope: str, *, now: datetime) -> bool:
        meant = self.rule in (ALL, rule) and self.scope in (ALL, scope)
        return meant and now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceWindow:
    """A window that comes again on `days`, in the wall time of a zone.

    One that ends no later than it starts lasts into the next day.
    """

    days: tuple[Weekday, ...]
    start: time
    end: time
    timezone: str = "UTC"
    reason: str = "maintenance"
    rule: str = ALL
    scope: str = ALL

    def covers(self, rule: str, scope: str, *, now: datetime) -> bool:
        meant = self.rule in (ALL, rule) and self.scope in (ALL, scope)
        return meant and self._within(now)

    def _within(self, now: datetime) -> bool:
        local = now.astimezone(ZoneInfo(self.timezone))
        clock = local.time()
        today, yesterday = (
            _WEEK[(local - timedelta(days=ago)).weekday()] in self.days for ago in (0, 1)
        )
        if self.start < self.end:
            return today and self.start <= clock < self.end
        return (today and clock >= self.start) or (yesterday and clock < self.end)


Silence = Iterable[Mute | MaintenanceWindow]


def is_silenced(silence: Silence, rule: str, scope: str, *, now: datetime) -> bool:
    """Whether nothing may be told of a rule and scope now."""
    return any(one.covers(rule, scope, now=now) for one in silence)

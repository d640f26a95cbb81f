"""Where values lie on a chart: scales from 0 to 1, ticks people would have chosen, labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from math import ceil, floor, log10
from zoneinfo import ZoneInfo

from monitor.domain import amount_text, usd_text

_STEPS = (1, 2, 2.5, 5, 10)
_SPANS = (
    *(timedelta(seconds=seconds) for seconds in (1, 2, 5, 10, 15, 30)),
    *(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720)),
    *(timedelta(days=days) for days in (1, 2, 4, 7, 14)),
)
_DAY, _MINUTE = timedelta(days=1), timedelta(minutes=1)
_SHORT = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class ValueScale:
    """Values from 0 to `top`, with their ticks. `top` lies on or above the last tick."""

    top: float
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        """0 at the bottom, 1 at the top and above."""
        return min(max(value / self.top, 0.0), 1.0)


def heights(top: float, most: int = 5) -> ValueScale:
    """A scale that holds `top`, with at most `most` ticks besides 0."""
    top = top if top > 0 else 1.0
    rough = top / most
    power = 10.0 ** floor(log10(rough))
    step = next((s * power for s in _STEPS if s * power >= rough * 0.999_999), 10 * power)
    count = ceil(top / step - 1e-9)
    return ValueScale(step * count, tuple(step * k for k in range(count + 1)))


@dataclass(frozen=True, slots=True)
class TimeScale:
    """A span of time as a share of the width. Days and labels are those of `zone`."""

    since: datetime
    until: datetime
    zone: ZoneInfo

    def share(self, at: datetime) -> float:
        """0 at the left edge, 1 at the right; instants outside lie on the edge."""
        whole = (self.until - self.since) / timedelta(seconds=1)
        return min(max((at - self.since) / timedelta(seconds=1) / whole, 0.0), 1.0)

    def ticks(self, most: int = 8) -> tuple[tuple[datetime, str], ...]:
        """Round instants of the zone's clock with their labels; at least one."""
        span = self.until - self.since
        step = next((s for s in _SPANS if span / s <= most), _SPANS[-1])
        found = [at for at in self._round(step) if self.since <= at <= self.until]
        return tuple((at, self._label(at, step)) for at in found) or (
            (self.since, clock(self.since, self.zone)),
        )

    def _round(self, step: timedelta) -> Iterator[datetime]:
        """Multiples of the step, counted on the clock of the zone from a midnight or a Monday."""
        first = self.since.astimezone(self.zone).date()
        if step >= 7 * _DAY:
            first -= timedelta(days=first.weekday())
        clock = datetime.combine(first, time())
        last = self.until.astimezone(self.zone).replace(tzinfo=None)
        while clock <= last:
            yield clock.replace(tzinfo=self.zone).astimezone(UTC)
            clock += step

    def _label(self, at: datetime, step: timedelta) -> str:
        local = at.astimezone(self.zone)
        midnight = step >= _DAY or local.time() == time()
        if midnight:
            return f"{local:%b} {local.day}"
        return f"{local:%H:%M:%S}" if step < _MINUTE else f"{local:%H:%M}"


def clock(at: datetime, zone: ZoneInfo, *, within: timedelta = _DAY) -> str:
    """An instant, to the minute; to the second where it is one of a span of few minutes."""
    return f"{at.astimezone(zone):{'%Y-%m-%d %H:%M:%S' if within < _SHORT else '%Y-%m-%d %H:%M'}}"


def day(value: date) -> str:
    return f"{value:%a %b} {value.day}"


def ms(value: float | None) -> str:
    """Milliseconds with as many digits as mean something."""
    if value is None:
        return "–"
    return f"{value:,.0f} ms" if value >= 10 or not value else f"{value:.1f} ms"


def share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}".removesuffix(".0") + " %"


def usd(
    value: Decimal | float | None, *, high: Decimal | None = None, at_least: bool = False
) -> str:
    """Dollars: cents from a dollar on, four significant digits below, never in exponents.

    `high`: the other end, where it lies between two.
    """
    if value is None:
        return "–"
    if high is not None:
        return amount_text(Decimal(value), high, at_least=at_least).replace("at least ", "≥ ")
    return f"{'≥ ' if at_least else ''}{usd_text(value)}"

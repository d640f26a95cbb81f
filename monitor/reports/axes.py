"""The parts of a chart: scales, ticks, labels and shapes. `templates/charts.html` draws them.

Shapes lie on a plane that is stretched to the available width; labels lie beside it at shares of
that width. So one drawing is readable on a phone, on a large screen, and in the picture for Slack.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from math import ceil, floor, log10
from zoneinfo import ZoneInfo

from monitor.domain import amount_text, usd_text

WIDTH = 1000.0  # units of a stretched plane

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
    """A scale up to at least `top`, with at most `most` ticks besides 0."""
    top = top if top > 0 else 1.0
    rough = top / most
    power = 10.0 ** floor(log10(rough))
    step = next((s * power for s in _STEPS if s * power >= rough * 0.999_999), 10 * power)
    count = ceil(top / step - 1e-9)
    return ValueScale(step * count, tuple(step * k for k in range(count + 1)))


@dataclass(frozen=True, slots=True)
class TimeScale:
    """A span of time as shares of the width. Days and labels are those of `zone`."""

    since: datetime
    until: datetime
    zone: ZoneInfo

    def share(self, at: datetime) -> float:
        """0 at the left edge, 1 at the right; instants outside are moved to the edge."""
        return min(max((at - self.since) / (self.until - self.since), 0.0), 1.0)

    def ticks(self, most: int = 8) -> tuple[tuple[datetime, str], ...]:
        """Round instants on the zone's clock with their labels; at least one."""
        span = self.until - self.since
        step = next((s for s in _SPANS if span / s <= most), _SPANS[-1])
        found = [at for at in self._round(step) if self.since <= at <= self.until]
        return tuple((at, instant_label(at, self.zone, step)) for at in found) or (
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


def instant_label(at: datetime, zone: ZoneInfo, step: timedelta) -> str:
    """A label of an axis with the precision that its steps need: at midnight the date."""
    local = at.astimezone(zone)
    if step >= _DAY or local.time() == time():
        return f"{local:%b} {local.day}"
    return f"{local:%H:%M:%S}" if step < _MINUTE else f"{local:%H:%M}"


def clock(at: datetime, zone: ZoneInfo, *, within: timedelta = _DAY) -> str:
    """An instant to the minute; to the second in a span of a few minutes."""
    return f"{at.astimezone(zone):{'%Y-%m-%d %H:%M:%S' if within < _SHORT else '%Y-%m-%d %H:%M'}}"


def day(value: date) -> str:
    return f"{value:%a %b} {value.day}"


def ms(value: float | None) -> str:
    """Milliseconds with as many digits as are significant."""
    if value is None:
        return "–"
    return f"{value:,.0f} ms" if value >= 10 or not value else f"{value:.1f} ms"


def share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}".removesuffix(".0") + " %"


def usd(
    value: Decimal | float | None, *, high: Decimal | None = None, at_least: bool = False
) -> str:
    """Dollars: cents from one dollar, four significant digits below, never in exponents.

    `high`: the upper end of a range.
    """
    if value is None:
        return "–"
    if high is not None:
        return amount_text(Decimal(value), high, at_least=at_least).replace("at least ", "≥ ")
    return f"{'≥ ' if at_least else ''}{usd_text(value)}"


@dataclass(frozen=True, slots=True)
class LegendKey:
    """One entry of a legend. `kind` is line or box; `style` a class of `chart.css`."""

    name: str
    style: str
    kind: str = "box"


@dataclass(frozen=True, slots=True)
class ChartShape:
    """A path, or a rectangle where `d` is empty. `title` is its tooltip."""

    style: str
    d: str = ""
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0
    title: str | None = None


@dataclass(frozen=True, slots=True)
class ChartText:
    """Text at a share of the width and at pixels from the top."""

    x: float
    y: float
    text: str
    style: str
    anchor: str = "start"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartPlane:
    """The drawing: shapes that stretch, texts that do not, and the ticks of both axes.

    With `rows`, each named row is a plane of its own, and `across` is below the last.
    """

    height: float
    width: float = WIDTH
    shapes: Sequence[ChartShape] = ()
    texts: Sequence[ChartText] = ()
    across: Sequence[tuple[float, str]] = ()  # share of the width, label
    up: Sequence[tuple[float, str]] = ()  # pixels from the top, label
    below: float = 0  # pixels for strips between the plane and its labels
    strips: Sequence[tuple[float, str]] = ()  # pixels from the top, name of a strip
    rows: Sequence[tuple[str, Sequence[ChartShape]]] = ()

    @property
    def ticks(self) -> Iterator[ChartText]:
        """Labels below the plane; if there are many, a narrow screen shows every second one."""
        for place, (at, text) in enumerate(self.across):
            anchor = "start" if at < 0.015 else "end" if at > 0.985 else "middle"
            style = "tick second" if place % 2 and len(self.across) > 4 else "tick"
            yield ChartText(at, self.height + self.below + 15, text, style, anchor)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartFigure:
    """A titled chart with its legend; `empty` is the sentence if there is nothing to draw.

    `label` describes the chart for screen readers.
    """

    title: str
    label: str = ""
    plane: ChartPlane | None = None
    keys: Sequence[LegendKey] = ()
    note: str = ""
    empty: str = "No data in this period."


def upright(
    scale: ValueScale, height: float, shown: Callable[[float], str]
) -> list[tuple[float, str]]:
    """Ticks of a vertical scale as pixels from the top, with their labels."""
    return [(height * (1 - scale.share(tick)), shown(tick)) for tick in scale.ticks]


def rule(y: float, style: str, width: float = WIDTH) -> ChartShape:
    """A horizontal line across the whole plane."""
    return ChartShape(style, f"M0 {y:.2f}H{width:g}")


def box(
    x: float, y: float, *, width: float, height: float, style: str, title: str | None = None
) -> ChartShape:
    return ChartShape(style, "", x, y, width, height, title)

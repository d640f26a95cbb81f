"""Markup that cannot be broken out of: every text and attribute is escaped where it is written."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from html import escape
from math import ceil, floor, log10
from zoneinfo import ZoneInfo

from monitor.domain import amount_text, usd_text
from monitor.redaction import plain

LONGEST = 500
_LONGEST_PATH = 1_000_000  # characters of an attribute: paths are long


class Markup(str):
    """Text that is markup already. Only this room makes it."""

    __slots__ = ()


def safe_text(value: object, limit: int = LONGEST) -> Markup:
    """Any value as harmless text of one line."""
    return value if isinstance(value, Markup) else Markup(_harmless(str(value), limit))


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """One element. A trailing `_` of an attribute is dropped, others become `-`.

    Attributes that are None are left out; numbers are written with two decimals at most.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if not children and name in _EMPTY:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{joined(*children)}</{name}>")


def joined(*children: object) -> Markup:
    """Children one after another, None left out."""
    return Markup("".join(safe_text(child) for child in children if child is not None))


def number(value: float) -> str:
    """A coordinate: two decimals at most, no useless zeros."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


_EMPTY = frozenset({"meta", "br", "hr"})


def _value(value: object) -> str:
    if isinstance(value, float | int):
        return number(value)
    return _harmless(str(value), _LONGEST_PATH)


@lru_cache(2048)  # class names, units and days come again and again
def _harmless(text: str, limit: int) -> str:
    return escape(plain(text, limit))


# Where values lie on a chart: scales from 0 to 1, ticks people would have chosen, labels.


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


# The frame of a chart: axes, grid, legend, and shapes that stretch while text does not.
#
# Shapes are drawn on a plane 1000 units wide that is stretched to the width there is; labels
# lie beside it at shares of that width. So one drawing reads well on a phone and on a wall.


WIDTH = 1000.0
_BELOW = 20  # pixels for the labels beneath


@dataclass(frozen=True, slots=True)
class LegendKey:
    """One entry of a legend. `kind` is line, box or hatch; `style` a class of the stylesheet."""

    name: str
    style: str
    kind: str = "box"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartPlane:
    """What is drawn: shapes that stretch, texts that do not, and the ticks of both axes."""

    height: int
    shapes: Sequence[Markup]
    texts: Sequence[Markup] = ()
    across: Sequence[tuple[float, str]] = ()  # share of the width, label
    up: Sequence[tuple[float, str]] = ()  # pixels from the top, label
    below: int = 0  # pixels for strips between the plane and its labels
    strips: Sequence[tuple[float, str]] = ()  # pixels from the top, name of a strip


def figure(
    title: str,
    *,
    label: str,
    plane: ChartPlane | None,
    keys: Iterable[LegendKey] = (),
    note: str = "",
    empty: str = "No data in this period.",
) -> Markup:
    """A titled chart with its legend; a sentence instead where there is nothing to draw.

    `label` describes the chart for screen readers.
    """
    caption = element(
        "figcaption", element("h3", title), element("p", note, class_="note") if note else None
    )
    if plane is None:
        return element("figure", caption, element("p", empty, class_="empty"))
    return element("figure", caption, _legend(tuple(keys)), _plane(plane, label))


def upright(
    scale: ValueScale, height: float, shown: Callable[[float], str]
) -> list[tuple[float, str]]:
    """Ticks of an upright scale as pixels from the top, with their labels."""
    return [(height * (1 - scale.share(tick)), shown(tick)) for tick in scale.ticks]


def rule(y: float, style: str) -> Markup:
    """A level line across the whole plane."""
    return element("path", d=f"M0 {y:.2f}H{WIDTH:g}", class_=style)


def box(
    x: float, y: float, *, width: float, height: float, style: str, title: str | None = None
) -> Markup:
    """A rectangle with a tooltip."""
    notified = element("title", title) if title else None
    return element("rect", notified, x=x, y=y, width=width, height=height, class_=style)


def written(x: float, y: float, text: str, *, style: str, anchor: str = "start") -> Markup:
    """Text at a share of the width and at pixels from the top."""
    return element("text", text, x=f"{100 * x:.2f}%", y=y, class_=style, text_anchor=anchor)


def _plane(plane: ChartPlane, label: str) -> Markup:
    whole = plane.height + plane.below + (_BELOW if plane.across else 4)
    grid = [rule(y, "grid") for y, _ in plane.up]
    drawn = element(
        "svg",
        *grid,
        *plane.shapes,
        viewBox=f"0 0 {WIDTH:g} {plane.height + plane.below}",
        preserveAspectRatio="none",
        width="100%",
        height=plane.height + plane.below,
        overflow="visible",
    )
    foot = plane.height + plane.below + 15
    ticks = [_tick(share, text, foot, place) for place, (share, text) in enumerate(plane.across)]
    beside = [
        element("text", text, x="100%", y=y + 4, class_="tick", text_anchor="end")
        for y, text in (*plane.up, *plane.strips)
    ]
    return element(
        "div",
        element("svg", *beside, class_="up", height=whole, aria_hidden="true"),
        element(
            "svg",
            drawn,
            *plane.texts,
            *ticks,
            class_="across",
            height=whole,
            role="img",
            aria_label=label,
        ),
        class_="plane" if plane.up else "plane level",
    )


def _tick(share: float, text: str, y: float, place: int) -> Markup:
    """A label beneath; every second one gives way on a narrow screen."""
    anchor = "start" if share < 0.03 else "end" if share > 0.97 else "middle"
    style = "tick" if place % 2 == 0 else "tick second"
    return written(share, y, text, style=style, anchor=anchor)


def _legend(keys: Sequence[LegendKey]) -> Markup | None:
    if not keys:
        return None
    return element("ul", *(element("li", _sample(key), key.name) for key in keys), class_="legend")


def _sample(key: LegendKey) -> Markup:
    if key.kind == "line":
        drawn = element("path", d="M0 6H24", class_=f"line {key.style}")
    else:
        drawn = element("rect", x=4, y=0, width=14, height=12, class_=key.style)
    return element("svg", drawn, width=24, height=12, class_="key", aria_hidden="true")

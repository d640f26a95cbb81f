"""The frame of a chart: axes, grid, legend, and shapes that stretch while text does not.

Shapes are drawn on a plane 1000 units wide that is stretched to the width there is; labels
lie beside it at shares of that width. So one drawing reads well on a phone and on a wall.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from monitor.reports.markup import Markup, element
from monitor.reports.scales import ValueScale

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
    empty: str = "Nothing was seen in this span.",
) -> Markup:
    """A titled chart with its legend; a sentence instead where there is nothing to draw.

    `label` tells those who cannot see it what the chart shows.
    """
    caption = element("figcaption", element("h3", title),
                      element("p", note, class_="note") if note else None)  # fmt: skip
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


def box(x: float, y: float, *, width: float, height: float, style: str,
        title: str | None = None) -> Markup:  # fmt: skip
    """A rectangle, with words for whoever points at it."""
    notified = element("title", title) if title else None
    return element("rect", notified, x=x, y=y, width=width, height=height, class_=style)


def written(x: float, y: float, text: str, *, style: str, anchor: str = "start") -> Markup:
    """Text at a share of the width and at pixels from the top."""
    return element("text", text, x=f"{100 * x:.2f}%", y=y, class_=style, text_anchor=anchor)


def _plane(plane: ChartPlane, label: str) -> Markup:
    whole = plane.height + plane.below + (_BELOW if plane.across else 4)
    grid = [rule(y, "grid") for y, _ in plane.up]
    drawn = element(
        "svg", *grid, *plane.shapes, viewBox=f"0 0 {WIDTH:g} {plane.height + plane.below}",
        preserveAspectRatio="none", width="100%", height=plane.height + plane.below,
        overflow="visible",
    )  # fmt: skip
    foot = plane.height + plane.below + 15
    ticks = [_tick(share, text, foot, place) for place, (share, text) in enumerate(plane.across)]
    beside = [
        element("text", text, x="100%", y=y + 4, class_="tick", text_anchor="end")
        for y, text in (*plane.up, *plane.strips)
    ]
    return element(
        "div",
        element("svg", *beside, class_="up", height=whole, aria_hidden="true"),
        element("svg", drawn, *plane.texts, *ticks, class_="across", height=whole, role="img",
                aria_label=label),
        class_="plane" if plane.up else "plane level",
    )  # fmt: skip


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

"""Level bars: where the time to the first token goes, and what a canned query costs."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from monitor.reports.axes import WIDTH, ChartPlane, LegendKey, box, figure, written
from monitor.reports.colours import model_roles
from monitor.reports.markup import Markup
from monitor.reports.page_data import QueryFigures, TargetReport
from monitor.reports.scales import ValueScale, heights, ms, usd

ROW, BAR = 42, 16  # pixels: a name stands above its bar
PHASES = (
    ("dns_ms", "name resolution", "p0"),
    ("tcp_ms", "connection", "p1"),
    ("tls_ms", "TLS", "p2"),
    ("head_ms", "response head", "p3"),
    ("text_ms", "first answer text", "p4"),
)


def phases(watched: TargetReport) -> Markup:
    """Where the time goes until the first answer text, query by query."""
    title = "Where the time goes"
    note = ("Median of each phase: they need not add up to the median TTFT, which counts from the "
            "request's last byte.")  # fmt: skip
    rows = [query for query in watched.queries if _phases_of(query)]
    if not rows:
        return figure(title, label="", plane=None, note=note)
    scale = heights(max(sum(spent for _, _, spent in _phases_of(query)) for query in rows))
    shapes, texts = [], []
    for place, query in enumerate(rows):
        left, parts = 0.0, _phases_of(query)
        notified = " · ".join(f"{name} {ms(spent)}" for name, _, spent in parts)
        texts.append(written(0, place * ROW + 14, query.query, style="row-label"))
        for _, style, spent in parts:
            wide = WIDTH * scale.share(spent)
            shapes.append(box(left, place * ROW + 20, width=wide, height=BAR, style=style,
                              title=f"{query.query}: {notified}"))  # fmt: skip
            left += wide
    spoken = "Stacked level bars. " + " ".join(
        f"{query.query}: " + ", ".join(f"{n} {ms(v)}" for n, _, v in _phases_of(query)) + "."
        for query in rows
    )
    used = {style for query in rows for _, style, _ in _phases_of(query)}
    keys = tuple(LegendKey(name, style) for _, name, style in PHASES if style in used)
    return figure(title, label=spoken, note=note, keys=keys,
                  plane=_level(shapes, texts, rows=len(rows), scale=scale))  # fmt: skip


def _phases_of(query: QueryFigures) -> list[tuple[str, str, float]]:
    found = ((name, style, getattr(query, field)) for field, name, style in PHASES)
    return [(name, style, spent) for name, style, spent in found if spent is not None]


def costs(watched: TargetReport) -> Markup:
    """What a canned query costs on each model that answered it."""
    title = "Cost per query"
    note = ("Mean of whole answers, by who answered. No price, no bar. "
            "Hatched: at most, where the model is unknown.")  # fmt: skip
    priced = [item for item in watched.costs if item.mean_usd is not None]
    if not priced:
        return figure(title, label="", plane=None, note=note, empty="No answer has a price.")
    scale, roles = (
        heights(float(max(item.mean_high_usd or item.mean_usd or Decimal(0) for item in priced))),
        model_roles(watched),
    )
    shapes, texts = [], []
    for place, item in enumerate(watched.costs):
        # The figure first: where there is no room, the end of a name is cut off.
        cost = usd(item.mean_usd, high=item.mean_high_usd)
        name = f"{cost} · {item.query} · {item.model or 'model not identified'}"
        texts.append(written(0, place * ROW + 14, name, style="row-label"))
        if item.mean_usd is not None:
            reported = f"{name}, mean of {item.answers} answers"
            low = WIDTH * scale.share(float(item.mean_usd))
            shapes.append(
                box(
                    0,
                    place * ROW + 20,
                    width=low,
                    height=BAR,
                    style=roles.style(item.model),
                    title=reported,
                )
            )
            if item.mean_high_usd is not None and item.mean_high_usd > item.mean_usd:
                more = WIDTH * scale.share(float(item.mean_high_usd)) - low
                shapes.append(box(low, place * ROW + 20, width=more, height=BAR,
                                  style="unknown", title=reported))  # fmt: skip
    spoken = "Level bars. " + " ".join(
        f"{item.query} on {item.model or 'a model not identified'}: "
        f"{usd(item.mean_usd, high=item.mean_high_usd)}."
        for item in watched.costs
    )
    plane = _level(shapes, texts, rows=len(watched.costs), scale=scale, money=True)
    return figure(title, label=spoken, plane=plane, keys=tuple(roles.keys()), note=note)


def _level(
    shapes: Sequence[Markup], texts: Sequence[Markup], *, rows: int, scale: ValueScale,
    money: bool = False,
) -> ChartPlane:  # fmt: skip
    """A plane of rows, its scale beneath."""
    return ChartPlane(height=rows * ROW, shapes=shapes, texts=texts,
                 across=list(_marks(scale, money=money)))  # fmt: skip


def _marks(scale: ValueScale, *, money: bool) -> Iterator[tuple[float, str]]:
    for tick in scale.ticks:
        yield scale.share(tick), usd(tick) if money else ms(tick)

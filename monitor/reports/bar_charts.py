"""Charts of bars: who answered each day, what each day cost by meter, how TTFT is spread."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from math import log2

from monitor.domain.report import IDENTITIES, DaySpend, ModelAnswers
from monitor.reports.axes import (
    WIDTH,
    ChartPlane,
    LegendKey,
    Markup,
    ValueScale,
    box,
    day,
    element,
    figure,
    heights,
    ms,
    rule,
    share,
    upright,
    usd,
    written,
)
from monitor.reports.page_data import (
    AN_OCTAVE,
    UNLIMITED_MS,
    UNSURE_KEYS,
    LatencyBin,
    QueryFigures,
    ReportPage,
    TargetReport,
    model_roles,
)

HEIGHT = 150
_FULL = 0.82  # of a bar's room
_MOST_LABELS = 10
_ROLES = {
    "expected": LegendKey("expected model", "expected0"),
    **UNSURE_KEYS,
    "fallback": LegendKey("fallback", "fallback0"),
}
METERS = (("account", "account"), ("probes", "probes"), ("traffic", "traffic"))


def model_share(page: ReportPage, watched: TargetReport) -> Markup:
    """Who answered, day by day, as shares of all answers."""
    title = "Who answered"
    note = "Share of each day's answers by model and identity."
    days = _days(page)
    by_day: dict[date, list[ModelAnswers]] = defaultdict(list)
    for item in watched.served:
        by_day[item.day].append(item)
    if not by_day:
        return figure(title, label="", plane=None, note=note)
    roles, shapes = model_roles(watched), []
    for place, on in enumerate(days):
        whole, done = sum(item.answers for item in by_day[on]), 0.0
        for item in sorted(by_day[on], key=roles.order):
            tall = HEIGHT * item.answers / whole
            name = item.model or "model not identified"
            reported = (
                f"{day(on)}: {name}, {item.identity}, {item.answers} of {whole} answers "
                f"({share(item.answers / whole)})"
            )
            style = roles.style(item.model, item.identity)
            shapes.append(_bar(place, len(days), done, tall, style=style, title=reported))
            done += tall
    plane = ChartPlane(
        height=HEIGHT,
        shapes=shapes,
        across=_across(days),
        up=upright(ValueScale(1.0, (0.0, 0.25, 0.5, 0.75, 1.0)), HEIGHT, share),
    )
    shares = ", ".join(f"{share(watched.share_of(identity))} {identity}" for identity in IDENTITIES)
    spoken = (
        f"Stacked bars by day. Of all {watched.answers} answers of {watched.name} in the "
        f"span: {shares}."
    )
    return figure(title, label=spoken, plane=plane, keys=roles.keys(), note=note)


def spend(page: ReportPage) -> Markup:
    """Dollars a day by meter, against the limit."""
    title = "Spend per day"
    note = (
        "From the provider's account where available, otherwise probes and estimated traffic. "
        "Hatched: upper bound, where the model is unknown."
    )
    if not page.spend:
        return figure(title, label="", plane=None, note=note, empty="No day has been computed yet.")
    days, found = _days(page), {item.day: item for item in page.spend}
    limit = page.spend_limit_usd
    top = max([item.high_usd for item in page.spend] + ([limit] if limit else []))
    scale = heights(float(top) * 1.08)
    shapes = [
        shape
        for place, on in enumerate(days)
        if on in found
        for shape in _metered(found[on], place, len(days), scale)
    ]
    keys = [*_meter_keys(page.spend)]
    if limit is not None:
        shapes.append(rule(HEIGHT * (1 - scale.share(float(limit))), "limit"))
        keys.append(LegendKey(f"limit {usd(limit)} a day", "limit", "line"))
    plane = ChartPlane(
        height=HEIGHT, shapes=shapes, across=_across(days), up=upright(scale, HEIGHT, usd)
    )
    reported = ", ".join(f"{day(item.day)} {_whole(item)}" for item in page.spend[-7:])
    return figure(
        title,
        label=f"Bars of spend by day, the latest: {reported}.",
        plane=plane,
        keys=keys,
        note=note,
    )


def _metered(item: DaySpend, place: int, of: int, scale: ValueScale) -> Iterator[Markup]:
    """One day's bar: what each meter added, from the bottom up; the sum is what is judged."""
    reported = f"{day(item.day)}: {_whole(item)} in all"
    amounts = [(name, style, getattr(item, f"{name}_usd")) for name, style in METERS]
    reported += "".join(f" · {name} {usd(amount)}" for name, _, amount in amounts if amount)
    above = 0.0
    for _, style, amount in amounts:
        if amount:
            tall = HEIGHT * scale.share(float(amount))
            yield _bar(place, of, HEIGHT - above - tall, tall, style=style, title=reported)
            above += tall
    more = HEIGHT * scale.share(float(item.high_usd)) - above
    if item.high_usd > item.total_usd and more > 0:
        yield _bar(place, of, HEIGHT - above - more, more, style="unknown", title=reported)


def _whole(item: DaySpend) -> str:
    return usd(item.total_usd, high=item.high_usd, at_least=item.at_least)


def _meter_keys(spent: Sequence[DaySpend]) -> Iterator[LegendKey]:
    for name, style in METERS:
        if any(getattr(item, f"{name}_usd") for item in spent):
            yield LegendKey(name, style)
    if any(item.high_usd > item.total_usd for item in spent):
        yield LegendKey("upper bound, unknown models", "unknown")


def histogram(watched: TargetReport) -> Markup:
    """Distribution of TTFT, on octaves around the limit: the limit is an edge between bars."""
    title = "Distribution of TTFT"
    note = "Samples by TTFT on a logarithmic scale. Degraded samples are excluded."
    bins = watched.bins
    if not any(item.samples for item in bins):
        return figure(title, label="", plane=None, note=note)
    scale = heights(max(item.samples for item in bins))
    shapes = [
        shape for place, item in enumerate(bins) for shape in _spread(item, place, len(bins), scale)
    ]
    edges = [item.low_ms for item in bins] + [bins[-1].high_ms]
    keys = [key for role, key in _ROLES.items() if any(getattr(item, role) for item in bins)]
    mark = round(-AN_OCTAVE * log2(edges[0] / (watched.limit_ms or UNLIMITED_MS)))
    if watched.limit_ms is not None and 0 <= mark <= len(bins):
        at = WIDTH * mark / len(bins)
        shapes.append(element("path", d=f"M{at:.1f} 0V{HEIGHT}", class_="limit"))
        keys.append(LegendKey(f"limit {ms(watched.limit_ms)}", "limit", "line"))
    across = [
        (place / len(bins), ms(edge))
        for place, edge in enumerate(edges)
        if (place - mark) % AN_OCTAVE == 0
    ]
    plane = ChartPlane(
        height=HEIGHT,
        shapes=shapes,
        across=across,
        up=upright(scale, HEIGHT, lambda count: f"{count:,.0f}"),
    )
    spoken = f"Histogram of time to first token. {share(watched.over_limit)} are over the limit."
    return figure(title, label=spoken, plane=plane, keys=keys, note=note)


def _spread(item: LatencyBin, place: int, of: int, scale: ValueScale) -> Iterator[Markup]:
    reported = (
        f"{ms(item.low_ms)} – {ms(item.high_ms)}: {item.samples} samples "
        f"({', '.join(f'{getattr(item, role)} {role}' for role in IDENTITIES)})"
    )
    above = 0.0
    for role, key in _ROLES.items():
        if count := getattr(item, role):
            tall = HEIGHT * scale.share(count)
            yield _bar(
                place, of, HEIGHT - above - tall, tall, style=key.style, title=reported, full=0.94
            )
            above += tall


def _bar(
    place: int, of: int, y: float, tall: float, *, style: str, title: str, full: float = _FULL
) -> Markup:
    room = WIDTH / of
    return box(
        place * room + room * (1 - full) / 2,
        y,
        width=room * full,
        height=tall,
        style=style,
        title=title,
    )


def _days(page: ReportPage) -> list[date]:
    """Every day of the span, those without data too."""
    first, last = page.since.astimezone(page.zone).date(), _last_day(page.until, page)
    return [first + timedelta(days=k) for k in range((last - first).days + 1)]


def _last_day(until: datetime, page: ReportPage) -> date:
    return (until - timedelta(microseconds=1)).astimezone(page.zone).date()


def _across(days: Sequence[date]) -> list[tuple[float, str]]:
    every = -(-len(days) // _MOST_LABELS)
    return [
        ((place + 0.5) / len(days), f"{on:%b} {on.day}")
        for place, on in enumerate(days)
        if place % every == 0
    ]


# Level bars: where the time to the first token goes, and what a canned query costs.


ROW, BAR = 42, 16  # pixels: a name stands above its bar
PHASES = (
    ("dns_ms", "name resolution", "p0"),
    ("tcp_ms", "connection", "p1"),
    ("tls_ms", "TLS", "p2"),
    ("head_ms", "response head", "p3"),
    ("text_ms", "first answer text", "p4"),
)


def phases(watched: TargetReport) -> Markup:
    """Time by phase until the first answer text, query by query."""
    title = "Time by phase"
    note = (
        "Median of each phase: they do not add up to the median TTFT, which counts from the "
        "request's last byte."
    )
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
            shapes.append(
                box(
                    left,
                    place * ROW + 20,
                    width=wide,
                    height=BAR,
                    style=style,
                    title=f"{query.query}: {notified}",
                )
            )
            left += wide
    spoken = "Stacked level bars. " + " ".join(
        f"{query.query}: " + ", ".join(f"{n} {ms(v)}" for n, _, v in _phases_of(query)) + "."
        for query in rows
    )
    used = {style for query in rows for _, style, _ in _phases_of(query)}
    keys = tuple(LegendKey(name, style) for _, name, style in PHASES if style in used)
    return figure(
        title,
        label=spoken,
        note=note,
        keys=keys,
        plane=_level(shapes, texts, rows=len(rows), scale=scale),
    )


def _phases_of(query: QueryFigures) -> list[tuple[str, str, float]]:
    found = ((name, style, getattr(query, field)) for field, name, style in PHASES)
    return [(name, style, spent) for name, style, spent in found if spent is not None]


def costs(watched: TargetReport) -> Markup:
    """What a canned query costs on each model that answered it."""
    title = "Cost per query"
    note = (
        "Mean of complete answers, by model. No bar without a price. "
        "Hatched: upper bound, where the model is unknown."
    )
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
                shapes.append(
                    box(
                        low,
                        place * ROW + 20,
                        width=more,
                        height=BAR,
                        style="unknown",
                        title=reported,
                    )
                )
    spoken = "Level bars. " + " ".join(
        f"{item.query} on {item.model or 'a model not identified'}: "
        f"{usd(item.mean_usd, high=item.mean_high_usd)}."
        for item in watched.costs
    )
    plane = _level(shapes, texts, rows=len(watched.costs), scale=scale, money=True)
    return figure(title, label=spoken, plane=plane, keys=tuple(roles.keys()), note=note)


def _level(
    shapes: Sequence[Markup],
    texts: Sequence[Markup],
    *,
    rows: int,
    scale: ValueScale,
    money: bool = False,
) -> ChartPlane:
    """A plane of rows, its scale beneath."""
    return ChartPlane(
        height=rows * ROW, shapes=shapes, texts=texts, across=list(_marks(scale, money=money))
    )


def _marks(scale: ValueScale, *, money: bool) -> Iterator[tuple[float, str]]:
    for tick in scale.ticks:
        yield scale.share(tick), usd(tick) if money else ms(tick)

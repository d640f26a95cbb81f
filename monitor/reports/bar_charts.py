"""Bar charts: models, daily spend by meter, distribution of TTFT, and horizontal bars."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from math import log2

from monitor.domain.report import IDENTITIES, DaySpend, ModelAnswers, QueryCost
from monitor.reports.axes import (
    WIDTH,
    ChartFigure,
    ChartPlane,
    ChartShape,
    LegendKey,
    ValueScale,
    box,
    day,
    heights,
    instant_label,
    ms,
    rule,
    share,
    upright,
    usd,
)
from monitor.reports.page_data import (
    AN_OCTAVE,
    UNLIMITED_MS,
    UNSURE_KEYS,
    LatencyBin,
    ModelRoles,
    QueryFigures,
    ReportPage,
    TargetReport,
    model_roles,
)

HEIGHT, BAR = 150, 16  # pixels
_FULL = 0.82  # share of the space of a bar
_MOST_LABELS = 8
_DAY = timedelta(days=1)
_ROLES = {
    "expected": LegendKey("expected model", "expected0"),
    **UNSURE_KEYS,
    "fallback": LegendKey("fallback", "fallback0"),
}
METERS = (("account", "account"), ("probes", "probes"), ("traffic", "traffic"))


def model_share(page: ReportPage, watched: TargetReport) -> ChartFigure:
    """The models as shares of all answers: by day, or by hour or less in a short span."""
    title, days = "Who answered", page.bar >= _DAY
    per = "day's" if days else "hour's" if page.bar == timedelta(hours=1) else "bar's"
    note = f"Share of each {per} answers by model and identity."
    by_bar: dict[datetime, list[ModelAnswers]] = defaultdict(list)
    for item in watched.served:
        by_bar[item.at].append(item)
    if not by_bar:
        return ChartFigure(title=title, note=note)
    starts = _day_starts(page, min(by_bar)) if days else _bar_starts(page, min(by_bar))
    roles, shapes = model_roles(watched), []
    for place, start in enumerate(starts):
        found, done = by_bar.get(start, []), 0.0
        whole = sum(item.answers for item in found)
        at = day(start.astimezone(page.zone).date()) if days else page.clock(start, step=page.bar)
        for item in sorted(found, key=roles.order):
            tall = HEIGHT * item.answers / whole
            reported = (
                f"{at}: {item.model or 'model not identified'}, {item.identity}, "
                f"{item.answers} of {whole} answers ({share(item.answers / whole)})"
            )
            style = roles.style(item.model, item.identity)
            shapes.append(_bar(place, len(starts), done, tall, style=style, title=reported))
            done += tall
    shares = ", ".join(f"{share(watched.share_of(identity))} {identity}" for identity in IDENTITIES)
    return ChartFigure(
        title=title,
        note=note,
        label=f"Stacked bars over time. Of all {watched.answers} answers of {watched.name} in the "
        f"span: {shares}.",
        keys=tuple(roles.keys()),
        plane=ChartPlane(
            height=HEIGHT,
            shapes=shapes,
            across=_across([instant_label(at, page.zone, page.bar) for at in starts]),
            up=upright(ValueScale(1.0, (0.0, 0.25, 0.5, 0.75, 1.0)), HEIGHT, share),
        ),
    )


def _bar_starts(page: ReportPage, first: datetime) -> list[datetime]:
    """Every bar from the first with data to the end, including those without data."""
    return [first + k * page.bar for k in range(-((first - page.until) // page.bar))]


def _day_starts(page: ReportPage, first: datetime) -> list[datetime]:
    """Midnights of the zone, starting with the first day with data."""
    begins = first.astimezone(page.zone).date()
    last = (page.until - timedelta(microseconds=1)).astimezone(page.zone).date()
    days = [begins + k * _DAY for k in range((last - begins).days + 1)]
    return [datetime.combine(on, time(), page.zone).astimezone(UTC) for on in days]


def spend(page: ReportPage) -> ChartFigure:
    """Dollars per day by meter, against the limit."""
    title = "Spend per day"
    note = (
        "From the provider's account where available, otherwise probes and estimated traffic. "
        "Hatched: upper bound, where the model is unknown."
    )
    if not page.spend:
        return ChartFigure(title=title, note=note, empty="No day has been computed yet.")
    found = {item.day: item for item in page.spend}
    days = [min(found) + k * _DAY for k in range((max(found) - min(found)).days + 1)]
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
    reported = ", ".join(f"{day(item.day)} {_whole(item)}" for item in page.spend[-7:])
    return ChartFigure(
        title=title,
        note=note,
        label=f"Bars of spend by day, the latest: {reported}.",
        keys=keys,
        plane=ChartPlane(
            height=HEIGHT,
            shapes=shapes,
            across=_across([_date(on) for on in days]),
            up=upright(scale, HEIGHT, usd),
        ),
    )


def _metered(item: DaySpend, place: int, of: int, scale: ValueScale) -> Iterator[ChartShape]:
    """One day's bar: the part of each meter, from the bottom up; their sum is judged."""
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


def histogram(watched: TargetReport) -> ChartFigure:
    """Distribution of TTFT, on octaves around the limit: the limit is an edge between bars."""
    title = "Distribution of TTFT"
    note = "Samples by TTFT on a logarithmic scale. Degraded samples are excluded."
    bins = watched.bins
    if not any(item.samples for item in bins):
        return ChartFigure(title=title, note=note)
    scale = heights(max(item.samples for item in bins))
    shapes = [
        shape for place, item in enumerate(bins) for shape in _spread(item, place, len(bins), scale)
    ]
    edges = [item.low_ms for item in bins] + [bins[-1].high_ms]
    keys = [key for role, key in _ROLES.items() if any(getattr(item, role) for item in bins)]
    mark = round(-AN_OCTAVE * log2(edges[0] / (watched.limit_ms or UNLIMITED_MS)))
    if watched.limit_ms is not None and 0 <= mark <= len(bins):
        shapes.append(ChartShape("limit", f"M{WIDTH * mark / len(bins):.1f} 0V{HEIGHT}"))
        keys.append(LegendKey(f"limit {ms(watched.limit_ms)}", "limit", "line"))
    across = [
        (place / len(bins), ms(edge))
        for place, edge in enumerate(edges)
        if (place - mark) % AN_OCTAVE == 0
    ]
    return ChartFigure(
        title=title,
        note=note,
        label=f"Histogram of time to first token. {share(watched.over_limit)} are over the limit.",
        keys=keys,
        plane=ChartPlane(
            height=HEIGHT,
            shapes=shapes,
            across=across,
            up=upright(scale, HEIGHT, lambda count: f"{count:,.0f}"),
        ),
    )


def _spread(item: LatencyBin, place: int, of: int, scale: ValueScale) -> Iterator[ChartShape]:
    reported = (
        f"{ms(item.low_ms)} – {ms(item.high_ms)}: {item.samples} samples "
        f"({', '.join(f'{getattr(item, role)} {role}' for role in IDENTITIES)})"
    )
    above = 0.0
    for role, key in _ROLES.items():
        if count := getattr(item, role):
            tall = HEIGHT * scale.share(count)
            y = HEIGHT - above - tall
            yield _bar(place, of, y, tall, style=key.style, title=reported, full=0.94)
            above += tall


def _bar(
    place: int, of: int, y: float, tall: float, *, style: str, title: str, full: float = _FULL
) -> ChartShape:
    room = WIDTH / of
    left = place * room + room * (1 - full) / 2
    return box(left, y, width=room * full, height=tall, style=style, title=title)


def _date(on: date) -> str:
    return f"{on:%b} {on.day}"


def _across(labels: Sequence[str]) -> list[tuple[float, str]]:
    """Labels at the middle of their bars; only some if there are many bars."""
    every = -(-len(labels) // _MOST_LABELS)
    return [
        ((place + 0.5) / len(labels), label)
        for place, label in enumerate(labels)
        if place % every == 0
    ]


# Horizontal bars: phases up to the first token, and the cost of a canned query.


PHASES = (
    ("dns_ms", "name resolution", "p0"),
    ("tcp_ms", "connection", "p1"),
    ("tls_ms", "TLS", "p2"),
    ("head_ms", "response head", "p3"),
    ("text_ms", "first answer text", "p4"),
)


def phases(watched: TargetReport) -> ChartFigure:
    """Time by phase until the first answer text, query by query."""
    title = "Time by phase"
    note = (
        "Median of each phase: they do not add up to the median TTFT, which counts from the "
        "request's last byte."
    )
    found = {query.query: parts for query in watched.queries if (parts := _phases_of(query))}
    if not found:
        return ChartFigure(title=title, note=note)
    scale = heights(max(sum(spent for _, _, spent in parts) for parts in found.values()))
    said = {
        name: " · ".join(f"{phase} {ms(spent)}" for phase, _, spent in parts)
        for name, parts in found.items()
    }
    rows = [
        (
            name,
            _level([(style, spent) for _, style, spent in parts], scale, f"{name}: {said[name]}"),
        )
        for name, parts in found.items()
    ]
    used = {style for parts in found.values() for _, style, _ in parts}
    return ChartFigure(
        title=title,
        note=note,
        label="Stacked level bars. " + " ".join(f"{name}: {text}." for name, text in said.items()),
        keys=[LegendKey(name, style) for _, name, style in PHASES if style in used],
        plane=ChartPlane(
            height=0, rows=rows, across=[(scale.share(t), ms(t)) for t in scale.ticks]
        ),
    )


def _phases_of(query: QueryFigures) -> list[tuple[str, str, float]]:
    found = ((name, style, getattr(query, field)) for field, name, style in PHASES)
    return [(name, style, spent) for name, style, spent in found if spent is not None]


def costs(watched: TargetReport) -> ChartFigure:
    """The cost of a canned query on each model that answered it and has a price."""
    title = "Cost per query"
    note = "Mean of complete answers, by model. Hatched: upper bound, where the model is unknown."
    priced = [item for item in watched.costs if item.mean_usd is not None]
    unpriced = sum(item.answers for item in watched.costs if item.mean_usd is None)
    if unpriced:
        note += f" {unpriced:,} answers have no price."
    if not priced:
        return ChartFigure(title=title, note=note, empty="No answer has a price.")
    highs = (item.mean_high_usd or item.mean_usd or Decimal(0) for item in priced)
    scale, roles = heights(float(max(highs))), model_roles(watched)
    named = [(_priced(item), item) for item in priced]
    return ChartFigure(
        title=title,
        note=note,
        label="Level bars. " + " ".join(f"{name}." for name, _ in named),
        keys=tuple(roles.keys()),
        plane=ChartPlane(
            height=0,
            rows=[(name, _cost_bars(name, item, scale, roles)) for name, item in named],
            across=[(scale.share(tick), usd(tick)) for tick in scale.ticks],
        ),
    )


def _priced(item: QueryCost) -> str:
    cost = usd(item.mean_usd, high=item.mean_high_usd)
    return f"{cost} · {item.query} · {item.model or 'model not identified'}"


def _cost_bars(
    name: str, item: QueryCost, scale: ValueScale, roles: ModelRoles
) -> list[ChartShape]:
    low = float(item.mean_usd or 0)
    parts = [(roles.style(item.model), low)]
    if item.mean_high_usd is not None:
        parts.append(("unknown", float(item.mean_high_usd) - low))
    return _level(parts, scale, f"{name}, mean of {item.answers} answers")


def _level(parts: Sequence[tuple[str, float]], scale: ValueScale, title: str) -> list[ChartShape]:
    """Consecutive bars from the left: class and value of each."""
    drawn, left = [], 0.0
    for style, value in parts:
        if value > 0:
            wide = WIDTH * scale.share(value)
            drawn.append(box(left, 0, width=wide, height=BAR, style=style, title=title))
            left += wide
    return drawn

"""TTFT over time: a line a query, the limit, incidents as bands, who answered as a strip."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from monitor.domain.report import IdentityCounts, IncidentRow
from monitor.reports.axes import (
    WIDTH,
    ChartPlane,
    LegendKey,
    Markup,
    TimeScale,
    ValueScale,
    box,
    element,
    figure,
    heights,
    ms,
    rule,
    upright,
    written,
)
from monitor.reports.page_data import (
    UNSURE_KEYS,
    ReportPage,
    TargetReport,
    TtftPoint,
    model_roles,
    query_style,
)

HEIGHT, STRIP, APART = 220, 14, 6
ROLES = (
    ("fallback", "fallback0"),
    ("changed", "changed"),
    ("disputed", "disputed"),
    ("unknown", "unknown"),
    ("expected", "expected0"),
)
NAMES = {
    "fallback": "fallback",
    "changed": "changed",
    "disputed": "disputed",
    "unknown": "not identified",
    "expected": "expected model",
}
_WIDE_ENOUGH = 0.04  # share of the width below which a band carries no label


def timeline(page: ReportPage, watched: TargetReport) -> Markup:
    """The chart people look at first."""
    notified = [i for i in page.incidents if i.scope == watched.name]
    note = f"Median per {_step(watched.step)}; a break in a line is a gap in the data."
    if not watched.tried:
        return figure("Time to first token", label="", plane=None, note=note)
    times = TimeScale(page.since, page.until, page.zone)
    scale, above = readable(watched)
    plane = ChartPlane(
        height=HEIGHT,
        below=2 * (APART + STRIP),
        shapes=[
            *_bands(notified, page, times),
            *_strips(watched, times),
            *_limit(watched, scale),
            *_lines(watched, times, scale),
            *_columns(watched, page, times),
        ],
        texts=[*_band_labels(notified, page, times), *_limit_label(watched, scale)],
        across=[(times.share(at), text) for at, text in times.ticks()],
        up=upright(scale, HEIGHT, ms),
        strips=(
            (HEIGHT + APART + STRIP / 2, "model"),
            (HEIGHT + 2 * APART + 1.5 * STRIP, "failed"),
        ),
    )
    if above:
        note += f" {above} of {len(watched.ttft)} medians are above the chart's upper edge."
    return figure(
        "Time to first token",
        label=_spoken(watched, notified),
        plane=plane,
        note=note,
        keys=_keys(watched, notified),
    )


def readable(watched: TargetReport) -> tuple[ValueScale, int]:
    """Room for the limit and for what is usual, and how many medians lie above it.

    One monstrous value does not flatten the rest.
    """
    values = sorted(point.p50_ms for point in watched.ttft)
    limit = watched.limit_ms or 0.0
    usual = values[int(0.98 * (len(values) - 1))] if values else 0.0
    top = max(min(max(values, default=0.0), 1.5 * usual), 1.3 * limit) or 1.0
    scale = heights(top)
    return scale, sum(value > scale.top for value in values)


def queries_of(watched: TargetReport) -> list[str]:
    """Queries in the order of their colours."""
    return sorted({point.query for point in watched.ttft})


def runs(points: Sequence[TtftPoint], step: timedelta) -> Iterator[list[TtftPoint]]:
    """Points cut where a step or more is missing between them."""
    run: list[TtftPoint] = []
    for point in points:
        if run and point.at - run[-1].at > 1.5 * step:
            yield run
            run = []
        run.append(point)
    if run:
        yield run


def _lines(watched: TargetReport, times: TimeScale, scale: ValueScale) -> Iterator[Markup]:
    """A line a query; what stands alone between two gaps is a dot, for a line has no room."""
    half = watched.step / 2
    for place, query in enumerate(queries_of(watched)):
        points = [point for point in watched.ttft if point.query == query]
        drawn, alone = "", ""
        for run in runs(points, watched.step):
            spots = [
                f"{WIDTH * times.share(p.at + half):.1f} {HEIGHT * (1 - scale.share(p.p50_ms)):.1f}"
                for p in run
            ]
            if len(spots) > 1:
                drawn += "M" + "L".join(spots)
            else:
                alone += f"M{spots[0]}h0"
        style = query_style(place)
        if drawn:
            yield element("path", d=drawn, class_=f"line {style}")
        if alone:
            yield element("path", d=alone, class_=f"{style} dot")


def _limit(watched: TargetReport, scale: ValueScale) -> Iterator[Markup]:
    if watched.limit_ms is not None:
        yield rule(HEIGHT * (1 - scale.share(watched.limit_ms)), "limit")


def _limit_label(watched: TargetReport, scale: ValueScale) -> Iterator[Markup]:
    if watched.limit_ms is not None:
        y = HEIGHT * (1 - scale.share(watched.limit_ms)) - 4
        yield written(1, y, f"limit {ms(watched.limit_ms)}", style="limit-label", anchor="end")


def _bands(notified: Iterable[IncidentRow], page: ReportPage, times: TimeScale) -> Iterator[Markup]:
    for item in notified:
        left, right = times.share(item.began_at), times.share(item.resolved_at or page.until)
        ended = page.clock(item.resolved_at) if item.resolved_at else "still open"
        title = (
            f"#{item.number} {item.rule}: {page.clock(item.began_at)} – {ended}. {item.sentence}"
        )
        yield box(
            WIDTH * left,
            0,
            width=max(WIDTH * (right - left), 2.0),
            height=HEIGHT,
            style="incident",
            title=title,
        )


def _band_labels(
    notified: Iterable[IncidentRow], page: ReportPage, times: TimeScale
) -> Iterator[Markup]:
    """Names of bands that have room; a narrow screen has less of it."""
    free, narrow = -1.0, -1.0
    for item in sorted(notified, key=lambda i: i.began_at):
        left, right = times.share(item.began_at), times.share(item.resolved_at or page.until)
        if right - left < _WIDE_ENOUGH or left < free:
            continue
        style = "band-label second" if left < narrow else "band-label"
        free, narrow = left + 0.09, narrow if left < narrow else left + 0.28
        yield written(left, 11, f"#{item.number} {item.rule}", style=style)


def _strips(watched: TargetReport, times: TimeScale) -> Iterator[Markup]:
    """Who answered, as bands; beneath them the share of probes that failed."""
    top = HEIGHT + APART
    for whole in _same(watched.judged, watched.step):
        done = 0.0
        for role, style in ROLES:
            tall = STRIP * getattr(whole[0], role) / whole[0].answers
            if tall:
                yield _cell(
                    whole[0].at, whole[-1].at + watched.step, times, top + done, tall, style
                )
            done += tall
    foot = top + STRIP + APART + STRIP
    for tried in watched.tried:
        if tried.bad:
            tall = max(STRIP * tried.bad / (tried.good + tried.bad), 3.0)
            yield _cell(tried.at, tried.at + watched.step, times, foot - tall, tall, "failed")


def _same(steps: Sequence[IdentityCounts], step: timedelta) -> Iterator[list[IdentityCounts]]:
    """Steps in a row in which one and the same role gave every answer; else one alone."""
    run: list[IdentityCounts] = []
    for item in steps:
        if run and not (item.at - run[-1].at <= step and _only(item) == _only(run[-1]) is not None):
            yield run
            run = []
        run.append(item)
    if run:
        yield run


def _only(item: IdentityCounts) -> str | None:
    given = [role for role, _ in ROLES if getattr(item, role)]
    return given[0] if len(given) == 1 else None


def _cell(
    begins: datetime, ends: datetime, times: TimeScale, y: float, tall: float, style: str
) -> Markup:
    left, right = times.share(begins), times.share(ends)
    return box(WIDTH * left, y, width=WIDTH * (right - left), height=tall, style=style)


def _columns(watched: TargetReport, page: ReportPage, times: TimeScale) -> Iterator[Markup]:
    """One invisible column per step with the figures of that step as a tooltip."""
    reported: dict[datetime, list[str]] = defaultdict(list)
    for point in watched.ttft:
        reported[point.at].append(f"{point.query} {ms(point.p50_ms)} (p90 {ms(point.p90_ms)})")
    for judged in watched.judged:
        reported[judged.at] += [
            f"{getattr(judged, role)} {NAMES[role]}" for role, _ in ROLES if getattr(judged, role)
        ]
    for tried in watched.tried:
        if tried.bad:
            reported[tried.at].append(f"{tried.bad} of {tried.good + tried.bad} failed")
    for at, lines in sorted(reported.items()):
        title = f"{page.clock(at, step=watched.step)} · " + " · ".join(lines)
        left, right = times.share(at), times.share(at + watched.step)
        yield box(
            WIDTH * left,
            0,
            width=WIDTH * (right - left),
            style="column",
            title=title,
            height=HEIGHT + 2 * (APART + STRIP),
        )


def _keys(watched: TargetReport, notified: Sequence[IncidentRow]) -> Iterator[LegendKey]:
    for place, query in enumerate(queries_of(watched)):
        yield LegendKey(query, query_style(place), "line")
    models = model_roles(watched)
    named = {"expected": models.expected, "fallback": models.fallback}
    for role, style in ROLES:
        if watched.count(role) and role in UNSURE_KEYS:
            yield UNSURE_KEYS[role]
        elif watched.count(role):
            yield LegendKey(
                ": ".join((NAMES[role], ", ".join(named[role]))).removesuffix(": "), style
            )
    if notified:
        yield LegendKey("incident open", "incident")
    if any(tried.bad for tried in watched.tried):
        yield LegendKey("failed probes", "failed")


def _spoken(watched: TargetReport, notified: Sequence[IncidentRow]) -> str:
    parts = [f"Line chart of the median time to first token of {watched.name} over time."]
    parts += [
        f"{figures.query}: median {ms(figures.p50_ms)}, p90 {ms(figures.p90_ms)}."
        for figures in watched.queries
    ]
    if watched.limit_ms is not None:
        parts.append(f"The limit is {ms(watched.limit_ms)}.")
    parts.append(f"{len(notified)} incidents in the span.")
    return " ".join(parts)


def _step(step: timedelta) -> str:
    minutes = int(step.total_seconds() // 60)
    if minutes >= 1440:
        return f"{minutes // 1440} d"
    return (
        f"{minutes // 60} h"
        if minutes >= 60
        else f"{minutes} min"
        if minutes
        else (f"{int(step.total_seconds())} s")
    )

"""TTFT over time: a line per query, the limit, incidents as bands, models as a strip."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.domain import lasting
from monitor.domain.report import IdentityCounts, IncidentRow
from monitor.reports.axes import (
    WIDTH,
    ChartFigure,
    ChartPlane,
    ChartShape,
    ChartText,
    LegendKey,
    TimeScale,
    ValueScale,
    box,
    heights,
    ms,
    rule,
    upright,
)
from monitor.reports.page_data import (
    UNSURE_KEYS,
    ReportPage,
    TargetReport,
    TtftPoint,
    model_roles,
    query_style,
)

HEIGHT, STRIP, APART = 220.0, 14, 6
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
_WIDE_ENOUGH = 0.04  # share of the width below which a band has no label
_RIGHT_HALF = 0.6  # from this share of the width, labels are aligned with the end of their band


def timeline(
    page: ReportPage,
    watched: TargetReport,
    *,
    width: float = WIDTH,
    height: float = HEIGHT,
    ticks: int = 8,
) -> ChartFigure:
    """The first chart of the page. Its axis begins with the first data of the target."""
    title, note = "Time to first token", _note(watched)
    if not watched.tried:
        return ChartFigure(title=title, note=note)
    times = TimeScale(max(page.since, watched.tried[0].at), page.until, page.zone)
    own = [item for item in page.incidents if item.scope == watched.name]
    return ChartFigure(
        title=title,
        note=note,
        label=_spoken(watched, own),
        keys=tuple(_keys(watched, own)),
        plane=_Timeline(page, watched, own, times, width, height).plane(ticks),
    )


@dataclass(frozen=True, slots=True)
class _Timeline:
    """One drawing: a plane `width` units wide, whose lines take `height` pixels."""

    page: ReportPage
    watched: TargetReport
    notified: Sequence[IncidentRow]
    times: TimeScale
    width: float
    height: float

    def plane(self, ticks: int) -> ChartPlane:
        scale, _ = readable(self.watched)
        limit = self.watched.limit_ms
        shapes = [*self._bands(), *self._strips()]
        texts = [*self._band_labels()]
        if limit is not None:
            y = self.height * (1 - scale.share(limit))
            shapes.append(rule(y, "limit", self.width))
            texts.append(ChartText(1, y - 4, f"limit {ms(limit)}", "limit-label", "end"))
        return ChartPlane(
            height=self.height,
            width=self.width,
            below=2 * (APART + STRIP),
            shapes=[*shapes, *self._lines(scale), *self._columns()],
            texts=texts,
            across=[(self.times.share(at), text) for at, text in self.times.ticks(ticks)],
            up=upright(scale, self.height, ms),
            strips=(
                (self.height + APART + STRIP / 2, "model"),
                (self.height + 2 * APART + 1.5 * STRIP, "failed"),
            ),
        )

    def _x(self, at: datetime) -> float:
        return self.width * self.times.share(at)

    def _lines(self, scale: ValueScale) -> Iterator[ChartShape]:
        """A line per query; a single point between two gaps is a dot."""
        half = self.watched.step / 2
        for place, query in enumerate(queries_of(self.watched)):
            points = [point for point in self.watched.ttft if point.query == query]
            drawn, alone = "", ""
            for run in runs(points, self.watched.step):
                spots = [
                    f"{self._x(p.at + half):.1f} {self.height * (1 - scale.share(p.p50_ms)):.1f}"
                    for p in run
                ]
                if len(spots) > 1:
                    drawn += "M" + "L".join(spots)
                else:
                    alone += f"M{spots[0]}h0"
            style = query_style(place)
            if drawn:
                yield ChartShape(f"line {style}", drawn)
            if alone:
                yield ChartShape(f"{style} dot", alone)

    def _breaches(self) -> Iterator[tuple[IncidentRow, datetime, datetime]]:
        """Every breach that touches the axis, by its start; a reopened incident has several."""
        found = [
            (item, began, ended)
            for item in self.notified
            for began, ended in item.breaches(self.page.until)
            if ended > self.times.since and began < self.times.until
        ]
        yield from sorted(found, key=lambda breach: breach[1])

    def _bands(self) -> Iterator[ChartShape]:
        for item, began, ended in self._breaches():
            still = item.resolved_at is None and ended == self.page.until
            until = "still open" if still else self.page.clock(ended)
            title = (
                f"#{item.number} {item.rule}: {self.page.clock(began)} – {until} "
                f"({lasting(ended - began)}). {item.sentence}"
            )
            left, right = self._x(began), self._x(ended)
            wide = max(right - left, 2.0)
            yield box(left, 0, width=wide, height=self.height, style="incident", title=title)

    def _band_labels(self) -> Iterator[ChartText]:
        """Names of bands that have enough space; a narrow screen has less."""
        free, narrow = -1.0, -1.0
        for item, began, ended in self._breaches():
            left, right = self.times.share(began), self.times.share(ended)
            if right - left < _WIDE_ENOUGH or left < free:
                continue
            style = "band-label second" if left < narrow else "band-label"
            free, narrow = left + 0.09, narrow if left < narrow else left + 0.28
            name = f"#{item.number} {item.rule}"
            if left > _RIGHT_HALF:
                yield ChartText(right, 11, name, style, "end")
            else:
                yield ChartText(left, 11, name, style)

    def _strips(self) -> Iterator[ChartShape]:
        """The models as bands; below them the share of probes that failed."""
        top, step = self.height + APART, self.watched.step
        for same in _same(self.watched.judged, step):
            done = 0.0
            for role, style in ROLES:
                tall = STRIP * getattr(same[0], role) / same[0].answers
                if tall:
                    yield self._cell(same[0].at, same[-1].at + step, top + done, tall, style)
                done += tall
        foot = top + STRIP + APART + STRIP
        for tried in self.watched.tried:
            if tried.bad:
                tall = max(STRIP * tried.bad / (tried.good + tried.bad), 3.0)
                yield self._cell(tried.at, tried.at + step, foot - tall, tall, "failed")

    def _cell(
        self,
        begins: datetime,
        ends: datetime,
        y: float,
        tall: float,
        style: str,
        title: str | None = None,
    ) -> ChartShape:
        left = self._x(begins)
        wide = self._x(ends) - left
        return box(left, y, width=wide, height=tall, style=style, title=title)

    def _columns(self) -> Iterator[ChartShape]:
        """One invisible column per step with the figures of that step as a tooltip."""
        watched, reported = self.watched, defaultdict[datetime, list[str]](list)
        for point in watched.ttft:
            reported[point.at].append(f"{point.query} {ms(point.p50_ms)} (p90 {ms(point.p90_ms)})")
        for judged in watched.judged:
            reported[judged.at] += [
                f"{getattr(judged, role)} {NAMES[role]}"
                for role, _ in ROLES
                if getattr(judged, role)
            ]
        for tried in watched.tried:
            if tried.bad:
                reported[tried.at].append(f"{tried.bad} of {tried.good + tried.bad} failed")
        tall = self.height + 2 * (APART + STRIP)
        for at, lines in sorted(reported.items()):
            title = " · ".join((self.page.clock(at, step=watched.step), *lines))
            yield self._cell(at, at + watched.step, 0, tall, "column", title)


def readable(watched: TargetReport) -> tuple[ValueScale, int]:
    """Top of the scale, with room for the limit and usual values, and how many medians exceed it.

    One extreme value does not flatten the rest.
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
    """Points, split where a step or more is missing between them."""
    run: list[TtftPoint] = []
    for point in points:
        if run and point.at - run[-1].at > 1.5 * step:
            yield run
            run = []
        run.append(point)
    if run:
        yield run


def _same(steps: Sequence[IdentityCounts], step: timedelta) -> Iterator[list[IdentityCounts]]:
    """Consecutive steps in which a single role gave every answer; else one step alone."""
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


def _note(watched: TargetReport) -> str:
    every = lasting(watched.step).removesuffix(" 0 min").removesuffix(" 0 h")
    note = f"Median per {every}; a break in a line is a gap in the data."
    above = readable(watched)[1]
    if above:
        note += f" {above} of {len(watched.ttft)} medians are above the chart's upper edge."
    return note


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

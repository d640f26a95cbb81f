"""The chart Slack shows, as a PNG: TTFT over time, the limit, incidents, who answered.

Pillow draws it, which only the extra `pictures` brings along.
"""

from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import pairwise
from typing import Any

from monitor.redaction import plain
from monitor.reports.axes import TimeScale, ms, share
from monitor.reports.page_data import ReportPage, TargetReport
from monitor.reports.timeline import NAMES, ROLES, queries_of, readable, runs

WIDTH, HEIGHT = 1200, 630
_LEFT, _RIGHT, _TOP, _FOOT = 110, 40, 150, 130
_STRIP = 26
_SIZE, _NAME = 21, 32  # pixels of ordinary text; characters of a name in the legend
_PAPER, _INK, _SOFT, _HAIR = "#ffffff", "#1b2330", "#5a6675", "#dde2e8"
_LIMIT, _BAND = "#c0281c", "#fbe3d2"
_LINES = ("#0072b2", "#b06a00", "#007a58", "#a8447f", "#2b8fc7", "#5b4bb7", "#7a6a00", "#1b2330")
_DASHES = ((), (14, 8), (4, 7), (18, 6, 4, 6))
_FILLS = {
    "expected": "#8794a4",
    "fallback": "#d55e00",
    "changed": "#7d3cb5",
    "disputed": "#c77fa6",
    "unknown": "#333c49",
}


class PillowMissing(Exception):
    """Pictures cannot be drawn; the sentence says how to change that."""


def png(page: ReportPage, watched: TargetReport) -> bytes:
    """The picture of one target. Raises NoPillow."""
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        raise PillowMissing("pictures need Pillow: pip install 'rag-monitor[pictures]'") from None
    image = Image.new("RGB", (WIDTH, HEIGHT), _PAPER)
    _Picture(ImageDraw.Draw(image), page, watched).draw()
    out = BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


class _Picture:
    """One drawing in the making."""

    def __init__(self, brush: Any, page: ReportPage, watched: TargetReport) -> None:
        self._brush, self._page, self._watched = brush, page, watched
        self._scale, _ = readable(watched)
        self._times = TimeScale(page.since, page.until, page.zone)
        self._foot = HEIGHT - _FOOT

    def draw(self) -> None:
        self._heading()
        if not self._watched.ttft:
            self._text(WIDTH / 2, HEIGHT / 2, "No data in this period.", anchor="mm")
            return
        self._incidents()
        self._axes()
        self._lines()
        self._names()
        self._strip()

    def _heading(self) -> None:
        watched, page = self._watched, self._page
        end = self._text(_LEFT, 28, f"{watched.name}: time to first token", size=34, fill=_INK)
        most = max(watched.unsure, key=watched.count, default=None)  # there is room for one
        unsure = f" · {NAMES[most]} {share(watched.share_of(most))}" if most else ""
        reported = (
            f"median {ms(watched.p50_ms)} · p90 {ms(watched.p90_ms)} · fallback "
            f"{share(watched.fallback_share)}{unsure}"
        )
        span = f"{page.clock(page.since)} to {page.clock(page.until)} {page.zone.key}"
        if end + 30 + self._wide(span) <= WIDTH - _RIGHT:
            self._text(WIDTH - _RIGHT, 40, span, anchor="ra")
        else:
            reported += f" · {span}"
        self._text(_LEFT, 74, reported)
        left, queries = float(_LEFT), queries_of(watched)
        for place, query in enumerate(queries):
            name, rest = plain(query, _NAME), len(queries) - place
            if left + 60 + self._wide(name) > WIDTH - _RIGHT - 120 and rest > 1:
                self._text(left, 110, f"and {rest} more")
                return
            self._dashed([(left, 122), (left + 40, 122)], place)
            left = self._text(left + 50, 110, name, fill=_INK) + 30

    def _axes(self) -> None:
        for tick in self._scale.ticks:
            y = self._y(tick)
            self._brush.line([(_LEFT, y), (WIDTH - _RIGHT, y)], fill=_HAIR)
            self._text(_LEFT - 12, y, ms(tick), anchor="rm")
        for at, label in self._times.ticks(7):
            self._text(self._x(at), self._foot + 2 * _STRIP + 8, label, anchor="ma")
        limit = self._watched.limit_ms
        if limit is not None:
            y = self._y(limit)
            self._dash([(_LEFT, y), (WIDTH - _RIGHT, y)], (12, 8), _LIMIT, 3)
            self._text(WIDTH - _RIGHT, y - 6, f"limit {ms(limit)}", anchor="rs", fill=_LIMIT)

    def _incidents(self) -> None:
        """Bands, beneath everything else."""
        notified = [item for item in self._page.incidents if item.scope == self._watched.name]
        for item in notified:
            left, right = self._x(item.began_at), self._x(item.resolved_at or self._page.until)
            box = [(left, _TOP), (max(right, left + 2), self._foot)]
            self._brush.rectangle(box, fill=_BAND)

    def _names(self) -> None:
        """Names of incidents over the lines, where they do not lie on each other."""
        notified = [item for item in self._page.incidents if item.scope == self._watched.name]
        free = 0.0
        for left, item in sorted(((self._x(i.began_at), i) for i in notified), key=lambda b: b[0]):
            if left > free:
                name, at = f"#{item.number} {item.rule}", min(left + 5, WIDTH - _RIGHT - 110)
                free = self._text(at, _TOP + 6, name, size=18, fill=_INK)

    def _lines(self) -> None:
        half = self._watched.step / 2
        for place, query in enumerate(queries_of(self._watched)):
            points = [point for point in self._watched.ttft if point.query == query]
            for run in runs(points, self._watched.step):
                spots = [(self._x(p.at + half), self._y(p.p50_ms)) for p in run]
                if len(spots) > 1:
                    self._dashed(spots, place)
                else:
                    self._dot(spots[0], place)

    def _dot(self, spot: tuple[float, float], place: int) -> None:
        """What stands alone between two gaps."""
        (x, y), fill = spot, _LINES[place % len(_LINES)]
        self._brush.ellipse([(x - 5, y - 5), (x + 5, y + 5)], fill=fill)

    def _strip(self) -> None:
        """Who answered, step by step, and what the colours mean."""
        top = self._foot + 14
        for step in self._watched.judged:
            left, right = self._x(step.at), self._x(step.at + self._watched.step)
            done = 0.0
            for role, _ in ROLES:
                tall = _STRIP * getattr(step, role) / step.answers
                if tall:
                    self._brush.rectangle(
                        [(left, top + done), (right, top + done + tall)], fill=_FILLS[role]
                    )
                done += tall
        left = float(_LEFT)
        for role, name in NAMES.items():
            if self._watched.count(role):
                shown = share(self._watched.share_of(role))
                box = [(left, HEIGHT - 38), (left + 24, HEIGHT - 20)]
                self._brush.rectangle(box, fill=_FILLS[role])
                left = self._text(left + 34, HEIGHT - 41, f"{name} {shown}", fill=_INK) + 30

    def _dashed(self, spots: Sequence[tuple[float, float]], place: int) -> None:
        self._dash(spots, _DASHES[place % len(_DASHES)], _LINES[place % len(_LINES)], 4)

    def _dash(
        self, spots: Sequence[tuple[float, float]], dash: tuple[int, ...], fill: str, width: int
    ) -> None:
        if not dash:
            self._brush.line(spots, fill=fill, width=width, joint="curve")
            return
        for piece in dashes(spots, dash):
            self._brush.line(piece, fill=fill, width=width)

    def _x(self, at: Any) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * self._times.share(at)

    def _y(self, value: float) -> float:
        return self._foot - (self._foot - _TOP) * self._scale.share(value)

    def _wide(self, text: str) -> float:
        from PIL import ImageFont

        return float(self._brush.textlength(text, font=ImageFont.load_default(_SIZE)))

    def _text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int = _SIZE,
        anchor: str = "la",
        fill: str = _SOFT,
    ) -> float:
        """Write foreign or own text; returns where it ends."""
        from PIL import ImageFont

        font = ImageFont.load_default(size)
        shown = plain(text, 90)
        self._brush.text(
            (x, y), shown, font=font, fill=fill, anchor=anchor, stroke_width=2, stroke_fill=_PAPER
        )
        return x + float(self._brush.textlength(shown, font=font))


def dashes(
    spots: Sequence[tuple[float, float]], dash: tuple[int, ...]
) -> Iterator[list[tuple[float, float]]]:
    """A line cut into dashes: lengths of ink and of gap in turn, carried on around corners."""
    place, left = 0, float(dash[0])
    for (x0, y0), (x1, y1) in pairwise(spots):
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        done = 0.0
        while done < length:
            piece = min(left, length - done)
            if place % 2 == 0:
                ends = ((done + k) / length for k in (0.0, piece))
                yield [(x0 + (x1 - x0) * t, y0 + (y1 - y0) * t) for t in ends]
            done, left = done + piece, left - piece
            if left <= 0:
                place += 1
                left = float(dash[place % len(dash)])

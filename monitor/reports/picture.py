"""The chart for Slack: the page's first chart as a PNG of 1200 × 630 pixels."""

import re
import subprocess
import sys
from importlib.resources import as_file, files

from markupsafe import Markup

from monitor.reports.axes import LegendKey, ms, share
from monitor.reports.html import rendered, style
from monitor.reports.page_data import ReportPage, TargetReport
from monitor.reports.timeline import NAMES, ROLES, queries_of, timeline

_WIDTH, _HEIGHT, _TICKS = 512.0, 155.0, 6  # of the plane, in the picture's own units
_LINES, _NAME = 4, 16  # queries in the legend, and characters of a name in it
_PATIENCE_S = 10.0


class PictureFailed(Exception):
    """The picture could not be drawn; the reason is one sentence."""


def png(page: ReportPage, watched: TargetReport) -> bytes:
    """The picture of one target. Raises PictureFailed.

    A separate process draws it: the library holds Python's lock for 0.15 s, in which this process
    could not time a probe, and its memory is returned at once.
    """
    with as_file(files("monitor.reports") / "fonts" / "DejaVuSans.ttf") as font:
        try:
            child = subprocess.run(
                [sys.executable, "-P", "-c", _DRAW, str(font)],
                input=svg(page, watched).encode(),
                capture_output=True,
                timeout=_PATIENCE_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            words = getattr(error, "stderr", None) or str(error).encode()
            last = words.decode(errors="replace").strip().splitlines()[-1:]
            raise PictureFailed(f"the picture could not be drawn: {' '.join(last)}") from None
    return child.stdout


_DRAW = """
import sys, resvg_py
picture = resvg_py.svg_to_bytes(svg_string=sys.stdin.read(), font_files=[sys.argv[1]],
    skip_system_fonts=True, font_family="DejaVu Sans", width=1200, background="#ffffff")
sys.stdout.buffer.write(bytes(picture))
"""


def svg(page: ReportPage, watched: TargetReport) -> str:
    """The picture as SVG for the library: colours of the light theme, no variables."""
    figure = timeline(page, watched, width=_WIDTH, height=_HEIGHT, ticks=_TICKS)
    most = max(watched.unsure, key=watched.count, default=None)  # there is space for one
    unsure = f" · {NAMES[most]} {share(watched.share_of(most))}" if most else ""
    lines = [key for key in figure.keys if key.kind == "line"]
    many = len(queries_of(watched)) - _LINES
    if many > 0:
        lines = [*lines[: _LINES - 1], LegendKey(f"and {many + 1} more", "none", "line")]
    areas = [
        LegendKey(f"{NAMES[role]} {share(watched.share_of(role))}", kind)
        for role, kind in ROLES
        if watched.count(role)
    ]
    return rendered(
        "picture.svg",
        style=Markup(_flat(style("chart.css"))),  # noqa: S704  a file of ours
        title=_short(f"{watched.name}: time to first token", 55),
        figures=f"median {ms(watched.p50_ms)} · p90 {ms(watched.p90_ms)} · fallback "
        f"{share(watched.fallback_share)}{unsure}",
        span=_span(page),
        plane=figure.plane if watched.ttft else None,
        empty=figure.empty,
        lines=[LegendKey(_short(key.name, _NAME), key.style, key.kind) for key in lines],
        areas=areas[:_LINES],
    )


def _span(page: ReportPage) -> str:
    """The span in one line; a date that both ends share is written once."""
    since, until = page.clock(page.since), page.clock(page.until)
    day, _, time = until.partition(" ")
    return f"{since} to {time if since.startswith(day) else until} {page.zone.key}"


def _flat(stylesheet: str) -> str:
    """A stylesheet with the colours of the light theme in place of variables."""
    light = re.search(r":root \{(.*?)\}", style("page.css"), re.DOTALL)
    colours = dict(re.findall(r"--(\w+): ([^;]+);", light[1] if light else ""))
    return re.sub(r"var\(--(\w+)\)", lambda name: colours[name[1]], stylesheet)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"

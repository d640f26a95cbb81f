"""The report as one self-contained page: no script, no network, light and dark.

Templates define the appearance, this module the content. A template makes every value harmless and
escapes it where it is inserted. Jinja2 is loaded with this module, which an idle worker does not
import.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from monitor.domain import lasting
from monitor.redaction import plain
from monitor.reports import bar_charts
from monitor.reports.axes import ChartFigure, clock, ms, share, usd
from monitor.reports.page_data import ReportPage, TargetReport, quality_lines, value_of
from monitor.reports.timeline import timeline
from monitor.reports.verdict import page_sentences

LONGEST = 500  # characters of one value


@lru_cache(4096)  # class names, units and days repeat many times
def _harmless(text: str) -> str:
    return plain(text, LONGEST)


def _final(value: object) -> object:
    """Any value as harmless text of one line; markup of templates and numbers are unchanged."""
    if isinstance(value, Markup | int | float):
        return value
    return "" if value is None else _harmless(str(value))


def _number(value: float) -> Markup:
    """A coordinate: two decimals at most, no trailing zeros."""
    return Markup(f"{value:.2f}".rstrip("0").rstrip("."))  # noqa: S704  digits alone


@cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader("monitor.reports"),
        autoescape=True,
        finalize=_final,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"n": _number, "count": "{:,}".format, "ms": ms, "share": share, "usd": usd}
    found.globals |= {"clock": clock, "lasting": lasting, "value_of": value_of}
    return found


def rendered(template: str, **values: object) -> str:
    """A template of this room with its values."""
    return _templates().get_template(template).render(**values)


def drawn(figure: ChartFigure) -> str:
    """One chart as markup."""
    charts: Any = _templates().get_template("charts.html").module
    return str(charts.figure(figure))


@cache
def style(*names: str) -> str:
    """Stylesheets of this room, one after another."""
    return "".join((files(__package__) / name).read_text(encoding="utf-8") for name in names)


def policy(stylesheet: str) -> str:
    """A content security policy that allows this stylesheet and nothing else."""
    digest = b64encode(sha256(stylesheet.encode()).digest()).decode()
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        f"style-src 'sha256-{digest}'"
    )


@dataclass(frozen=True, slots=True)
class ReportTile:
    """A figure, with lines below it to compare it with."""

    name: str
    value: str
    beside: Sequence[str]
    over: bool


def html_page(page: ReportPage) -> str:
    """The whole page as text, to be written in UTF-8."""
    stylesheet = style("page.css", "chart.css")
    return rendered(
        "page.html",
        page=page,
        title=page_title(page),
        policy=policy(stylesheet).replace("frame-ancestors 'none'; ", ""),  # ignored in a meta tag
        style=Markup(stylesheet),  # noqa: S704  a file of ours
        sentences=page_sentences(page),
        sections=[_section(page, watched) for watched in page.targets],
        spend=bar_charts.spend(page),
    )


def page_title(page: ReportPage) -> str:
    """The names of the targets, as many as fit into a title."""
    names = [watched.name for watched in page.targets]
    more = f" and {len(names) - 3} more" if len(names) > 4 else ""
    return ", ".join(names[:3] if more else names) + more or "Report"


def _section(page: ReportPage, watched: TargetReport) -> dict[str, object]:
    return {
        "target": watched,
        "tiles": [*_tiles(page, watched)],
        "timeline": timeline(page, watched),
        "pairs": (
            (bar_charts.model_share(page, watched), bar_charts.histogram(watched)),
            (bar_charts.phases(watched), bar_charts.costs(watched)),
        ),
        "quality": [*quality_lines(watched.quality)],
    }


def _tiles(page: ReportPage, watched: TargetReport) -> Iterator[ReportTile]:
    """The figures of the header."""
    limit, fell = watched.limit_ms, watched.fallback_share
    yield ReportTile(
        "median TTFT",
        ms(watched.p50_ms),
        (f"p90 {ms(watched.p90_ms)}", f"limit {ms(limit)}" if limit else "no limit"),
        over=bool(limit and watched.p50_ms and watched.p50_ms > limit),
    )
    allowed = page.fallback_limit
    yield ReportTile(
        "answered by a fallback",
        share(fell),
        (
            f"{watched.fell:,} of {watched.known:,} identified",
            f"limit {share(allowed)}" if allowed is not None else "no limit",
            *(f"{share(watched.share_of(identity))} {identity}" for identity in watched.unsure),
        ),
        over=bool(fell and allowed is not None and fell > allowed),
    )
    if changed := watched.count("changed"):
        yield ReportTile(
            "no longer match the expected model",
            share(watched.share_of("changed")),
            (f"{changed:,} of {watched.answers:,} answers", "model not identified"),
            over=changed > (allowed or 0.0) * watched.answers,
        )
    counted = watched.answered + watched.failed
    yield ReportTile(
        "probes answered",
        share(watched.answered / counted if counted else None),
        (f"{watched.failed:,} of {counted:,} failed",),
        over=watched.failed > 0.1 * counted,
    )
    if page.spend:
        today, most = page.spend[-1], page.spend_limit_usd
        yield ReportTile(
            "spend of the last day",
            usd(today.total_usd, high=today.high_usd, at_least=today.at_least),
            (f"limit {usd(most)} a day" if most is not None else "no limit",),
            over=most is not None and today.total_usd > most,
        )
    opened = [
        i for i in page.incidents if i.resolved_at is None and i.scope in (watched.name, "all")
    ]
    yield ReportTile(
        "incidents open",
        str(len(opened)),
        (", ".join(f"#{i.number} {i.rule}" for i in opened) or "none",),
        over=bool(opened),
    )

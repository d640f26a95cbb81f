"""The report as one page that needs nothing else: no script, no network, light and dark."""

from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from importlib.resources import files

from monitor.domain import lasting
from monitor.reports import bar_charts, horizontal_bars, page_tables
from monitor.reports.markup import Markup, element
from monitor.reports.page_data import ReportPage, TargetReport
from monitor.reports.scales import ms, share, usd
from monitor.reports.timeline import timeline

_STYLE = (files(__package__) / "page.css").read_text(encoding="utf-8")
_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; style-src "
    f"'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
)
_FOOT = (
    "Every figure is defined in docs/metrics.md. TTFT counts from the request's last byte to the "
    "first event with answer text; degraded samples are left out of it. Percentiles of long spans "
    "come from merged histograms and are right within 1 %. Answers that are changed, disputed or "
    "unknown count on neither side of the fallback share."
)


def html_page(page: ReportPage) -> str:
    """The whole page as text, to be written in UTF-8."""
    title = "rag-monitor: " + (", ".join(watched.name for watched in page.targets) or "report")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        Markup(f"<style>{_STYLE}</style>"),
    )
    body = element("body", _hatch(), element("main", *_parts(page)), element("footer", _FOOT))
    return "<!doctype html>\n" + element("html", head, body, lang="en") + "\n"


def _parts(page: ReportPage) -> Iterator[Markup]:
    span = f"{page.clock(page.since)} to {page.clock(page.until)} ({page.zone.key})"
    yield element("header",
                  element("h1", "How the service answered"),
                  element("p", f"{span} · {lasting(page.until - page.since)} · made "
                          f"{page.clock(page.made_at)} by rag-monitor {page.version}",
                          class_="soft"))  # fmt: skip
    for watched in page.targets:
        yield element("section", *_target(page, watched))
    if not page.targets:
        yield element("p", "No target has been asked in this span.", class_="empty")
    yield element("section", element("h2", "Money"), bar_charts.spend(page))
    yield element("section", element("h2", "Incidents"), page_tables.incidents(page))


def _target(page: ReportPage, watched: TargetReport) -> Iterator[Markup]:
    yield element("h2", watched.name)
    yield element("ul", *_tiles(page, watched), class_="tiles")
    if watched.health is not None and watched.health.contradiction:
        yield element("p", watched.health.contradiction, class_="remark")
    yield timeline(page, watched)
    yield page_tables.queries(watched)
    yield _pair(bar_charts.model_share(page, watched), bar_charts.histogram(watched))
    yield _pair(horizontal_bars.phases(watched), horizontal_bars.costs(watched))
    yield _pair(_titled("How probes ended", page_tables.outcomes(watched)),
                _titled("How well we measured", page_tables.quality(watched)))  # fmt: skip
    yield _titled("What the service says of itself", page_tables.health(watched, page))


def _tiles(page: ReportPage, watched: TargetReport) -> Iterator[Markup]:
    """The figures people look for first."""
    limit, fell = watched.limit_ms, watched.fallback_share
    yield _tile("median TTFT", ms(watched.p50_ms), f"p90 {ms(watched.p90_ms)}",
                f"limit {ms(limit)}" if limit else "no limit",
                over=bool(limit and watched.p50_ms and watched.p50_ms > limit))  # fmt: skip
    allowed = page.fallback_limit
    yield _tile("answered by a fallback", share(fell),
                f"{watched.fell:,} of {watched.known:,} identified",
                f"limit {share(allowed)}" if allowed is not None else "no limit",
                *(f"{share(watched.share_of(identity))} {identity}" for identity in watched.unsure),
                over=bool(fell and allowed is not None and fell > allowed))  # fmt: skip
    if changed := watched.count("changed"):
        yield _tile("no longer match the expected model", share(watched.share_of("changed")),
                    f"{changed:,} of {watched.answers:,} answers", "model not identified",
                    over=changed > (allowed or 0.0) * watched.answers)  # fmt: skip
    counted = watched.answered + watched.failed
    yield _tile("probes answered", share(watched.answered / counted if counted else None),
                f"{watched.failed:,} of {counted:,} failed",
                over=watched.failed > 0.1 * counted)  # fmt: skip
    if page.spend:
        today, most = page.spend[-1], page.spend_limit_usd
        yield _tile("spend of the last day", usd(today.total_usd, high=today.high_usd,
                                                   at_least=today.at_least),
                    f"limit {usd(most)} a day" if most is not None else "no limit",
                    over=most is not None and today.total_usd > most)  # fmt: skip
    opened = [
        i for i in page.incidents if i.resolved_at is None and i.scope in (watched.name, "all")
    ]
    yield _tile("incidents open", str(len(opened)),
                ", ".join(f"#{i.number} {i.rule}" for i in opened) or "none",
                over=bool(opened))  # fmt: skip


def _tile(name: str, value: str, *beside: str, over: bool) -> Markup:
    """A figure, and beneath it what it is to be compared with, each on a line of its own."""
    return element("li", element("span", name), element("b", value),
                   *(element("span", text) for text in beside),
                   class_="over" if over else None)  # fmt: skip


def _pair(left: Markup, right: Markup) -> Markup:
    return element("div", left, right, class_="pair")


def _titled(title: str, held: Markup) -> Markup:
    return element("figure", element("figcaption", element("h3", title)), held)


def _hatch() -> Markup:
    """The pattern of answers whose model is not identified."""
    line = element("path", d="M0 0V8", class_="hatch-line")
    pattern = element("pattern", line, id="hatch", width=6, height=8, patternUnits="userSpaceOnUse",
                      patternTransform="rotate(45)")  # fmt: skip
    return element("svg", element("defs", pattern), class_="defs", aria_hidden="true")

"""The tables of a page: queries, incidents, outcomes, measurement quality, health statements."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from decimal import Decimal
from hashlib import sha256
from importlib.resources import files

from monitor.domain import lasting
from monitor.domain.report import IncidentRow
from monitor.reports import bar_charts
from monitor.reports.axes import Markup, element, ms, share, usd
from monitor.reports.page_data import HealthRow, MeasurementQuality, ReportPage, TargetReport
from monitor.reports.timeline import timeline
from monitor.rules import unit_of

Cell = tuple[object, str | None]  # what it holds, and its class


def table(heads: Sequence[str], rows: Sequence[Sequence[Cell]], *, empty: str) -> Markup:
    """A table that becomes a list of cards on a narrow screen; a sentence if it has no rows."""
    if not rows:
        return element("p", empty, class_="empty")
    styles = ["figure" if style == "figure" else None for _, style in rows[0]]
    head = element(
        "tr",
        *(
            element("th", name, scope="col", class_=style)
            for name, style in zip(heads, styles, strict=True)
        ),
    )
    body = [
        element(
            "tr",
            *(
                element("td", held, class_=style, data_name=name)
                for name, (held, style) in zip(heads, row, strict=True)
            ),
        )
        for row in rows
    ]
    whole = element(
        "table",
        element("thead", head),
        element("tbody", *body),
        class_="stacked" if len(heads) > 3 else None,
    )
    return element("div", whole, class_="scroll")


def queries(watched: TargetReport) -> Markup:
    rows = [
        [
            (q.query, None),
            (f"{q.probes:,}", "figure"),
            (f"{q.answered:,} of {q.probes:,}", "figure"),
            *((ms(value), "figure") for value in (q.p50_ms, q.p90_ms, q.p99_ms, q.worst_ms)),
            (share(q.over_limit), "figure"),
        ]
        for q in watched.queries
    ]
    heads = ("query", "probes", "answered", "median TTFT", "p90", "p99", "worst", "over the limit")
    return table(heads, rows, empty="No query was sent in this period.")


def incidents(page: ReportPage) -> Markup:
    rows = [
        [
            (f"#{item.number}", None),
            (item.rule, None),
            (item.scope, None),
            (page.clock(item.began_at), "state"),
            (_ended(item, page), "state"),
            (value_of(item.rule, item.peak), "figure"),
            (value_of(item.rule, item.limit), "figure"),
            (usd(item.cost_usd, high=item.cost_high_usd, at_least=item.cost_at_least), "figure"),
            (item.sentence, "wide"),
        ]
        for item in page.incidents
    ]
    heads = ("incident", "rule", "target", "since", "lasted", "peak", "limit", "cost", "because")
    return table(heads, rows, empty="No incident was open in this period.")


def _ended(item: IncidentRow, page: ReportPage) -> Markup | str:
    if item.resolved_at is None:
        open_for = lasting(page.until - item.began_at)
        return element("span", f"open, {open_for}", class_="bad")
    return lasting(item.resolved_at - item.began_at)


def value_of(rule: str, value: float | Decimal | None) -> str:
    """A rule's value in its unit."""
    return "–" if value is None else unit_of(rule).text(value)


def outcomes(watched: TargetReport) -> Markup:
    whole = sum(count for _, count in watched.outcomes)
    rows: list[Sequence[Cell]] = [
        [(name, None), (f"{count:,}", "figure"), (share(count / whole), "figure")]
        for name, count in watched.outcomes
    ]
    return table(("outcome", "probes", "share"), rows, empty="No probe was sent in this period.")


def quality(watched: TargetReport) -> Markup:
    rows = [
        [(name, None), (reported, "figure")] for name, reported in quality_lines(watched.quality)
    ]
    return table(("what", "figure"), rows, empty="No measurement in this period.")


def quality_lines(found: MeasurementQuality) -> Iterator[tuple[str, str]]:
    """Measurement quality, line by line."""
    timed = found.kernel + found.user + found.degraded
    if not timed:
        return
    for name, count in (
        ("timed by the kernel", found.kernel),
        ("timed by the monitor's process", found.user),
        ("degraded: excluded from latency rules", found.degraded),
    ):
        yield name, f"{count:,} ({share(count / timed)})"
    yield "longest event-loop delay", ms(found.worst_lag_ms)
    for name, rounds in (
        ("rounds due, by whole hours or days", found.rounds_expected),
        ("incomplete or missed rounds", found.rounds_missed),
    ):
        yield name, "–" if rounds is None else f"{rounds:,}"


def health(watched: TargetReport, page: ReportPage) -> Markup:
    """What the target says of itself."""
    reported = watched.health
    rows: list[Sequence[Cell]] = []
    if reported is not None:
        rows.append(
            [
                (_mood(reported), "state"),
                (reported.says, "wide"),
                (page.clock(reported.since), "state"),
                (page.clock(reported.checked_at), "state"),
            ]
        )
    heads = ("its health page", "in detail", "since", "last read")
    return table(heads, rows, empty="No health page is configured for this target.")


def _mood(item: HealthRow) -> Markup:
    if item.healthy is None:
        return element("span", "cannot be evaluated", class_="soft")
    if item.healthy:
        return element("span", "healthy", class_="good")
    return element("span", "not healthy", class_="bad")


# The report as one page that needs nothing else: no script, no network, light and dark.


_STYLE = (files(__package__) / "page.css").read_text(encoding="utf-8")
_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; style-src "
    f"'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
)
_FOOT = (
    "Every figure is defined in docs/metrics.md. TTFT counts from the request's last byte to the "
    "first event with answer text; degraded samples are excluded. Percentiles of long spans "
    "come from merged histograms and are accurate to 1 %. Changed, disputed and "
    "unknown answers are excluded from the fallback share."
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
    yield element(
        "header",
        element("h1", "Service report"),
        element(
            "p",
            f"{span} · {lasting(page.until - page.since)} · made "
            f"{page.clock(page.made_at)} by rag-monitor {page.version}",
            class_="soft",
        ),
    )
    for watched in page.targets:
        yield element("section", *_target(page, watched))
    if not page.targets:
        yield element("p", "No target was probed in this period.", class_="empty")
    yield element("section", element("h2", "Money"), bar_charts.spend(page))
    yield element("section", element("h2", "Incidents"), incidents(page))


def _target(page: ReportPage, watched: TargetReport) -> Iterator[Markup]:
    yield element("h2", watched.name)
    yield element("ul", *_tiles(page, watched), class_="tiles")
    if watched.health is not None and watched.health.contradiction:
        yield element("p", watched.health.contradiction, class_="remark")
    yield timeline(page, watched)
    yield queries(watched)
    yield _pair(bar_charts.model_share(page, watched), bar_charts.histogram(watched))
    yield _pair(bar_charts.phases(watched), bar_charts.costs(watched))
    yield _pair(
        _titled("Probe outcomes", outcomes(watched)),
        _titled("Measurement quality", quality(watched)),
    )
    yield _titled("Health pages of the service", health(watched, page))


def _tiles(page: ReportPage, watched: TargetReport) -> Iterator[Markup]:
    """The figures people look for first."""
    limit, fell = watched.limit_ms, watched.fallback_share
    yield _tile(
        "median TTFT",
        ms(watched.p50_ms),
        f"p90 {ms(watched.p90_ms)}",
        f"limit {ms(limit)}" if limit else "no limit",
        over=bool(limit and watched.p50_ms and watched.p50_ms > limit),
    )
    allowed = page.fallback_limit
    yield _tile(
        "answered by a fallback",
        share(fell),
        f"{watched.fell:,} of {watched.known:,} identified",
        f"limit {share(allowed)}" if allowed is not None else "no limit",
        *(f"{share(watched.share_of(identity))} {identity}" for identity in watched.unsure),
        over=bool(fell and allowed is not None and fell > allowed),
    )
    if changed := watched.count("changed"):
        yield _tile(
            "no longer match the expected model",
            share(watched.share_of("changed")),
            f"{changed:,} of {watched.answers:,} answers",
            "model not identified",
            over=changed > (allowed or 0.0) * watched.answers,
        )
    counted = watched.answered + watched.failed
    yield _tile(
        "probes answered",
        share(watched.answered / counted if counted else None),
        f"{watched.failed:,} of {counted:,} failed",
        over=watched.failed > 0.1 * counted,
    )
    if page.spend:
        today, most = page.spend[-1], page.spend_limit_usd
        yield _tile(
            "spend of the last day",
            usd(today.total_usd, high=today.high_usd, at_least=today.at_least),
            f"limit {usd(most)} a day" if most is not None else "no limit",
            over=most is not None and today.total_usd > most,
        )
    opened = [
        i for i in page.incidents if i.resolved_at is None and i.scope in (watched.name, "all")
    ]
    yield _tile(
        "incidents open",
        str(len(opened)),
        ", ".join(f"#{i.number} {i.rule}" for i in opened) or "none",
        over=bool(opened),
    )


def _tile(name: str, value: str, *beside: str, over: bool) -> Markup:
    """A figure, and beneath it what it is to be compared with, each on a line of its own."""
    return element(
        "li",
        element("span", name),
        element("b", value),
        *(element("span", text) for text in beside),
        class_="over" if over else None,
    )


def _pair(left: Markup, right: Markup) -> Markup:
    return element("div", left, right, class_="pair")


def _titled(title: str, held: Markup) -> Markup:
    return element("figure", element("figcaption", element("h3", title)), held)


def _hatch() -> Markup:
    """The pattern of answers whose model is not identified."""
    line = element("path", d="M0 0V8", class_="hatch-line")
    pattern = element(
        "pattern",
        line,
        id="hatch",
        width=6,
        height=8,
        patternUnits="userSpaceOnUse",
        patternTransform="rotate(45)",
    )
    return element("svg", element("defs", pattern), class_="defs", aria_hidden="true")

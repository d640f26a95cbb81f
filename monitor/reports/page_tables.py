"""The tables of a page: queries, incidents, outcomes, measurement quality, health statements."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from monitor.domain import lasting
from monitor.notifications.slack.escaping import amount
from monitor.reports.markup import Markup, element
from monitor.reports.page_data import (
    HealthRow,
    IncidentRow,
    MeasurementQuality,
    ReportPage,
    TargetReport,
)
from monitor.reports.scales import ms, share, usd

Cell = tuple[object, str | None]  # what it holds, and its class


def table(heads: Sequence[str], rows: Sequence[Sequence[Cell]], *, empty: str) -> Markup:
    """A table that becomes a list of cards on a narrow screen; a sentence if it has no rows."""
    if not rows:
        return element("p", empty, class_="empty")
    styles = ["figure" if style == "figure" else None for _, style in rows[0]]
    head = element("tr", *(element("th", name, scope="col", class_=style)
                           for name, style in zip(heads, styles, strict=True)))  # fmt: skip
    body = [
        element("tr", *(element("td", held, class_=style, data_name=name)
                        for name, (held, style) in zip(heads, row, strict=True)))
        for row in rows
    ]  # fmt: skip
    whole = element("table", element("thead", head), element("tbody", *body),
                    class_="stacked" if len(heads) > 3 else None)  # fmt: skip
    return element("div", whole, class_="scroll")


def queries(watched: TargetReport) -> Markup:
    rows = [
        [(q.query, None), (f"{q.probes:,}", "figure"),
         (f"{q.answered:,} of {q.probes:,}", "figure"),
         *((ms(value), "figure") for value in (q.p50_ms, q.p90_ms, q.p99_ms, q.worst_ms)),
         (share(q.over_limit), "figure")]
        for q in watched.queries
    ]  # fmt: skip
    heads = ("query", "probes", "answered", "median TTFT", "p90", "p99", "worst", "over the limit")
    return table(heads, rows, empty="No query was asked in this span.")


def incidents(page: ReportPage) -> Markup:
    rows = [
        [(f"#{item.number}", None), (item.rule, None), (item.scope, None),
         (page.clock(item.began_at), "state"), (_ended(item, page), "state"),
         (value_of(item.rule, item.peak), "figure"), (value_of(item.rule, item.limit), "figure"),
         (usd(item.cost_usd, high=item.cost_high_usd, at_least=item.cost_at_least), "figure"),
         (item.sentence, "wide")]
        for item in page.incidents
    ]  # fmt: skip
    heads = ("incident", "rule", "target", "since", "lasted", "peak", "limit", "cost", "because")
    return table(heads, rows, empty="No incident was open in this span.")


def _ended(item: IncidentRow, page: ReportPage) -> Markup | str:
    if item.resolved_at is None:
        open_for = lasting(page.until - item.began_at)
        return element("span", f"open, {open_for}", class_="bad")
    return lasting(item.resolved_at - item.began_at)


def value_of(rule: str, value: float | Decimal | None) -> str:
    """A rule's value in its unit."""
    return "–" if value is None else amount(rule, value)


def outcomes(watched: TargetReport) -> Markup:
    whole = sum(count for _, count in watched.outcomes)
    rows: list[Sequence[Cell]] = [
        [(name, None), (f"{count:,}", "figure"), (share(count / whole), "figure")]
        for name, count in watched.outcomes
    ]
    return table(("outcome", "probes", "share"), rows, empty="Nothing was asked in this span.")


def quality(watched: TargetReport) -> Markup:
    rows = [
        [(name, None), (reported, "figure")] for name, reported in quality_lines(watched.quality)
    ]
    return table(("what", "figure"), rows, empty="Nothing was measured in this span.")


def quality_lines(found: MeasurementQuality) -> Iterator[tuple[str, str]]:
    """How well we measured, line by line."""
    timed = found.kernel + found.user + found.degraded
    if not timed:
        return
    for name, count in (("timed by the kernel", found.kernel), ("timed in our reader", found.user),
                        ("degraded: judged by no latency rule", found.degraded)):  # fmt: skip
        yield name, f"{count:,} ({share(count / timed)})"
    yield "worst lateness of our own loop", ms(found.worst_lag_ms)
    for name, rounds in (("rounds due, by whole hours or days", found.rounds_expected),
                         ("of these not asked whole", found.rounds_missed)):  # fmt: skip
        yield name, "–" if rounds is None else f"{rounds:,}"


def health(watched: TargetReport, page: ReportPage) -> Markup:
    """What the target says of itself."""
    reported = watched.health
    rows: list[Sequence[Cell]] = []
    if reported is not None:
        rows.append([(_mood(reported), "state"), (reported.says, "wide"),
                     (page.clock(reported.since), "state"),
                     (page.clock(reported.checked_at), "state")])  # fmt: skip
    heads = ("its health page says", "in detail", "since", "last read")
    return table(heads, rows, empty="No health page of this target is read.")


def _mood(item: HealthRow) -> Markup:
    if item.healthy is None:
        return element("span", "cannot be judged", class_="soft")
    if item.healthy:
        return element("span", "healthy", class_="good")
    return element("span", "not healthy", class_="bad")

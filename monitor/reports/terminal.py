"""The report on a terminal: tables, and sparklines in which a blank is a gap."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from monitor.domain import lasting
from monitor.domain.report import IncidentRow
from monitor.redaction import plain
from monitor.reports.axes import day, ms, share, usd
from monitor.reports.page_data import ReportPage, TargetReport, quality_lines, value_of
from monitor.reports.timeline import queries_of, readable
from monitor.reports.verdict import page_sentences

_BARS = "▁▂▃▄▅▆▇█"
_SPARK = 40  # at most; 8 at least; the figures beside it need the rest
_BESIDE = 70


def show(page: ReportPage, console: Console | None = None) -> None:
    """Print the page, target by target."""
    out = console or Console(highlight=False)
    out.print(
        Text(f"{page.clock(page.since)} to {page.clock(page.until)} ({page.zone.key})", style="dim")
    )
    for sentence in page_sentences(page):
        out.print(Text(plain(sentence.text), style=sentence.style))
    for watched in page.targets:
        wide = min(max(out.width - _BESIDE, 8), _SPARK)
        out.print(Group(*_target(page, watched, wide)))
    for title, table in (("spend per day", _spend(page)), ("incidents", _incidents(page))):
        out.print(Group(Text(""), Text(title, style="bold"), table))


def sparkline(values: Sequence[float | None], *, top: float) -> str:
    """One character per value, in eight heights from zero to `top`; a blank if there is none."""
    tall = len(_BARS) - 1
    return "".join(
        " " if value is None else _BARS[min(max(round(tall * value / top), 0), tall)]
        for value in values
    )


def slots(
    seen: Sequence[tuple[datetime, float]], *, since: datetime, until: datetime, many: int = _SPARK
) -> list[float | None]:
    """The worst value of each of so many equal spans; None if there is no data."""
    span = (until - since) / many
    worst: list[float | None] = [None] * many
    for at, value in seen:
        place = min(max(int((at - since) / span), 0), many - 1)
        worst[place] = max(value, worst[place] or 0.0)
    return worst


def _target(page: ReportPage, watched: TargetReport, wide: int) -> Iterator[RenderableType]:
    fell, health = watched.fallback_share, watched.health
    over = page.fallback_limit is not None and fell is not None and fell > page.fallback_limit
    yield Text("")
    yield Text.assemble(
        (plain(watched.name), "bold"),
        "  ",
        _limited(
            f"median TTFT {ms(watched.p50_ms)}",
            bool(watched.limit_ms and watched.p50_ms and watched.p50_ms > watched.limit_ms),
        ),
        f" (p90 {ms(watched.p90_ms)}, limit {ms(watched.limit_ms)})  ",
        _limited(f"fallback {share(fell)}", over),
        f" ({watched.fell:,} of {watched.known:,} identified)  ",
        *_unsure(page, watched),
        f"{watched.answered:,} of {watched.answered + watched.failed:,} probes answered",
    )
    if health is not None and health.contradiction:
        yield Text(plain(health.contradiction), style="red")
    yield _queries(page, watched, wide)
    yield _models(watched)
    for name, reported in quality_lines(watched.quality):
        yield Padding(Text(f"{plain(name)}: {reported}", style="dim"), (0, 0, 0, 2))


def _unsure(page: ReportPage, watched: TargetReport) -> Iterator[tuple[str, str]]:
    """The share of each identity that does not count for the fallback share, if any."""
    for identity in watched.unsure:
        part = watched.share_of(identity) or 0.0
        over = identity == "changed" and part > (page.fallback_limit or 0.0)
        yield _limited(f"{identity} {share(part)}", over)
        yield f" ({watched.count(identity):,} of {watched.answers:,})  ", ""


def _limited(text: str, over: bool) -> tuple[str, str]:
    return text, "bold red" if over else ""


def _queries(page: ReportPage, watched: TargetReport, wide: int) -> Table:
    table = _table("query", "TTFT", "median", "p90", "worst", "over limit", "answered", right=5)
    table.columns[1].no_wrap = True
    table.columns[1].min_width = wide
    top = readable(watched)[0].top
    figures = {item.query: item for item in watched.queries}
    for query in dict.fromkeys((*queries_of(watched), *figures)):
        seen = [(p.at, p.p50_ms) for p in watched.ttft if p.query == query]
        many = min(wide, max(int((page.until - page.since) / watched.step), 1))
        drawn = sparkline(slots(seen, since=page.since, until=page.until, many=many), top=top)
        found = figures.get(query)
        rest = (
            ("", "", "", "", "")
            if found is None
            else (
                ms(found.p50_ms),
                ms(found.p90_ms),
                ms(found.worst_ms),
                share(found.over_limit),
                f"{found.answered:,} of {found.probes:,}",
            )
        )
        table.add_row(_plain(query), drawn, *rest)
    return table


def _models(watched: TargetReport) -> Table:
    table = _table("who answered", "answers", "share", right=2)
    counts: dict[tuple[str | None, str], int] = {}
    for item in watched.served:
        key = (item.model, item.identity)
        counts[key] = counts.get(key, 0) + item.answers
    whole = sum(counts.values())
    for (model, identity), count in sorted(counts.items(), key=lambda pair: -pair[1]):
        name = f"{model or 'model not identified'} ({identity})"
        table.add_row(_plain(name), f"{count:,}", share(count / whole))
    return table


def _spend(page: ReportPage) -> RenderableType:
    if not page.spend:
        return Text("no day has been computed yet", style="dim")
    table = _table("day", "spent", "probes", "traffic", "account", right=4)
    limit = page.spend_limit_usd
    for item in page.spend[-14:]:
        whole = usd(item.total_usd, high=item.high_usd, at_least=item.at_least)
        over = limit is not None and item.total_usd > limit
        meters = (
            _short(item.probes_usd, item.probes_high_usd),
            _short(item.traffic_usd, item.traffic_high_usd),
            usd(item.account_usd),
        )
        table.add_row(day(item.day), Text(whole, style="bold red" if over else ""), *meters)
    drawn = [float(item.total_usd) for item in page.spend]
    top = max([*drawn, float(limit or 0)]) or 1.0
    reported = f"{sparkline(drawn, top=top)}  limit {usd(limit)} a day"
    return Group(Text(reported), table)


def _incidents(page: ReportPage) -> RenderableType:
    if not page.incidents:
        return Text("none", style="dim")
    return Group(*(line for item in page.incidents for line in _incident(page, item)))


def _incident(page: ReportPage, item: IncidentRow) -> Iterator[RenderableType]:
    """Time, severity and reason, each on its own lines, complete on a terminal of any width."""
    lasted = lasting(item.lasted(page.until))
    yield Text.assemble(
        (f"#{item.number} {plain(item.rule)} · {plain(item.scope)}", "bold"),
        f"  since {page.clock(item.began_at)}  ",
        (f"open, {lasted}", "bold red") if item.resolved_at is None else f"lasted {lasted}",
    )
    figures = (
        f"peak {value_of(item.rule, item.peak)}, limit {value_of(item.rule, item.limit)}, "
        f"cost {_cost(item)}"
    )
    yield Padding(Text(figures, style="dim"), (0, 0, 0, 3))
    yield Padding(_plain(item.sentence), (0, 0, 0, 3))


def _cost(item: IncidentRow) -> str:
    return usd(item.cost_usd, high=item.cost_high_usd, at_least=item.cost_at_least)


def _short(low: Decimal | None, high: Decimal | None) -> str:
    """Both ends of a meter, short enough for a column of figures."""
    reported = usd(low)
    return reported if low is None or usd(high) in (reported, "–") else f"{reported} – {usd(high)}"


def _table(*heads: str, right: int = 0) -> Table:
    """A table whose last `right` columns are figures."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for place, head in enumerate(heads):
        figure = place >= len(heads) - right
        table.add_column(head, justify="right" if figure else "left", no_wrap=figure)
    return table


def _plain(text: str) -> Text:
    """Foreign text without control characters or markup."""
    return Text(plain(text))

"""The tables, as Markdown: fit for a terminal, and what `docs/benchmarks.md` includes."""

from collections.abc import Sequence
from dataclasses import asdict
from math import inf
from typing import Any

from benchmarks.truth.figures import Row, place, ratios
from benchmarks.truth.machine import Machine
from benchmarks.truth.verdicts import Goal

HEADINGS = ("client", "runs × requests", "failed", "degraded", "error p50", "p95", "p99", "max",
            "server late", "× ours p50", "× ours p99", "request side p50", "token side p50 / p99",
            "CPU s / 1,000", "RSS MiB", "loop lag p99")  # fmt: skip


RESULTS, BESIDE = "## Results\n", "## Beside other work\n"
_NEXT = "\n## "


def placed(text: str, there: str, heading: str = RESULTS) -> str:
    """The document that is there with the text as the section of that heading; else the text."""
    above, found, section = there.partition(heading)
    _, following, below = section.partition(_NEXT)
    return f"{above}{heading}\n{text}{following}{below}" if found else text


def page(rows: Sequence[Row], goals: Sequence[Goal], machine: Machine) -> str:
    """Everything measured, most important first."""
    parts = [conditions(machine), goals_table(goals)]
    for tls in (False, True):
        for streams in sorted({row.streams for row in rows if row.tls == tls}):
            these = [row for row in rows if row.setting == (tls, streams)]
            drawn = table(HEADINGS, [_cells(row, rows) for row in these])
            parts.append(f"### {place(tls, streams)}\n\n{drawn}")
    return "\n\n".join(parts) + "\n"


def document(rows: Sequence[Row], goals: Sequence[Goal], machine: Machine) -> dict[str, Any]:
    """The same for programs: one flat object per row."""
    lines = []
    for row in rows:
        p50, p99 = ratios(row, rows)
        reported = asdict(row)
        measured = reported.pop("figures")
        lines.append(reported | measured | {"times_ours_p50": p50, "times_ours_p99": p99})
    return {
        "machine": asdict(machine),
        "rows": lines,
        "goals": [asdict(goal) | {"met": goal.met} for goal in goals],
    }


def conditions(machine: Machine) -> str:
    beside = (
        f"{machine.beside} busy processes ran at the same time as every client. "
        if machine.beside
        else ""
    )
    return (
        f"{beside}{machine.day:%-d %B %Y}, {machine.cores} cores, Linux {machine.kernel}. "
        f"Other programs used {machine.others:.2f} cores "
        f"and the host took {machine.steal:.2f}; load at the end {machine.load:.2f}. "
        "Times are in ms unless stated otherwise."
    )


def goals_table(goals: Sequence[Goal]) -> str:
    headings = ("goal", "limit", "measured", "")
    lines = [
        (goal.what, f"{'≥' if goal.at_least else '≤'} {goal.limit:g}", number(goal.found),
         "met" if goal.met else "**missed**")
        for goal in goals
    ]  # fmt: skip
    return f"### Goals\n\n{table(headings, lines)}"


def _cells(row: Row, rows: Sequence[Row]) -> tuple[str, ...]:
    seen = row.figures
    times = [f"{number(ratio)} ×" if ratio and not row.ours else "" for ratio in ratios(row, rows)]
    degraded = str(seen.degraded)
    if seen.degraded_max_ms is not None:
        degraded += f" (≤ {number(seen.degraded_max_ms)})"
    return (
        f"**{row.client}**" if row.ours else row.client,
        f"{row.runs} × {seen.requests // row.runs}",
        str(seen.failed),
        degraded,
        number(seen.error_p50_ms),
        number(seen.error_p95_ms),
        number(seen.error_p99_ms),
        number(seen.error_max_ms),
        number(seen.late_max_ms),
        *times,
        number(seen.request_p50_ms),
        f"{number(seen.token_p50_ms)} / {number(seen.token_p99_ms)}",
        number(seen.cpu_s_per_1000),
        f"{seen.rss_mib:.0f}",
        number(seen.lag_p99_ms),
    )


def number(value: float | None) -> str:
    """Three digits that matter; a dash for what nobody measured."""
    if value is None:
        return "–"
    if value == inf:
        return "∞"
    if value == int(value) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, so that it also reads unrendered."""
    every = [headings, *lines]
    widths = [max(len(line[n]) for line in every) for n in range(len(headings))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in (headings, rule, *lines)
    )

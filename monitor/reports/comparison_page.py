"""A comparison as a table for a terminal, as JSON, and as a page of the answers side by side."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import sqrt
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from monitor.domain import usd_text
from monitor.paired_comparison.judge_verdicts import JudgeSummary
from monitor.paired_comparison.paired_answers import AnswerPair, ComparedAnswer, Metric
from monitor.redaction import plain

if TYPE_CHECKING:  # importing it loads SciPy
    from monitor.paired_comparison.differences import Difference, ShareDifference

LONGEST_TEXT = 4_000  # characters of an answer on the page
MOST_PAIRS = 100  # on the page
TELLS_APART = 0.85
SURE = 3.0  # standard errors of a share of pairs between sides that write alike


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPage:
    """The result of a comparison. `models`: how often which model answered, for A and for B.

    `untimed`: pairs answered without exact times. `unpriced`: answers whose cost is not known and
    not part of `spent`, those of the judge included.
    """

    made_at: datetime
    a: str
    b: str
    pairs: int
    queries: tuple[str, ...]
    differences: "tuple[Difference, ...]"
    shares: "tuple[ShareDifference, ...]"
    separability: float | None
    models: tuple[Mapping[str, int], ...]
    untimed: int
    judge: JudgeSummary | None
    spent: Decimal
    unpriced: int
    stopped: str | None
    conclusion: str
    errors: tuple[str, ...] = ()  # the most frequent ones of each side


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One line of the table, in words."""

    name: str
    a: str
    b: str
    difference: str
    interval: str


def rows(page: ComparisonPage) -> list[ComparisonRow]:
    """Every metric and share, with its unit in each cell."""
    found = []
    for one in page.differences:
        kind = "mean" if one.metric.mean else "median"
        if one.low is None or one.high is None:
            interval = f"too few pairs ({one.pairs})"
        else:
            ends = (_signed(one.metric, end) for end in (one.low, one.high))
            interval = " to ".join(ends) + ("" if one.shown else " (not shown)")
        found.append(
            ComparisonRow(
                f"{one.metric.name}, {kind}",
                _amount(one.metric, one.a),
                _amount(one.metric, one.b),
                _signed(one.metric, one.difference),
                interval,
            )
        )
    found.extend(
        ComparisonRow(
            share.name,
            f"{share.a} of {share.pairs}",
            f"{share.b} of {share.pairs}",
            f"{share.b - share.a:+d}".replace("-", "−"),
            f"p = {share.p:.2g}" + ("" if share.shown else " (not shown)"),
        )
        for share in page.shares
    )
    return found


def _amount(metric: Metric, value: float) -> str:
    if metric.unit == "USD":
        return usd_text(Decimal(repr(value)))
    if metric.unit == "ms":
        return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.3g} ms"
    return f"{value:,.0f} {metric.unit}"


def _signed(metric: Metric, value: float) -> str:
    sign = "−" if value < 0 else "+" if value > 0 else ""
    return sign + _amount(metric, abs(value))


def table(page: ComparisonPage) -> Iterator[str]:
    """The result for a terminal, the conclusion last."""
    queries = f"{len(page.queries)} quer{'y' if len(page.queries) == 1 else 'ies'}"
    pairs = f"{page.pairs} pair{'' if page.pairs == 1 else 's'}"
    yield f"{pairs} of {queries}: A is {page.a}, B is {page.b}"
    cells = [("", "A", "B", "B − A", "95 % interval")]
    cells += [(row.name, row.a, row.b, row.difference, row.interval) for row in rows(page)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for name, *figures, interval in cells:
        aligned = (cell.rjust(width) for cell, width in zip(figures, widths[1:4], strict=True))
        yield "  ".join((name.ljust(widths[0]), *aligned, interval)).rstrip()
    yield from remarks(page)
    yield page.conclusion


def remarks(page: ComparisonPage) -> Iterator[str]:
    """Who answered, how they write, what the judge said, what it cost, and why it stopped."""
    for side, models in zip(("A", "B"), page.models, strict=True):
        named = ", ".join(
            f"{plain(model, 60)} {count}"
            for model, count in sorted(models.items(), key=lambda item: -item[1])
        )
        yield f"who answered {side}: {named or 'nobody'}"
    if page.untimed:
        yield (
            f"{page.untimed} of {page.pairs} pairs have no exact times: this machine was too busy, "
            "or the text came in bursts from a buffer"
        )
    if page.separability is not None:
        apart = "can" if _distinguished(page, page.separability) else "cannot reliably"
        yield (
            f"writing: A and B {apart} be distinguished (of two unseen answers, one of "
            f"each side, {_percent(page.separability)} are assigned right; by chance 50 %)"
        )
    if (judge := page.judge) is not None:
        agreement = "not known" if judge.agreement is None else _percent(judge.agreement)
        cost = "cost not known" if judge.usd is None else usd_text(judge.usd)
        yield (
            f"judge {plain(judge.model, 60)}: prefers A {judge.a}, B {judge.b}, tie {judge.ties}, "
            f"decided by the order alone {judge.by_order}, unreadable {judge.unreadable}; agrees "
            f"with itself when the order is swapped: {agreement}; {cost}"
        )
    if page.unpriced:
        plural = "s" if page.unpriced != 1 else ""
        yield (
            f"cost of this comparison: not known: {page.unpriced} answer{plural} without a price, "
            f"the others at most {usd_text(page.spent)}"
        )
    else:
        yield f"cost of this comparison: at most {usd_text(page.spent)}"
    yield from page.errors
    if page.stopped:
        yield page.stopped


def _distinguished(page: ComparisonPage, separability: float) -> bool:
    """Whether the sides write differently: clearly, and more than so few answers do by chance.

    The standard error is that of Mann and Whitney's U: doi.org/10.1214/aoms/1177730491
    """
    a, b = (max(sum(counts.values()), 1) for counts in page.models)
    by_chance = sqrt((a + b + 1) / (12 * a * b))
    return separability >= max(TELLS_APART, 0.5 + SURE * by_chance)


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def document(page: ComparisonPage) -> str:
    """The result as one JSON object; names and units as in docs/commands.md."""
    document: dict[str, Any] = {
        "a": page.a,
        "b": page.b,
        "pairs": page.pairs,
        "queries": list(page.queries),
        "differences": [
            {
                "metric": found.metric.name,
                "unit": found.metric.unit,
                "statistic": "mean" if found.metric.mean else "median",
                "pairs": found.pairs,
                "a": found.a,
                "b": found.b,
                "difference": found.difference,
                "low": found.low,
                "high": found.high,
                "p": found.p,
            }
            for found in page.differences
        ],
        "shares": [
            {"name": one.name, "pairs": one.pairs, "a": one.a, "b": one.b, "p": one.p}
            for one in page.shares
        ],
        "untimed": page.untimed,
        "models": {"a": dict(page.models[0]), "b": dict(page.models[1])},
        "writing_separability": page.separability,
        "judge": None,
        "spent_usd": format(page.spent, "f"),
        "unpriced_answers": page.unpriced,
        "errors": list(page.errors),
        "stopped": page.stopped,
        "conclusion": page.conclusion,
    }
    if (judge := page.judge) is not None:
        document["judge"] = {
            "model": judge.model,
            "prefers_a": judge.a,
            "prefers_b": judge.b,
            "ties": judge.ties,
            "by_order": judge.by_order,
            "unreadable": judge.unreadable,
            "agreement": judge.agreement,
            "prefers_b_low": judge.low,
            "prefers_b_high": judge.high,
            "p": judge.p,
            "usd": None if judge.usd is None else format(judge.usd, "f"),
        }
    return json.dumps(document)


def comparison_page(page: ComparisonPage, pairs: Sequence[AnswerPair]) -> str:
    """The page: the table, then each pair of answers side by side."""
    from markupsafe import Markup

    from monitor.reports.html import policy, rendered, style

    stylesheet = style("page.css", "comparison.css")
    shown = [
        {
            "query": pair.query,
            "question": plain(pair.question, LONGEST_TEXT),
            "sides": [_side(page.a, pair.a), _side(page.b, pair.b)],
        }
        for pair in pairs[:MOST_PAIRS]
    ]
    return rendered(
        "comparison.html",
        page=page,
        policy=policy(stylesheet).replace("frame-ancestors 'none'; ", ""),
        style=Markup(stylesheet),  # noqa: S704  files of ours
        rows=rows(page),
        remarks=[*remarks(page)],
        pairs=shown,
        left_out=max(0, len(pairs) - MOST_PAIRS),
    )


def _side(label: str, answer: ComparedAnswer) -> dict[str, object]:
    seen = answer.observation
    ttft = "no first token" if seen.ttft_ms is None else f"first token after {seen.ttft_ms:.0f} ms"
    cost = "cost not known" if seen.cost_usd is None else usd_text(seen.cost_usd)
    # A template cuts values at 500 characters.
    lines = [wrap(line, 450) for line in answer.text[:LONGEST_TEXT].splitlines()]
    if len(answer.text) > LONGEST_TEXT:
        lines.append([f"… {len(answer.text) - LONGEST_TEXT:,} more characters"])
    return {
        "label": label,
        "facts": f"{ttft} · {seen.answer_chars:,} characters · {cost}",
        "model": seen.model_detected or "model not identified",
        "lines": lines,
        "failed": seen.check_failed,
        "error": None if answer.answered else (seen.error or seen.outcome.value),
    }

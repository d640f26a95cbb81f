"""Observations as output: JSON with column names, or a table with percentiles."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import datetime
from decimal import Decimal
from textwrap import shorten
from typing import Protocol

from monitor.cli.stream_explanation import READ_CHARS
from monitor.domain import (
    Identity,
    Observation,
    StampSource,
    Target,
    amount_text,
)
from monitor.redaction import plain, redact

PERCENTILES = (50, 90, 99)
COLUMNS = (
    "query",
    "probes",
    "outcome",
    "ttft p50 ms",
    "p90",
    "p99",
    "max",
    "total p50",
    "who answered",
    "cost USD",
)
WORDS = ("query", "outcome", "who answered")  # left-aligned columns
# columns that a narrow terminal omits, in this order
LEFT_OUT = ("p90", "p99", "total p50", "max", "probes", "cost USD")


def as_json(observation: Observation) -> str:
    """One line of JSON whose keys are the column names of table `observations`."""
    row = {field.name: getattr(observation, field.name) for field in fields(observation)}
    row["evidence"] = [asdict(item) for item in observation.evidence]
    row["claims"] = [asdict(item) for item in observation.claims]
    row["rates"] = dict(observation.rates)
    row["fallback"] = observation.identity.fallback
    return json.dumps(row, default=_text)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def percentile(values: Sequence[float], share: int) -> float | None:
    """Nearest-rank percentile of values in any order; None of nothing."""
    ranked = sorted(values)
    return ranked[max(0, -(-share * len(ranked) // 100) - 1)] if ranked else None


def show(observations: Sequence[Observation]) -> None:
    """A row per query: outcomes, TTFT percentiles, models, cost."""
    from rich.console import Console

    queries = sorted({seen.query for seen in observations})
    rows = [
        _row(query, [seen for seen in observations if seen.query == query]) for query in queries
    ]
    if len(queries) > 1:
        rows.append(_row("all", observations))
    console = Console(highlight=False)
    # a file or a pipe has no width limit
    whole = not console.is_terminal and "COLUMNS" not in os.environ
    for line in (*_lines(rows, sys.maxsize if whole else console.width), *_remarks(observations)):
        console.print(line, markup=False, soft_wrap=True)


def _lines(rows: Sequence[tuple[str, ...]], width: int) -> Iterator[str]:
    """A table with as many columns as fit; omitted are the first in `LEFT_OUT`.

    If even the fewest do not fit, the figures of each row are listed below one another. No word is
    cut.
    """
    left_out = list(LEFT_OUT)
    for count in range(len(left_out) + 1):
        table = [
            [cell for name, cell in zip(COLUMNS, row, strict=True) if name not in left_out[:count]]
            for row in (COLUMNS, *rows)
        ]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        if sum(widths) + 2 * (len(widths) - 1) <= width:
            yield from (_aligned(row, widths, table[0]) for row in table)
            return
    for query, *cells in rows:
        yield query
        yield from (f"  {name}: {cell}" for name, cell in zip(COLUMNS[1:], cells, strict=True))


def _aligned(row: Sequence[str], widths: Sequence[int], names: Sequence[str]) -> str:
    cells = (
        cell.ljust(width) if name in WORDS else cell.rjust(width)
        for cell, width, name in zip(row, widths, names, strict=True)
    )
    return "  ".join(cells).rstrip()


def _row(name: str, seen: Sequence[Observation]) -> tuple[str, ...]:
    judged = [
        s.ttft_ms for s in seen if s.ttft_ms is not None and s.stamp is not StampSource.DEGRADED
    ]
    totals = [s.total_ms for s in seen if s.total_ms is not None]
    return (
        name,
        str(len(seen)),
        _counted(s.outcome.value for s in seen),
        *(_ms(percentile(judged, share)) for share in PERCENTILES),
        _ms(max(judged, default=None)),
        _ms(percentile(totals, 50)),
        _counted(_answerer(s) for s in seen),
        _spent(seen),
    )


def _answerer(seen: Observation) -> str:
    """The model, or why it is unknown; a judgement other than expected is named."""
    model = plain(seen.model_detected or "unknown", 60)
    if seen.identity not in (Identity.CHANGED, Identity.DISPUTED):
        return model
    return f"{model} ({seen.identity})" if seen.model_detected else seen.identity.value


def _spent(seen: Sequence[Observation]) -> str:
    """The sum of the known costs; a range if the model of an answer is unknown."""
    known = [s.cost_usd is not None or s.cost_low_usd is not None for s in seen]
    if not any(known):
        return "not known"
    unpriced = any(s.pieces for s, priced in zip(seen, known, strict=True) if not priced)
    low, high = (sum(usd, Decimal(0)) for usd in zip(*(s.cost_ends for s in seen), strict=True))
    return amount_text(low, high, at_least=unpriced)


def _counted(text: Iterator[str]) -> str:
    counts = Counter(text).most_common()
    if len(counts) == 1:
        return counts[0][0]
    return ", ".join(f"{word} {count}" for word, count in counts)


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _remarks(seen: Sequence[Observation]) -> Iterator[str]:
    stamps = Counter(s.stamp.value for s in seen)
    yield "timed by " + ", ".join(f"{stamp} {count}" for stamp, count in stamps.most_common())
    for error, count in Counter(s.error for s in seen if s.error).most_common(5):
        yield f"{count} × {plain(error)}"


FIRST_WORDS = 100  # characters of an answer that are shown
SAME_ANSWERS, SAME_CHARS = 3, 40  # identical answers of that length to one query come from a cache


def answer_lines(
    target: Target, seen: Sequence[tuple[Observation, str]], secrets: Sequence[str]
) -> Iterator[str]:
    """The start of the first answer to each query, its model and why, and what to do.

    `seen`: observations with their answer texts, "" for those without.
    """
    first: dict[str, tuple[Observation, str]] = {}
    for observation, text in seen:
        if text.strip():
            first.setdefault(observation.query, (observation, text))
    for query, (observation, text) in first.items():
        words = shorten(plain(redact(text, secrets), READ_CHARS), FIRST_WORDS, placeholder=" …")
        yield f"{query}: “{words}”"
        reason = plain(observation.identity_reason)
        yield f"  {_answerer(observation)}{f': {reason}' if reason else ''}"
        if observation.check_failed:
            yield f"  failed check: {plain(observation.check_failed)}"
    if any(observation.model_detected is None for observation, _ in first.values()):
        named = "" if target.expected_models else " --model NAME"
        yield (
            "The model is not known from the response alone. Capture how it writes, while you know "
            f"that it answers: `monitor baseline capture {target.name}{named}`; the worker then "
            "compares every answer with it"
        )
    texts = {text.strip() for _, text in first.values()}
    if len(first) > 1 and len(texts) == 1 and len(*texts) >= SAME_CHARS:
        yield (
            f"The answers to {len(first)} different queries are identical: check that the question "
            "reaches the service (`monitor check` shows the request)"
        )
    yield from _same_answers(observation for observation, _ in seen)


def _same_answers(seen: Iterable[Observation]) -> Iterator[str]:
    texts: dict[str, list[str | None]] = {}
    for observation in seen:
        if observation.answer_chars >= SAME_CHARS:
            texts.setdefault(observation.query, []).append(observation.answer_sha256)
    for query, hashes in texts.items():
        if len(hashes) >= SAME_ANSWERS and len(set(hashes)) == 1:
            yield f"{query}: {same_answers(f'all {len(hashes)} answers')}"


def same_answers(which: str) -> str:
    """What identical answers mean, and what to do."""
    return (
        f"{which} are identical. If a cache gives them, TTFT and cost are those of the cache, and "
        "a fallback goes unnoticed: exempt the probes from the cache. If the service runs at "
        "temperature 0, this is normal"
    )


class ProgressCallback(Protocol):
    def __call__(self) -> object: ...


@contextmanager
def progress(total: int) -> Iterator[ProgressCallback]:
    """A progress bar on a terminal; nothing elsewhere, or for a few probes."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal or total < 3:
        yield lambda: None
        return
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("probing", total=total)
        yield lambda: bar.advance(task)

"""Observations as output: JSON with column names, or a table with percentiles."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from datetime import datetime
from decimal import Decimal
from itertools import islice
from textwrap import shorten
from typing import Any, Protocol

from monitor.dialects.reader import separated
from monitor.domain import (
    Dialect,
    Identity,
    Observation,
    ParsedEvent,
    Reply,
    RetrievedSources,
    StampSource,
    StreamEvent,
    Target,
    Transcript,
    Usage,
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


# The events of a transcript and how a dialect reads them, for people who configure one.


FIRST_EVENTS, LAST_EVENTS = 20, 5  # events of a stream that are shown
CHARS = 200  # characters of an event's data, and of what was found in it
READ_CHARS = 4_000  # characters of a text that are cleaned for display
NOTHING_LINES = 10  # options without a result that a hint names


def explanation(transcript: Transcript, dialect: Dialect, secrets: Sequence[str]) -> Iterator[str]:
    """The head of the response, then each event with the results of every expression.

    Only the first and last events of a stream are shown. All texts are cut, harmless, and without
    our secrets.
    """
    events, received = transcript.events, _without_tags(_parsed_events(transcript, dialect))
    status = "no response" if transcript.status is None else f"HTTP {transcript.status}"
    media = dict(transcript.headers).get("content-type", "no media type")
    yield f"{transcript.query}: {status}, {plain(media, 60)}, {len(events)} events"
    if transcript.status is not None:
        yield from _head(transcript, dialect, secrets)
    if transcript.body:
        yield f"  no stream; the body begins: {_shown(transcript.body, secrets)}"
    left_out = range(FIRST_EVENTS, max(FIRST_EVENTS, len(events) - LAST_EVENTS))
    for number, event in enumerate(events):
        if number in left_out:
            if number == left_out.start:
                yield f"  … {len(left_out)} more events …"
            continue
        reported = received[number] if number < len(received) else None
        yield from _event(number + 1, event, reported, transcript, dialect, secrets)
    if silent := silent_options(transcript, dialect):
        yield "  not found in any event: " + "; ".join(_shown(option, secrets) for option in silent)


def hint(
    transcript: Transcript, reply: Reply, dialect: Dialect, secrets: Sequence[str]
) -> str | None:
    """Why an answer has no text: its first event, and the expressions that found nothing."""
    events = [event for event in transcript.events if event.data or event.name]
    if reply.text or reply.error is not None or not events:
        return None
    wanted = ("text", "done", "rules")
    silent = [o for o in silent_options(transcript, dialect) if o.startswith(wanted)]
    looked = "; ".join(
        f"{_shown(option, secrets)} found nothing" for option in silent[:NOTHING_LINES]
    )
    first = f"first event: {_as_sent(events[0], secrets)}"
    return f"{first}; {looked or f'{dialect.name} found no answer text'}"


def silent_options(transcript: Transcript, dialect: Dialect) -> list[str]:
    """Options of a configurable dialect, as `text = "expression"`, that found nothing."""
    if dialect.explain is None:
        return []
    found: dict[str, bool] = {}
    for event in islice(transcript.events, 1_000):
        for name, text, value in dialect.explain(event):
            key = f"{name} = {json.dumps(text, ensure_ascii=False)}"
            found[key] = found.get(key, False) or value not in (None, False, "", [], {})
    in_head = bool(_read_head(transcript, dialect)[0].used)
    return [
        option
        for option, something in found.items()
        if not something and not (in_head and "_headers" in option)
    ]


class _ReadHeaders(dict[str, str]):
    """Headers that record which of them were read."""

    def __init__(self, headers: Iterable[tuple[str, str]]) -> None:
        super().__init__(headers)
        self.used: dict[str, None] = {}

    def get(self, name: str, default: Any = None) -> Any:
        if name in self:
            self.used[name] = None
        return super().get(name, default)


def _read_head(transcript: Transcript, dialect: Dialect) -> tuple[_ReadHeaders, ParsedEvent]:
    """The headers of the response that were read, and their meaning."""
    headers = _ReadHeaders(transcript.headers)
    try:
        return headers, dialect.parse_headers(headers)
    except (ValueError, KeyError, TypeError, RecursionError):
        return headers, ParsedEvent(malformed=True)


def _head(transcript: Transcript, dialect: Dialect, secrets: Sequence[str]) -> Iterator[str]:
    """The status, the relevant headers, and the names of the others."""
    headers, read_as = _read_head(transcript, dialect)
    at = "" if transcript.head_ns is None else f"{_since(transcript, transcript.head_ns)}  "
    yield f"  head. {at}HTTP {transcript.status}"
    for name in headers.used:
        yield f"       {_shown(f'{name}: {headers[name]}', secrets)}"
    if others := ", ".join(name for name in headers if name not in headers.used):
        yield f"       other headers: {_shown(others, secrets)}"
    yield f"       read as: {_shown(_read_as(read_as), secrets)}"


def _since(transcript: Transcript, at_ns: int) -> str:
    """Time since the request was sent."""
    since = transcript.sent_ns if transcript.sent_ns is not None else transcript.started_ns
    return f"{(at_ns - since) / 1e6:+.1f} ms"


def _parsed_events(transcript: Transcript, dialect: Dialect) -> list[ParsedEvent]:
    """The parsed fields of each event, up to the end of the answer."""
    if transcript.heard:
        return list(transcript.heard)
    parse, received = dialect.parser(), list[ParsedEvent]()
    for event in transcript.events:
        received.append(parse(event))
        if received[-1].end or received[-1].error is not None:
            break
    return received


def _without_tags(received: list[ParsedEvent]) -> list[ParsedEvent]:
    """The same, with reasoning tags in answer texts moved to reasoning."""
    texts = separated(received)
    return [
        replace(reported, text=text, reasoning=reasoning, thoughts=None)
        for reported, (text, reasoning) in zip(received, texts, strict=True)
    ]


def _event(
    number: int,
    event: StreamEvent,
    received: ParsedEvent | None,
    transcript: Transcript,
    dialect: Dialect,
    secrets: Sequence[str],
) -> Iterator[str]:
    yield f"  {number}. {_since(transcript, event.arrived_ns)}  {_as_sent(event, secrets)}"
    if received is None:
        yield "       after the end: ignored"
        return
    for name, text, value in dialect.explain(event) if dialect.explain else ():
        what = "nothing" if value is None else _shown(_as_json(value), secrets)
        expression = json.dumps(text, ensure_ascii=False)
        yield f"       {_shown(f'{name} = {expression}', secrets)} found {what}"
    yield f"       read as: {_shown(_read_as(received), secrets)}"


def _as_sent(event: StreamEvent, secrets: Sequence[str]) -> str:
    name = f"event {_shown(event.name, secrets)}: " if event.name else ""
    return f"{name}{_shown(event.data, secrets) or '(no data)'}"


def _read_as(received: ParsedEvent) -> str:
    """The parsed fields of an event; `nothing` for most protocol events."""
    reported: list[str] = []
    for field in fields(received):
        value = getattr(received, field.name)
        if value != field.default:
            reported.append(field.name if value is True else f"{field.name} {_value(value)}")
    return ", ".join(reported) or "nothing"


def _value(value: object) -> str:
    if isinstance(value, Usage | RetrievedSources):
        known = ((f.name, getattr(value, f.name)) for f in fields(value) if f.name != "counts")
        return " ".join(f"{name}={found}" for name, found in known if found not in (None, ()))
    if isinstance(value, tuple):
        return " ".join(f"{claim.source}={claim.value}" for claim in value)
    return _as_json(value)


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain_number)


def _plain_number(value: object) -> str:
    return format(value, "f") if isinstance(value, Decimal) and value.is_finite() else str(value)


def _shown(text: str, secrets: Sequence[str]) -> str:
    whole = redact(text[: 2 * READ_CHARS], secrets)  # a secret that was cut may be at the end
    return plain(whole[:READ_CHARS], CHARS)

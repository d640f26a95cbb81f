"""Reads a whole transcript in its dialect: texts, claims, usage, sources, errors and the end."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

from monitor.dialects.ragflow import cut
from monitor.dialects.reported_usage import MOST_TOKENS, merged, settled
from monitor.domain import (
    Claim,
    Counts,
    Dialect,
    Ending,
    Finish,
    ParsedEvent,
    Reply,
    RetrievedSources,
    StreamEvent,
    TextDelta,
    TextKind,
    Transcript,
    Usage,
)
from monitor.redaction import plain

Mark = tuple[int, TextKind]


def separated(parsed: Sequence[ParsedEvent]) -> Iterator[tuple[str, str]]:
    """Answer text and reasoning of each event, in order. Tags belong to neither."""
    begins = [0, *(n for n, event in enumerate(parsed) if event.replaces and n), len(parsed)]
    for begin, end in pairwise(begins):
        yield from _separated(parsed[begin:end])


def _separated(parsed: Sequence[ParsedEvent]) -> Iterator[tuple[str, str]]:
    """The same for events of which only the first may replace earlier text."""
    marks, at = [(0, TextKind.ANSWER)], 0
    for event in parsed:
        for place, kind in event.thoughts.marks if event.thoughts else ():
            place = max(0, at + place)
            while marks and marks[-1][0] >= place:
                marks.pop()
            marks.append((place, kind))
        at += len(event.text)
    kind, at, following = TextKind.ANSWER, 0, 0
    for event in parsed:
        texts = {TextKind.ANSWER: "", TextKind.REASONING: "", TextKind.MARKUP: ""}
        end = at + len(event.text)
        begin = at
        while at < end:
            while following < len(marks) and marks[following][0] <= at:
                kind = marks[following][1]
                following += 1
            until = min(end, marks[following][0]) if following < len(marks) else end
            texts[kind] += event.text[at - begin : until - begin]
            at = until
        yield texts[TextKind.ANSWER], event.reasoning + texts[TextKind.REASONING]


FALLBACK = "fallback"  # source of a claim that another model took over within one response
MOST_USD = Decimal(10_000)
MOST_CHARS = 2000  # of an error; it is shortened for storage only after our secrets are removed
MOST_VALUES = 8  # per claim source: a stream that names more does not identify its model
A_DAY_S = 86_400.0
_NO_EXTRAS = ("", "[DONE]")  # gateways add their own end event to that of the dialect
_FIGURES = tuple(field.name for field in fields(Usage) if field.compare)
_PARTS = {
    "reasoning_tokens": "answer_tokens",
    "cached_tokens": "prompt_tokens",
    "cache_write_tokens": "prompt_tokens",
    "cache_write_1h_tokens": "cache_write_tokens",
}
_MONEY = frozenset({"cost_usd", "upstream_cost_usd"})


def parse_event(dialect: Dialect, event: StreamEvent) -> ParsedEvent:
    """What one event states by itself; `malformed` if it cannot be read. Never raises."""
    return _parsed(dialect.parser(), event)


def _parsed(parse: Callable[[StreamEvent], ParsedEvent], event: StreamEvent) -> ParsedEvent:
    try:
        return parse(event)
    except (ValueError, KeyError, TypeError, RecursionError):
        return ParsedEvent(malformed=True)


def read(dialect: Dialect, transcript: Transcript) -> Reply:
    """What a transcript states in its dialect. Never raises.

    The first error or end closes the reply; later events are only counted. `pieces` are in order of
    arrival; `claims` are unique, in order of appearance. Impossible figures are dropped and named
    in `faults`.
    """
    events, reported = transcript.events, _parsed_events(dialect, transcript)
    last = reported[-1] if reported else ParsedEvent()
    head = _parsed_headers(dialect, transcript)
    spoken = any(h.text for h in reported)
    usage, doubts = _plausible(_merged((head, *reported)), spoken)
    malformed = sum(h.malformed for h in reported)
    extras = sum(e.data.strip() not in _NO_EXTRAS for e in events[len(reported) :])
    oddities = (*_named(reported), *_counted(malformed=malformed, extras=extras))
    faults = (*_numbering(reported), *doubts, *_clock(reported, transcript), *oddities)
    reply = Reply(
        pieces=_text_deltas(events, reported),
        claims=_claims((head, *reported)),
        usage=usage,
        error=None if last.error is None else plain(last.error, MOST_CHARS),
        ended=_closing(last) or _ended_by_close(dialect, transcript),
        malformed=malformed,
        sources=_sources(dialect, reported, last),
        finish=_finish(reported),
        extras=extras,
        hidden_reasoning=any(h.hidden_reasoning for h in reported),
        faults=tuple(plain(fault, 100) for fault in faults),
    )
    unstated = reply.finish in (None, Finish.STOP, Finish.OTHER)  # RAGFlow states `stop` even then
    return replace(reply, finish=Finish.LENGTH) if unstated and cut(reply.text) else reply


def unread(transcript: Transcript) -> Reply:
    """The texts of a transcript and how it ended, without interpreting them."""
    reported = transcript.heard
    last = reported[-1] if reported else ParsedEvent()
    return Reply(
        pieces=_text_deltas(transcript.events, reported),
        error=None if last.error is None else plain(last.error, MOST_CHARS),
        ended=_closing(last),
        finish=_finish(reported),
        hidden_reasoning=any(h.hidden_reasoning for h in reported),
    )


def _text_deltas(
    events: Sequence[StreamEvent], reported: Sequence[ParsedEvent]
) -> tuple[TextDelta, ...]:
    """Texts in order of arrival; those before the last replacement are marked as replaced."""
    special = [n for n, h in enumerate(reported) if h.replaces or h.thoughts]
    if not special:
        return tuple(
            TextDelta(e.arrived_ns, h.text, h.reasoning, e.read)
            for e, h in zip(events, reported, strict=False)
            if h.text or h.reasoning
        )
    last = max((n for n in special if reported[n].replaces), default=0)
    return tuple(
        TextDelta(e.arrived_ns, text, reasoning, e.read, replaced=n < last)
        for n, (e, (text, reasoning)) in enumerate(zip(events, separated(reported), strict=False))
        if text or reasoning
    )


def _ended_by_close(dialect: Dialect, transcript: Transcript) -> bool:
    """Whether the body is complete, which is the only end that some protocols have."""
    return dialect.ends_by_close and transcript.ending is Ending.EOF and transcript.body_complete


def _named(reported: Sequence[ParsedEvent]) -> Iterator[str]:
    """The faults that events state, each with its count."""
    for fault, times in Counter(h.fault for h in reported if h.fault).items():
        yield f"{fault}: {times}"


def _sources(
    dialect: Dialect, reported: Sequence[ParsedEvent], last: ParsedEvent
) -> RetrievedSources | None:
    """The last list counts, because servers repeat and complete it."""
    listed = next((h.sources for h in reversed(reported) if h.sources), None)
    return RetrievedSources(0) if listed is None and dialect.lists_sources and last.end else listed


def _finish(reported: Sequence[ParsedEvent]) -> Finish | None:
    """The last reason that is known; an unknown one counts only if there is no other."""
    stated = [event.finish for event in reversed(reported) if event.finish]
    return next((one for one in stated if one is not Finish.OTHER), stated[0] if stated else None)


def _closing(reported: ParsedEvent) -> bool:
    return reported.end or reported.error is not None


def _parsed_events(dialect: Dialect, transcript: Transcript) -> Sequence[ParsedEvent]:
    """The parsed events up to the first end. Events parsed on arrival are not parsed again."""
    known = transcript.heard
    whole = len(known) == len(transcript.events) or (bool(known) and _closing(known[-1]))
    return known if whole else list(_until_end(dialect, transcript.events))


def _until_end(dialect: Dialect, events: Iterable[StreamEvent]) -> Iterator[ParsedEvent]:
    parse = dialect.parser()
    for event in events:
        reported = _parsed(parse, event)
        yield reported
        if _closing(reported):
            return


def _parsed_headers(dialect: Dialect, transcript: Transcript) -> ParsedEvent:
    try:
        return dialect.parse_headers(dict(transcript.headers))
    except (ValueError, KeyError, TypeError, RecursionError):
        return ParsedEvent(malformed=True)


def _claims(reported: Iterable[ParsedEvent]) -> tuple[Claim, ...]:
    """Each claim once; most events of a stream repeat those of the event before.

    Of several fallbacks within one response, the last one gave the answer.
    """
    same = {
        id(claim): claim for h in reported for claim in h.claims
    }  # cheap, because most are the same object
    raw = dict.fromkeys(same.values())
    taken_over = [claim for claim in raw if claim.source == FALLBACK]
    for earlier in taken_over[:-1]:
        del raw[earlier]
    kept: dict[Claim, None] = {}
    values: dict[str, int] = {}
    for claim in raw:
        if values.get(claim.source, 0) >= MOST_VALUES:
            continue
        shown = replace(claim, value=plain(claim.value, 200))
        if shown not in kept:
            kept[shown] = None
            values[claim.source] = values.get(claim.source, 0) + 1
    return tuple(kept)


def _merged(stated: Iterable[ParsedEvent]) -> Usage:
    """Usage field by field: a later event wins over an earlier one.

    Counts are merged before they are settled: a vendor may state the prompt without its cached
    tokens in one event, and the cached tokens in another.
    """
    known: dict[str, Any] = {}
    counts: Counts | None = None
    of_charge: tuple[str, ...] = ()
    for usage in (h.usage for h in stated if h.usage):
        faults = usage.faults
        if usage.counts is None:
            reported = _reported(usage)
            known |= reported
            if not reported.keys() <= _MONEY:
                counts = None
        else:
            counts = merged(counts, usage.counts)
            known |= {name: usd for name in _MONEY if (usd := getattr(usage, name)) is not None}
            if faults:
                of_tokens = settled(usage.counts).faults
                faults = tuple(fault for fault in faults if fault not in of_tokens)
        if faults or usage.cost_usd is not None or usage.upstream_cost_usd is not None:
            of_charge = faults
    counted = Usage() if counts is None else settled(counts)
    return Usage(**known | _reported(counted), faults=(*counted.faults, *of_charge))


def _reported(usage: Usage) -> dict[str, Any]:
    values = ((name, getattr(usage, name)) for name in _FIGURES)
    return {name: value for name, value in values if value is not None}


def _plausible(usage: Usage, spoken: bool) -> tuple[Usage, list[str]]:
    """Usage without impossible figures, and a fault for each dropped figure."""
    figures = _reported(usage)
    faults = list(usage.faults)

    def drop(name: str, reason: str = "") -> None:
        faults.append(f"implausible {name}: {figures.pop(name)}{reason}")

    for name, value in list(figures.items()):
        most = MOST_USD if isinstance(value, Decimal) else MOST_TOKENS
        if not 0 <= value <= most:
            drop(name)
    for name in ("prompt_tokens", "answer_tokens"):
        if spoken and figures.get(name) == 0:
            drop(name, " beside an answer")
    for part, whole in _PARTS.items():
        if part in figures and whole in figures and figures[part] > figures[whole]:
            drop(part, f" of {figures[whole]}")
    return Usage(**figures), faults


def _numbering(reported: Sequence[ParsedEvent]) -> Iterator[str]:
    """Check that texts are numbered from 1 without gaps and that the end repeats the last."""
    texts = [h.number for h in reported if h.number is not None and not _closing(h)]
    for expected, number in enumerate(texts, start=1):
        if number != expected:
            yield f"gap in the numbering: {number} instead of {expected}"
            break
    end = reported[-1] if reported else ParsedEvent()
    if _closing(end) and end.number is not None and end.number != (texts[-1] if texts else 0):
        yield f"the end event counts {end.number} texts, received {len(texts)}"


def _counted(*, malformed: int, extras: int) -> Iterator[str]:
    """Counts skipped events, so that a partly broken stream is visible."""
    if malformed:
        yield f"malformed events: {malformed}"
    if extras:
        yield f"events after the end: {extras}"


def _clock(reported: Sequence[ParsedEvent], transcript: Transcript) -> Iterator[str]:
    """Reports a server clock that is days off. The server's clock is never used for timing."""
    now = transcript.started_at.timestamp()
    for at in (h.server_at_s for h in reported if h.server_at_s is not None):
        if abs(at - now) > A_DAY_S:
            yield f"implausible timestamp: {at:.0f}"
            return

"""Tokens as vendors count them, brought to one definition.

In ours, reasoning is part of the answer, and cached and written tokens are part of the prompt.
Vendors disagree; what each documents is in `usage.toml`, and a total that it reports decides.
"""

from dataclasses import fields, replace

from monitor.domain import Counts, Usage

MOST_TOKENS = 100_000_000  # ten times the largest context window there is
_PARTS = ("reasoning", "cached", "written")

Reading = tuple[bool, bool]  # whether reasoning, and what went through the cache, are beside
_READINGS = ((False, False), (True, False), (False, True), (True, True))
_FIGURES = tuple(
    field.name for field in fields(Counts) if field.name not in ("beside", "hidden", "total")
)


def settled(counts: Counts) -> Usage:
    """Counts in our definition. Where `total` fits only one reading of them, that one is taken.

    A part larger than its whole is beside it, whatever is documented; for reasoning only where
    no total contradicts that.
    """
    if _is_settled(counts):
        return Usage(
            prompt_tokens=counts.prompt,
            answer_tokens=counts.answer,
            reasoning_tokens=counts.reasoning,
            cached_tokens=counts.cached,
            cache_write_tokens=counts.written,
            cache_write_1h_tokens=counts.written_1h,
            counts=counts,
        )
    counts = _with_hidden(counts)
    reasoning, in_cache = _likely(counts.reasoning), _in_cache(counts)
    reading = _documented(counts)
    faults: tuple[str, ...] = ()
    whole = counts.prompt is not None and counts.answer is not None
    if whole and counts.total is not None and _total(counts, reading) != counts.total:
        fitting = [
            other
            for other in _READINGS
            if _possible(counts, other) and _total(counts, other) == counts.total
        ]
        if fitting:
            reading = fitting[0]
        else:
            parts = _total(counts, reading)
            faults = (f"total of {counts.total} tokens: the parts add up to {parts}",)
    answer = counts.answer
    if reading[0] and counts.reasoning is not None:
        answer = (counts.answer or 0) + reasoning
    return Usage(
        prompt_tokens=None if counts.prompt is None else counts.prompt + in_cache * reading[1],
        answer_tokens=answer,
        reasoning_tokens=counts.reasoning,
        cached_tokens=counts.cached,
        cache_write_tokens=counts.written,
        cache_write_1h_tokens=counts.written_1h,
        counts=counts,
        faults=faults,
    )


def _is_settled(counts: Counts) -> bool:
    """Whether nothing is to be decided, as in most events: no parts, and a total that fits."""
    prompt, answer, total = counts.prompt, counts.answer, counts.total
    if counts.reasoning or counts.cached or counts.written:
        return False
    if total is None or prompt is None:
        return True
    if answer is None:
        return total == prompt or not counts.hidden
    return total == prompt + answer and prompt >= 0 and answer >= 0


def merged(earlier: Counts | None, later: Counts) -> Counts:
    """The counts of two events of one stream, figure by figure: the later one counts.

    A total that was stated of other figures is dropped.
    """
    if earlier is None:
        return later
    lost = earlier.total is not None and later.total is None
    if not lost and all(
        getattr(later, name) is not None or getattr(earlier, name) is None for name in _FIGURES
    ):
        return later
    values = {
        name: getattr(earlier, name) if (found := getattr(later, name)) is None else found
        for name in _FIGURES
    }
    same = (values["prompt"], values["answer"]) == (earlier.prompt, earlier.answer)
    beside = {
        part
        for part in _PARTS
        if part in (earlier if getattr(later, part) is None else later).beside
    }
    keeps = later.total is None and same
    return Counts(
        **values,
        total=earlier.total if keeps else later.total,
        beside=frozenset(beside),
        hidden=earlier.hidden if keeps else later.hidden,
    )


def _with_hidden(counts: Counts) -> Counts:
    """The counts with thinking that only the total holds, for vendors known to leave it out."""
    if not counts.hidden or counts.total is None or counts.prompt is None or counts.reasoning:
        return counts
    in_cache = _in_cache(counts) * _documented(counts)[1]
    rest = _likely(counts.total) - _likely(counts.prompt) - _likely(counts.answer) - in_cache
    beside_cache = not _documented(counts)[1] and rest == _in_cache(counts)
    if rest <= 0 or beside_cache:
        return counts
    if counts.answer is None:
        return replace(counts, answer=rest)
    return replace(counts, reasoning=rest, beside=counts.beside | {"reasoning"})


def _documented(counts: Counts) -> Reading:
    """What is beside by the vendor's documentation, or because no part is larger than its whole."""
    larger = counts.prompt is not None and _in_cache(counts) > _likely(counts.prompt)
    more = counts.answer is not None and _likely(counts.reasoning) > _likely(counts.answer)
    return (
        "reasoning" in counts.beside or (more and counts.total is None),
        larger or not counts.beside.isdisjoint({"cached", "written"}),
    )


def _total(counts: Counts, reading: Reading) -> int:
    beside = _likely(counts.reasoning) * reading[0] + _in_cache(counts) * reading[1]
    return _likely(counts.prompt) + _likely(counts.answer) + beside


def _possible(counts: Counts, reading: Reading) -> bool:
    within = reading[0] or _likely(counts.reasoning) <= _likely(counts.answer)
    return within and (reading[1] or _in_cache(counts) <= _likely(counts.prompt))


def _in_cache(counts: Counts) -> int:
    return _likely(counts.cached) + _likely(counts.written)


def _likely(tokens: int | None) -> int:
    """A count to add up; none where it cannot be true, which is for the reply to say."""
    return tokens if tokens is not None and 0 <= tokens <= MOST_TOKENS else 0

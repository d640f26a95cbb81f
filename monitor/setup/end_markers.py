"""Finds what marks the end of an answer in a stream of unknown format.

A mark occurs once and last. A name that suggests an end is enough; anything else must be the last
event in several answers. Source: docs/dialects.md#custom
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice

from monitor.dialects.event_rules import CLOSE, Expression, compiled
from monitor.setup.answer_text_fields import MARKER, EventLeaf, Seen, equals

MOST_CANDIDATES = 50
FINISHES = re.compile(r"(?:finish|stop|end|done)_?reason", re.IGNORECASE)
_ENDS = re.compile(r"done|end|final|finish|complete|stop|close|eos|last|over", re.IGNORECASE)
_STARTS = re.compile(r"start|begin|open", re.IGNORECASE)
_LONGEST = 40  # characters of a value that may mark the end

Kinds = Sequence[tuple[str, dict[int, str]]]


class _Sign(IntEnum):
    """How strongly a candidate suggests an end."""

    FIELD = 1  # any other field with a value of its own in the last event
    KIND = 2  # a name or type of the event
    NAMED = 3  # one whose words suggest an end


@dataclass(frozen=True, slots=True)
class HeardAnswer:
    """The events of an answer, and where its text ends."""

    seen: Sequence[Seen]
    text: str
    last: int  # number of the last event with text

    @classmethod
    def of(cls, seen: Sequence[Seen], text: Expression) -> "HeardAnswer | None":
        """None if the expression finds no text."""
        found = [(at, value) for at, one in enumerate(seen) if (value := text.find(one))]
        if not found:
            return None
        return cls(seen, "".join(str(value) for _, value in found), found[-1][0])


def end_expression(
    first: HeardAnswer,
    leaves: Mapping[str, EventLeaf],
    kinds: Kinds,
    *,
    text_path: str,
    others: Iterable[HeardAnswer] = (),
    ends_with_body: bool = True,
) -> str:
    """An expression that is first true after the last text, as late as possible; else `CLOSE`.

    `others`: answers to other questions; what marks the end must do so in each. `text_path`: the
    field with the text.
    """
    others = list(others)
    differ = any(other.text != first.text for other in others)
    found = []
    for text, sign in islice(_candidates(first, leaves, kinds, text_path), MOST_CANDIDATES):
        expression = compiled("done", text)
        if not all(_ends(expression, answer, sign) for answer in (first, *others)):
            continue
        # Equal answers to different questions prove nothing about a field of any name.
        proven = sign is _Sign.NAMED or (differ if sign is _Sign.FIELD else bool(others))
        whole = text.startswith("_data ")  # of a body that stays open, it may be cut
        if proven or (not ends_with_body and sign is _Sign.KIND and not whole):
            at = _first(expression, first.seen)
            found.append((sign, at or 0, -len(text), text))
    return max(found)[-1] if found else CLOSE


def _candidates(
    first: HeardAnswer, leaves: Mapping[str, EventLeaf], kinds: Kinds, text_path: str
) -> Iterator[tuple[str, _Sign]]:
    """Expressions that may mark the end, each once."""
    seen, last, known = first.seen, first.last, set[str]()
    for text, sign in _all_candidates(seen, last, leaves, kinds, text_path):
        if text not in known:
            known.add(text)
            yield text, sign


def _all_candidates(
    seen: Sequence[Seen],
    last: int,
    leaves: Mapping[str, EventLeaf],
    kinds: Kinds,
    text_path: str,
) -> Iterator[tuple[str, _Sign]]:
    for at, one in enumerate(seen):
        if at > last and one.get("_json", 0) is None and MARKER.fullmatch(one["_data"]):
            yield equals("_data", one["_data"]), _Sign.NAMED
    for path, values in kinds:
        for at in sorted(values):
            if at > last and values[at] and not _STARTS.search(values[at]):
                sign = _Sign.NAMED if _ENDS.search(values[at]) else _Sign.KIND
                yield equals(path, values[at]), sign
    for leaf in leaves.values():
        if any(value is True for _, value in leaf.values):
            yield leaf.path, _Sign.NAMED if _ENDS.search(leaf.name) else _Sign.FIELD
        elif FINISHES.fullmatch(leaf.name) and any(value for _, value in leaf.values):
            yield leaf.path, _Sign.NAMED
    for leaf in leaves.values():
        at, value = leaf.values[-1]
        usual = leaf.path == "_data" or len(leaf.values) > 1
        short = isinstance(value, str) and 0 < len(value) <= _LONGEST
        if at == len(seen) - 1 and short and usual and leaf.path != text_path:
            yield equals(leaf.path, value), _Sign.KIND if leaf.path == "_data" else _Sign.FIELD


def _ends(expression: Expression, answer: HeardAnswer, sign: _Sign) -> bool:
    """Whether it is first true at the end: after the text, and in the last event without a name."""
    at = _first(expression, answer.seen)
    if at is None or at < answer.last:
        return False
    return sign is _Sign.NAMED or at == len(answer.seen) - 1 > answer.last


def _first(expression: Expression, seen: Sequence[Seen]) -> int | None:
    return next((at for at, one in enumerate(seen) if expression.find(one)), None)

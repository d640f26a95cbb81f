"""Token counts beside their texts: what a service says an answer took, and what there was to count.

A count is evidence only where it is one: reasoning nobody shows, a stream that was cut, a
number made from words or characters, or always the same number say nothing about a tokenizer.

Source: docs/identity.md#token-accounting
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from monitor.domain import Claim, ClaimKind, Reply
from monitor.identity.fingerprint.features import language

SOURCE = "token count"
LEAST = 50  # tokens; a rounding or a closing token weighs too much in fewer
LONGEST = 50_000  # characters counted
_ALIKE = 3  # answers whose counts follow one rule of thumb, before it is taken for the rule

Counter = Callable[[str], int]  # the tokens of a text, by a model's own tokenizer

_LETTERS = re.compile(r"[^\W\d_]+")
_SYMBOLS = re.compile("[\u2190-\u2bff\U0001f000-\U0001faff]")
_MARKS = re.compile("(?:[^\\w\\s\u2190-\u2bff\U0001f000-\U0001faff]|_)+")
_DIGITS = re.compile(r"\d{1,3}")
_BREAKS = re.compile(r"\n\s*+")
_LONG = 6  # letters; tokenizers begin to break words beyond


class TextShape(NamedTuple):
    """What a tokenizer has to break up, in numbers that give no text away."""

    blanked: int  # words between blanks
    characters: int
    bytes: int
    runs: int  # of letters
    long_letters: int  # beyond the sixth of each ASCII run
    foreign_letters: int  # in runs that are not ASCII
    marks: int  # runs of punctuation
    digits: int  # groups of up to three
    breaks: int  # line breaks, however many at once
    symbols: int  # arrows, dingbats, emoji


_RULES_OF_THUMB = {"word": "blanked", "character": "characters", "byte": "bytes"}
_ROUNDED = (0.0, 0.5, 1.0)  # down, to the nearest, up


@dataclass(frozen=True, slots=True)
class TokenCount:
    """One answer's disclosed tokens. `exact`: by the tokenizers at hand, by model.

    `language` None: it cannot be told.
    """

    query: str
    tokens: int
    shape: TextShape
    language: str | None = None
    exact: Mapping[str, int] = field(default_factory=dict)


def shape(text: str) -> TextShape:
    """The shape of the first `LONGEST` characters of a text."""
    text = text[:LONGEST]
    runs = _LETTERS.findall(text)
    ascii_runs = [run for run in runs if run.isascii()]
    return TextShape(
        blanked=len(text.split()),
        characters=len(text),
        bytes=len(text.encode("utf-8", "surrogatepass")),
        runs=len(runs),
        long_letters=sum(max(0, len(run) - _LONG) for run in ascii_runs),
        foreign_letters=sum(len(run) for run in runs if not run.isascii()),
        marks=len(_MARKS.findall(text)),
        digits=len(_DIGITS.findall(text)),
        breaks=len(_BREAKS.findall(text)),
        symbols=len(_SYMBOLS.findall(text)),
    )


def size(of: TextShape) -> float:
    """About how many tokens a text takes, up to a factor that each tokenizer has for itself.

    The proportions are averages over five tokenizers of today.
    """
    return (
        of.runs
        + 0.05 * of.long_letters
        + 0.45 * of.foreign_letters
        + 0.9 * of.marks
        + 1.4 * of.digits
        + of.breaks
        + 2 * of.symbols
    )


def disclosed(reply: Reply) -> int | None:
    """The tokens a whole reply's text took, as the service counted; None where it did not.

    Reasoning is in the count, but not in the text.
    """
    usage = reply.usage
    if usage.reasoning_tokens or reply.reasoned:
        return None
    tokens = usage.answer_tokens
    return tokens if tokens is not None and tokens >= LEAST else None


def counted(reply: Reply, query: str, counters: Mapping[str, Counter]) -> TokenCount | None:
    """The count of a reply that was heard to its end; None where it has none to judge."""
    tokens = disclosed(reply)
    if tokens is None or not 0 < sum(len(piece.text) for piece in reply.pieces) <= LONGEST:
        return None
    text = reply.text
    exact = {model: counter(text) for model, counter in counters.items()}
    return TokenCount(query, tokens, shape(text), language(text), exact)


def claim(count: TokenCount) -> Claim:
    """A count as a raw claim, from which everything can be derived again."""
    reported = {
        "tokens": count.tokens,
        "shape": count.shape,
        "language": count.language,
        "exact": dict(count.exact),
    }
    return Claim(ClaimKind.ACCOUNTING, SOURCE, json.dumps(reported, separators=(",", ":")))


def recounted(claims: Sequence[Claim], query: str) -> TokenCount | None:
    """The count among an observation's stored claims; None where there is none we understand."""
    for made in claims:
        if made.kind is ClaimKind.ACCOUNTING and made.source == SOURCE:
            try:
                reported = json.loads(made.value)
                shaped = TextShape(*reported["shape"])
                return TokenCount(
                    query, reported["tokens"], shaped, reported["language"], reported["exact"]
                )
            except (ValueError, KeyError, TypeError):  # of a version that counted otherwise
                return None
    return None


def rule_of_thumb(counts: Sequence[TokenCount]) -> str | None:
    """By which rule these counts were made without any tokenizer; None where by none.

    Services estimate: words × 1.3, characters ÷ 4. One factor then explains every count to
    the token, whichever way it was rounded. Counts that never differ are made up, too.
    """
    if len(counts) < _ALIKE:
        return None
    if len({count.tokens for count in counts}) == 1:
        return "always the same number"
    for name, of in _RULES_OF_THUMB.items():
        sizes = [(count.tokens, getattr(count.shape, of)) for count in counts]
        if all(units for _, units in sizes) and any(_one_factor(sizes, up) for up in _ROUNDED):
            return f"a fixed number per {name}"
    return None


def _one_factor(sizes: Sequence[tuple[int, int]], up: float) -> bool:
    """Whether one factor explains every count, rounded up by at most `up` of a token."""
    least = max((tokens - up) / units for tokens, units in sizes)
    most = min((tokens + 1 - up) / units for tokens, units in sizes)
    return least <= most

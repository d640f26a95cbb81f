"""Disclosed token counts and the texts they belong to.

A count is not always evidence: hidden reasoning, a stream that was cut, an estimate from words or
characters, and a constant say nothing about a tokenizer.

Source: docs/identity.md#token-accounting
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log, pi, sqrt
from statistics import median
from typing import NamedTuple

from monitor.domain import Claim, ClaimKind, Reply
from monitor.identity.fingerprint.features import language

SOURCE = "token count"
LEAST = 50  # tokens; in fewer a rounding or a closing token weighs too much
LONGEST = 50_000  # characters that are counted
_ALIKE = 3  # answers whose counts follow one estimation rule before the rule is assumed

Counter = Callable[[str], int]  # the tokens of a text, by a model's own tokenizer

_LETTERS = re.compile(r"[^\W\d_]+")
_SYMBOLS = re.compile("[\u2190-\u2bff\U0001f000-\U0001faff]")
_MARKS = re.compile("(?:[^\\w\\s\u2190-\u2bff\U0001f000-\U0001faff]|_)+")
_DIGITS = re.compile(r"\d{1,3}")
_BREAKS = re.compile(r"\n\s*+")
_LONG = 6  # letters; tokenizers begin to split longer words


class TextShape(NamedTuple):
    """The properties of a text that determine its token count, without revealing the text."""

    blanked: int  # words between blanks
    characters: int
    bytes: int
    runs: int  # of letters
    long_letters: int  # beyond the sixth of each ASCII run
    foreign_letters: int  # in runs that are not ASCII
    marks: int  # runs of punctuation
    digits: int  # groups of up to three
    breaks: int  # line breaks, several at once count as one
    symbols: int  # arrows, dingbats, emoji


_RULES_OF_THUMB = {"word": "blanked", "character": "characters", "byte": "bytes"}
_ROUNDED = (0.0, 0.5, 1.0)  # down, to the nearest, up


@dataclass(frozen=True, slots=True)
class TokenCount:
    """One answer's disclosed tokens. `exact`: by the available tokenizers, by model.

    `language` None: unknown.
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
    """The approximate token count of a text, up to a factor that each tokenizer has.

    The proportions are averages over five current tokenizers.
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
    """The tokens of a complete reply's text, as the service counted; None if it did not.

    Reasoning is in the count, but not in the text.
    """
    usage = reply.usage
    if usage.reasoning_tokens or reply.reasoned:
        return None
    tokens = usage.answer_tokens
    return tokens if tokens is not None and tokens >= LEAST else None


def counted(reply: Reply, query: str, counters: Mapping[str, Counter]) -> TokenCount | None:
    """The count of a complete reply; None if it cannot be judged."""
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
    """The count among an observation's stored claims; None if there is none that can be read."""
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
    """The rule by which these counts were estimated without a tokenizer; None if by none.

    Services estimate: words × 1.3, characters ÷ 4. Then one factor explains every count to the
    token, however it was rounded. Counts that never differ are not real, either.
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


# Two measures for a token count: a model's own tokenizer, or that model's own earlier counts.
#
# A tokenizer is exact. Without one, the ratio of a model's disclosed counts to the shapes of its
# confirmed answers is learned, with its scatter.


ENOUGH = 25  # confirmed answers needed to learn a ratio
ENOUGH_OF_A_QUERY = 5  # answers of one canned query needed to learn its own ratio
MANY_QUERIES = 10  # answers from which a ratio also applies to other queries
CAP = 7.0  # log-odds: the most that token counts may weigh
FEWEST = 3  # answers
# log ratio beyond which it is not a count of this text: it includes something hidden
_NO_COUNT = 0.45
_LOOSEST = 0.06  # spread of log ratios beyond which counts do not distinguish tokenizers
_TIGHTEST = 0.015  # no ratio is known better than this
_SHIFT = 0.015  # shift of all answers of a model by a change of wording
_OF_A_MEDIAN = 1.57  # variance of a median, relative to a mean
_APART = 0.12  # how far other tokenizers are away, as a standard deviation of log ratios
_UNLIKE = 0.05  # share of words beyond that of the learned answers
_STRAY_TOKENS = 1.5  # closing tokens and blanks that only one side counts
_STRAY_SHARE = 0.002
_NEAR = 0.02  # half of all other tokenizers count almost the same
_MISCOUNTED = 0.01  # of answers, whatever the reason
_EACH = 4.0  # log-odds that one answer may weigh with an exact tokenizer


@dataclass(frozen=True, slots=True)
class CountMeasure:
    """A measure applied to one answer. `off`: log of disclosed over due tokens; `spread`: its σ."""

    off: float
    spread: float


@dataclass(frozen=True, slots=True)
class TokenizerCalibration:
    """A model's own tokenizer, whose counts came with the answers."""

    model: str

    def measure(self, count: TokenCount) -> CountMeasure | None:
        """The deviation of the disclosed count; None if it cannot be a count of this text."""
        due = count.exact.get(self.model)
        if not due:
            return None
        return _measure(log(count.tokens / due), _STRAY_TOKENS / due + _STRAY_SHARE)

    def log_odds(self, measures: Sequence[CountMeasure]) -> float:
        """Log-odds of another tokenizer. Texts differ, so each answer adds evidence."""
        return sum(max(-_EACH, min(_EACH, _log_odds_of(one))) for one in measures)

    def fits(self, measures: Sequence[CountMeasure]) -> bool:
        """Whether every count is this tokenizer's, except for stray tokens."""
        return all(abs(one.off) < 2.5 * one.spread for one in measures)

    def words(self, measures: Sequence[CountMeasure]) -> str:
        """The finding in words."""
        return f"{_share(measures)} than the tokenizer of {self.model} for the same texts"


@dataclass(frozen=True, slots=True)
class RatioCentre:
    """The centre of a model's own counts, as logarithms, and the answers' properties.

    Other languages have other ratios, and so do lists of figures: `plain` is the share of words in
    the shapes, from least to most.
    """

    ratio: float
    spread: float  # σ
    languages: frozenset[str | None]
    plain: tuple[float, float]

    def measure(self, count: TokenCount) -> CountMeasure | None:
        """The deviation of a count; None for answers unlike the learned ones."""
        alike = self.plain[0] <= _plain(count) <= self.plain[1]
        if self.spread > _LOOSEST or count.language not in self.languages or not alike:
            return None
        return _measure(_ratio(count) - self.ratio, self.spread)


@dataclass(frozen=True, slots=True)
class RatioCalibration:
    """The ratio of a model's token counts to the shapes of its confirmed answers."""

    model: str
    answers: int
    centres: Mapping[str, RatioCentre]  # by query
    shift: float  # σ of what shifts all answers alike
    elsewhere: RatioCentre | None = None  # of answers to other queries

    def measure(self, count: TokenCount) -> CountMeasure | None:
        """The deviation of the disclosed count; None if it cannot be compared."""
        centre = self.centres.get(count.query, self.elsewhere)
        return centre.measure(count) if centre else None

    def log_odds(self, measures: Sequence[CountMeasure]) -> float:
        """Log-odds of another tokenizer, which would be off by the same share each time."""
        mean, variance = _pooled(measures, self.shift)
        wide = variance + _APART**2
        return 0.5 * (log(variance / wide) + mean**2 * (1 / variance - 1 / wide))

    def fits(self, measures: Sequence[CountMeasure]) -> bool:
        """Whether the counts are where this model's own counts are."""
        mean, variance = _pooled(measures, self.shift)
        return abs(mean) < 2.5 * sqrt(variance)

    def words(self, measures: Sequence[CountMeasure]) -> str:
        """The finding in words."""
        return f"{_share(measures)} than {self.answers} confirmed answers of {self.model}"


Calibration = TokenizerCalibration | RatioCalibration


def proportion(model: str, counts: Sequence[TokenCount]) -> RatioCalibration | str:
    """The calibration from a model's confirmed answers, or why there is none."""
    if len(counts) < ENOUGH:
        return f"{len(counts)} of {ENOUGH} confirmed answers of {model} have token counts"
    if rule := rule_of_thumb(counts):
        return f"the service counts {rule}, not tokens"
    by_query: dict[str, list[TokenCount]] = {}
    for count in counts:
        by_query.setdefault(count.query, []).append(count)
    own = {query: of for query, of in by_query.items() if len(of) >= ENOUGH_OF_A_QUERY}
    spread = _spread([rest for of in own.values() for rest in _left_out(of)])
    elsewhere = _centre(counts, _spread(_left_out(counts)))
    reaches = len(by_query) >= MANY_QUERIES and elsewhere.spread <= _LOOSEST
    if not reaches and not (own and spread <= _LOOSEST):
        return f"the token counts of {model}'s own answers vary too much"
    fewest = min(map(len, own.values())) if own else len(counts)
    unsure = _OF_A_MEDIAN / fewest * (spread if own else elsewhere.spread) ** 2
    return RatioCalibration(
        model,
        len(counts),
        {query: _centre(of, spread) for query, of in own.items()},
        sqrt(_SHIFT**2 + unsure),
        elsewhere if reaches else None,
    )


def _centre(counts: Sequence[TokenCount], spread: float) -> RatioCentre:
    plain = [_plain(count) for count in counts]
    return RatioCentre(
        median(_ratio(count) for count in counts),
        spread,
        frozenset(count.language for count in counts),
        (min(plain) - _UNLIKE, max(plain) + _UNLIKE),
    )


def _plain(count: TokenCount) -> float:
    return count.shape.runs / max(size(count.shape), 1.0)


def _ratio(count: TokenCount) -> float:
    return log(count.tokens / max(size(count.shape), 1.0))


def _left_out(counts: Sequence[TokenCount]) -> list[float]:
    """Each answer's distance from the median of the others; empty for a single answer."""
    if len(counts) < 2:
        return []
    ordered = sorted(_ratio(count) for count in counts)
    low, high = (len(ordered) - 2) // 2, (len(ordered) - 1) // 2  # positions of the others' median

    def others(rank: int) -> float:
        return (ordered[low + (low >= rank)] + ordered[high + (high >= rank)]) / 2

    return [ratio - others(rank) for rank, ratio in enumerate(ordered)]


def _spread(distances: Sequence[float]) -> float:
    mean_square = sum(d * d for d in distances) / max(len(distances), 1)
    return max(_TIGHTEST, sqrt(mean_square))


def _measure(off: float, spread: float) -> CountMeasure | None:
    return CountMeasure(off, spread) if abs(off) <= _NO_COUNT else None


def _log_odds_of(one: CountMeasure) -> float:
    """Log-odds of one answer: another tokenizer against this one with its stray tokens."""
    other = 0.5 * _density(one.off, _NEAR) + 0.5 * _density(one.off, _APART)
    own = (1 - _MISCOUNTED) * _density(one.off, one.spread)
    return log(other / (own + _MISCOUNTED * _density(one.off, _APART)))


def _density(off: float, spread: float) -> float:
    return exp(-0.5 * (off / spread) ** 2) / (spread * sqrt(2 * pi))


def _pooled(measures: Sequence[CountMeasure], shift: float) -> tuple[float, float]:
    """The mean deviation of answers and its variance, including what shifts all of them alike."""
    weights = [1 / one.spread**2 for one in measures]
    mean = sum(w * one.off for w, one in zip(weights, measures, strict=True)) / sum(weights)
    return mean, 1 / sum(weights) + shift**2


def _share(measures: Iterable[CountMeasure]) -> str:
    shares = [100 * (exp(one.off) - 1) for one in measures]
    mean = sum(shares) / len(shares)
    return (
        f"{len(shares)} answers in a row count {abs(mean):.0f} % "
        f"{'more' if mean > 0 else 'fewer'} tokens"
    )

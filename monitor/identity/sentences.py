"""An answer's own sentences: quotations out, decoration off, missing spaces back in."""

import re
import unicodedata
from collections.abc import Collection

LONGEST = 8_000  # characters of an answer looked at
QUOTED = "QUOTATION"  # stands where somebody else's words stood; no grammar knows it

_FENCE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)", re.S)
_QUOTE_LINE = re.compile(r"^[ \t]*>.*$", re.M)
_SPANS = tuple(
    re.compile(pattern)
    for pattern in (
        r'"([^"\n]*)(?:"|$|(?=\n))',
        r"„([^“”\n]*)(?:[“”]|$|(?=\n))",
        r"“([^”\n]*)(?:”|$|(?=\n))",
        r"«([^»\n]*)(?:»|$|(?=\n))",
        r"[「『]([^」』\n]*)(?:[」』]|$|(?=\n))",
        r"(?<!\w)['‘]([^'’\n]{2,}?)['’](?!\w)",
        r"`([^`\n]*)`",
    )
)
_DECORATION = re.compile(r"[*_~#]+|\[\d+\]")
_BREAK = re.compile(
    r"(?<=[.!?])\s+|(?<=[。;])\s*|(?<=[!?])(?=[A-ZÀ-Ý¿¡\u4e00-\u9fff])|\n+|(?<=[a-z]{2}\.)(?=[A-Z])"
)
_RUN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_HUMP = re.compile(r"[a-zà-ÿ][A-Z]")
_HUMPED = frozenset({"openai", "chatgpt", "deepseek", "deepmind", "xai"})  # have one of their own
_LONG, _LONG_IF_GLUED = 18, 8  # letters; longer runs are taken apart even without a hump
_SHOUTED = 12  # letters; fewer may be an abbreviation
_GLUED = 0.06  # share of blanks in a text below which it has lost them


def cleaned(text: str, names: re.Pattern[str]) -> str:
    """The text without code, quotations and decoration; a quoted bare name stays."""
    text = unicodedata.normalize("NFKC", text[:LONGEST]).replace("’", "'").replace("‘", "'")
    text = _QUOTE_LINE.sub(QUOTED, _FENCE.sub(f"\n{QUOTED}\n", text))
    for span in _SPANS:
        text = span.sub(
            lambda found: (
                f" {found[1]} " if names.fullmatch(found[1].strip(" .,")) else f" {QUOTED} "
            ),
            text,
        )
    return _calm(_DECORATION.sub("", text))


def _calm(text: str) -> str:
    """A text that is shouted, as it would be written: names are known by their capitals."""
    letters = [c for c in text if c.isalpha()]
    shouted = len(letters) >= _SHOUTED and sum(map(str.isupper, letters)) > 0.9 * len(letters)
    return re.sub(r"\b(Ai|Ia|Ki|Llm)\b", lambda w: w[0].upper(), text.title()) if shouted else text


def sentences(text: str) -> list[str]:
    """Sentences and lines, in order, none empty."""
    return [part.strip() for part in _BREAK.split(text) if part and part.strip()]


def unglued(text: str, vocabulary: Collection[str]) -> str:
    """Put spaces back between words that ran together: `I'mClaude,anAIcreatedby…`.

    Only runs that look glued are touched; what the vocabulary does not know stays as it is.
    """
    long = _LONG_IF_GLUED if text.count(" ") < _GLUED * len(text) else _LONG
    text = re.sub(r"(?<=[^\W\d_])([,!?;:])(?=[^\W\d_])", r"\1 ", text)
    text = re.sub(r"(?<=[a-z]{2})(?=\d)|(?<=\d)(?=[A-Z][a-z])", " ", text)
    return _RUN.sub(lambda found: _apart(found[0], vocabulary, long=long), text)


def _apart(run: str, vocabulary: Collection[str], *, long: int) -> str:
    """The cheapest reading of one run: known words cost little, unknown letters one each."""
    if _known(run, vocabulary) or not (_HUMP.search(run) or len(run) > long):
        return run
    longest = max(map(len, vocabulary))
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(run) + 1):
        options = [(best[end - 1][0] + 1.0, end - 1)]
        options += [
            (best[start][0] + (0.9 if end - start == 1 else 0.4), start)
            for start in range(max(0, end - longest), end)
            if _known(run[start:end], vocabulary)
        ]
        best.append(min(options))
    words: list[str] = []
    unknown, end = 0, len(run)
    while end:
        start = best[end][1]
        known = _known(run[start:end], vocabulary)
        unknown += not known
        if not known and words and not words[-1].startswith(" "):
            words[-1] = run[start:end] + words[-1]
        else:
            words.append(f" {run[start:end]}" if known else run[start:end])
        end = start
    return run if unknown > len(run) / 3 else " ".join(word.strip() for word in reversed(words))


def _known(piece: str, vocabulary: Collection[str]) -> bool:
    word = piece.lower().removesuffix("'s")
    return word in vocabulary and (not _HUMP.search(piece) or word in _HUMPED)

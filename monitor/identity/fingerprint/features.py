"""The features of an answer's writing style, and whether an answer is suitable for comparison."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

from monitor.data_files import data_file

SHORTEST = 40  # characters; a shorter answer has no measurable style
LONGEST = 20_000  # characters that are examined
# `e-mail`, `e.g.` and `example.com` are one word each, not the Portuguese `e` and `com`.
_WORD = re.compile(r"[^\W_]+(?:[-.][^\W_]+)*")
_SCRIPTS = (
    ("chinese", re.compile("[\u4e00-\u9fff]")),
    ("japanese", re.compile("[\u3040-\u30ff]")),
    ("korean", re.compile("[\uac00-\ud7af]")),
    ("cyrillic", re.compile("[\u0400-\u04ff]")),
    ("arabic", re.compile("[\u0600-\u06ff]")),
    ("thai", re.compile("[\u0e00-\u0e7f]")),
    ("devanagari", re.compile("[\u0900-\u097f]")),
)
_SMALL_WORDS = data_file(__package__, "small_words.toml").every_set()
_IN_NAMES = _SMALL_WORDS["in_names"]
_LANGUAGES = {name: words for name, words in _SMALL_WORDS.items() if name != "in_names"}
LANGUAGES = tuple(sorted({*_LANGUAGES, *(name for name, _ in _SCRIPTS)}))
_SCARCE = 3  # function words; with fewer the language is unknown
_KANA_SHARE = 0.1  # of the Han characters: Chinese texts have fewer, Japanese ones more
_MIXED = 0.25  # share from which the expected language is present, too
_DENSE = 0.05  # share of function words of which prose has more
# What has no language: blocks and spans of code, addresses, quotations.
_NO_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|\b\w{1,12}://\S+|“[^”\n]{1,400}”|«[^»\n]{1,400}»|\"[^\"\n]{1,400}\"|"
    r"(?<!\w)['‘][^'’\n]{1,400}['’](?!\w)",
    re.DOTALL,
)
_DISTINCT = 2  # of them; one word that is repeated may be a term, a name or an abbreviation
_REFUSES = re.compile(
    r"\W*(?:i(?:'|’)?m (?:really |very )?sorry|i am sorry|sorry|i apologi[sz]e|unfortunately,? i|"
    r"i (?:can(?:no|')?t|can’t|am unable|am not able|won't)|i(?:'|’)m (?:unable|not able)|"
    r"mi dispiace|lo siento|maaf|désolé|es tut mir leid|desculpe)\b",
    re.I,
)


def language(text: str) -> str | None:
    """The language of an answer, or its script; None if unknown."""
    text = text[:LONGEST]
    script = _script(text)
    if script is not None:
        return script
    message = Counter(_function_words(_WORD.findall(text)))
    found = {name: sum(message[word] for word in small) for name, small in _LANGUAGES.items()}
    best = max(found, key=lambda name: found[name])
    lead = found[best] - max(count for name, count in found.items() if name != best)
    used = {word for word in _LANGUAGES[best] if word in message}
    shared = {word for name, small in _LANGUAGES.items() if name != best for word in small}
    needed = 2 if used <= shared else 1
    certain = found[best] >= _SCARCE and len(used) >= _DISTINCT and lead >= needed
    return best if certain else None


def _script(text: str) -> str | None:
    """The script of more than a fifth of the text."""
    counts = _script_counts(text)
    name = max(counts, key=lambda name: counts[name])
    return name if 5 * counts[name] > len(text) else None


def _script_counts(text: str) -> dict[str, int]:
    """Characters of each script. With kana, Han characters are Japanese."""
    counts = {name: len(script.findall(text)) for name, script in _SCRIPTS}
    if counts["japanese"] > _KANA_SHARE * counts["chinese"]:
        counts["japanese"] += counts.pop("chinese")
    return {"chinese": 0} | counts


def other_than(expected: str, text: str) -> str | None:
    """The language of an answer if it is certainly another one than expected, else None.

    Code, addresses and quoted texts have no language of their own here: an answer may contain them
    in any. A text with a fair share of the expected language is a mixture, which is not judged.
    """
    prose = _NO_PROSE.sub(" ", text[:LONGEST])
    found = language(prose)
    if found is None or found == expected:
        return None
    letters = sum(map(str.isalpha, prose))
    scripts = _script_counts(prose)
    if expected in scripts:
        return found if scripts[expected] < _MIXED * letters else None
    if found in scripts:
        latin = sum(map(str.isalpha, filter(str.isascii, prose)))
        return found if latin < _MIXED * letters else None
    words = _WORD.findall(prose)
    message = Counter(_function_words(words))
    ours, theirs = (_LANGUAGES[name] for name in (expected, found))
    against = sum(message[word] for word in theirs - ours)
    speaking = sum(word.lower() in ours - theirs for word in words)
    certain = against >= max(_SCARCE, _DENSE * len(words)) and speaking <= _MIXED * against
    return found if certain else None


def _function_words(words: Sequence[str]) -> Iterator[str]:
    """The words that may be function words: not abbreviations in capitals, not parts of names.

    `Los Angeles`, `Rio de Janeiro` and `DO` say nothing of the language around them.
    """
    for before, word, after in zip(("", *words), words, (*words[1:], ""), strict=False):
        in_name = word in _IN_NAMES and before[:1].isupper() and after[:1].isupper()
        if word == "I" or (word.islower() and not in_name):
            yield word.lower()


def usual_language(texts: Iterable[str]) -> str | None:
    """The language of most of these; None if too few are known."""
    notified = Counter(language(text) for text in texts)
    name, count = notified.most_common(1)[0] if notified else (None, 0)
    return name if 2 * count > notified.total() else None


def refuses(text: str) -> bool:
    """Whether the answer starts like a refusal or an apology."""
    return _REFUSES.match(text[:LONGEST]) is not None


def unsuitable(text: str, *, refusing: bool) -> str | None:
    """Why this answer says nothing about its model; None if it is suitable.

    `refusing`: whether refusals were captured, too.
    """
    if len(text.strip()) < SHORTEST:
        return f"the answer has fewer than {SHORTEST} characters"
    if not refusing and refuses(text):
        return "the answer is a refusal or an apology, which all models phrase alike"
    return None


def other_language(text: str, *, usual: str | None) -> str | None:
    """That the answer is in another language than the baseline; None if it is not, or unknown.

    Such an answer names no fallback: two models were distinguished in one language only. It is
    evidence of a change all the same.
    """
    spoken = language(text)
    if usual and spoken and spoken != usual:
        return f"the answer is in {spoken}, the baseline in {usual}"
    return None


# Features: wording, punctuation and layout.
#
# Hashes and the order of the style figures are stable across processes and machines: stored numbers
# are comparable only within one `VERSION`.


VERSION = 2  # increased whenever the same answer would give other numbers
SPACE = 1 << 18  # number of hash buckets for grams
LOOKED_AT = 400  # characters of wording: openings are most telling, later text dilutes them
STYLED = 32_000  # characters from which style figures are taken, except the length
_RUN = 4  # characters of a gram

_WORD_RUN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+|[^\w\s]")
_BLANKS = re.compile(r"[ \t]+")
_NUMBERED = re.compile(r"\s*\d+[.)]\s")
_ITALIC = re.compile(r"(?<!\*)\*[^*\s][^*\n]*\*(?!\*)")
_CONTRACTED = re.compile(r"\w['’](?:t|re|ve|ll|m|s|d)\b")
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)")
_EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")
_CURLY = re.compile("[“”’]")
_FIRST_PERSON = frozenset(("I", "I'm", "I've", "I'll", "I’m", "I’ve", "I’ll"))
_TRAILING = re.compile(r"[ \t]\n")

MARKS = (
    "length",
    "words",
    "paragraphs",
    "word length",
    "bullets",
    "numbered lines",
    "headings",
    "bold",
    "italics",
    "em dashes",
    "en dashes",
    "exclamation marks",
    "question marks",
    "colons",
    "semicolons",
    "commas",
    "quotation marks",
    "curly quotes",
    "apostrophes",
    "parentheses",
    "emoji",
    "code blocks",
    "ends with a question",
    "ends with an exclamation",
    "contractions",
    "first person",
    "sentence length",
    "line breaks",
    "blanks before line breaks",
)


@dataclass(frozen=True, slots=True)
class AnswerText:
    """An answer to a canned query. How its stream was divided into chunks is not considered.

    A proxy or gateway that buffers divides every model's answers in its own way. `tokens`: the
    token count that the service reports; None if it reports none. `sources`: how many retrieved
    sources it lists; None if it lists none, as some services do without any. `lists_sources`:
    whether an answer can list some, by its dialect.
    """

    query: str
    text: str
    tokens: int | None = None
    sources: int | None = None
    lists_sources: bool = True


@dataclass(frozen=True, slots=True)
class AnswerFeatures:
    """`grams` are distinct hashes of wording; `marks` are in the order of `MARKS`."""

    query: str
    grams: tuple[int, ...]
    marks: tuple[float, ...]


def answer_features(answer: AnswerText) -> AnswerFeatures:
    """The features of one answer."""
    return AnswerFeatures(answer.query, _grams(answer.text), _style(answer.text))


def _grams(text: str) -> tuple[int, ...]:
    seen = text[:LOOKED_AT]
    message = [word.lower() for word in _WORD_RUN.findall(seen)]
    found = {"w" + word for word in message}
    found.update(f"b{one} {two}" for one, two in pairwise(message))
    found.update("o" + " ".join(message[:count]) for count in range(1, 5))
    line = _BLANKS.sub(" ", seen)
    found.update(line[at : at + _RUN] for at in range(len(line) - _RUN + 1))
    return tuple(sorted({crc32(gram.encode("utf-8", "replace")) % SPACE for gram in found}))


def _style(text: str) -> tuple[float, ...]:
    length, text = len(text), text[:STYLED]
    size, lines, message = max(1, len(text)), text.split("\n"), text.split()
    count, rows = max(1, len(message)), len(lines)

    def per_hundred(characters: str) -> float:
        return 100 * sum(text.count(each) for each in characters) / size

    end = text.rstrip()[-1:]
    return (
        math.log1p(length),
        math.log1p(len(message)),
        math.log1p(text.count("\n\n")),
        size / count / 6,
        sum(line.lstrip()[:2] in ("- ", "* ", "• ") for line in lines) / rows,
        sum(bool(_NUMBERED.match(line)) for line in lines) / rows,
        sum(line.startswith("#") for line in lines) / rows,
        math.log1p(text.count("**") / 2),
        math.log1p(len(_ITALIC.findall(text))),
        per_hundred("—"),
        per_hundred("–"),
        per_hundred("!"),
        per_hundred("?"),
        per_hundred(":"),
        per_hundred(";"),
        per_hundred(","),
        per_hundred('"“”'),
        float(bool(_CURLY.search(text))),
        per_hundred("'’"),
        per_hundred("("),
        float(bool(_EMOJI.search(text))),
        float("```" in text),
        float(end == "?"),
        float(end == "!"),
        100 * len(_CONTRACTED.findall(text)) / count,
        100
        * sum(word in ("I", "I'm", "I've", "I'll", "I’m", "I’ve", "I’ll") for word in message)
        / count,
        math.log1p(count / max(1, len(_SENTENCE_END.findall(text)))),
        100 * text.count("\n") / size,
        float(bool(_TRAILING.search(text))),
    )

"""Names by which models and their makers refer to themselves, and the sentences around them.

Names in `UNMISTAKABLE` are recognised in any case and need no context. Names in `NAMES` have
another meaning too (a person, an animal, a wind) and are recognised only as written here.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from monitor.data_files import data_file
from monitor.identity.model_names.families import FAMILIES
from monitor.identity.self_identification.phrases import either, grouped

_SPEAKERS = data_file(__package__, "speakers.toml")
UNMISTAKABLE: Mapping[str, str] = _SPEAKERS.table("unmistakable").every_text()
NAMES: Mapping[str, str] = _SPEAKERS.table("names").every_text()
# Maker → its names, and the family that it stands for when only the maker is named.
MAKERS: Mapping[str, tuple[str, str]] = {
    maker: (row.text("names"), row.text("family"))
    for maker, row in _SPEAKERS.table("makers").tables().items()
}
del _SPEAKERS  # the texts are not needed any longer


@dataclass(frozen=True, slots=True)
class SpeakerName:
    """A model's or a maker's name as it occurs in a text."""

    family: str
    maker: str
    written: str
    certain: bool  # the name has no other meaning


# A name in a text is replaced by a single letter that no text contains, so that patterns stay
# small. The range of the letter says what the name may stand for.
_NAMED, _MAKING, _BOTH, _END = 0x13000, 0x13100, 0x13200, 0x13300
NAME = f"[{chr(_NAMED)}-{chr(_MAKING - 1)}{chr(_BOTH)}-{chr(_END)}]"
MAKER = f"[{chr(_MAKING)}-{chr(_END)}]"
ANYBODY = f"{chr(_NAMED)}-{chr(_END)}"  # a range for character classes
MARK = re.compile(f"[{ANYBODY}]")

_ALL_CERTAIN = "|".join(f"(?i:{names})" for names in UNMISTAKABLE.values())
_ALL_MAKERS = "|".join(names for names, _ in MAKERS.values())
_ALL_NAMES = "|".join(NAMES.values())
_LATIN = "A-Za-zÀ-ÿ0-9"  # Chinese text may follow a name without a blank
_ANY = re.compile(rf"(?<![{_LATIN}])(?:{_ALL_CERTAIN}|{_ALL_MAKERS}|{_ALL_NAMES})(?![{_LATIN}])")
BARE_NAME = re.compile(f"{_ALL_CERTAIN}|{_ALL_NAMES}")


def marked(text: str) -> tuple[str, dict[str, SpeakerName]]:
    """The text with each distinct name replaced by its own letter, and the names by letter."""
    letters: dict[str, str] = {}
    speakers: dict[str, SpeakerName] = {}

    def letter(found: re.Match[str]) -> str:
        written = found[0]
        if written not in letters and len(letters) < _MAKING - _NAMED:
            first, speaker = _speaker(written)
            letters[written] = chr(first + len(letters))
            speakers[letters[written]] = speaker
        return letters.get(written, written)

    return _ANY.sub(letter, MARK.sub(" ", text)), speakers


def _speaker(written: str) -> tuple[int, SpeakerName]:
    """What a name may stand for."""
    certain = next((f for f, n in UNMISTAKABLE.items() if re.fullmatch(n, written, re.I)), None)
    family = certain or next((f for f, n in NAMES.items() if re.fullmatch(n, written)), None)
    for maker, (names, usual) in MAKERS.items():
        if re.fullmatch(names, written):
            kind = _BOTH if family else _MAKING
            return kind, SpeakerName(family or usual, maker, written, certain is not None)
    known = family or ""
    return _NAMED, SpeakerName(known, FAMILIES[known].vendor, written, certain is not None)


# The answer's own sentences: quotations removed, decoration removed, missing spaces restored.


LONGEST = 8_000  # characters of an answer that are examined
QUOTED = "QUOTATION"  # replaces quoted text; no pattern matches it

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
# these have an abbreviation of their own
_HUMPED = frozenset({"openai", "chatgpt", "deepseek", "deepmind", "xai"})
_LONG, _LONG_IF_GLUED = 18, 8  # letters; longer runs are split even without an inner capital
_UNREADABLE = 600  # letters; no sentence is as long
_SHOUTED = 12  # letters; a shorter run may be an abbreviation
_GLUED = 0.06  # share of blanks in a text below which it has lost them


def cleaned(text: str, names: re.Pattern[str]) -> str:
    """The text without code, quotations and decoration; a quoted bare name stays."""
    # one character may become eighteen
    text = unicodedata.normalize("NFKC", text[:LONGEST])[:LONGEST]
    text = text.replace("’", "'").replace("‘", "'")
    text = _QUOTE_LINE.sub(QUOTED, _FENCE.sub(f"\n{QUOTED}\n", text))
    for span in _SPANS:
        text = span.sub(
            lambda found: (
                f" {found[1]} " if names.fullmatch(found[1].strip(" .,")) else f" {QUOTED} "
            ),
            text,
        )
    return _calm(_DECORATION.sub("", text)[:LONGEST])


def _calm(text: str) -> str:
    """A text in capitals, converted to normal case: names are recognised by their capitals."""
    letters = [c for c in text if c.isalpha()]
    shouted = len(letters) >= _SHOUTED and sum(map(str.isupper, letters)) > 0.9 * len(letters)
    return re.sub(r"\b(Ai|Ia|Ki|Llm)\b", lambda w: w[0].upper(), text.title()) if shouted else text


def sentences(text: str) -> list[str]:
    """Sentences and lines, in order, none empty, with single blanks between words."""
    parts = (" ".join(part.split()) for part in _BREAK.split(text) if part)
    return [part for part in parts if part]


def unglued(text: str, vocabulary: frozenset[str]) -> str:
    """Restore spaces between words that ran together: `I'mClaude,anAIcreatedby…`.

    Only runs that look glued are changed; unknown words stay as they are.
    """
    long = _LONG_IF_GLUED if text.count(" ") < _GLUED * len(text) else _LONG
    text = re.sub(r"(?<=[^\W\d_])([,!?;:])(?=[^\W\d_])", r"\1 ", text)
    text = re.sub(r"(?<=[a-z]{2})(?=\d)|(?<=\d)(?=[A-Z][a-z])", " ", text)
    known: dict[str, str] = {}  # words repeat

    def apart(found: re.Match[str]) -> str:
        run = found[0]
        if run not in known:
            known[run] = _apart(run, vocabulary, long=long)
        return known[run]

    return _RUN.sub(apart, text)


def _apart(run: str, vocabulary: frozenset[str], *, long: int) -> str:
    """The cheapest segmentation of one run: known words cost little, unknown letters one each."""
    if (
        len(run) > _UNREADABLE
        or _known(run, vocabulary)
        or not (_HUMP.search(run) or len(run) > long)
    ):
        return run
    lower, openings = run.lower(), _openings(vocabulary)
    if len(lower) != len(run):  # one of the few letters that become two
        return run
    unread = (float("inf"), 0)
    best: list[tuple[float, int]] = [(0.0, 0), *([unread] * len(run))]
    for start in range(len(run)):
        cost = best[start][0]
        best[start + 1] = min(best[start + 1], (cost + 1.0, start))
        end = start + 1
        while end <= len(run) and lower[start:end] in openings:
            if _known(run[start:end], vocabulary):
                paid = cost + (0.9 if end - start == 1 else 0.4)
                best[end] = min(best[end], (paid, start))
            end += 1
    text: list[str] = []
    unknown, end = 0, len(run)
    while end:
        start = best[end][1]
        known = _known(run[start:end], vocabulary)
        unknown += not known
        if unknown > len(run) / 3:
            return run
        if not known and text and not text[-1].startswith(" "):
            text[-1] = run[start:end] + text[-1]
        else:
            text.append(f" {run[start:end]}" if known else run[start:end])
        end = start
    return " ".join(word.strip() for word in reversed(text))


@lru_cache(maxsize=4)
def _openings(vocabulary: frozenset[str]) -> frozenset[str]:
    """Every prefix of a known word, so that a search stops where no word continues."""
    text = (form for word in vocabulary for form in (word, word + "'s"))
    return frozenset(word[:end] for word in text for end in range(1, len(word) + 1))


def _known(piece: str, vocabulary: frozenset[str]) -> bool:
    word = piece.lower().removesuffix("'s")
    return word in vocabulary and (not _HUMP.search(piece) or word in _HUMPED)


# The context of a self-identification, and what retracts it.
#
# Only the listed texts may precede it: greetings, "actually", an earlier statement of the speaker,
# or anything before a "but". Any other text before it ("people say", "if", "the phrase") refers to
# somebody else's words, and the claim does not count.

BEFORE = 240  # characters of a sentence before a claim; a longer text is not an opening

_WORDS = data_file(__package__, "context.toml")
GREETINGS = _WORDS.alternation("greetings")
OPENERS = _WORDS.alternation("openers")
_OPENERS_ZH = _WORDS.alternation("openers_zh")
_NO = _WORDS.alternation("no")
_RESETS = _WORDS.alternation("resets")
CORRECTS = _WORDS.alternation("corrects")
_OWN = _WORDS.alternation("own")
_CONCEDES = _WORDS.alternation("concedes")
_AND = _WORDS.alternation("and")
FICTION = _WORDS.alternation("fiction")
_FICTION_ZH = _WORDS.alternation("fiction_zh")
REPORTS = _WORDS.alternation("reports")
_REPORTS_ZH = _WORDS.alternation("reports_zh")
STOP = _WORDS.alternation("stop")  # not allowed inside a self-description
VOCABULARY = " ".join(_WORDS.texts("vocabulary"))  # further words, for text without spaces
del _WORDS  # the texts are not needed any longer
# An earlier sentence that assigns the next ones to somebody else.
_STAGE = re.compile(
    either(
        r"""\b(?:imagine|pretend|role-?play\w*|let's play|story|scene|scenario|script|screenplay|
        poem|dialogue|fiction\w*|character|translat\w+|repeat after me|say the following|joke|
        for example|here(?:'s| is) (?:a|the|an|your) (?:example|sample|sentence|text|line|draft)|
        zodiac|horoscope|segno zodiacale|signo|sternzeichen|immagina|fingi|storia|traduzione|
        bayangkan|pura-pura|cerita|terjemahan|finge|imagina|cuento|traducción|histoire|traduction|
        imaginez|stell dir|geschichte|übersetzung|rollenspiel|história|tradução)\b|
        imagine|pretend|role-?play|zodiac|translat|想象|假装|扮演|故事|翻译|星座"""
    ),
    re.I,
)
# Retracted in the same sentence …
_UNSAID = re.compile(
    either(
        r"""just kidding|kidding|joking|scherzo|scherzavo|bercanda|es broma|je plaisante|scherz\b|
        brincadeira|开玩笑|so they (?:say|keep)|they (?:say|keep saying)|
        (?:he|she|people|you) says?\b|,\s*said|
        ,\s*(?:says?|jokes?|joked|claims?|claimed|writes|wrote|
        thinks|dice|dicono|kata|dicen|dit|disent|sagt|sagte|diz|dizem)\b|
        what (?:it|he|she|they|the prompt) |
        in (?:a|my|your|this|the|another) (?:wildest )?(?:story|game|scenario|play|role|scene|
        dreams?|novel|film|movie|imagination|universe|sketch|song|poem)\b|
        hypothetically|supposedly|allegedly|apparently|
        (?:is|was|would be|isn't) (?:a lie|false|wrong|not true|untrue|incorrect|true)|
        or (?:maybe|perhaps|something|at least)|is (?:a|the) (?:sentence|phrase|line|claim|lie)|
        means?\b|significa|translates|bedeutet|veut dire|artinya|是假的|的意思"""
    ),
    re.I,
)
# … or in the next.
_RETRACTS = re.compile(
    either(
        r"""\W*(?:said\b|says?\b|(?:he|she|they|nobody|no one) (?:said|says?)\b|
        just kidding|kidding|joking|i'm joking|scherzo|bercanda|es broma|je plaisante|
        brincadeira|(?:that|this|it)(?:'s| is| was) (?:a joke|not true|false|a lie|fake|wrong|what)|
        not really|the (?:quote|text|line|sentence|statement|phrase) above|or am i\b|or maybe)"""
    ),
    re.I,
)

_OPENER = either(
    rf"""(?:(?:{grouped(GREETINGS)})\b(?: (?-i:[A-ZÀ-Ý])\w++(?=\s*[,.!]))?|
    (?:{grouped(OPENERS)})\b|(?:{grouped(_OPENERS_ZH)})|
    (?:{_NO})\b(?=\s*[,.!:–—-])|(?:不是|不)(?=\s*[,.!。]))\W*+"""
)
_REST = rf"\W*+(?:{_OPENER})*+"  # only openers
_OPENED = re.compile(_REST, re.I)
# In these two the last break counts: openers that follow an earlier one also follow the last.
_OWN_CLAUSE = re.compile(
    rf"(?>\W*(?:(?!(?:{grouped(_OWN)})\b|我){_OPENER})*+(?:(?:{grouped(_OWN)})\b|我)"
    rf"[^?!:;]{{0,120}}(?:[,–—-]|\b(?:{_AND})\b)){_REST}",
    re.I,
)
_RESET = re.compile(rf"(?>.*(?:\b(?:{_RESETS})\b|但是?|不过|而是|其实|实际上)){_REST}", re.I)
_CONCEDED = re.compile(rf"{_REST}(?:(?:{_CONCEDES})\b|虽然|尽管)[^,]{{1,80}}+,{_REST}", re.I)
_FICTIONAL = re.compile(rf"\b(?:{grouped(FICTION)})\b|{_FICTION_ZH}", re.I)
_REPORTED = re.compile(rf"\b(?:{grouped(REPORTS)})\b|{_REPORTS_ZH}", re.I)


def opens(before: str) -> bool:
    """Whether the text before a claim leaves it the speaker's own."""
    if len(before) > BEFORE:
        return False
    if _OPENED.fullmatch(before):
        return True
    if _FICTIONAL.search(before):
        return False
    if _RESET.fullmatch(before) or _CONCEDED.fullmatch(before):
        return True
    return bool(_OWN_CLAUSE.fullmatch(before)) and not _REPORTED.search(before)


def unsaid(after: str) -> bool:
    """Whether the rest of the sentence retracts the claim."""
    return bool(_UNSAID.search(after))


def staged(earlier: str) -> bool:
    """Whether an earlier sentence announces fiction, a translation or a sample."""
    introduces = earlier.endswith(":") and not _OPENED.fullmatch(earlier[-BEFORE:])
    return introduces or bool(_STAGE.search(earlier))


def retracted(later: str) -> bool:
    """Whether the next sentence retracts the claim."""
    return bool(_RETRACTS.match(later))

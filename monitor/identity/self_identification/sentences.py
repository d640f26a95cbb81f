"""Names that models and their makers go by when they speak of themselves.

Those of `UNMISTAKABLE` are read in any case and need no context; those of `NAMES` mean
something else too (a person, an animal, a wind) and are read as written here only.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from monitor.identity.model_names.families import FAMILIES

UNMISTAKABLE: Mapping[str, str] = {
    "gpt": r"chat ?gpt|gpt[- ]?\d(?:\.\d)?\w?",
    "deepseek": r"deep ?seek(?:[- ](?:chat|coder|v\d(?:\.\d)?|r\d))?|深度求索",
    "qwen": r"qwen(?:-?\d(?:\.\d)?)?|tongyi qianwen|通义千问|千问",
    "llama": r"(?:meta )?llama[- ]?\d(?:\.\d)?|meta llama|meta ai",
    "claude": r"claude[- ]?\d(?:\.\d)?",
    "gemini": r"gemini[- ]?\d(?:\.\d)?",
    "mistral": r"mixtral|le chat|mistral (?:large|small|medium|nemo|7b)",
    "ernie": r"文心一言|ernie bot",
    "doubao": r"doubao|豆包",
    "glm": r"chatglm|glm-\d(?:\.\d)?|智谱清言",
    "hunyuan": r"hunyuan|混元",
    "phi": r"phi-\d(?:\.\d)?",
    "nova": r"amazon nova",
    "command": r"command (?:r\+?|a)\b",
}
NAMES: Mapping[str, str] = {
    "claude": "Claude",
    "llama": "L[Ll]a[Mm][Aa]",
    "gemini": "Gemini|Bard",
    "gemma": "Gemma",
    "mistral": "Mistral",
    "grok": "Grok",
    "kimi": "Kimi",
    "minimax": "Mini[Mm]ax",
    "nemotron": "Nemotron",
}
# Maker → its names, and the family it stands for when it alone is named.
MAKERS: Mapping[str, tuple[str, str]] = {
    "anthropic": ("(?i:anthropic)", "claude"),
    "openai": ("(?i:open ?ai)", "gpt"),
    "meta": ("Meta(?: AI| Platforms)?|Facebook(?: AI)?", "llama"),
    "google": ("Google(?: DeepMind| AI| Research)?|DeepMind|谷歌", "gemini"),
    "mistral": ("Mistral(?: AI)?", "mistral"),
    "alibaba": ("Alibaba(?: Cloud| Group)?|阿里(?:巴巴|云)?", "qwen"),
    "deepseek": ("(?i:deep ?seek)(?: AI)?|深度求索", "deepseek"),
    "xai": (r"[xX]\.?AI", "grok"),
    "cohere": ("Cohere", "command"),
    "microsoft": ("Microsoft|微软", "phi"),
    "moonshot": ("Moonshot(?: AI)?|月之暗面", "kimi"),
    "zhipu": (r"Zhipu(?: AI)?|Z\.ai|智谱(?:AI)?", "glm"),
    "baidu": ("Baidu|百度", "ernie"),
    "bytedance": ("ByteDance|字节跳动", "doubao"),
    "tencent": ("Tencent|腾讯", "hunyuan"),
    "minimax": ("Mini[Mm]ax", "minimax"),
    "amazon": ("Amazon|AWS", "nova"),
    "nvidia": ("NVIDIA|Nvidia", "nemotron"),
}


@dataclass(frozen=True, slots=True)
class SpeakerName:
    """A model's or a maker's name as it stood in a text."""

    family: str
    maker: str
    written: str
    certain: bool  # the name of nothing else


# A name in a text is replaced by one letter that no text holds, so that patterns stay small.
# Which of three ranges the letter is from tells what the name may stand for.
_NAMED, _MAKING, _BOTH, _END = 0x13000, 0x13100, 0x13200, 0x13300
NAME = f"[{chr(_NAMED)}-{chr(_MAKING - 1)}{chr(_BOTH)}-{chr(_END)}]"
MAKER = f"[{chr(_MAKING)}-{chr(_END)}]"
ANYBODY = f"{chr(_NAMED)}-{chr(_END)}"  # a range for classes of characters
MARK = re.compile(f"[{ANYBODY}]")

_ALL_CERTAIN = "|".join(f"(?i:{names})" for names in UNMISTAKABLE.values())
_ALL_MAKERS = "|".join(names for names, _ in MAKERS.values())
_ALL_NAMES = "|".join(NAMES.values())
_LATIN = "A-Za-zÀ-ÿ0-9"  # Chinese may follow a name without a blank
_ANY = re.compile(rf"(?<![{_LATIN}])(?:{_ALL_CERTAIN}|{_ALL_MAKERS}|{_ALL_NAMES})(?![{_LATIN}])")
BARE_NAME = re.compile(f"{_ALL_CERTAIN}|{_ALL_NAMES}")


def marked(text: str) -> tuple[str, dict[str, SpeakerName]]:
    """The text with each distinct name replaced by a letter of its own, and who they are."""
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
    """What a name may stand for, and who that is."""
    certain = next((f for f, n in UNMISTAKABLE.items() if re.fullmatch(n, written, re.I)), None)
    family = certain or next((f for f, n in NAMES.items() if re.fullmatch(n, written)), None)
    for maker, (names, usual) in MAKERS.items():
        if re.fullmatch(names, written):
            kind = _BOTH if family else _MAKING
            return kind, SpeakerName(family or usual, maker, written, certain is not None)
    known = family or ""
    return _NAMED, SpeakerName(known, FAMILIES[known].vendor, written, certain is not None)


# An answer's own sentences: quotations out, decoration off, missing spaces back in.


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
_UNREADABLE = 600  # letters; no sentence is as long
_SHOUTED = 12  # letters; fewer may be an abbreviation
_GLUED = 0.06  # share of blanks in a text below which it has lost them


def cleaned(text: str, names: re.Pattern[str]) -> str:
    """The text without code, quotations and decoration; a quoted bare name stays."""
    text = unicodedata.normalize("NFKC", text[:LONGEST])[:LONGEST]  # one sign may become eighteen
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
    """A text that is shouted, as it would be written: names are known by their capitals."""
    letters = [c for c in text if c.isalpha()]
    shouted = len(letters) >= _SHOUTED and sum(map(str.isupper, letters)) > 0.9 * len(letters)
    return re.sub(r"\b(Ai|Ia|Ki|Llm)\b", lambda w: w[0].upper(), text.title()) if shouted else text


def sentences(text: str) -> list[str]:
    """Sentences and lines, in order, none empty, with single blanks between words."""
    parts = (" ".join(part.split()) for part in _BREAK.split(text) if part)
    return [part for part in parts if part]


def unglued(text: str, vocabulary: frozenset[str]) -> str:
    """Put spaces back between words that ran together: `I'mClaude,anAIcreatedby…`.

    Only runs that look glued are touched; what the vocabulary does not know stays as it is.
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
    """The cheapest reading of one run: known words cost little, unknown letters one each."""
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
    """Every beginning of a known word, so that a search stops where no word goes on."""
    text = (form for word in vocabulary for form in (word, word + "'s"))
    return frozenset(word[:end] for word in text for end in range(1, len(word) + 1))


def _known(piece: str, vocabulary: frozenset[str]) -> bool:
    word = piece.lower().removesuffix("'s")
    return word in vocabulary and (not _HUMP.search(piece) or word in _HUMPED)

"""Splits a model name into path, date and words, whatever its spelling."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta

from monitor.identity.model_names.families import (
    CLAUDE,
    CLAUDE_TIERS,
    DEEPSEEK,
    FAMILIAR_NOISE,
    FAMILIES,
    GPT,
    HOSTS,
    MAKERS,
    NOISE,
    O_SERIES,
    REGIONS,
    ROLES,
    SERVED,
    VARIANTS,
    ModelFamily,
)

LONGEST = 300  # characters of a name that are examined
LISTED_WITHIN_DAYS = 10  # a router may date a model by the day it listed it, after its release


@dataclass(frozen=True, slots=True)
class ReleaseDate:
    """A release date as far as a name gives it; the year counts from 2000."""

    year: int | None
    month: int
    day: int | None

    def agrees(self, other: "ReleaseDate") -> bool:
        """False if a part that both give differs; full dates may be a few days apart."""
        year = self.year or other.year
        if year and self.day and other.day and (self.year or year) == (other.year or year):
            return abs(self._in(year) - other._in(year)) <= timedelta(days=LISTED_WITHIN_DAYS)
        pairs = ((self.year, other.year), (self.month, other.month), (self.day, other.day))
        return all(ours is None or theirs is None or ours == theirs for ours, theirs in pairs)

    def _in(self, year: int) -> date:
        return date(2000 + year, self.month, 1) + timedelta(days=(self.day or 1) - 1)


@dataclass(frozen=True, slots=True)
class SpelledName:
    """`path` and `tokens` are lower case, in order; tokens are words, versions and sizes."""

    path: tuple[str, ...]
    tokens: tuple[str, ...]
    date: ReleaseDate | None


_M = r"(?P<m>0[1-9]|1[0-2])"
_D = r"(?P<d>0[1-9]|[12]\d|3[01])"
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DATES = tuple(
    re.compile(rf"(?<![a-z0-9.]){pattern}(?![a-z0-9]|\.\d)")
    for pattern in (
        rf"20(?P<y>2\d)[-._ ]?{_M}[-._ ]?{_D}",
        rf"{_M}[-_/]20(?P<y>2\d)",
        rf"20(?P<y>2\d)[-._]?{_M}",
        rf"(?P<w>{'|'.join(_MONTHS)})[a-z]*[-_ ]+20(?P<y>2\d)",
        rf"(?P<y>2[3-9]){_M}{_D}",
        rf"(?P<y>2[3-9])\.?{_M}",
        rf"{_M}[-_]?{_D}",
    )
)
_QUANTISED = re.compile(
    r"(?<![a-z0-9])(?:i?q\d(?:[_-](?:[0-9]|k|nl|xxs|xs|s|m|l|xl))*|w\d+a\d+|(?:nv|mx)?fp\d+|bf16|"
    r"int\d+|nf4|\d-?bit|\d(?:\.\d+)?bpw|gguf|ggml|gptq|awq|qat|exl\d|mlx|onnx|marlin|e4m3(?:fn)?|"
    r"quantized|dynamic|ud)(?![a-z0-9])"
)
_REWRITES = (
    (re.compile(r"-v(\d+):([1-9]\d*)$"), r"-v\1.\2"),  # mistral-7b-instruct-v0:2
    (re.compile(r"(?:-v?1)?:0(?::\w+)?$"), ""),  # gpt-oss-120b-1:0, claude-…-v1:0:200k
    (re.compile(r"(?<=\d)\s*×\s*(?=\d)"), "x"),  # 8×7B
    (re.compile(r"[?\[].*$"), ""),
    (re.compile(r"(?<=[a-z])\+"), " plus "),
    (re.compile(r"(?<=\d)p(?=\d)"), "."),  # llama-v3p1
    (re.compile(r"(?<=\d)_(?=\d\b)"), "."),  # Llama-3_1
    (re.compile(r"(\d+b)x(\d+e)"), r"\1 \2"),  # 17Bx16E
    (re.compile(r"(?<![a-z0-9.])0[-_](?=\d+b)"), "0."),  # embedding-0-6b
)
# Names no model: an operator's own deployment may run anything.
_HANDLE = re.compile(
    r"application-inference-profile/|/endpoints/\d+$|/(?:deployedmodels|deployments)/"
)
_LISTED = re.compile(r"[|,;]")
_GLUED = re.compile(r"([^\W\d_]{2,})(\d.*)")
_TRAILING = re.compile(r"(\d+(?:\.\d+)*)([^\W\d_]{2,})")
_COLON_PREFIX = re.compile(r"([^:]+):\s*(?=\S)")
_DOTTED_PREFIX = re.compile(r"([a-z0-9-]+)\.(?=[a-z])")
_PREFIXES = HOSTS | REGIONS | frozenset(MAKERS)
_MAJOR = re.compile(r"[a-z]?\d")
_MINOR = re.compile(r"[1-9]\d?|0")


def squashed(text: str) -> str:
    """Lower case, letters and digits only: `Z.ai`, `z-ai` → `zai`."""
    return "".join(c for c in text.lower() if c.isalnum())


def _dated(text: str) -> tuple[str, ReleaseDate | None]:
    """The first date found, most explicit format first, and the text without it."""
    for pattern in _DATES:
        if found := pattern.search(text):
            part = found.groupdict()
            month = _MONTHS.index(part["w"]) + 1 if part.get("w") else int(part["m"])
            year, day = part.get("y"), part.get("d")
            given = ReleaseDate(int(year) if year else None, month, int(day) if day else None)
            return f"{text[: found.start()]} {text[found.end() :]}", given
    return text, None


def _unprefixed(text: str) -> tuple[list[str], str]:
    """Remove `bedrock:`, `Anthropic: ` and `us.anthropic.` from the front."""
    path: list[str] = []
    while True:
        for prefix in (_COLON_PREFIX, _DOTTED_PREFIX):
            found = prefix.match(text)
            if found and squashed(found[1]) in _PREFIXES:
                path.append(squashed(found[1]))
                text = text[found.end() :]
                break
        else:
            return path, text


def _split(text: str) -> list[str]:
    """Words and numbers; `llama3.1` and `qwen2.5vl` are split, `4o`, `k2` and `8x7b` are not."""
    tokens: list[str] = []
    for word in re.split(r"[^\w.]+|_|(?<!\d)\.|\.(?!\d)", text):
        glued = None if word in MAKERS else _GLUED.fullmatch(word)
        for part in glued.groups() if glued else (word,):
            trailing = _TRAILING.fullmatch(part)
            tokens += trailing.groups() if trailing else (part,)
    return [token for token in tokens if token]


def _joined(tokens: list[str]) -> list[str]:
    """Join versions that are written with dashes: `3`, `5` → `3.5`."""
    out: list[str] = []
    for token in tokens:
        if out and _MAJOR.fullmatch(out[-1]) and _MINOR.fullmatch(token):
            out[-1] = f"{out[-1]}.{token}"
        else:
            out.append(token)
    return out


def listed(name: str) -> list[str]:
    """The names in a list, `a|b` or `a, b`; most names are a list of one."""
    return [part for part in _LISTED.split(name[:LONGEST]) if part.strip()]


def spelled(name: str) -> SpelledName:
    """Split a name. Never fails; a part that cannot be interpreted stays a word."""
    text = unicodedata.normalize("NFKC", name[:LONGEST])[:LONGEST].lower().strip().lstrip("~@")
    text = text.partition("#")[0]  # models/llama-v3p1-8b-instruct#accounts/acme/deployments/x
    if _HANDLE.search(text):
        return SpelledName((), (), None)
    *path, last = [part.strip() for part in text.split("/") if part.strip()] or [""]
    if text.startswith("arn:"):
        path = []
    prefixes, last = _unprefixed(_QUANTISED.sub(" ", last))
    for pattern, better in _REWRITES:
        last = pattern.sub(better, last)
    head, colon, tag = last.rpartition(":")
    while colon and squashed(tag) in VARIANTS | HOSTS:
        head, colon, tag = (last := head).rpartition(":")
    head, at, host = last.rpartition("@")
    if at and squashed(host) in HOSTS | REGIONS:
        last = head
    last, given = _dated(last)
    tokens = _joined(_split(last))
    parts = [squashed(piece) for part in path for piece in part.split(":")]
    return SpelledName((*parts, *prefixes), tuple(tokens), given)


# What each word of a model name is: family, generation, size, tier, or noise.


_SERVERS = HOSTS | frozenset(MAKERS)
_SIZE = re.compile(r"\d+x\d+(?:\.\d+)?b|\d+(?:\.\d+)?[bt]|\d{2,}m|e\d+b")
_ACTIVE = re.compile(r"a\d+(?:\.\d+)?b")
_EXPERTS = re.compile(r"\d+e")
_CONTEXT = re.compile(r"\d+k|[12]m|1024|2048|4096|8192|16384|32768|65536|131072")
_REVISION = re.compile(r"00\d")
_VERSION = re.compile(r"(v?)((?!0\d)\d{1,2}(?:\.\d+)*[onvx]?)")
_WHOLE_R = ("671b", "685b")  # DeepSeek R1 itself
_LINE = re.compile(r"([a-z])(\d{1,2}(?:\.\d+)*)")


def kin(path: tuple[str, ...], tokens: tuple[str, ...]) -> tuple[ModelFamily | None, list[str]]:
    """The family of a name, and the remaining words without the family's and its maker's.

    Of several families the first counts (`deepseek-r1-distill-llama`), unless it is only the maker
    of the next (`Mistral Codestral`).
    """
    known = [token for token in tokens if token in FAMILIES]
    if known:
        makers = {MAKERS[token] for token in known if token in MAKERS}
        made = [t for t in known if t not in MAKERS and FAMILIES[t].vendor in makers]
        word = made[0] if known[0] in MAKERS and made else known[0]
        before, after = tokens[: tokens.index(word)], tokens[tokens.index(word) + 1 :]
        left = [] if "".join(before) in MAKERS else [t for t in before if t not in _SERVERS]
        special = ["chatgpt"] if word == "chatgpt" else []
        return FAMILIES[word], [*special, *left, *after]
    left = [token for token in tokens if token not in MAKERS]
    if left and re.fullmatch(r"o\d", left[0]):
        return O_SERIES, [left[0][1:], *left[1:]]
    if CLAUDE_TIERS & set(left) and any(_VERSION.fullmatch(token) for token in left):
        return CLAUDE, left
    if path and path[-1] in FAMILIES:  # `deepseek.r1-v1:0`, `mistral:7b`
        return FAMILIES[path[-1]], left
    return None, list(tokens)


class NameParts:
    """The parts of one name, collected word by word in order."""

    def __init__(self, family: ModelFamily | None) -> None:
        self.family = family
        self.generation: str | None = None
        self.size: str | None = None
        self.active: str | None = None
        self.experts: str | None = None
        self.context: str | None = None
        self.revision: str | None = None
        self._tier: set[str] = set()
        self._noise: set[str] = set()

    def take(self, token: str) -> None:
        """Classify the next word."""
        closed = self.family is not None and self.family.closed
        if _SIZE.fullmatch(token) and not closed:
            self.size = self.size or token
        elif _ACTIVE.fullmatch(token):
            self.active = token
        elif _EXPERTS.fullmatch(token):
            self.experts = token
        elif _CONTEXT.fullmatch(token) and not closed:
            self.context = token
        elif _REVISION.fullmatch(token):
            self.revision = token
        elif version := _VERSION.fullmatch(token):
            self._number(version[1], version[2])
        elif (line := _LINE.fullmatch(token)) and self.family and not self.generation:
            self._tier.add(line[1])
            self.generation = line[2].removesuffix(".0")
        else:
            (self._noise if self._silent(token) else self._tier).add(token)

    def _number(self, prefix: str, number: str) -> None:
        if self.generation is None and not (prefix and self.size):
            compact = self.family is not None and self.family.compact
            dotted = ".".join(number) if compact and re.fullmatch(r"[1-9]\d", number) else number
            self.generation = dotted.removesuffix(".0")
        elif prefix:
            self.revision = number
        else:
            self._tier.add(number)

    def _silent(self, token: str) -> bool:
        if self.family is None:
            return token in NOISE
        if token in self.family.keeps:
            return False
        served = self.size is not None and token in SERVED
        return served or token in NOISE | FAMILIAR_NOISE | self.family.serving

    @property
    def latest(self) -> bool:
        """The name means whichever model is current."""
        return "latest" in self._noise

    @property
    def tier(self) -> frozenset[str]:
        """The remaining words, adjusted for the naming rules of single families."""
        tier = set(self._tier)
        if self.family is DEEPSEEK:  # the chat line is the v line, the reasoner the r line
            tier = {"r" if word == "reasoner" else word for word in tier}
            if not tier and (self.generation or "chat" in self._noise):
                tier = {"chat"}
            if "r" in tier and self.size not in (None, *_WHOLE_R):
                tier.add("distill")  # Ollama's `deepseek-r1:70b` is a distilled Llama
        if self.family is GPT and self.generation == "4" and "preview" in self._noise:
            tier.add("turbo")  # gpt-4-1106-preview and similar were the first GPT-4 Turbo
        if self.family is None and tier <= ROLES:
            tier = set()
        return frozenset(tier)

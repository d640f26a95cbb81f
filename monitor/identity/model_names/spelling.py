"""Model names taken apart into path, date and words, whatever their spelling."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta

from monitor.identity.model_names.families import HOSTS, MAKERS, REGIONS, VARIANTS

LONGEST = 300  # characters of a name looked at
LISTED_WITHIN_DAYS = 10  # a router may date a model by the day it listed it, after its release


@dataclass(frozen=True, slots=True)
class ReleaseDate:
    """A release date as far as a name gives it; the year counts from 2000."""

    year: int | None
    month: int
    day: int | None

    def agrees(self, other: "ReleaseDate") -> bool:
        """False when a part that both give differs; a full date may be a few days off."""
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
# Names nothing: an operator's own deployment may run anything.
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
    """The first date found, most explicit shape first, and the text without it."""
    for pattern in _DATES:
        if found := pattern.search(text):
            part = found.groupdict()
            month = _MONTHS.index(part["w"]) + 1 if part.get("w") else int(part["m"])
            year, day = part.get("y"), part.get("d")
            given = ReleaseDate(int(year) if year else None, month, int(day) if day else None)
            return f"{text[: found.start()]} {text[found.end() :]}", given
    return text, None


def _unprefixed(text: str) -> tuple[list[str], str]:
    """Take `bedrock:`, `Anthropic: ` and `us.anthropic.` off the front."""
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
    """Words and numbers; `llama3.1` and `qwen2.5vl` fall apart, `4o`, `k2` and `8x7b` do not."""
    tokens: list[str] = []
    for word in re.split(r"[^\w.]+|_|(?<!\d)\.|\.(?!\d)", text):
        glued = None if word in MAKERS else _GLUED.fullmatch(word)
        for part in glued.groups() if glued else (word,):
            trailing = _TRAILING.fullmatch(part)
            tokens += trailing.groups() if trailing else (part,)
    return [token for token in tokens if token]


def _joined(tokens: list[str]) -> list[str]:
    """Put versions written with dashes together again: `3`, `5` → `3.5`."""
    out: list[str] = []
    for token in tokens:
        if out and _MAJOR.fullmatch(out[-1]) and _MINOR.fullmatch(token):
            out[-1] = f"{out[-1]}.{token}"
        else:
            out.append(token)
    return out


def listed(name: str) -> list[str]:
    """The names in a list of them, `a|b` or `a, b`; most names are a list of one."""
    return [part for part in _LISTED.split(name[:LONGEST]) if part.strip()]


def spelled(name: str) -> SpelledName:
    """Take a name apart. Never fails; what cannot be read stays a word."""
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

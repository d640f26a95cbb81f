"""What each word of a model name is: its family, generation, size, tier, or only noise."""

import re

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
    ROLES,
    SERVED,
    ModelFamily,
)

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
    """The family a name belongs to, and the words left when its own and its maker's are gone.

    Of several families named the first counts (`deepseek-r1-distill-llama`), unless it
    only stands there as the maker of the next (`Mistral Codestral`).
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
        """Sort the next word in."""
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
        """The words that remain, after the peculiarities of single families."""
        tier = set(self._tier)
        if self.family is DEEPSEEK:  # the chat line is the v line, the reasoner the r line
            tier = {"r" if word == "reasoner" else word for word in tier}
            if not tier and (self.generation or "chat" in self._noise):
                tier = {"chat"}
            if "r" in tier and self.size not in (None, *_WHOLE_R):
                tier.add("distill")  # Ollama's `deepseek-r1:70b` is a Llama that learnt from it
        if self.family is GPT and self.generation == "4" and "preview" in self._noise:
            tier.add("turbo")  # gpt-4-1106-preview and its like were the first GPT-4 Turbo
        if self.family is None and tier <= ROLES:
            tier = set()
        return frozenset(tier)

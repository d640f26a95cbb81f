"""Names that models and their makers go by when they speak of themselves.

Those of `UNMISTAKABLE` are read in any case and need no context; those of `NAMES` mean
something else too (a person, an animal, a wind) and are read as written here only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

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

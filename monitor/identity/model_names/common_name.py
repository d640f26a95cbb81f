"""What people call a model: `meta-llama/llama-4-scout-17b-16e-instruct` is Llama 4 Scout.

For sentences only. Names are never compared in this form, and an unknown name stays as it is.
"""

import re
from functools import lru_cache

from monitor.identity.model_names.families import DEEPSEEK, FAMILIAR_NOISE, FAMILIES, NOISE
from monitor.identity.model_names.parse import LONGEST, spelled

# Spelled otherwise than with one capital.
_SPELLED = {
    "chatgpt": "ChatGPT",
    "gpt": "GPT",
    "glm": "GLM",
    "chatglm": "ChatGLM",
    "qwq": "QwQ",
    "qvq": "QVQ",
    "deepseek": "DeepSeek",
    "codellama": "Code Llama",
    "minimax": "MiniMax",
    "wizardlm": "WizardLM",
    "olmo": "OLMo",
    "lfm": "LFM",
    "exaone": "EXAONE",
    "oss": "OSS",
    "vl": "VL",
}
_DASHED = ("GPT", "ChatGPT")  # stand with their number: GPT-4o
_EXPERTS = re.compile(r"\d+e")
_SIZE = re.compile(r"\d+x\d+(?:\.\d+)?b|\d+(?:\.\d+)?[bt]|\d{2,}m|a\d+(?:\.\d+)?b")
_LINE = re.compile(r"[a-z]\d+(?:\.\d+)*")  # K2, R1, V3.1
_REVISION = re.compile(r"v\d+(?:\.\d+)*")
_VERSION = re.compile(r"\d+(?:\.\d+)*[a-z]?")


@lru_cache(maxsize=512)
def common_name(model: str) -> str:
    """The model as people call it; the last part of the name where its family is unknown."""
    spelling = spelled(model)
    tokens = [token for token in spelling.tokens if token not in NOISE]
    first = next((n for n, token in enumerate(tokens) if token in FAMILIES), None)
    if first is None:
        series = tokens and re.fullmatch(r"o\d", tokens[0])
        return " ".join(tokens) if series else model[:LONGEST].rpartition("/")[2] or model
    family = FAMILIES[tokens[first]]
    words = [
        token
        for token in tokens[first:]
        if token in family.keeps or token not in FAMILIAR_NOISE | family.serving
    ]
    if any(map(_EXPERTS.fullmatch, words)):  # the size is that of the one model of this name
        words = [w for w in words if not (_EXPERTS.fullmatch(w) or _SIZE.fullmatch(w))]
    if family is not DEEPSEEK:  # `v3.1` is a spelling of 3.1, and `v2` after 3.5 a revision
        numbered = any(_VERSION.fullmatch(w) and not _SIZE.fullmatch(w) for w in words)
        words = [w[1:] if _REVISION.fullmatch(w) else w for w in words
                 if not (numbered and _REVISION.fullmatch(w))]  # fmt: skip
    shown = " ".join(map(_word, words))
    for head in _DASHED:
        shown = re.sub(rf"^{head} (?=\d)", f"{head}-", shown)
    return shown


def named_apart(models: tuple[str, ...]) -> tuple[str, ...]:
    """The common names of several models; their ids where two would read the same."""
    names = tuple(map(common_name, models))
    return names if len(set(names)) == len(set(models)) else models


def without_ids(text: str, models: tuple[str, ...]) -> str:
    """A sentence with the ids of these models replaced by their common names."""
    for model, name in sorted(zip(models, named_apart(models), strict=True), key=_longest_first):
        text = text.replace(model, name) if model else text
    return text


def _longest_first(pair: tuple[str, str]) -> int:
    return -len(pair[0])


def _word(token: str) -> str:
    if token in _SPELLED:
        return _SPELLED[token]
    if _SIZE.fullmatch(token) or _LINE.fullmatch(token):
        return token.upper().replace("X", "x")
    return token if _VERSION.fullmatch(token) else token.capitalize()

"""The tags between which servers leave reasoning in the answer text.

Sources: the chat templates of DeepSeek, Qwen, Seed-OSS, LongCat, Kimi, Magistral, Cohere Command A,
OpenThinker, Apertus and MedGemma; Dify, Open WebUI and RAGFlow for tags that a server adds.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from monitor.domain import TextKind

MOST_CHARS = 60  # of a tag
SUMMARY_CHARS = 400  # of a `<details …><summary>…</summary>` that opens reasoning
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_:-]*", re.ASCII)


class TagPair(NamedTuple):
    """An opening tag, its closing tag, and the kind of text between them.

    Without an opening tag the answer begins inside reasoning: the chat template opened it.
    """

    opening: str
    closing: str
    kind: TextKind = TextKind.REASONING


_NAMES = (
    "think",
    "thinking",
    "thought",
    "thoughts",
    "reasoning",
    "reflection",
    "scratchpad",
    "antThinking",
    "seed:think",
    "mm:think",
    "longcat_think",
)
_OTHERS = (
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|think|>", "<|/think|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<unused94>thought", "<unused95>"),
)
DEFAULT_PAIRS = (
    *(TagPair(f"<{name}>", f"</{name}>") for name in _NAMES),
    *(TagPair(opening, closing) for opening, closing in _OTHERS),
    TagPair("<retrieving>", "</retrieving>", TextKind.MARKUP),  # RAGFlow's notes of its search
)
_KNOWN = {pair.opening.lower(): pair for pair in DEFAULT_PAIRS}

# Tags that enclose the answer after the reasoning.
ANSWER_PAIRS = (
    TagPair("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    TagPair("<|begin_of_solution|>", "<|end_of_solution|>"),
    TagPair("<answer>", "</answer>"),
)
DETAILS = "<details"
_DETAILS = re.compile(
    r"<details(?P<attributes>[^<>]*)>\s*<summary[^<>]*>(?P<title>[^<>]*)</summary>",
    re.IGNORECASE,
)
_DETAILS_BEGUN = re.compile(
    r"<details[^<>]*(?:>\s*(?:<[sumary]{0,7}|<summary[^<>]*(?:>[^<>]*(?:<[/sumary]{0,8})?)?)?)?",
    re.IGNORECASE,
)
_THINKS = re.compile(r"\W*(?:thinking|thought|reasoning|reasoned)\b", re.IGNORECASE)


def tag_pairs(given: Iterable[str | tuple[str, ...]]) -> tuple[TagPair, ...]:
    """The pairs of a configuration: names (`think`), opening tags (`[THINK]`) or pairs of tags.

    Raises ValueError with value and remedy for anything else.
    """
    return tuple(_pair(one) for one in given)


def _pair(given: str | tuple[str, ...]) -> TagPair:
    if not isinstance(given, str):
        if len(given) == 2 and given[1] and all(_is_tag(tag) for tag in given if tag):
            return TagPair(*given)
        raise ValueError(
            f"reasoning tags {list(given)!r}: must be an opening and a closing tag of 2 to "
            f'{MOST_CHARS} characters, such as ["<think>", "</think>"]'
        )
    opening = f"<{given}>" if _NAME.fullmatch(given) else given
    if known := _KNOWN.get(opening.lower()):
        return known
    if len(opening) < 3 or not _is_tag(opening):
        raise ValueError(
            f'reasoning tag {given!r}: must be a name ("think"), a tag ("[THINK]"), or a pair '
            'of tags (["<think>", "</think>"])'
        )
    return TagPair(opening, f"{opening[0]}/{opening[1:]}")


def _is_tag(tag: str) -> bool:
    return 2 <= len(tag) <= MOST_CHARS and tag == tag.strip()


def details_tag(text: str) -> int | None:
    """Length of the `<details>` and `<summary>` that open reasoning (Dify, Open WebUI).

    0: the text begins with something else. None: more text is needed to decide.
    """
    if text[: len(DETAILS)].lower() != DETAILS:
        return None if DETAILS.startswith(text.lower()) else 0
    found = _DETAILS.match(text[:SUMMARY_CHARS])
    if found is None:
        undecided = len(text) < SUMMARY_CHARS and _DETAILS_BEGUN.fullmatch(text)
        return None if undecided else 0
    thinks = _THINKS.match(found["title"]) or 'type="reasoning"' in found["attributes"]
    return found.end() if thinks else 0


# The channels of gpt-oss, for servers that leave its response format in the text.
#
# `<|start|>assistant<|channel|>analysis<|message|>…<|end|>` is reasoning, the channel `final` is
# the answer; tool calls and preambles are in `commentary`.
#
# Source: https://cookbook.openai.com/articles/openai-harmony


_TOKEN = re.compile(r"<\|(start|channel|message|constrain|end|return|call)\|>")
_LONGEST = len("<|constrain|>")
_HEADER_CHARS = 100  # of a header that are kept
_BEGINNINGS = ("<|channel|>", "<|start|>")


class HarmonyChannels:
    """Separates the messages of one response by their channel."""

    FINAL = "<|channel|>final<|message|>"

    def __init__(self) -> None:
        self._header = ""
        self.kind = TextKind.MARKUP  # of the text that follows; markup within headers

    @staticmethod
    def begins(text: str) -> bool:
        """Whether a response in this format begins here."""
        return text.startswith(_BEGINNINGS)

    @staticmethod
    def may_begin(text: str) -> bool:
        """Whether one may begin here, as far as the text is known."""
        return any(text.startswith(one) or one.startswith(text) for one in _BEGINNINGS)

    def add(self, text: str) -> tuple[list[tuple[int, TextKind]], int]:
        """Positions in the text with the kind of text after each, and how much text is decided."""
        marks: list[tuple[int, TextKind]] = []
        at = 0
        for found in _TOKEN.finditer(text):
            if self.kind is TextKind.MARKUP:
                self._header = (self._header + text[at : found.start()])[-_HEADER_CHARS:]
            at = found.end()
            if found[1] == "message":
                self.kind, self._header = self._kind(), ""
                marks.append((at, self.kind))
                continue
            if self.kind is not TextKind.MARKUP:
                self.kind = TextKind.MARKUP
                marks.append((found.start(), self.kind))
            self._header += f"|{found[1]}|"
        begun = text.rfind("<", max(at, len(text) - _LONGEST + 1))
        taken = len(text) if begun < 0 else begun
        if self.kind is TextKind.MARKUP:
            self._header = (self._header + text[at:taken])[-_HEADER_CHARS:]
        return marks, taken

    def _kind(self) -> TextKind:
        _, notified, channel = self._header.rpartition("|channel|")
        is_answer = not notified or channel.strip().startswith("final")
        return TextKind.ANSWER if is_answer else TextKind.REASONING

"""The channels of gpt-oss, where a server leaves its response format in the text.

`<|start|>assistant<|channel|>analysis<|message|>…<|end|>` are thoughts, the channel `final` is the
answer, tool calls and preambles are written to `commentary`.

Source: https://cookbook.openai.com/articles/openai-harmony
"""

import re

from monitor.domain import TextKind

_TOKEN = re.compile(r"<\|(start|channel|message|constrain|end|return|call)\|>")
_LONGEST = len("<|constrain|>")
_HEADER_CHARS = 100  # of a header that are kept
_BEGINNINGS = ("<|channel|>", "<|start|>")


class HarmonyChannels:
    """Tells the messages of one response apart by their channel."""

    FINAL = "<|channel|>final<|message|>"

    def __init__(self) -> None:
        self._header = ""
        self.kind = TextKind.MARKUP  # of the text that comes next; markup within headers

    @staticmethod
    def begins(text: str) -> bool:
        """Whether a response in this format begins here."""
        return text.startswith(_BEGINNINGS)

    @staticmethod
    def may_begin(text: str) -> bool:
        """Whether one begins here, as far as the text goes."""
        return any(text.startswith(one) or one.startswith(text) for one in _BEGINNINGS)

    def add(self, text: str) -> tuple[list[tuple[int, TextKind]], int]:
        """Places in the text and the kind of what follows each; how much of it is decided."""
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

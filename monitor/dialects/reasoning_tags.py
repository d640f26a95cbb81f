"""Thoughts that a server leaves inside the answer text, between tags such as `<think>`.

Only the start of an answer is looked at: an answer may write about such tags later on. Tags may
be split over any number of events.
"""

import re
from collections.abc import Sequence

DEFAULT_TAGS = ("think", "thinking", "thought", "thoughts", "reasoning", "[THINK]", "◁think▷")
_HELD = 200  # characters of white space before an answer that are kept back


def pair(tag: str) -> tuple[str, str]:
    """Opening and closing tag: of a name, `<name>`; of an opening tag, itself.

    Raises ValueError where the text is neither.
    """
    opening = f"<{tag}>" if tag.replace("_", "").replace("-", "").isalnum() else tag
    if len(opening) < 3 or len(opening) > 50 or opening != opening.strip():
        raise ValueError(f'reasoning tag {tag!r}: must be a name ("think") or a tag ("[THINK]")')
    return opening, f"{opening[0]}/{opening[1:]}"


class ReasoningTags:
    """Separates the thoughts at the start of one answer from its text."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._pairs = pairs
        self._closing: str | None = None  # inside thoughts: what ends them
        self._held = ""  # text that may belong to a tag
        self._after = False  # thoughts ended: white space that follows is not answer text yet
        self.settled = not pairs  # nothing more can change: everything is answer text

    def split(self, text: str) -> tuple[str, str]:
        """Answer text and reasoning of the next text, without the tags."""
        reasoning = ""
        held, self._held = self._held + text, ""
        if self.settled:
            return held, ""
        if self._closing is None and not self._after:
            start = held.lstrip()
            for opening, closing in self._pairs:
                if start[: len(opening)].lower() == opening.lower():
                    self._closing, held = closing, start[len(opening) :]
                    break
                if opening.lower().startswith(start.lower()) and len(held) < _HELD:
                    self._held = held
                    return "", ""
            else:
                self.settled = True
                return held, ""
        if self._closing is not None:
            # Lower case of a whole text can be longer than the text: "İ" becomes two characters.
            found = re.search(re.escape(self._closing), held, re.IGNORECASE | re.ASCII)
            if found is None:
                kept = _begun(held, self._closing)
                self._held = held[len(held) - kept :]
                return "", held[: len(held) - kept]
            reasoning, held = held[: found.start()], held[found.end() :]
            self._closing, self._after = None, True
        held = held.lstrip()
        self.settled = bool(held)
        return held, reasoning

    def close(self) -> tuple[str, str]:
        """Answer text and reasoning that were kept back, at the end of the answer."""
        held, self._held = self._held, ""
        return ("", held) if self._closing is not None else (held, "")


def _begun(text: str, tag: str) -> int:
    """How many characters at the end of the text may be the start of the tag."""
    sizes = range(min(len(tag) - 1, len(text)), 0, -1)
    return next((n for n in sizes if tag[:n].lower() == text[-n:].lower()), 0)

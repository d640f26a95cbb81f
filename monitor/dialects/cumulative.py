"""Answers that are sent again and again as far as they have come: what is new in each event."""

DISCONTINUED = "text that does not continue the text before it"


class CumulativeText:
    """The texts of one answer, by the part of the answer they belong to.

    Most answers have one part; agents write several messages, one after the other.
    """

    def __init__(self) -> None:
        self._parts: dict[str, list[str]] = {}
        self._lengths: dict[str, int] = {}

    @property
    def length(self) -> int:
        """Characters of the answer as far as it has come."""
        return sum(self._lengths.values())

    def add(self, delta: str, part: str = "") -> None:
        """Note text that was sent as what is new."""
        if delta:
            self._parts.setdefault(part, []).append(delta)
            self._lengths[part] = self._lengths.get(part, 0) + len(delta)

    def so_far(self, text: str, part: str = "") -> tuple[str, bool]:
        """What is new in a text that stands for a whole part, and whether it replaces all.

        An empty text says nothing. A text that does not continue the part takes its place: then
        the whole answer is returned, and True.
        """
        if not text:
            return "", False
        length = self._lengths.get(part, 0)
        # Texts are joined where the new one is as long: the work is bounded by what was sent.
        continues = len(text) >= length and text.startswith("".join(self._parts.get(part, ())))
        self._parts[part], self._lengths[part] = [text], len(text)
        if continues:
            return text[length:], False
        return "".join(piece for pieces in self._parts.values() for piece in pieces), True

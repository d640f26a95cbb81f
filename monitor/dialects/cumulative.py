"""Answers that are sent again and again as far as they have come: what is new in each event."""

DISCONTINUED = "text that does not continue the text before it"


class CumulativeText:
    """The texts of one answer, by the part of the answer they belong to.

    Most answers have one part; agents write several messages, one after the other.
    """

    def __init__(self) -> None:
        self._parts: dict[str, str] = {}

    @property
    def whole(self) -> str:
        """The answer as far as it has come."""
        return "".join(self._parts.values())

    def add(self, delta: str, part: str = "") -> None:
        """Note text that was sent as what is new."""
        self._parts[part] = self._parts.get(part, "") + delta

    def so_far(self, text: str, part: str = "") -> tuple[str, bool]:
        """What is new in a text that stands for a whole part, and whether it replaces all.

        An empty text says nothing. A text that does not continue the part takes its place: then
        the whole answer is returned, and True.
        """
        before = self._parts.get(part, "")
        if not text:
            return "", False
        self._parts[part] = text
        if text.startswith(before):
            return text[len(before) :], False
        return self.whole, True

"""Plain text out of raw bytes: streams without events, whose every segment is text."""

import codecs

from monitor.probing.sse import BOM


class TextParser:
    """Turns segments of bytes into texts without a name, in order and never empty.

    A character that is split over segments comes with the segment that completes it. A byte
    order mark at the start is no text.
    """

    def __init__(self) -> None:
        self.malformed = 0  # 1 once bytes came that are no UTF-8; those bytes are replaced
        self._held = b""  # of a character, or of the byte order mark, that is not complete
        self._at_start = True

    def feed(self, data: bytes) -> list[tuple[str, str]]:
        """The text of a segment: one or none."""
        self._held += data
        if self._at_start:
            if len(self._held) < len(BOM) and BOM.startswith(self._held):
                return []
            self._at_start = False
            self._held = self._held.removeprefix(BOM)
        return self._decoded(last=False)

    def close(self) -> list[tuple[str, str]]:
        """What is left of a character that was never completed, replaced."""
        return self._decoded(last=True)

    def _decoded(self, *, last: bool) -> list[tuple[str, str]]:
        try:
            text, used = codecs.utf_8_decode(self._held, "strict", last)
        except UnicodeDecodeError:
            self.malformed = 1
            text, used = codecs.utf_8_decode(self._held, "replace", last)
        self._held = self._held[used:]
        return [("", text)] if text else []

"""Newline-delimited JSON out of raw bytes, within the same bounds as server-sent events."""

from monitor.probing.limits import LINE_BYTES, TooLarge
from monitor.probing.sse import BOM


class NdjsonParser:
    """Turns bytes, however they are split, into events without a name. Blank lines are none."""

    def __init__(self) -> None:
        self.malformed = 0  # lines with bytes that are no UTF-8; those bytes are replaced
        self._line = bytearray()  # begun, not ended
        self._at_start = True

    def feed(self, data: bytes) -> list[tuple[str, str]]:
        """Lines completed by these bytes, in order.

        Raises TooLarge at the first line over its cap; nothing may be fed after that.
        """
        *ends, begun = data.split(b"\n")
        events: list[tuple[str, str]] = []
        for end in ends:
            if end or self._line:  # of blank lines there may be very many
                self._extend(end, events)
                events += self.close()
        self._extend(begun, events)
        return events

    def close(self) -> list[tuple[str, str]]:
        """The line begun, taken as ended: the last one of a stream may lack its newline."""
        line = bytes(self._line)
        self._line.clear()
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(BOM)
        line = line.strip(b" \t\r")
        if not line:
            return []
        try:
            return [("", line.decode())]
        except UnicodeDecodeError:
            self.malformed += 1
            return [("", line.decode(errors="replace"))]

    def _extend(self, piece: bytes, events: list[tuple[str, str]]) -> None:
        self._line += piece
        if len(self._line) > LINE_BYTES:
            raise TooLarge(f"a line is longer than {LINE_BYTES} bytes", events)

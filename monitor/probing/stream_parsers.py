"""Server-sent events out of raw bytes, by the WHATWG rules and within bounds.

Where the rules of browsers would lose what LLM servers send, they are widened: an event with a
name and no data is an event, and so are a field `error` and a line that begins with `{`.

Lines end with CR, LF or CRLF bytes and with nothing else: decoding comes after splitting,
so U+2028 inside data stays data. A line that ends with CR is complete at the CR; a LF that
follows in a later segment is skipped. `id` and `retry` are for reconnecting, which a probe
never does.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import codecs

from monitor.probing.limits import EVENT_BYTES, LINE_BYTES, TooLarge

BOM = b"\xef\xbb\xbf"


class SseParser:
    """Turns bytes, however they are split, into events of (name, data)."""

    def __init__(self) -> None:
        self.comments = 0
        self.malformed = 0  # events with bytes that are no UTF-8; those bytes are replaced
        self._line = bytearray()  # begun, not ended
        self._after_cr = False
        self._at_start = True
        self._name = b""
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, data: bytes) -> list[tuple[str, str]]:
        """Events completed by these bytes, in order.

        Raises TooLarge at the first line or event over its cap; nothing may be fed after that.
        """
        *lines, begun = self._split(data)
        events: list[tuple[str, str]] = []
        for line in lines:
            if self._line or self._at_start:
                line = self._ended(line)
            if len(line) > LINE_BYTES:
                raise _too_long(events)
            if line:
                self._field(line, events)
            elif self._data or self._name:
                self._dispatch(events)
        self._line += begun
        if len(self._line) > LINE_BYTES:
            raise _too_long(events)
        return events

    def close(self) -> list[tuple[str, str]]:
        """The event begun, where the body ended as it should: many servers leave out the last
        blank line, which the rules of browsers would punish. A body that broke off is not closed.
        """
        events: list[tuple[str, str]] = []
        if line := self._ended(b""):
            self._field(line, events)
        if self._data or self._name:
            self._dispatch(events)
        return events

    def _split(self, data: bytes) -> list[bytes]:
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data.split(b"\n")

    def _ended(self, end: bytes) -> bytes:
        """The whole line of which these are the last bytes."""
        line = bytes(self._line) + end
        self._line.clear()
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(BOM)
        return line

    def _field(self, line: bytes, events: list[tuple[str, str]]) -> None:
        if line.startswith(b"{"):  # a proxy's error in place of an event
            events.append(("", line.decode(errors="replace")))
            return
        if line.startswith(b"data: "):  # as nearly every line
            name, value = b"data", line[6:]
        else:
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
        if not name:
            self.comments += 1
        elif name == b"event":
            self._name = value
        elif name == b"error":  # no field of the rules: llama.cpp sends its failures so
            events.append(("error", value.decode(errors="replace")))
        elif name == b"data":
            self._data.append(value)
            self._data_bytes += len(value) + 1
            if self._data_bytes > EVENT_BYTES:
                raise TooLarge(f"an event is longer than {EVENT_BYTES} bytes", events)

    def _dispatch(self, events: list[tuple[str, str]]) -> None:
        name, data = self._name, b"\n".join(self._data)
        self._name, self._data, self._data_bytes = b"", [], 0
        try:
            events.append((name.decode(), data.decode()))
        except UnicodeDecodeError:
            self.malformed += 1
            events.append((name.decode(errors="replace"), data.decode(errors="replace")))


def _too_long(events: list[tuple[str, str]]) -> TooLarge:
    return TooLarge(f"a line is longer than {LINE_BYTES} bytes", events)


# Newline-delimited JSON out of raw bytes, within the same bounds as server-sent events.


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


# Plain text out of raw bytes: streams without events, whose every segment is text.


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

"""Parses server-sent events from raw bytes, by the WHATWG rules and within limits.

The rules are extended where a browser would lose what LLM servers send: an event with a name and no
data is an event, and so are a field `error` and a line that begins with `{`. Lines end with CR, LF
or CRLF bytes only: decoding happens after splitting, so U+2028 inside data stays data. A line that
ends with CR is complete at the CR; an LF in a later segment is skipped. `id` and `retry` serve
reconnection, which a probe never does.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import codecs
import sys
from collections.abc import Callable, Mapping

from monitor.domain import (
    FROM_START,
    Dialect,
    Ending,
    Framing,
    ParsedEvent,
    StreamEvent,
    TextKind,
    Thoughts,
)
from monitor.probing.limits import (
    EVENT_BYTES,
    EVENT_OVERHEAD_BYTES,
    FREE_BYTES,
    HELD_BYTES,
    LINE_BYTES,
    MALFORMED_EVENTS,
    STREAM_BYTES,
    STREAM_EVENTS,
    StreamMemory,
    TooLarge,
)
from monitor.probing.timestamped_socket import ConnectionTimes

BOM = b"\xef\xbb\xbf"


class SseParser:
    """Turns bytes, however they are split, into events of (name, data)."""

    def __init__(self) -> None:
        self.comments = 0
        self.malformed = 0  # events with bytes that are not UTF-8; these bytes are replaced
        self._line = bytearray()  # the incomplete event
        self._after_cr = False
        self._at_start = True
        self._name = b""
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, data: bytes) -> list[tuple[str, str]]:
        """Events completed by these bytes, in order.

        Raises TooLarge at the first line or event over its limit; then it must get no more data.
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
        """The incomplete event at the regular end of the body.

        Many servers omit the last blank line, for which a browser would drop the event. A body that
        broke off is not closed.
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
        """The complete line that ends with these bytes."""
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
        if line.startswith(b"data: "):  # the usual case
            name, value = b"data", line[6:]
        else:
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
        if not name:
            self.comments += 1
        elif name == b"event":
            self._name = value
        # not a field of the specification: llama.cpp reports failures this way
        elif name == b"error":
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


# Parses newline-delimited JSON from raw bytes, within the same limits as server-sent events.


class NdjsonParser:
    """Turns bytes, however they are split, into events without a name. Blank lines are ignored."""

    def __init__(self) -> None:
        self.malformed = 0  # lines with bytes that are not UTF-8; these bytes are replaced
        self._line = bytearray()  # the incomplete line
        self._at_start = True

    def feed(self, data: bytes) -> list[tuple[str, str]]:
        """Lines completed by these bytes, in order.

        Raises TooLarge at the first line over its limit; then it must get no more data.
        """
        *ends, begun = data.split(b"\n")
        events: list[tuple[str, str]] = []
        for end in ends:
            if end or self._line:  # there may be very many blank lines
                self._extend(end, events)
                events += self.close()
        self._extend(begun, events)
        return events

    def close(self) -> list[tuple[str, str]]:
        """The incomplete line at the end: the last line of a stream may lack its newline."""
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


# Parses plain text from raw bytes: streams without events, in which every segment is text.


class TextParser:
    """Turns segments of bytes into texts without a name, in order and never empty.

    A character that is split over segments arrives with the segment that completes it. A byte order
    mark at the start is not text.
    """

    def __init__(self) -> None:
        self.malformed = 0  # 1 if there were bytes that are not UTF-8; these bytes are replaced
        self._held = b""  # the incomplete character or byte order mark
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
        """The remains of a character that was never completed, replaced."""
        return self._decoded(last=True)

    def _decoded(self, *, last: bool) -> list[tuple[str, str]]:
        try:
            text, used = codecs.utf_8_decode(self._held, "strict", last)
        except UnicodeDecodeError:
            self.malformed = 1
            text, used = codecs.utf_8_decode(self._held, "replace", last)
        self._held = self._held[used:]
        return [("", text)] if text else []


# What is read from a stream while it arrives: its events, its first text, and its end.


Parser = SseParser | NdjsonParser | TextParser
PARSERS: Mapping[Framing, Callable[[], Parser]] = {
    Framing.SSE: SseParser,
    Framing.NDJSON: NdjsonParser,
    Framing.TEXT: TextParser,
}

_TOGETHER = f"all streams together hold more than {HELD_BYTES} bytes"
EXTRA_CHARS = 20
_SHORT = 200  # characters of a claim; shorter claims are usually repeated
_MALFORMED = f"more than {MALFORMED_EVENTS} events are malformed"


class StreamReader:
    """Reads one stream in its dialect.

    `ending` is None while there is more to read. Bytes that arrived together with the dialect's end
    are kept as events, but not parsed. `raw`: events keep their data; otherwise only the parsed
    events are kept.
    """

    def __init__(
        self,
        dialect: Dialect,
        *,
        stop_after_chars: int | None,
        memory: StreamMemory | None = None,
        raw: bool = True,
    ) -> None:
        self.events: list[StreamEvent] = []
        self.heard: list[ParsedEvent] = []  # events up to the end
        self.ending: Ending | None = None
        self.detail: str | None = None
        self.last_text_ns: int | None = None
        self.first_text: tuple[bool, int] | None = None  # kernel timestamp; its uncertainty in ns
        self._withdrawn: tuple[bool, int] | None = None  # the first text was not answer text
        self._thinking = False  # no answer text yet, but reasoning in its place
        self._hear = dialect.parser()
        self._parser: Parser = PARSERS[dialect.framing]()
        self._ends_by_close = dialect.ends_by_close
        self._stop_after_chars = stop_after_chars
        self._bytes = 0
        self._chars = 0
        self._malformed = 0
        self._raw = raw
        self._memory = StreamMemory() if memory is None else memory
        self._held = 0  # bytes of memory
        self._counted = 0  # of these, the bytes counted for all streams

    def use(self, framing: Framing) -> None:
        """Set the framing of the body. Called before the first byte of the body, if at all."""
        self._parser = PARSERS[framing]()

    def take(self, piece: bytes, stamps: ConnectionTimes) -> None:
        """Process the bytes of one read; afterwards `ending` may be set."""
        self._bytes += len(piece)
        try:
            self._add(self._parser.feed(piece), stamps)
        except TooLarge as cap:
            self._add(cap.events, stamps)
            self._end(Ending.TOO_LARGE, str(cap))
        if self._bytes > STREAM_BYTES:
            self._end(Ending.TOO_LARGE, f"the stream is longer than {STREAM_BYTES} bytes")
        if self._malformed + self._parser.malformed > MALFORMED_EVENTS:
            self._end(Ending.PROTOCOL, _MALFORMED)

    def close(self, stamps: ConnectionTimes) -> None:
        """The body is complete: process what was left at its end."""
        try:
            self._add(self._parser.close(), stamps)
        except TooLarge as cap:
            self._end(Ending.TOO_LARGE, str(cap))
        if self._ends_by_close:
            self._end(Ending.END)

    def _add(self, found: list[tuple[str, str]], stamps: ConnectionTimes) -> None:
        for name, data in found:
            event = StreamEvent(stamps.arrived_ns, data, name, stamps.read)
            extra = self.ending is not None
            if not extra:
                self._receive(event, stamps)
            # Keep the start of what follows the end: it distinguishes `[DONE]` from more of the
            # answer.
            if not self._raw:
                start = data[: EXTRA_CHARS * extra]
                event = StreamEvent(stamps.arrived_ns, start, name, stamps.read)
            self.events.append(event)

    def _receive(self, event: StreamEvent, stamps: ConnectionTimes) -> None:
        received = self._parse(event)
        self.heard.append(received)
        self._weigh(event, received)
        self._malformed += received.malformed
        if self._malformed > MALFORMED_EVENTS:  # however the bytes were split: before what follows
            self._end(Ending.PROTOCOL, _MALFORMED)
        if len(self.events) >= STREAM_EVENTS:
            self._end(Ending.TOO_LARGE, f"the stream has more than {STREAM_EVENTS} events")
        if received.thoughts is not None:
            self._take_thoughts(received.thoughts, stamps)
        if received.text and not self._thinking:
            if self.first_text is None:
                self.first_text = stamps.kernel, stamps.doubt_ns
            self.last_text_ns = event.arrived_ns
            self._chars = len(received.text) + (0 if received.replaces else self._chars)
        if received.error is not None or received.end:
            self._end(Ending.END)
        elif self._stop_after_chars is not None and self._chars >= self._stop_after_chars:
            self._end(Ending.CUT)

    def _take_thoughts(self, thoughts: Thoughts, stamps: ConnectionTimes) -> None:
        """Text that counted as the answer may have been reasoning, or the tags around it."""
        self._thinking = not thoughts.answered
        place, kind = thoughts.marks[-1]
        answers = kind is TextKind.ANSWER and place >= 0  # from here on, in the event's own text
        if thoughts.marks[-1] == (FROM_START, TextKind.ANSWER):  # it was answer text after all
            self.first_text, self._withdrawn = self.first_text or self._withdrawn, None
        elif self._thinking or (answers and thoughts.marks[0][0] < 0):
            self._withdrawn = self.first_text or (stamps.kernel, stamps.doubt_ns)
            self.first_text, self._chars = None, 0
        if answers and self.first_text is None:
            self._chars = -place

    def _weigh(self, event: StreamEvent, received: ParsedEvent) -> None:
        """Count the memory of an event, for this stream and for all streams."""
        self._held += EVENT_OVERHEAD_BYTES + sys.getsizeof(received.text)
        if received.reasoning or received.error:
            self._held += sys.getsizeof(received.reasoning) + sys.getsizeof(received.error)
        if self._raw:
            self._held += sys.getsizeof(event.data)
        for claim in received.claims:
            if len(claim.value) > _SHORT:
                self._held += len(claim.value)
        more = self._held - FREE_BYTES - self._counted
        if more > 0:
            self._counted += more
            self._memory.held += more
            if self._memory.held > HELD_BYTES:
                self._end(Ending.TOO_LARGE, _TOGETHER)

    def release(self) -> None:
        """Stop counting this stream's memory. Called once, when its events are no longer needed."""
        self._memory.held -= self._counted
        self._counted = 0

    def _parse(self, event: StreamEvent) -> ParsedEvent:
        """The parsed event. A dialect that fails on it must not end the probe."""
        try:
            return self._hear(event)
        except Exception:
            return ParsedEvent(malformed=True)

    def _end(self, ending: Ending, detail: str | None = None) -> None:
        """The first reason to stop counts."""
        if self.ending is None:
            self.ending, self.detail = ending, detail

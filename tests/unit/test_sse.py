"""The SSE parser against the WHATWG rules, and against itself however the bytes are split."""

import pytest
from httpx_sse._decoders import SSEDecoder, SSELineDecoder
from hypothesis import given
from hypothesis import strategies as st

from monitor.probing.limits import EVENT_BYTES, LINE_BYTES, TooLarge
from monitor.probing.stream_reader import SseParser
from tests.byte_chunks import CUTS, cut_bytes
from tests.case_tables import each

UNBROKEN = "\u2028\u2029\x85\x0b\x0c\x1c"  # line ends to Python, and to nobody here
Events = list[tuple[str, str]]


def parsed(*pieces: bytes) -> Events:
    parser = SseParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.close()


@each(
    ("stream", "events"),
    [
        (b"", []),
        (b"data: a\n\n", [("", "a")]),
        (b"data: a\r\n\r\n", [("", "a")]),
        (b"data: a\r\r", [("", "a")]),
        (b"data: a\r\n\n", [("", "a")]),
        (b"data: a\n\r\n", [("", "a")]),
        (b"data: a\r\rdata: b\n\n", [("", "a"), ("", "b")]),
        (b"data: a\n\ndata: b\n\n", [("", "a"), ("", "b")]),
        # one space after the colon belongs to the grammar, a second one to the value
        (b"data:a\n\n", [("", "a")]),
        (b"data:  a\n\n", [("", " a")]),
        (b"data:\ta\n\n", [("", "\ta")]),
        (b"data: a \n\n", [("", "a ")]),
        # several lines of data are one event
        (b"data: a\ndata: b\n\n", [("", "a\nb")]),
        (b"data: a\ndata\ndata: b\n\n", [("", "a\n\nb")]),
        (b"data\n\n", [("", "")]),
        (b"data:\n\n", [("", "")]),
        (b"data\ndata\n\n", [("", "\n")]),
        # names
        (b"event: ping\ndata: a\n\n", [("ping", "a")]),
        (b"data: a\nevent: ping\n\n", [("ping", "a")]),
        (b"event: x\nevent: y\ndata: a\n\n", [("y", "a")]),
        (b"event: x\nevent\ndata: a\n\n", [("", "a")]),
        # a name without data is an event here: LangServe ends so
        (b"event: end\n\ndata: a\n\n", [("end", ""), ("", "a")]),
        (b"event\n\nevent: \n\n", []),
        # a field `error` is an event of its own: llama.cpp fails so
        (b"data: a\n\nerror: {}\n\n", [("", "a"), ("error", "{}")]),
        (b"error\n\n", [("error", "")]),
        # nor is a bare JSON object: proxies put their errors there
        (b'data: a\n\n{"error":1}\n\n', [("", "a"), ("", '{"error":1}')]),
        # what is no event
        (b": ping\n\n", []),
        (b":\n\n", []),
        (b":keepalive\ndata: a\n: more\n\n", [("", "a")]),
        (b"id: 7\nretry: 99\n\n", []),
        (b"id: 7\nretry: x\nid: \x00\ndata: a\n\n", [("", "a")]),
        (b"nonsense\nmore: x\ndata: a\n\n", [("", "a")]),
        (b"Data: a\n\n", []),
        (b" data: a\n\n", []),
        (b"data : a\n\n", []),
        (b"\n\n\n\n", []),
        # the end of a whole body closes the event begun
        (b"data: a", [("", "a")]),
        (b"data: a\n", [("", "a")]),
        (b"data: a\r", [("", "a")]),
        (b"data: a\ndata: b", [("", "a\nb")]),
        (b"data: a\n\ndata: b\n", [("", "a"), ("", "b")]),
        (b"data: a\n\nevent: end", [("", "a"), ("end", "")]),
        (b"data: a\n\n: ping", [("", "a")]),
        (b"\xef\xbb\xbfdata: a", [("", "a")]),
        # a byte order mark at the very start, and nowhere else
        (b"\xef\xbb\xbfdata: a\n\n", [("", "a")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
        (b"\n\xef\xbb\xbfdata: a\n\n", []),
        (b"\xef\xbb\xbf\n\ndata: a\n\n", [("", "a")]),
        # only CR and LF end a line
        (f"data: a{UNBROKEN}b\n\n".encode(), [("", f"a{UNBROKEN}b")]),
        (b"data: a\x00b\n\n", [("", "a\x00b")]),
        ("data: 👋\n\n".encode(), [("", "👋")]),
        (b'data: {"text":"Hi"}\n\n', [("", '{"text":"Hi"}')]),
    ],
)  # fmt: skip
def test_streams(stream: bytes, events: Events) -> None:
    assert parsed(stream) == events
    assert parsed(*(bytes([byte]) for byte in stream)) == events
    assert parsed(stream[: len(stream) // 2], b"", stream[len(stream) // 2 :]) == events


def test_an_event_is_complete_at_the_byte_that_ends_it() -> None:
    parser = SseParser()
    assert parser.feed(b"data: a\r\n\r") == [("", "a")], "the CR ends it; a LF may never come"
    assert parser.feed(b"\n") == []
    assert parser.feed(b"\n") == []
    assert parser.feed(b"data: b\n\n") == [("", "b")]


def test_comments_are_counted() -> None:
    parser = SseParser()
    parser.feed(b": ping\n\n:keepalive\ndata: a\n\n:")
    assert parser.comments == 2


@pytest.mark.parametrize(
    ("stream", "events", "malformed"),
    [
        (b"data: \xff\n\n", [("", "\ufffd")], 1),
        (b"data: a\xe2\x80\n\ndata: b\n\n", [("", "a\ufffd"), ("", "b")], 1),
        (b"event: \xff\ndata: \xfe\n\n", [("\ufffd", "\ufffd")], 1),
        (b"data: \xed\xa0\x80\n\n", [("", "\ufffd\ufffd\ufffd")], 1),  # a lone surrogate
        (b": \xff\n\nnonsense: \xff\n\n", [], 0),  # nobody looks there
        ("data: ü\n\n".encode(), [("", "ü")], 0),
    ],
)
def test_bytes_that_are_no_utf8_are_replaced_and_counted(
    stream: bytes, events: Events, malformed: int
) -> None:
    parser = SseParser()
    assert parser.feed(stream) == events
    assert parser.malformed == malformed


def test_a_line_at_its_cap_is_the_longest() -> None:
    line = b"data: " + b"x" * (LINE_BYTES - 6)
    assert len(parsed(line + b"\n\n")[0][1]) == LINE_BYTES - 6
    for pieces in ([line + b"x\n\n"], [line, b"x"], [line + b"x"]):
        with pytest.raises(TooLarge):
            parsed(*pieces)


def test_an_event_at_its_cap_is_the_largest() -> None:
    field = b"data: " + b"x" * 65_535 + b"\n"  # 65,536 bytes with its line end
    assert EVENT_BYTES == 16 * 65_536
    assert len(parsed(field * 16 + b"\n")) == 1
    with pytest.raises(TooLarge):
        parsed(field * 16 + b"data:\n")


def test_events_before_a_cap_are_not_lost() -> None:
    with pytest.raises(TooLarge) as cap:
        SseParser().feed(b"data: a\n\n" + b"x" * (LINE_BYTES + 1))
    assert cap.value.events == [("", "a")]


def test_endless_comments_leave_nothing_behind() -> None:
    parser = SseParser()
    for _ in range(1000):
        assert parser.feed(b": " + b"x" * 1000 + b"\n") == []
    assert parser.feed(b"data: a\n\n") == [("", "a")]


# Streams made of the pieces that matter.
TOKENS = st.sampled_from(
    [
        *(b"data", b"event", b"id", b"retry", b":", b" ", b"\n", b"\r", b"\r\n", b"\n\n"),
        *(b"a", b"1", b"\x00", b"\x85", b"\xc3", b"\xff", b"\xef\xbb\xbf"),
        *("\u2028".encode(), "👋".encode()),
    ]
)
STREAMS = st.lists(TOKENS, max_size=60).map(b"".join) | st.binary(max_size=200)


@given(STREAMS, CUTS)
def test_however_the_bytes_are_split_the_events_are_the_same(stream: bytes, at: list[int]) -> None:
    assert parsed(*cut_bytes(stream, at)) == parsed(stream)


@given(STREAMS, CUTS)
def test_however_the_bytes_are_split_an_event_comes_with_the_same_byte(
    stream: bytes, at: list[int]
) -> None:
    """The segment that completes the first event is the one that holds its last byte."""
    alone = SseParser()
    last_byte = next((i for i, b in enumerate(stream) if alone.feed(bytes([b]))), None)
    parser, taken = SseParser(), 0
    for piece in cut_bytes(stream, at):
        if parser.feed(piece):
            assert last_byte is not None
            assert taken <= last_byte < taken + len(piece)
            return
        taken += len(piece)
    assert last_byte is None


def by_httpx_sse(stream: bytes) -> Events:
    """The same stream by the usual decoder. Of events without data we count those with a name."""
    text = stream.decode("utf-8-sig", errors="replace")
    lines, decoder = SSELineDecoder(), SSEDecoder()
    events: Events = []
    held = False
    for line in [*lines.decode(text), *lines.flush()] if text else []:
        held = held or line == "data" or line.startswith("data:")
        event = decoder.decode(line)
        if event is not None and (held or event.event not in ("", "message")):
            events.append((event.event.removeprefix("message"), event.data))
        if not line:
            held = False
    return events


@given(STREAMS)
def test_our_events_are_those_of_httpx_sse(stream: bytes) -> None:
    assert SseParser().feed(stream) == by_httpx_sse(stream)

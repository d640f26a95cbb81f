"""What is heard of a stream while it arrives, without any socket."""

import json
from dataclasses import replace

import pytest
from hypothesis import given

from monitor.domain import Dialect, Ending, Framing, ParsedEvent, ProbeRequest, StreamEvent
from monitor.probing.limits import LINE_BYTES, MALFORMED_EVENTS, STREAM_BYTES, StreamMemory
from monitor.probing.stream_reader import StreamReader
from monitor.probing.timestamped_socket import ConnectionTimes
from tests.byte_chunks import CUTS, cut_bytes
from tests.case_tables import each


def hear(event: StreamEvent) -> ParsedEvent:
    """`t:` is text, `r:` reasoning, `e:` an error, `.` the end, `!` text and end at once."""
    kind, _, reported = event.data.partition(":")
    match kind:
        case "t":
            return ParsedEvent(text=reported)
        case "r":
            return ParsedEvent(reasoning=reported)
        case "e":
            return ParsedEvent(error=reported)
        case ".":
            return ParsedEvent(end=True)
        case "!":
            return ParsedEvent(text="end", end=True)
        case "?":
            raise KeyError(reported)
    return ParsedEvent(malformed=kind == "bad")


def crowd(size: int, memory: StreamMemory) -> StreamReader:
    """A stream that holds so many texts of a thousand characters."""
    hearing = StreamReader(TOY, stop_after_chars=None, memory=memory, raw=False)
    stamps = ConnectionTimes(arrived_ns=1, read=1)
    for _ in range(size):
        hearing.take(b"data:t:" + b"a" * 1000 + b"\n\n", stamps)
    return hearing


TOY = Dialect(
    "toy", Framing.SSE, ("text/event-stream",), lambda q, t: ProbeRequest("GET", ""), hear
)


def heard(*reads: str, dialect: Dialect = TOY, stop_after_chars: int | None = None) -> StreamReader:
    """Each read is events by their data, in words; reads are a second apart."""
    hearing = StreamReader(dialect, stop_after_chars=stop_after_chars)
    for number, read in enumerate(reads, start=1):
        stamps = ConnectionTimes(
            arrived_ns=number * 10**9, read=number, doubt_ns=number, kernel=True
        )
        hearing.take("".join(f"data:{data}\n\n" for data in read.split()).encode(), stamps)
    return hearing


@each(
    ("reads", "ending"),
    [
        (("t:a",), None),
        ((".",), Ending.END),
        (("t:a", "."), Ending.END),
        (("e:broken",), Ending.END),
        (("e:",), Ending.END),  # an error without a message is an error
        (("!",), Ending.END),
        (("x", "y"), None),
        (("? " * MALFORMED_EVENTS,), None),
        (("? " * (MALFORMED_EVENTS + 1),), Ending.PROTOCOL),
        (("bad " * (MALFORMED_EVENTS + 1),), Ending.PROTOCOL),
        (("bad " * 10, "? " * 10, "t:a ."), Ending.END),
        (("bad " * 10, "? " * 10, "t:a ? ."), Ending.PROTOCOL),  # however reads are cut
        (("bad " * 10, "? " * 10, "t:a ?", "."), Ending.PROTOCOL),
    ],
)
def test_endings(reads: tuple[str, ...], ending: Ending | None) -> None:
    assert heard(*reads).ending is ending


@pytest.mark.parametrize(
    ("reads", "ending"),
    [
        (("x " * 5,), None),
        (("x " * 6,), Ending.TOO_LARGE),
        (("x " * 3, "x " * 3), Ending.TOO_LARGE),
        ((". " + "x " * 9,), Ending.END),  # the first reason counts
    ],
)
def test_so_many_events_and_no_more(
    monkeypatch: pytest.MonkeyPatch, reads: tuple[str, ...], ending: Ending | None
) -> None:
    monkeypatch.setattr("monitor.probing.stream_reader.STREAM_EVENTS", 5)
    assert heard(*reads).ending is ending


@pytest.mark.parametrize(
    ("reads", "first", "last_s"),
    [
        (("x",), None, None),
        (("t:",), None, None),  # empty text is none
        (("r:hm", "x", "t:a"), (True, 3), 3),  # nor is reasoning
        (("t:a", "x", "t:b", "r:hm"), (True, 1), 3),
        (("x t:a t:b",), (True, 1), 1),
        ((".", "t:a"), None, None),  # what comes after the end is not heard
    ],
)
def test_first_and_last_text(
    reads: tuple[str, ...], first: tuple[bool, int] | None, last_s: int | None
) -> None:
    hearing = heard(*reads)
    assert hearing.first_text == first
    assert hearing.last_text_ns == (last_s * 10**9 if last_s else None)


def test_events_keep_their_read_and_its_arrival() -> None:
    hearing = heard("t:a t:b", ".", "t:c")
    assert [(event.data, event.read) for event in hearing.events] == [
        ("t:a", 1),
        ("t:b", 1),
        (".", 2),
        ("t:c", 3),  # kept, as an extra
    ]
    assert [event.arrived_ns // 10**9 for event in hearing.events] == [1, 1, 2, 3]


def test_every_event_is_received_once() -> None:
    times: list[str] = []

    def once(event: StreamEvent) -> ParsedEvent:
        times.append(event.data)
        return hear(event)

    heard("t:a t:b", ". t:c", dialect=replace(TOY, parse_event=once))
    assert times == ["t:a", "t:b", "."]


@pytest.mark.parametrize(
    ("reads", "ending"),
    [
        (("t:ab",), None),
        (("t:abc",), Ending.CUT),
        (("t:ab", "r:hmmmmm", "t:c"), Ending.CUT),
        (("t:ab !",), Ending.END),  # the end outranks having heard enough
    ],
)
def test_enough_is_counted_in_characters_of_answer_text(
    reads: tuple[str, ...], ending: Ending | None
) -> None:
    assert heard(*reads, stop_after_chars=3).ending is ending


def test_a_stream_at_its_cap_is_the_longest() -> None:
    hearing, comment = StreamReader(TOY, stop_after_chars=None), b":" + b"x" * 1022 + b"\n"
    for _ in range(STREAM_BYTES // 1024):
        hearing.take(comment, ConnectionTimes())
    assert hearing.ending is None
    hearing.take(b":", ConnectionTimes())
    assert hearing.ending is Ending.TOO_LARGE


def test_events_before_a_giant_line_are_received() -> None:
    hearing = StreamReader(TOY, stop_after_chars=None)
    hearing.take(b"data:t:a\n\n" + b"x" * (LINE_BYTES + 1), ConnectionTimes(kernel=True))
    assert hearing.ending is Ending.TOO_LARGE
    assert hearing.first_text == (True, 0)


@pytest.mark.parametrize("data", ["[" * 100_000, "9" * 5000, "\ud800".encode("utf-8", "replace")])
def test_a_dialect_that_stumbles_does_not_end_the_probe(data: str | bytes) -> None:
    def decode(event: StreamEvent) -> ParsedEvent:
        json.loads(event.data)
        raise AssertionError("this is JSON after all")

    hearing = StreamReader(replace(TOY, parse_event=decode), stop_after_chars=None)
    reported = data.encode() if isinstance(data, str) else data
    hearing.take(b"data:" + reported + b"\n\n", ConnectionTimes())
    assert (len(hearing.events), hearing.ending) == (1, None)


STREAM = (
    b": ping\n\ndata:x\r\n\r\ndata:r:hm\n\ndata:t:\n\ndata:t:first\n\ndata:t:more\n\ndata:.\n\n"
)
LAST_BYTE = STREAM.index(b"data:t:first") + len(b"data:t:first\n\n") - 1


@given(CUTS)
def test_however_the_bytes_are_split_the_first_text_is_of_the_same_segment(at: list[int]) -> None:
    hearing, taken, segment = StreamReader(TOY, stop_after_chars=None), 0, None
    for number, piece in enumerate(cut_bytes(STREAM, at)):
        hearing.take(piece, ConnectionTimes(arrived_ns=number, read=number, doubt_ns=number))
        if taken <= LAST_BYTE < taken + len(piece):
            segment = number
        taken += len(piece)
    assert hearing.first_text == (False, segment)
    assert hearing.ending is Ending.END
    assert [e.data for e in hearing.events] == ["x", "r:hm", "t:", "t:first", "t:more", "."]


@pytest.mark.search
def test_streams_that_hold_much_together_are_cut_and_small_ones_are_not() -> None:
    memory = StreamMemory()
    streams = [crowd(4_000, memory) for _ in range(8)]
    ends = [stream.ending for stream in streams]
    assert ends == [None] * 6 + [Ending.TOO_LARGE] * 2
    assert all("together" in str(s.detail) for s in streams if s.ending)
    assert crowd(100, memory).ending is None
    for stream in streams:
        stream.release()
    assert memory.held == 0
    assert crowd(3_000, memory).ending is None


def test_without_raw_data_the_same_is_received() -> None:
    kept, dropped = (StreamReader(TOY, stop_after_chars=None, raw=raw) for raw in (True, False))
    for hearing in (kept, dropped):
        hearing.take(
            b"data:t:a\n\ndata:r:b\n\ndata:.\n\ndata:t:c\n\n", ConnectionTimes(arrived_ns=1, read=1)
        )
    assert kept.heard == dropped.heard
    assert [event.data for event in kept.events] == ["t:a", "r:b", ".", "t:c"]
    assert [event.data for event in dropped.events] == ["", "", "", "t:c"], "after the end: a start"

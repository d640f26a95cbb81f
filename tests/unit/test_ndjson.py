"""The NDJSON parser, and the same lines however the bytes are split."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.probing.limits import LINE_BYTES, TooLarge
from monitor.probing.stream_reader import NdjsonParser
from tests.byte_chunks import CUTS, cut_bytes
from tests.case_tables import each


def parsed(*pieces: bytes) -> list[str]:
    parser = NdjsonParser()
    events = [event for piece in pieces for event in parser.feed(piece)] + parser.close()
    assert {name for name, _ in events} <= {""}
    return [data for _, data in events]


@each(
    ("stream", "lines"),
    [
        (b"", []),
        (b"{}\n", ["{}"]),
        (b"{}\r\n", ["{}"]),
        (b"{}", ["{}"]),  # the last line may lack its end
        (b"{}\n[]", ["{}", "[]"]),
        (b"\n\r\n  \n{}\n\n", ["{}"]),  # blank lines are none
        (b'{"a":\r1}\n', ['{"a":\r1}']),  # a bare CR is white space to JSON
        ('"\u2028\x85"\n'.encode(), ['"\u2028\x85"']),
        (b"\xef\xbb\xbf{}\n", ["{}"]),
        (b'"\xff"\n', ['"\ufffd"']),
    ],
)
def test_streams(stream: bytes, lines: list[str]) -> None:
    assert parsed(stream) == lines
    assert parsed(*(bytes([byte]) for byte in stream)) == lines


def test_a_line_is_complete_at_its_newline() -> None:
    parser = NdjsonParser()
    assert parser.feed(b"{}") == []
    assert parser.feed(b"\n[") == [("", "{}")]
    assert parser.close() == [("", "[")]
    assert parser.close() == []


def test_lines_that_are_no_utf8_are_counted() -> None:
    parser = NdjsonParser()
    parser.feed(b'"\xff"\n"\xc3\xbc"\n\xfe')
    assert parser.malformed == 1
    parser.close()
    assert parser.malformed == 2


def test_a_line_at_its_cap_is_the_longest() -> None:
    assert len(parsed(b"x" * LINE_BYTES + b"\n")[0]) == LINE_BYTES
    for pieces in ([b"x" * LINE_BYTES, b"x"], [b"x" * (LINE_BYTES + 1) + b"\n"]):
        with pytest.raises(TooLarge):
            parsed(*pieces)


def test_lines_before_a_cap_are_not_lost() -> None:
    with pytest.raises(TooLarge) as cap:
        NdjsonParser().feed(b"{}\n" + b"x" * (LINE_BYTES + 1))
    assert cap.value.events == [("", "{}")]


TOKENS = st.sampled_from([b"{", b"}", b"\n", b"\r", b" ", b"1", b"\xff", b"\xc3", b"\xef\xbb\xbf"])


@given(st.lists(TOKENS, max_size=60).map(b"".join), CUTS)
def test_however_the_bytes_are_split_the_lines_are_the_same(stream: bytes, at: list[int]) -> None:
    assert parsed(*cut_bytes(stream, at)) == parsed(stream)

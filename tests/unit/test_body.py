"""Bodies out of their framing, held against h11 where both accept."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import Ending
from monitor.probing.http_message import ChunkedBody, SizedBody, UnsizedBody
from monitor.probing.limits import HEAD_BYTES, ProbeError
from tests.byte_chunks import CUTS, cut_bytes
from tests.case_tables import each


def unchunked(*pieces: bytes) -> tuple[bytes, bool]:
    body = ChunkedBody()
    data = b"".join([body.feed(piece) for piece in pieces])
    return data, body.ended


@each(
    ("framed", "body", "ended"),
    [
        (b"", b"", False),
        (b"0\r\n\r\n", b"", True),
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc", True),
        (b"3\r\nabc\r\n", b"abc", False),
        (b"3\r\nab", b"ab", False),
        (b"3\r\nabc", b"abc", False),
        (b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc", True),
        (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789", True),
        (b"A\r\n0123456789\r\n", b"0123456789", False),
        (b"0003\r\nabc\r\n", b"abc", False),
        (b"3;name=value;q=\"x;y\"\r\nabc\r\n", b"abc", False),
        (b"3  ;x\r\nabc\r\n", b"abc", False),
        (b"3\r\n\r\n\n\r\n0\r\n\r\n", b"\r\n\n", True),
        (b"0\r\nX-Usage: 7\r\nX-More: 1\r\n\r\n", b"", True),
        (b"0\r\n\r\nHTTP/1.1 200 again", b"", True),
    ],
)  # fmt: skip
def test_chunks(framed: bytes, body: bytes, ended: bool) -> None:
    assert unchunked(framed) == (body, ended)
    assert unchunked(*(bytes([byte]) for byte in framed)) == (body, ended)


@each(
    "framed",
    [
        b"x\r\n",
        b"\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b"1_0\r\n",
        b" 1\r\na\r\n",
        b"1\na\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\rb",
        b"1\r\na\n",
        b"1" * 17 + b"\r\n",
        b"3;x\rabc\r\n",
        b"f" * (HEAD_BYTES + 1),
        b"1;" + b"x" * HEAD_BYTES,
        b"0\r\n" + b"X: y\r\n" * HEAD_BYTES,
    ],
)
def test_what_is_no_chunk_is_trouble(framed: bytes) -> None:
    for pieces in ([framed], [bytes([byte]) for byte in framed]):
        with pytest.raises(ProbeError) as error_reason:
            unchunked(*pieces)
        assert error_reason.value.ending is Ending.PROTOCOL


def test_a_chunk_of_any_size_is_handed_out_as_it_comes() -> None:
    body = ChunkedBody()
    assert body.feed(b"ffffffffffffffff\r\nabc") == b"abc"
    assert body.feed(b"x" * 1000) == b"x" * 1000
    assert not body.ended


def test_a_sized_body_ends_with_its_last_byte() -> None:
    body = SizedBody(3)
    assert (body.feed(b"ab"), body.ended) == (b"ab", False)
    assert (body.feed(b"cde"), body.ended) == (b"c", True)
    assert SizedBody(0).ended


def test_an_unsized_body_never_ends_by_itself() -> None:
    body = UnsizedBody()
    assert body.feed(b"abc") == b"abc"
    assert (body.ended, body.open_ended) == (False, True)


def by_h11(framed: bytes) -> bytes | None:
    """The same bytes read by h11; None where it refuses them or wants more."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed)
    body = b""
    try:
        while True:
            match connection.next_event():
                case h11.Data(data=data):
                    body += bytes(data)
                case h11.EndOfMessage():
                    return body
                case h11.NEED_DATA:
                    return None
    except h11.RemoteProtocolError:
        return None


TOKENS = st.sampled_from(
    [
        *(b"0\r\n\r\n", b"3\r\nabc\r\n", b"1;x=y\r\n", b"X: 1\r\n"),
        *(b"a", b"2", b"\r\n", b"\n", b";", b" "),
    ]
)
FRAMED = st.lists(TOKENS, max_size=20).map(b"".join)


@given(FRAMED | st.lists(st.binary(min_size=1, max_size=40), max_size=6).map(
    lambda parts: b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"
), CUTS)  # fmt: skip
def test_what_h11_accepts_we_read_the_same_however_it_is_split(
    framed: bytes, at: list[int]
) -> None:
    expected = by_h11(framed)
    if expected is None:
        return
    assert unchunked(*cut_bytes(framed, at)) == (expected, True)


@given(FRAMED, CUTS)
def test_however_the_bytes_are_split_the_body_is_the_same(framed: bytes, at: list[int]) -> None:
    def outcome(*pieces: bytes) -> object:
        try:
            return unchunked(*pieces)
        except ProbeError as error_reason:
            return error_reason.detail

    assert outcome(*cut_bytes(framed, at)) == outcome(framed)

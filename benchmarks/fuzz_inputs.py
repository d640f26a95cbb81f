"""Bytes nobody would send: recorded streams with something done to them, and grammars in pieces."""

import random
from itertools import pairwise
from pathlib import Path

RECORDED = Path(__file__).parents[1] / "tests" / "transcripts"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
GRAMMAR = [
    *(b"data", b"event", b"id", b"retry", b":", b" ", b"\n", b"\r", b"\r\n", b"\n\n", b"\x00"),
    *(b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\x85", b"\xff", b"\xc3", b"\xf0\x9f\x91\x8b"),
    *(b"0\r\n\r\n", b"5\r\nhello\r\n", b"ffffffffffffffff\r\n", b"3;x=y\r\n", b"X: 1\r\n", HEAD),
    *(b'{"text":"', b'"}', b'{"done":true}', b'{"error":', b"[" * 2000, b"9" * 5000, b"\\ud800"),
    *(b'{"choices":[{"delta":{"content":"', b"NaN", b"1e999", b"null", b"[DONE]", b"x" * 70_000),
    *(b"<think>", b"</think>", b"</th", b"<|channel|>final<|message|>"),
    *(b"HTTP/1.1 429 No\r\n", b"Retry-After: ", b"Mon, 23 Nov 2026 12:01:00 GMT", b"\r\n\r\n"),
    *(
        b"HTTP/1.1 302 Away\r\n",
        b"Location: ",
        b"http://[::1",
        b"//:0",
        b"Set-Cookie: a=b;",
        b"=\r\n",
    ),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 10\r\n", b"Content-Encoding: gzip\r\n"),
]


def recorded() -> list[bytes]:
    """The bodies of all recorded streams."""
    streams = [path for path in sorted(RECORDED.rglob("*")) if path.suffix in (".txt", ".ndjson")]
    return [path.read_bytes() for path in streams] or [b"data: {}\n\n"]


def cut(data: bytes, chance: random.Random) -> list[bytes]:
    """The same bytes in pieces."""
    places = sorted(chance.randint(0, len(data)) for _ in range(chance.randint(0, 12)))
    return [data[start:end] for start, end in pairwise([0, *places, len(data)])]


def chunked(data: bytes, chance: random.Random) -> bytes:
    """The same bytes as a server would chunk them."""
    pieces = [piece for piece in cut(data, chance) if piece]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def made_up(seeds: list[bytes], chance: random.Random) -> bytes:
    """Another input."""
    if chance.random() < 0.4:
        return b"".join(chance.choices(GRAMMAR, k=chance.randint(0, 40)))
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(0, 8)):
        at = chance.randint(0, len(data))
        match chance.randint(0, 3):
            case 0:
                data[at : at + chance.randint(0, 30)] = b""
            case 1:
                data[at:at] = chance.choice(GRAMMAR)
            case 2:
                data[at : at + 1] = bytes([chance.randint(0, 255)])
            case _:
                data[at:at] = data[: chance.randint(0, 400)]
    return chunked(bytes(data), chance) if chance.random() < 0.2 else bytes(data)

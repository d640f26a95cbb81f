"""A raw client and the strict grammar of the stream, for judging the simulated service.

Shapes are words of one letter a block: p ping, c continuity, k keepalive, t text, s sources,
d done, e error; a body that ends without its last chunk gets an x.
"""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

HEAD = re.compile(
    rb"HTTP/1\.1 200 OK\r\n"
    rb"content-type: text/event-stream; charset=utf-8\r\n"
    rb"cache-control: no-cache\r\n"
    rb"x-accel-buffering: no\r\n"
    rb"transfer-encoding: chunked\r\n"
    rb"access-control-allow-origin: \*\r\n"
    rb"x-ratelimit-limit: 30\r\n"
    rb"x-ratelimit-remaining: ([12]?\d|30)\r\n"
    rb"x-ratelimit-reset: \d{10}\r\n\r\n"
)
FLOAT = r"-?\d+\.\d+(?:e-?\d+)?"
NUMBERED = rf'"sequenceNumber":(?P<number>\d+),"timestamp":(?P<at>{FLOAT})'
TEXT = r'"(?:[ !#-\[\]-~]|\\["\\nrt]|\\u[0-9a-f]{4})*"'
SOURCE = (
    rf'\{{"source":{TEXT},"snippet":{TEXT},"similarity":0\.\d+,"tier":{TEXT},'
    rf'"dateLastCrawled":(?:null|"\d{{4}}-\d\d-\d\d")\}}'
)
BLOCKS = {
    "p": ": ping",
    "k": ":keepalive",
    "c": rf'data: \{{"type":"continuity_check","streamId":{TEXT},{NUMBERED}\}}',
    "t": rf'data: \{{"text":{TEXT},{NUMBERED}\}}',
    "s": rf'data: \{{"sources":\[{SOURCE}(?:,{SOURCE}){{0,2}}\]\}}',
    "d": rf'data: \{{"done":true,{NUMBERED},"streamDuration":{FLOAT}\}}',
    "e": rf'data: \{{"error":"Streaming failed: (?:[^"\\]|\\.)+","done":true,{NUMBERED}\}}',
}
STREAM = re.compile(r"pppc?(?:(?:k?t)*(?:ks?d|e)|(?:k?t)*x)")


@dataclass(frozen=True)
class ParsedStream:
    """A body that follows the grammar: its shape, its text, its last number, its data."""

    shape: str
    text: str
    number: int
    data: list[dict[str, Any]]


async def exchange(url: str, request: bytes) -> bytes:
    """Everything the server sends until it closes the connection."""
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write(request)
    received = await reader.read(-1)
    writer.close()
    await writer.wait_closed()
    return received


def get(target: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "host: service.test", "connection: close", *headers]
    if body:
        lines.append(f"content-length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def question_request(query: str, *headers: str) -> bytes:
    return get(f"/bali-zero/chat-stream?query={quote(query)}", *headers)


def split(received: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a whole reply."""
    top, _, body = received.partition(b"\r\n\r\n")
    status, *lines = top.decode().split("\r\n")
    return int(status.split(" ")[1]), dict(line.split(": ", 1) for line in lines), body


def parse(received: bytes) -> ParsedStream:
    """Judge a stream by every byte; raises AssertionError where it breaks the grammar."""
    head = HEAD.match(received)
    assert head, received[:400]
    blocks, ended = dechunked(received[head.end() :])
    shape, number, data, texts = "", 0, [], []
    for block in blocks:
        assert block.endswith(b"\n\n"), block
        letter, reported = kind(block[:-2].decode("ascii"))
        shape += letter
        number += letter == "t"
        assert "sequenceNumber" not in reported or reported["sequenceNumber"] == number, reported
        texts.append(reported.get("text", ""))
        if reported:
            data.append(reported)
    shape += "" if ended else "x"
    assert STREAM.fullmatch(shape), shape
    return ParsedStream(shape, "".join(texts), number, data)


def kind(block: str) -> tuple[str, dict[str, Any]]:
    for letter, pattern in BLOCKS.items():
        if re.fullmatch(pattern, block):
            return letter, json.loads(block[6:]) if block.startswith("data: ") else {}
    raise AssertionError(f"no such block: {block!r}")


def dechunked(body: bytes) -> tuple[list[bytes], bool]:
    """The chunks of a body, and whether it was ended properly."""
    chunks = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        assert re.fullmatch(rb"0|[1-9a-f][0-9a-f]*", size), size
        length = int(size, 16)
        chunk, after, body = rest[:length], rest[length : length + 2], rest[length + 2 :]
        assert after == b"\r\n", (chunk, after)
        if length == 0:
            assert not body, "bytes after the last chunk"
            return chunks, True
        chunks.append(chunk)
    return chunks, False

"""HTTP/1.1 by hand: requests read from a stream, replies as exact bytes.

A framework would choose heads and chunk borders itself; here they are part of what is
being simulated.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

LAST_CHUNK = b"0\r\n\r\n"


class MalformedRequest(ValueError):
    """What came is no HTTP/1.1 request we can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One request. Header names are in lower case; of repeated ones the last counts."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    peer: str

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def parameters(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def keep_alive(self) -> bool:
        return self.headers.get("connection", "").lower() != "close"


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A whole reply that is no stream."""

    status: int
    body: bytes = b""
    media_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(status: int, reported: Any, headers: Mapping[str, str] | None = None) -> HttpReply:
    """A reply in compact JSON; as the real service's, raw UTF-8 (its stream is ASCII)."""
    body = json.dumps(reported, separators=(",", ":"), ensure_ascii=False).encode()
    return HttpReply(status, body, "application/json", headers or {})


async def read_request(reader: asyncio.StreamReader, ahead: bytes, peer: str) -> HttpRequest | None:
    """The next request of a connection, or None where the client has hung up.

    `ahead` are bytes that were read before. Raises Malformed.
    """
    try:
        head = ahead + await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as fault:
        raise MalformedRequest("request head too large") from fault
    lines = head.decode("latin-1").split("\r\n")[:-2]
    try:
        method, target, version = lines[0].split(" ")
        pairs = [line.split(":", 1) for line in lines[1:]]
        headers = {name.lower(): value.strip() for name, value in pairs}
        length = int(headers.get("content-length", "0"))
    except ValueError as fault:
        raise MalformedRequest("request head cannot be read") from fault
    if version != "HTTP/1.1" or "transfer-encoding" in headers or length < 0:
        raise MalformedRequest("only HTTP/1.1 with a plain body is spoken here")
    body = await reader.readexactly(length)
    return HttpRequest(method=method, target=target, headers=headers, body=body, peer=peer)


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Status line and headers, in the order given."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def whole(reply: HttpReply, extra: Mapping[str, str], *, bodiless: bool = False) -> bytes:
    """A reply as bytes, with extra headers last. A HEAD request gets no body."""
    headers: dict[str, str] = {}
    if reply.status != HTTPStatus.NO_CONTENT:
        headers["content-length"] = str(len(reply.body))
    if reply.media_type is not None:
        headers["content-type"] = reply.media_type
    body = b"" if bodiless else reply.body
    return head(reply.status, {**headers, **reply.headers, **extra}) + body


def http_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return f"{len(data):x}\r\n".encode("ascii") + data + b"\r\n"

"""The headers of a response, parsed defensively, and its body without framing."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

from monitor.domain import Ending
from monitor.probing.limits import HEAD_BYTES, HEAD_FIELDS, ProbeError

LONGEST_WAIT_S = 3600.0

Raw = Sequence[tuple[bytes, bytes]]
Fields = tuple[tuple[str, str], ...]


def excess(raw: Raw) -> str | None:
    """Which limit the headers exceed, if any."""
    if len(raw) > HEAD_FIELDS:
        return f"the head has more than {HEAD_FIELDS} fields"
    if sum(len(name) + len(value) for name, value in raw) > HEAD_BYTES:
        return f"the head is longer than {HEAD_BYTES} bytes"
    return None


def fields(raw: Raw) -> Fields:
    """The header fields in order, names in lower case."""
    return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw)


def field(head: Fields, wanted: str) -> str | None:
    """The first value of a field."""
    return next((value for name, value in head if name == wanted), None)


def media_type(head: Fields) -> str | None:
    """The bare media type, in lower case."""
    value = field(head, "content-type")
    return value.partition(";")[0].strip().lower() if value is not None else None


def encoded(head: Fields) -> str | None:
    """The content encoding, if there is one."""
    encodings = [value.strip() for name, value in head if name == "content-encoding"]
    return next((e for e in encodings if e.lower() not in ("", "identity")), None)


def retry_after_s(head: Fields, now: datetime) -> float | None:
    """How long the server asks us to wait, at most an hour; None if it does not, or unreadably."""
    value = (field(head, "retry-after") or "").strip()
    if value.isascii() and value.isdigit():
        seconds = float(value)
    else:
        try:
            at = parsedate_to_datetime(value)
            seconds = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
        except (ValueError, OverflowError, IndexError, TypeError):
            return None
    return min(max(seconds, 0.0), LONGEST_WAIT_S)


# The body of a response, separated from its framing.
#
# h11 parses the headers and names the framing. The body arrives in hundreds of small chunks, and
# parsing each with h11 would cost more than everything else we do with it.
#
# Source: RFC 9112, section 6 and 7


SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")


class HttpBody(Protocol):
    """`ended`: the body is complete. `open_ended`: only the end of the connection ends it."""

    ended: bool
    open_ended: bool

    def feed(self, data: bytes) -> bytes:
        """The body's part of these bytes. Anything after its end is ignored."""
        ...


class SizedBody:
    """A body with a known number of bytes."""

    open_ended = False

    def __init__(self, size: int) -> None:
        self._left = size
        self.ended = size == 0

    def feed(self, data: bytes) -> bytes:
        data = data[: self._left]
        self._left -= len(data)
        self.ended = self._left == 0
        return data


class UnsizedBody:
    """A body that ends with its connection."""

    open_ended = True
    ended = False

    def feed(self, data: bytes) -> bytes:
        return data


class ChunkedBody:
    """A body in chunks, each preceded by its size. Extensions and trailers are ignored."""

    open_ended = False

    def __init__(self) -> None:
        self.ended = False
        self._left = 0  # bytes left of the current chunk, including its line end
        self._line = bytearray()  # an incomplete size line or trailer
        self._trailer_bytes: int | None = None  # None until the last chunk

    def feed(self, data: bytes) -> bytes:
        """Raises ProbeError if the bytes are not chunks."""
        parts: list[bytes] = []
        at = 0 if self._left or self._line else self._whole(data, parts)
        while at < len(data) and not self.ended:
            if self._left > 2:
                part = data[at : at + self._left - 2]
                parts.append(part)
                self._left -= len(part)
            elif self._left:
                part = data[at : at + self._left]
                if part != b"\r\n"[2 - self._left :][: len(part)]:
                    raise ProbeError(Ending.PROTOCOL, "a chunk is longer than its size")
                self._left -= len(part)
            else:
                part = data[at : data.find(b"\n", at) + 1 or None]
                self._frame(part)
            at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _whole(self, data: bytes, parts: list[bytes]) -> int:
        """Take the complete chunks, which is nearly all; return where the rest begins."""
        at = 0
        while self._trailer_bytes is None and (size := SIZE.match(data, at)):
            start = size.end()
            end = start + int(size[1], 16)
            if end == start or data[end : end + 2] != b"\r\n":
                break
            parts.append(data[start:end])
            at = end + 2
        return at

    def _frame(self, part: bytes) -> None:
        """Take a size line or a trailer, or part of one, and process it once it is complete."""
        self._line += part
        if len(self._line) + (self._trailer_bytes or 0) > HEAD_BYTES:
            raise ProbeError(Ending.PROTOCOL, f"a chunk's frame is longer than {HEAD_BYTES} bytes")
        if not part.endswith(b"\n"):
            return
        line = bytes(self._line)
        self._line.clear()
        if self._trailer_bytes is not None:
            self._trailer_bytes += len(line)
            self.ended = line in (b"\r\n", b"\n")
            return
        size = SIZE.fullmatch(line)
        if size is None:
            raise ProbeError(Ending.PROTOCOL, "the body is not chunked as announced")
        if chunk_bytes := int(size[1], 16):
            self._left = chunk_bytes + 2
        else:
            self._trailer_bytes = 0

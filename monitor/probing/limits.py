"""How much of a stranger's bytes we are willing to hold."""

import os
import socket
import ssl
from dataclasses import dataclass

from monitor.domain import Ending

LINE_BYTES = 256 * 1024
EVENT_BYTES = 1024 * 1024
STREAM_BYTES = 4 * 1024 * 1024
STREAM_EVENTS = 50_000  # four MiB of the shortest events would fill memory all the same
SLICE_BYTES = 4 * 1024  # worked on in one turn of the loop
FREE_BYTES = 2 * 1024 * 1024  # of memory that any stream may hold, 5,000 tokens and more …
HELD_BYTES = 20 * 1024 * 1024  # … and what all streams together may hold beyond it
EVENT_OVERHEAD_BYTES = 300  # of memory that an event takes besides its text
HEAD_BYTES = 64 * 1024
HEAD_FIELDS = 256
BODY_BYTES = 8_000
BODY_CHARS = 2_000  # kept of a body that was no stream
MALFORMED_EVENTS = 20


class TooLarge(Exception):
    """A cap was reached. `events` were complete before it."""

    def __init__(self, what: str, events: list[tuple[str, str]]) -> None:
        super().__init__(what)
        self.events = events


# Expected trouble, in words a person can read.


class ProbeError(Exception):
    """How the exchange ends, and why."""

    def __init__(self, ending: Ending, detail: str) -> None:
        super().__init__(detail)
        self.ending = ending
        self.detail = detail


def reason(error: OSError) -> str:
    """Why it failed, without addresses and source positions that libraries add."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)


# What the streams under way hold together.


@dataclass(slots=True)
class StreamMemory:
    """Bytes that all streams hold beyond what each may hold in any case."""

    held: int = 0

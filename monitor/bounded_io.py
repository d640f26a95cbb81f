"""Reading and writing what others control, within limits of size and time.

A path can lead to a named pipe without a writer, to a device without end or to a huge file. The
reader of our output can stall, and a write to it would then block the whole process.
"""

import errno
import os
import select
import stat
import time
from pathlib import Path

READ_S = 10.0  # for what is not a regular file
MOST_BYTES = 4 << 20
PIECE = select.PIPE_BUF  # a pipe that is ready takes so much at once


def content(path: Path, *, most: int = MOST_BYTES, within_s: float | None = None) -> bytes:
    """The content of a file, or of a pipe that is written to its end within `within_s`.

    `within_s` None: `READ_S`. Raises OSError, also for more than `most` bytes.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        limit_s = READ_S if within_s is None else within_s
        return _read(descriptor, most, None if _regular(descriptor) else limit_s, str(path))
    finally:
        os.close(descriptor)


def _regular(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _read(descriptor: int, most: int, within_s: float | None, name: str) -> bytes:
    read, until_s = bytearray(), time.monotonic() + (within_s or 0.0)
    while len(read) <= most:
        if within_s is not None and not _ready(descriptor, select.POLLIN, until_s):
            raise OSError(errno.ETIMEDOUT, f"no end within {within_s:g} s", name)
        try:
            piece = os.read(descriptor, min(1 << 16, most + 1 - len(read)))
        except BlockingIOError:
            continue
        if not piece:
            return bytes(read)
        read += piece
    raise OSError(errno.EFBIG, f"more than {most >> 20} MiB", name)


def write(descriptor: int, data: bytes, *, within_s: float = 0.0) -> int:
    """Write as much as its reader takes within `within_s`; returns how many bytes.

    Never blocks for longer, although the descriptor is in blocking mode. Raises OSError.
    """
    done, until_s = 0, time.monotonic() + within_s
    while done < len(data) and _ready(descriptor, select.POLLOUT, until_s):
        done += os.write(descriptor, data[done : done + PIECE])
    return done


def _ready(descriptor: int, event: int, until_s: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, event)
    return bool(poll.poll(max(0.0, until_s - time.monotonic()) * 1000))

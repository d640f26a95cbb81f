"""The format of a spool file: one record a line, each with its length and checksum.

`+` records contain an observation, `-` records say up to which sequence number everything was
stored or dropped. Sequence numbers rise. A record begins with a line feed and contains no other, so
that reading continues at the next record after damaged bytes.
"""

import fcntl
import json
import os
import re
import stat
import zlib
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from monitor.domain import Observation
from monitor.storage.observations import row

_HEAD = re.compile(rb"\n([+-]) ([0-9a-f]{16}) ([0-9a-f]{8}) ([0-9a-f]{8}) ")
_HEAD_BYTES = 38
_LONGEST = 16 << 20  # bytes of a record; a longer one is damaged
_OBSERVATION: TypeAdapter[Observation] = TypeAdapter(Observation)
# A file of an older version: fields that it did not have are unknown.
_ABSENT: Mapping[str, None] = {f.name: None for f in fields(Observation) if f.default is MISSING}


def waiting(sequence: int, observation: Observation) -> bytes:
    """The record of a waiting observation."""
    return _record(b"+", sequence, json.dumps(row(observation), default=str).encode("ascii"))


def done(sequence: int) -> bytes:
    """The record that nothing up to this sequence number waits any longer."""
    return _record(b"-", sequence, b"")


def _record(kind: bytes, sequence: int, payload: bytes) -> bytes:
    sealed = b"%s %016x %08x " % (kind, sequence, len(payload))
    return b"\n%s%08x %s" % (sealed, _checksum(sealed, payload), payload)


def _checksum(sealed: bytes, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(sealed))


@dataclass(slots=True)
class SpoolContents:
    """The contents of a file: what waits, in order, and how many stretches were unreadable.

    `torn`: the end was unreadable as well, as after an interrupted write.
    """

    waiting: list[Observation] = field(default_factory=list)
    damaged: int = 0
    torn: bool = False


def parse(data: bytes) -> SpoolContents:
    """Parse a file, complete or torn anywhere."""
    found: dict[int, bytes] = {}
    newest, stored, position, contents = -1, -1, 0, SpoolContents()
    while position < len(data):
        record = _read(data, position)
        if record is None:
            following = _HEAD.search(data, position + 1)
            contents.torn = following is None
            contents.damaged += b"\n" in data[position + 1 : following.end() if following else None]
            position = following.start() if following else len(data)
            continue
        kind, sequence, payload = record
        position += _HEAD_BYTES + len(payload)
        if kind == b"-":
            stored = max(stored, sequence)
        elif sequence > newest:  # a write that was repeated after an error counts once
            newest = sequence
            found[sequence] = payload
    for sequence, payload in found.items():
        if sequence > stored:
            observation = _observation(payload)
            if observation is None:
                contents.damaged += 1
            else:
                contents.waiting.append(observation)
    return contents


def _read(data: bytes, position: int) -> tuple[bytes, int, bytes] | None:
    head = _HEAD.match(data, position)
    if head is None:
        return None
    length = int(head[3], 16)
    if length > min(_LONGEST, len(data) - head.end()):
        return None
    payload = data[head.end() : head.end() + length]
    sealed = data[head.start() + 1 : head.start(4)]
    if _checksum(sealed, payload) != int(head[4], 16):
        return None
    return head[1], int(head[2], 16), payload


def _observation(payload: bytes) -> Observation | None:
    try:
        written: dict[str, Any] = json.loads(payload)
        return _OBSERVATION.validate_python({**_ABSENT, **written})
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        return None


# Spool files: each process appends to its own, and takes over those of ended processes.
#
# Everything here blocks and may raise OSError: call it in a thread, one call at a time.


# bytes of obsolete records that a file may contain, in addition to as many of valid ones
_GARBAGE = 1 << 20
_LARGEST = 64 << 20  # bytes that are read of a file; a full spool has far fewer
Held = tuple[Path, int]  # a file and its descriptor, which holds the lock


class TakenSpoolFile(NamedTuple):
    """A file taken over: `leave` it once its contents are stored elsewhere."""

    held: Held
    contents: SpoolContents


class SpoolFile:
    """This process's file in a directory that several workers may share.

    The file is locked as long as the process lives. An unlocked file belongs to a process that
    ended; the process that locks it takes over its contents. After an error the contents on disk
    are unknown, so the next write starts another file with everything that waits. The former file
    is deleted once the new one is on disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.newest = -1  # the number of the latest written observation; -1: write all of them
        self._held: Held | None = None
        self._former: list[Held] = []
        self._size = 0
        self._starts: deque[tuple[int, int]] = deque()  # for waiting observations: number, offset
        self._done = -1
        self._unsynced = False

    def write(
        self, new: Sequence[tuple[int, Observation]], *, done: int, sync: bool = False
    ) -> None:
        """Append what waits after `newest`, in order, and that up to `done` nothing waits.

        With `sync` everything written is on the disk afterwards.
        """
        try:
            self._write(new, done, sync or bool(self._former))
        except OSError:
            self._begin_another()
            raise
        while self._former:
            leave(self._former.pop(), delete=True)
        live = self._size - self._starts[0][1] if self._starts else 0
        if self._size > 2 * live + _GARBAGE:
            self._begin_another()

    def _write(self, new: Sequence[tuple[int, Observation]], finished: int, sync: bool) -> None:
        while self._starts and self._starts[0][0] <= finished:
            self._starts.popleft()
        data, starts = b"", []
        for number, observation in new:
            starts.append((number, self._size + len(data)))
            data += waiting(number, observation)
        if data and self._held is None:
            self._held = _created(self.folder)
        if self._held is None:
            return
        _, fd = self._held
        if not data and not self._starts:
            if self._size:
                os.ftruncate(fd, 0)
                self._size = 0
            return
        if finished > self._done:
            data += done(finished) if self._size else b""
            self._done = finished
        if data:
            self._unsynced = True
            _append(fd, data, self._size)
            self._size += len(data)
            self._starts.extend(starts)
            self.newest = new[-1][0] if new else self.newest
        if sync and self._unsynced:
            os.fsync(fd)
            self._unsynced = False

    def _begin_another(self) -> None:
        if self._held is not None:
            self._former.append(self._held)
        self._held, self._size, self.newest = None, 0, -1
        self._starts.clear()

    def others(self) -> list[Path]:
        """The files of other processes, oldest first."""
        ours = {path for path, _ in (*self._former, *([self._held] if self._held else []))}
        found = [(_changed_at(path), path) for path in self.folder.glob("*.spool")]
        return [path for _, path in sorted(found) if path not in ours]

    def take(self, path: Path) -> TakenSpoolFile | None:
        """Lock the file of an ended process, and read it; None if the process lives."""
        fd = _locked(path)
        if fd is None:
            return None
        try:
            return TakenSpoolFile((path, fd), _parsed(fd))
        except OSError:
            os.close(fd)
            raise

    def close(self) -> None:
        """Unlock the file; it is deleted if nothing waits in it."""
        for held in self._former:
            leave(held, delete=False)
        if self._held is not None:
            leave(self._held, delete=not self._starts)
        self._former, self._held = [], None


def _parsed(fd: int) -> SpoolContents:
    """The contents of a file; of one that is larger than any spool, its start."""
    with os.fdopen(fd, "rb", closefd=False) as file:
        contents = parse(file.read(_LARGEST))
        contents.damaged += bool(file.read(1))
    return contents


def leave(held: Held, *, delete: bool) -> None:
    """Unlock a file; delete it first if everything in it is stored elsewhere."""
    path, fd = held
    if delete:
        with suppress(OSError):
            path.unlink()
    os.close(fd)


def _append(fd: int, data: bytes, size: int) -> None:
    rest, offset = memoryview(data), size
    while rest:
        written = os.pwrite(fd, rest, offset)
        rest, offset = rest[written:], offset + written


def _created(folder: Path) -> Held:
    """A new, locked file whose name survives a power failure."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        path = folder / f"{os.getpid()}-{token_hex(4)}.spool"
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        fd = _locked(path)
        if fd is not None:  # otherwise a worker that takes over orphans was faster
            break
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return path, fd


def _locked(path: Path) -> int | None:
    """The file, open and locked; None if it is locked, gone, or not a spool file.

    Opening a named pipe or a device could block for ever or have an effect, so these are not
    opened.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            return None
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_ino == path.stat().st_ino:
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0

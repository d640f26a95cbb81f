"""Spool files: each process appends to its own, and takes over those of processes that ended.

Everything here blocks and may raise OSError: call it in a thread, one call at a time.
"""

import fcntl
import os
import stat
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple

from monitor.domain import Observation
from monitor.storage import spool_records
from monitor.storage.spool_records import SpoolContents

_GARBAGE = 1 << 20  # bytes of records no longer needed that a file may hold, besides as many
Held = tuple[Path, int]  # a file and its descriptor, which holds the lock


class TakenSpoolFile(NamedTuple):
    """A file taken over: `leave` it once its contents are kept elsewhere."""

    held: Held
    contents: SpoolContents


class SpoolFile:
    """This process's file in a folder that several workers may share.

    The file is locked for as long as the process lives. An unlocked file belongs to a process
    that ended; whoever locks it takes over what waits in it.

    After an error nobody knows what is on the disk, so the next write begins another file with
    everything that waits. The former one is deleted once the new one is on the disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.newest = -1  # the number of the latest observation written; -1: write all of them
        self._held: Held | None = None
        self._former: list[Held] = []
        self._size = 0
        self._starts: deque[tuple[int, int]] = deque()  # of what waits: number, offset
        self._done = -1
        self._unsynced = False

    def write(
        self, new: Sequence[tuple[int, Observation]], *, done: int, sync: bool = False
    ) -> None:
        """Append what waits and is newer than `newest`, in order of its number, and note that
        nothing up to number `done` waits any more.

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

    def _write(self, new: Sequence[tuple[int, Observation]], done: int, sync: bool) -> None:
        while self._starts and self._starts[0][0] <= done:
            self._starts.popleft()
        data, starts = b"", []
        for number, observation in new:
            starts.append((number, self._size + len(data)))
            data += spool_records.waiting(number, observation)
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
        if done > self._done:
            data += spool_records.done(done) if self._size else b""
            self._done = done
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
        """Lock the file of a process that ended, and read it; None where the process lives."""
        fd = _locked(path)
        if fd is None:
            return None
        try:
            return TakenSpoolFile((path, fd), spool_records.parse(path.read_bytes()))
        except OSError:
            os.close(fd)
            raise

    def close(self) -> None:
        """Unlock the file; it is deleted when nothing waits in it."""
        for held in self._former:
            leave(held, delete=False)
        if self._held is not None:
            leave(self._held, delete=not self._starts)
        self._former, self._held = [], None


def leave(held: Held, *, delete: bool) -> None:
    """Unlock a file, and delete it before where everything in it is kept elsewhere."""
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
    """A new file, locked, whose name survives a loss of power."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        path = folder / f"{os.getpid()}-{token_hex(4)}.spool"
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        fd = _locked(path)
        if fd is not None:  # else a worker that takes over orphans was faster
            break
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return path, fd


def _locked(path: Path) -> int | None:
    """The file, open and locked; None where it belongs to somebody, is gone, or is none of ours.

    To open a named pipe or a device could wait for ever or have an effect: it is not opened, and
    what took a file's name since then is not waited for.
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

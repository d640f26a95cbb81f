"""Directories for the databases of tests: in memory if there is room.

A database has 350 files. Copying and deleting them takes 20 ms of CPU time in memory, and on some
disks more than 300 ms. What tests leave there when they are killed is removed by the next ones.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM = 2 << 30  # bytes: a server takes about 300 MB, and several run at a time
_CGROUPS = Path("/sys/fs/cgroup")
_PREFIX, _OWNER = "rag-monitor-tests-", ".owner"


@cache
def _folder() -> str | None:
    """`None`: the usual folder for temporary files."""
    usable = os.access(MEMORY, os.W_OK | os.X_OK)
    if not usable or min(shutil.disk_usage(MEMORY).free, memory_left()) <= ROOM:
        return None
    remove_left(MEMORY)
    return str(MEMORY)


def memory_left(cgroups: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> float:
    """The bytes that the limits of this process and its containers leave; infinite without one.

    Files in memory count as memory of the container. Caches count as used, although the kernel can
    drop them: then tests are only slower. Source: the kernel's documentation of cgroup v2 and v1
    """
    left = float("inf")
    for place in _places(cgroups, own):
        for limit, used in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            try:
                most, now = (Path(place, name).read_text().strip() for name in (limit, used))
            except OSError:
                continue
            if most.isdecimal() and now.isdecimal():
                left = min(left, int(most) - int(now))
    return left


def _places(cgroups: Path, own: Path) -> Iterator[Path]:
    """The groups of this process with those around them; of version 1, the group for memory."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    for line in ("0::/", "0:memory:/", *lines):
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        root = cgroups / "memory" if controllers else cgroups
        group = Path(path.lstrip("/"))
        yield from (root / part for part in (group, *group.parents))


def remove_left(folder: Path) -> None:
    """Remove the directories of tests that were killed: ours, of this user, and of no process.

    Each has a file beside it that its process has locked. The kernel releases the lock of a process
    that ends, in whatever way.
    """
    for mark in folder.glob(f"{_PREFIX}*{_OWNER}"):
        try:
            if mark.is_symlink() or mark.stat().st_uid != os.geteuid():
                continue
            with mark.open("rb") as owner:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(mark.with_suffix(""), ignore_errors=True)
                mark.unlink()
        except OSError:  # in use, or removed by another process
            continue


@contextmanager
def owned_directory(folder: str | None) -> Iterator[Path]:
    """A directory whose owner is this process, as long as it lives; its children do not count."""
    descriptor, name = tempfile.mkstemp(suffix=_OWNER, prefix=_PREFIX, dir=folder)
    mark = Path(name)
    with os.fdopen(descriptor, "wb") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        made = mark.with_suffix("")
        made.mkdir(mode=0o700)
        try:
            yield made.resolve()
        finally:
            shutil.rmtree(made)
            mark.unlink(missing_ok=True)


@contextmanager
def database_directory() -> Iterator[Path]:
    """A directory for the time of the block. All of them are on one file system."""
    with owned_directory(_folder()) as made:
        yield made

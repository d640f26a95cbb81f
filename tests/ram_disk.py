"""Directories for the databases of tests: in memory if there is room.

A database has 350 files. Copying and deleting them takes 20 ms of CPU time in memory, and on some
disks more than 300 ms.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ROOM = 2 << 30  # bytes: a server takes about 300 MB, and several run at a time


@cache
def _folder() -> str | None:
    """`None`: the usual folder for temporary files."""
    usable = os.access(_MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(_MEMORY).free > _ROOM
    return str(_MEMORY) if usable else None


@contextmanager
def database_directory() -> Iterator[Path]:
    """A directory for the time of the block. All of them are on one file system."""
    with tempfile.TemporaryDirectory(prefix="postgres-", dir=_folder()) as made:
        yield Path(made).resolve()

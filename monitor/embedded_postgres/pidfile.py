"""What `postmaster.pid` says of the server on a directory, and where its socket lies.

Lines: process id, directory, start, port, socket directory, address, shared memory, status.
"""

import hashlib
import os
import socket
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from monitor.embedded_postgres.binaries import EmbeddedPostgresError
from monitor.embedded_postgres.run_as import RunAs

_SOCKET = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 103  # bytes; macOS, and Linux takes four more


@dataclass(frozen=True, slots=True)
class LiveServer:
    """A server that accepts connections."""

    pid: int
    sockets: Path


def live(directory: Path) -> LiveServer | None:
    """The server on a directory, if it accepts connections now.

    The file may be left over from another life, and the process id may be somebody else's by
    now. So somebody must answer at the socket, which a server opens after it has written the
    file; and the file must say the same before and after that.
    """
    reported = _read(directory)
    if reported is None or len(reported) < 8 or reported[7] != "ready":
        return None
    sockets = Path(reported[4])
    # a server started by hand has its socket elsewhere, where by now another server may answer
    if sockets.name != socket_directory(directory).name or not _answers(sockets / _SOCKET):
        return None
    return LiveServer(int(reported[0]), sockets) if _read(directory) == reported else None


def stale_pid(directory: Path) -> int:
    """The process id a dead server left behind, 0 if none. To be asked by the owner only.

    A file without a process id, written when the disk was full, only stands in the way.
    """
    reported = _read(directory)
    if reported is None:
        return 0
    signed = (
        reported[0].removeprefix("-") if reported else ""
    )  # a single-user server signs with a minus
    if not signed.isdecimal() or not int(signed):
        (directory / "postmaster.pid").unlink()
        return 0
    return int(signed)


def socket_directory(directory: Path) -> Path:
    """Where the socket of this data directory lies, the same each time."""
    short = len(os.fsencode(directory / _SOCKET)) <= _LONGEST_SOCKET_PATH
    if short and "," not in str(directory):  # clients take a comma for two hosts
        return directory
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"monitor-{digest}"


def open_socket_directory(directory: Path, served_by: RunAs) -> Path:
    """Have the place of the socket, closed to everybody else.

    TMPDIR is open to all, so somebody may have been there first.
    """
    place = socket_directory(directory)
    if place != directory:
        with suppress(FileExistsError):
            place.mkdir(mode=0o700)
            served_by.adopt(place)
        found = place.lstat()
        if (
            not stat.S_ISDIR(found.st_mode)
            or found.st_uid != served_by.files_uid
            or found.st_mode & 0o077
        ):
            raise EmbeddedPostgresError(
                f"{place}, the place for the socket of {directory}, is open to others or theirs: "
                "remove it, or give MONITOR_HOME a shorter path."
            )
    return place


def _read(directory: Path) -> list[str] | None:
    try:
        text = (directory / "postmaster.pid").read_text(errors="replace")
    except FileNotFoundError:
        return None
    return [line.strip() for line in text.splitlines()]


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as knock:
        knock.settimeout(1)
        try:
            knock.connect(str(path))
        except OSError:
            return False
    return True

"""A backup of the database: one file in pg_dump's own format, and its way back.

Source: pg_dump(1), pg_restore(1), libpq's environment variables.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, cast

from psycopg import OperationalError
from psycopg.pq import Conninfo
from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.exc import DBAPIError

from monitor.storage.engine import address, opened, unavailable
from monitor.storage.tables import incidents, observations, outbox

_PLAIN = ("--no-owner", "--no-privileges")
_LINES = 6  # of a failed program that are shown
# Written for every server by PostgreSQL 17 and newer, and refused by older servers.
_TOO_NEW = b"SET transaction_timeout = 0;\n"
_OURS = text(
    "SELECT to_regclass('monitor_alembic_version') IS NOT NULL"
    " OR to_regnamespace('report') IS NOT NULL"
)


class BackupError(Exception):
    """A program of PostgreSQL failed: its last words, which may hold parts of the address."""


@dataclass(frozen=True, slots=True)
class RestoredData:
    """What an instance holds after it was filled from a backup."""

    observations: int
    open_incidents: int
    waiting: int  # notices that were not sent when the backup was made


def save(url: str, file: Path, *, pg_dump: str) -> None:
    """Write the whole database to `file`, as it is at one instant. Raises BackupError."""
    command = [pg_dump, "--format=custom", "--no-password", *_PLAIN, f"--file={file}"]
    done = subprocess.run(
        command, env=_environment(url), stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode:
        raise BackupError(_last_words(done.stderr))


def load(url: str, file: Path, *, pg_restore: str, psql: str) -> None:
    """Fill a database from `file`, wholly or not at all. Raises BackupError.

    The database must not hold tables of ours: see `in_use`.
    """
    into = [psql, "--no-psqlrc", "--no-password", "--quiet", "--output=" + os.devnull]
    into += ["--single-transaction", "--set=ON_ERROR_STOP=1"]
    with (
        TemporaryFile() as complaints,
        subprocess.Popen(
            [pg_restore, *_PLAIN, "--file=-", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
        ) as reading,
        subprocess.Popen(
            into, env=_environment(url), stdin=subprocess.PIPE, stderr=complaints
        ) as writing,
    ):
        sink = cast("IO[bytes]", writing.stdin)
        try:
            _pass_on(cast("IO[bytes]", reading.stdout), sink)
            if reading.wait():
                writing.kill()  # before it commits what came of a damaged file
            sink.close()
        except BrokenPipeError:  # psql ended; what is left in the buffer cannot be written
            reading.kill()
            with suppress(BrokenPipeError):
                sink.close()
        if reading.wait() or writing.wait():
            complaints.seek(0)
            raise BackupError(_last_words(complaints.read()))


def _pass_on(source: IO[bytes], sink: IO[bytes]) -> None:
    """Copy SQL but for the first statement that older servers refuse, which stands at its top."""
    for line in source:
        if line == _TOO_NEW:
            break
        sink.write(line)
    shutil.copyfileobj(source, sink)


def in_use(url: str) -> bool:
    """Whether the database holds tables of ours already. Raises DatabaseUnavailable."""
    with _connected(url) as connection:
        return bool(connection.scalar(_OURS))


def settle_restored(url: str) -> RestoredData:
    """Mark what was waiting to be sent as perhaps sent since, and count what there is."""
    with _connected(url) as connection:
        waiting = connection.execute(
            update(outbox).where(outbox.c.settled_at.is_(None)).values(maybe_sent=True)
        )
        still_open = incidents.c.resolved_at.is_(None)
        return RestoredData(
            observations=connection.scalar(select(func.count()).select_from(observations)) or 0,
            open_incidents=connection.scalar(
                select(func.count()).select_from(incidents).where(still_open)
            )
            or 0,
            waiting=waiting.rowcount,
        )


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    engine = opened(url, statement_timeout_s=300)
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        if (found := unavailable(error)) is not None:
            raise found from None
        raise
    finally:
        engine.dispose()


def _last_words(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return " / ".join(lines[-_LINES:]) or "the program failed without a message"


def _environment(url: str) -> Mapping[str, str]:
    """The address as variables of libpq: an argument could be read by every user."""
    plain = f"postgresql://{address(url).partition('://')[2]}"
    try:
        parts = Conninfo.parse(plain.encode())
    except OperationalError as error:
        raise BackupError(str(error)) from None
    given = {part.envvar.decode(): part.val.decode() for part in parts if part.envvar and part.val}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "PGCONNECT_TIMEOUT": "10", **given}

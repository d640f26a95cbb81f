"""The data directory: created once, completely or not at all, and of one major version."""

import fcntl
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

from monitor.embedded_postgres import launch, run_as
from monitor.embedded_postgres.process import (
    LiveServer,
    PostgresProcess,
    Supervisor,
    live,
    open_socket_directory,
    stale_pid,
)
from monitor.embedded_postgres.run_as import (
    EmbeddedPostgres,
    EmbeddedPostgresError,
    PostgresBinaries,
    RunAs,
    RunAsRefused,
)

_INITDB = (
    "--username=monitor",
    "--auth-local=trust",
    "--auth-host=reject",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
    "--no-clean",  # we do it, and the program's own last output is what matters
)


def ensure(directory: Path, programs: PostgresBinaries) -> None:
    """Ensure that `directory` has data of our major version; create them if there are none."""
    version = directory / "PG_VERSION"
    if version.exists():
        found = version.read_text().strip()
        if found != programs.major:
            raise EmbeddedPostgresError(
                f"The data in {directory} belong to PostgreSQL {found}, but the embedded server is "
                f"PostgreSQL {programs.major}: dump them with a PostgreSQL {found}, move the "
                "directory away and restore, or set DATABASE_URL."
            )
    elif directory.exists() and any(directory.iterdir()):
        raise EmbeddedPostgresError(
            f"{directory} contains other data than PostgreSQL's: move them, "
            "or give MONITOR_HOME another directory."
        )
    else:
        _make(directory, programs)


def _make(directory: Path, programs: PostgresBinaries) -> None:
    """Create the data beside their place and move them there in one step.

    An attempt that was killed half-way is therefore never taken for data.
    """
    prefix = f"{directory.name}.new-"
    for abandoned in directory.parent.glob(f"{prefix}*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    refusals = []
    for maker in run_as.makers(directory):
        fresh = Path(tempfile.mkdtemp(prefix=prefix, dir=directory.parent))
        try:
            _fill(fresh, maker, programs)
        except RunAsRefused as refusal:
            refusals.append(str(refusal))
        else:
            fresh.rename(directory)
            return
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    raise EmbeddedPostgresError(
        f"Postgres refuses to run as root, and no other user can use {directory} "
        f"({'; '.join(refusals)}): give MONITOR_HOME a directory that others can reach, "
        "start as an ordinary user, or set DATABASE_URL."
    )


def _fill(fresh: Path, maker: RunAs, programs: PostgresBinaries) -> None:
    maker.adopt(fresh)
    maker.run(fresh, programs.initdb, f"--pgdata={fresh}", *_INITDB)
    single = ("--single", "-D", str(fresh), "-c", "exit_on_error=on", "postgres")
    maker.run(fresh, programs.postgres, *single, says="CREATE DATABASE monitor\n")


# Own the server of a directory, or join it.
#
# Two locks make both exact, however processes die. The owner alone holds HOME/postgres.lock: while
# another process holds it there is a server to join, or soon will be. The server's processes
# inherit a lock on the data's PG_VERSION: while anybody holds it, an earlier server is still
# shutting down; once we have it, no process id in a lock file is our server's.


_START_DEADLINE_S = 60.0
_LEFTOVER_DEADLINE_S = 30.0
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "30",
    "shared_buffers": "16MB",
    "huge_pages": "off",
    "io_method": "sync",  # no I/O workers
    "max_logical_replication_workers": "0",
    "autovacuum_max_workers": "1",
    "wal_compression": "on",  # most of it are whole pages, after each checkpoint
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "min_wal_size": "32MB",
    "max_wal_size": "128MB",
    "jit": "off",
    "log_checkpoints": "off",
}


@contextmanager
def serving(home: Path, programs: PostgresBinaries) -> Iterator[EmbeddedPostgres]:
    """A server on `home/postgres`: ours, stopped at the end, or another process's."""
    home = home.resolve()
    directory = (home / "postgres").resolve()
    with ExitStack() as ours:
        try:
            home.mkdir(parents=True, exist_ok=True)
            joined = _own_or_join(home / "postgres.lock", directory, ours)
            server = joined or _start(home, directory, programs, ours)
        except OSError as error:
            raise EmbeddedPostgresError(
                f"The embedded Postgres cannot use {error.filename or directory} "
                f"({error.strerror}): give MONITOR_HOME a directory this user can write to, "
                "or set DATABASE_URL."
            ) from error
        yield EmbeddedPostgres(
            url=f"postgresql+psycopg://monitor@/monitor?host={quote(str(server.sockets))}",
            psql=shlex.join(
                [
                    str(programs.psql or "psql"),
                    "-h",
                    str(server.sockets),
                    "-U",
                    "monitor",
                    "monitor",
                ]
            ),
            pid=server.pid,
            owned=joined is None,
        )


def _own_or_join(lock: Path, directory: Path, ours: ExitStack) -> LiveServer | None:
    """Take the owner's lock, or else find the server of the process that has it."""
    deadline = time.monotonic() + _START_DEADLINE_S
    while _locked(lock, ours) is None:
        if found := live(directory):
            return found
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"Another process has held {lock} for {_START_DEADLINE_S:.0f} s and no server "
                f"answers on {directory}: end that process."
            )
        time.sleep(0.02)
    return None


def _start(home: Path, directory: Path, programs: PostgresBinaries, ours: ExitStack) -> LiveServer:
    """Start the server. It ends when `ours` is closed, and not before."""
    ensure(directory, programs)
    server_is = run_as.owner_of_data(directory)
    sockets = open_socket_directory(directory, server_is)
    if sockets != directory:
        ours.callback(shutil.rmtree, sockets, ignore_errors=True)
    place = str(sockets).replace('"', '""')
    settings = _SETTINGS | {"unix_socket_directories": f'"{place}"'}
    begin = partial(_begin, home, directory, programs, server_is, settings)
    ours.callback(Supervisor(begin).stop)
    if found := live(directory):
        return found
    raise EmbeddedPostgresError(
        f"The embedded Postgres on {directory} ended immediately after its start."
    )


def _begin(
    home: Path,
    directory: Path,
    programs: PostgresBinaries,
    server_is: RunAs,
    settings: Mapping[str, str],
) -> PostgresProcess:
    """A server process that accepts connections."""
    with ExitStack() as inherited:
        lock = _claimed(directory, inherited)
        command = server_is.command(
            directory,
            programs.postgres,
            "-D",
            str(directory),
            *(f"--{name}={value}" for name, value in settings.items()),
            stale=stale_pid(directory),
        )
        child = PostgresProcess(command, log=home / "postgres.log", inherits=(lock,))
    deadline = time.monotonic() + _START_DEADLINE_S
    while child.runs and time.monotonic() < deadline:
        if live(directory):
            return child
        time.sleep(0.005)
    child.stop()
    if child.status == launch.REFUSED:
        raise EmbeddedPostgresError(
            f"The data in {directory} can be served {server_is} only, which is refused here "
            f"({child.last_words}): `chown -R` the directory to a user who can reach it, "
            "or set DATABASE_URL."
        )
    raise EmbeddedPostgresError(
        f"The embedded Postgres did not start on {directory}: “{child.last_words}”. "
        "Fix that, or set DATABASE_URL."
    )


def _claimed(directory: Path, inherited: ExitStack) -> int:
    """The lock that the server inherits, once no earlier server has it."""
    deadline = time.monotonic() + _LEFTOVER_DEADLINE_S
    while (lock := _locked(directory / "PG_VERSION", inherited)) is None:
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"An earlier server on {directory} (process {stale_pid(directory)}) "
                "does not stop: end it."
            )
        time.sleep(0.02)
    return lock


def _locked(path: Path, held: ExitStack) -> int | None:
    """Lock a file until `held` is closed; None if another process has it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    except OSError:
        os.close(file)
        raise
    held.callback(os.close, file)
    return file

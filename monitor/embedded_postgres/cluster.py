"""The data directory: made once, whole or not at all, and of one major version for life."""

import shutil
import tempfile
from pathlib import Path

from monitor.embedded_postgres import run_as
from monitor.embedded_postgres.binaries import EmbeddedPostgresError, PostgresBinaries
from monitor.embedded_postgres.run_as import RunAs, RunAsRefused

_INITDB = (
    "--username=monitor",
    "--auth-local=trust",
    "--auth-host=reject",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
    "--no-clean",  # we do, and its last words shall be those that matter
)


def ensure(directory: Path, programs: PostgresBinaries) -> None:
    """Have data of our major version in `directory`, making them if there are none."""
    version = directory / "PG_VERSION"
    if version.exists():
        found = version.read_text().strip()
        if found != programs.major:
            raise EmbeddedPostgresError(
                f"The data in {directory} are of PostgreSQL {found} and the embedded server is "
                f"PostgreSQL {programs.major}: dump them with a PostgreSQL {found}, move the "
                "directory away and restore, or set DATABASE_URL."
            )
    elif directory.exists() and any(directory.iterdir()):
        raise EmbeddedPostgresError(
            f"{directory} holds something else than PostgreSQL data: move it away, "
            "or give MONITOR_HOME another directory."
        )
    else:
        _make(directory, programs)


def _make(directory: Path, programs: PostgresBinaries) -> None:
    """Make the data beside their place and move them there in one step.

    So an attempt that was killed half-way is never taken for data.
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
        f"Postgres refuses to run as root, and nobody else can be had for {directory} "
        f"({'; '.join(refusals)}): give MONITOR_HOME a directory that others can reach, "
        "start as an ordinary user, or set DATABASE_URL."
    )


def _fill(fresh: Path, maker: RunAs, programs: PostgresBinaries) -> None:
    maker.adopt(fresh)
    maker.run(fresh, programs.initdb, f"--pgdata={fresh}", *_INITDB)
    single = ("--single", "-D", str(fresh), "-c", "exit_on_error=on", "postgres")
    maker.run(fresh, programs.postgres, *single, says="CREATE DATABASE monitor\n")

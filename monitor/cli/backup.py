"""`monitor backup` and `monitor restore`: the whole database in one file."""

import shutil
from pathlib import Path

from monitor.cli.startup import (
    BAD_INPUT,
    configuration,
    database_url,
    migrate_to_head,
    named,
    private_file,
    stop,
    unreachable,
)
from monitor.config import Settings
from monitor.embedded_postgres import EmbeddedPostgresError
from monitor.embedded_postgres.run_as import programs
from monitor.redaction import plain, redact
from monitor.storage import DatabaseUnavailable, backup_file
from monitor.storage.backup_file import BackupError


def backup(file: Path) -> None:
    """Write a backup to a temporary file, and rename it when it is complete."""
    settings = configuration(without_secrets=True)
    if file.is_dir():
        stop(f"{file} is a folder: name a file", BAD_INPUT)
    pg_dump = _program("pg_dump")
    part = file.with_name(f".{file.name}.part")
    try:
        with private_file(part, becomes=file), database_url(settings) as url:
            if not backup_file.in_use(url):
                stop(f"{named(settings, url)}: holds no data of rag-monitor", BAD_INPUT)
            backup_file.save(url, part, pg_dump=pg_dump)
        part.replace(file)
    except BackupError as error:
        stop(f"backup failed: {_shown(settings, error)}")
    except DatabaseUnavailable as unavailable:
        stop(unreachable(settings, url, unavailable))
    finally:
        part.unlink(missing_ok=True)
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")  # noqa: T201


def restore(file: Path) -> None:
    """Fill an empty database, and migrate it to this version."""
    settings = configuration(without_secrets=True)
    if not file.is_file():
        stop(f"{file}: no such file; name a file that `monitor backup` wrote", BAD_INPUT)
    pg_restore, psql = _program("pg_restore"), _program("psql")
    with database_url(settings) as url:
        try:
            if backup_file.in_use(url):
                stop(
                    f"{named(settings, url)}: holds data of rag-monitor already. Restore into an "
                    "empty database: another DATABASE_URL, or another MONITOR_HOME",
                    BAD_INPUT,
                )
            backup_file.load(url, file, pg_restore=pg_restore, psql=psql)
            migrate_to_head(settings, url)
            found = backup_file.settle_restored(url)
        except BackupError as error:
            stop(f"restore failed, nothing was written: {_shown(settings, error)}")
        except DatabaseUnavailable as unavailable:
            stop(unreachable(settings, url, unavailable))
    print(  # noqa: T201
        f"restored {found.observations} observations and {found.open_incidents} open incidents"
    )
    if found.waiting:
        print(  # noqa: T201
            f"{found.waiting} notices were not sent when the backup was made: they are sent, "
            "marked as possible repetitions"
        )


def _program(name: str) -> str:
    """A PostgreSQL program: of the embedded installation, which has all versions, or on PATH."""
    try:
        beside = programs().postgres.with_name(name)
    except EmbeddedPostgresError:
        beside = None
    if beside is not None and beside.exists():
        return str(beside)
    return shutil.which(name) or stop(
        f"{name} is not installed: install PostgreSQL's client programs, not older than the server"
    )


def _shown(settings: Settings, error: BackupError) -> str:
    return plain(redact(str(error), settings.secrets), 600)

"""The start of every command: logs, settings, the database and its schema."""

import errno
import json
import logging
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NoReturn

from monitor import __version__
from monitor.cli.log_output import log_output
from monitor.cli.terminal_log import TerminalLine, facts_of
from monitor.command_name import as_started
from monitor.config import ConfigErrors, Settings, load
from monitor.embedded_postgres import EmbeddedPostgresError, running
from monitor.redaction import plain, redact, shown
from monitor.storage import (
    REVISION,
    DatabaseBusy,
    DatabaseUnavailable,
    SchemaUnknown,
    explained,
    schema,
)
from monitor.storage.schema import migrate as bring

# Logs: one JSON object a line on standard error, without secrets or control characters.


_NOISY = (
    "httpx",
    "httpcore",
    "slack_sdk",
    "sqlalchemy.engine",
    "asyncio",
    "alembic.runtime.plugins",
)


_held: list[str] = []  # secrets of the configurations that this process has read


class _Line(logging.Formatter):
    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__()
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= facts_of(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return redact(json.dumps(line, default=str), (*self._secrets, *_held))


def begin(level: str, secrets: Sequence[str], *, people: bool = False) -> None:
    """Set up logging for the process. Libraries that log addresses stay at WARNING.

    `people`: lines for a person at a terminal instead of JSON.
    """
    out = log_output()
    colour = people and sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    out.setFormatter(TerminalLine(_held, secrets, colour=colour) if people else _Line(secrets))
    root = logging.getLogger()
    root.handlers[:] = [out]
    root.setLevel(level)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    # The worker counts rounds that outlast their interval; the library's warnings add nothing.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def redact_also(secrets: Sequence[str]) -> None:
    """Redact further secrets in the lines of this process."""
    _held.extend(secret for secret in secrets if secret not in _held)


def say(event: str, **facts: object) -> None:
    """Log one line for code that has no logger of its own."""
    logging.getLogger("monitor").warning(event, extra=facts)


# The first steps of every command: read the configuration and find the database.


BAD_INPUT = 2  # exit status: nothing was done, the caller must correct something
FAILED = 1


def secrets_held() -> tuple[str, ...]:
    """The secrets of the configurations that this process has read."""
    return tuple(_held)


def stop(sentence: str, status: int = FAILED) -> NoReturn:
    """End the command with one message on standard error."""
    print(f"monitor: {as_started(sentence)}", file=sys.stderr)  # noqa: T201
    raise SystemExit(status)


def configuration(*, without_secrets: bool = False) -> Settings:
    """The whole configuration; ends the command with every fault, one a line, if there is one.

    `without_secrets`: for a command that only needs the database; headers and channels may refer
    to variables that are not set.
    """
    try:
        settings = load(without_secrets=without_secrets)
    except ConfigErrors as fault:
        listed = "\n".join(f"  {item}" for item in fault.faults)
        count = len(fault.faults)
        stop(f"{count} configuration error{'s' if count > 1 else ''}:\n{listed}", BAD_INPUT)
    _held[:] = settings.secrets
    return settings


def file_fault(error: OSError, path: Path) -> str:
    """What prevents the use of a file, and what to do."""
    if error.errno == errno.ENOENT and not os.path.lexists(path.parent):
        return f"{path}: the folder {path.parent} does not exist: create it or correct the path"
    return f"{path}: {error.strerror}: check the path and its permissions"


@contextmanager
def private_file(path: Path, *, becomes: Path | None = None) -> Iterator[BinaryIO]:
    """Open a file that only its owner may read, for example with answers of a service.

    `becomes`: the name that it gets when it is complete. Raises OSError with this name or the
    path, also if the file cannot be written later.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):  # not a terminal, a pipe or /dev/null
                os.fchmod(descriptor, 0o600)
            yield file
    except OSError as error:
        if error.filename in (None, str(path)) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(becomes or path)) from error
        raise


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """The address of the database: DATABASE_URL, else the embedded one while the body runs."""
    with ExitStack() as edges:
        try:
            url, _ = edges.enter_context(database_and_psql(settings))
        except EmbeddedPostgresError as fault:
            stop(str(fault))
        yield url


@contextmanager
def database_and_psql(settings: Settings) -> Iterator[tuple[str, str | None]]:
    """The same, with the `psql` line of the embedded one. Raises EmbeddedPostgresError."""
    given = settings.environment.database_url
    if given is not None:
        yield given.get_secret_value(), None
        return
    with running(settings.environment.monitor_home) as server:
        yield server.url, server.psql


def named(settings: Settings, url: str) -> str:
    """The database in a message, without a secret of its address."""
    if settings.environment.database_url is None:
        return f"embedded database in MONITOR_HOME = {settings.environment.monitor_home}"
    return f"DATABASE_URL = {shown(url)}"


def unreachable(settings: Settings, url: str, cause: object) -> str:
    """The sentence for a database that is unavailable."""
    reason = plain(redact(str(cause), settings.secrets))
    return (
        f"{named(settings, url)}: {reason}. Start the server or correct the address; "
        "without DATABASE_URL an embedded database is used"
    )


# Errors that end a command: one sentence each, with the remedy.
#
# A command handles the errors that it can explain best. All others are handled here, so that no
# command ends in a traceback. With LOG_LEVEL=DEBUG the traceback is logged as well.


REPORT_AT = "the issue tracker of rag-monitor"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def end(error: Exception) -> NoReturn:
    """End the command with the sentence for this error on standard error."""
    if os.environ.get("LOG_LEVEL", "").strip().upper() == "DEBUG":
        begin("DEBUG", secrets_held())
        logging.getLogger(__name__).debug("command failed", exc_info=error)
    stop(sentence(error))


def sentence(error: Exception) -> str:
    """What happened and what to do, without a secret."""
    text = plain(redact(str(error), secrets_held()))
    if found := explained(error):
        return redact(found, secrets_held())
    match error:
        case DatabaseUnavailable():
            return f"the database is unavailable: {text}. Start the server or correct DATABASE_URL"
        case SchemaUnknown() | EmbeddedPostgresError():
            return text
        case UnicodeEncodeError():
            return (
                f"the output's encoding ({error.encoding}) cannot write a character: set "
                "PYTHONIOENCODING=utf-8, or write to a file"
            )
        case UnicodeDecodeError():
            return f"the input is not UTF-8 (byte {error.start}): convert it"
        case OSError() if error.errno in _FULL:
            where = f" for {error.filename}" if error.filename else " for the output"
            return f"no space left{where}: free some, or write elsewhere"
        case OSError() if error.errno is not None:
            if isinstance(error.filename, str | bytes):  # not a descriptor
                return file_fault(error, Path(os.fsdecode(error.filename)))
            return f"{error.strerror}: check the network and the disk"
        case _:
            return (
                f"unexpected error, {type(error).__name__}: {text}. Please report it to "
                f"{REPORT_AT} with the version ({__version__}) and the log of the same command "
                "with LOG_LEVEL=DEBUG"
            )


def discard_output() -> None:
    """Discard further output after standard output failed, also at the end of the process."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError, AttributeError):
        return


# `monitor migrate`: the newest schema, under a lock.


def migrate() -> None:
    """Migrate the database to the revision of this version. It can be repeated safely."""
    settings = configuration(without_secrets=True)
    with database_url(settings) as url:
        newer = migrate_to_head(settings, url)
    if newer:
        print(f"schema is at revision {newer}, newer than this version's ({REVISION}): kept")  # noqa: T201
    else:
        print(f"schema is at revision {REVISION}")  # noqa: T201


def migrate_to_head(settings: Settings, url: str) -> str | None:
    """Migrate, and print what the owner must do; ends the command on failure.

    Returns the revision of a newer version, which was left as it is.
    """
    try:
        if newer := bring(url):
            return newer
        left_to_do = schema.ensure(url)
    except DatabaseBusy as busy:
        stop(
            f"the schema is in use: {busy}. Another migration is running, or a "
            "session left a transaction open: wait for it or end it with "
            "pg_terminate_backend(), then migrate again"
        )
    except DatabaseUnavailable as unavailable:
        stop(unreachable(settings, url, unavailable))
    except SchemaUnknown as unknown:
        stop(str(unknown), BAD_INPUT)
    except PermissionError as refused:
        stop(str(refused), BAD_INPUT)
    if left_to_do:
        print("this role may not create the database roles; let the owner run:\n" + left_to_do)  # noqa: T201
    return None

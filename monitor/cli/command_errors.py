"""What ends a command besides its own work: one sentence each, with the remedy.

A command handles what it can say best itself. Whatever else is raised comes here: no command
ends in a traceback. With LOG_LEVEL=DEBUG it is logged beside the sentence.
"""

import errno
import logging
import os
import sys
from typing import NoReturn

from monitor import __version__, logs
from monitor.cli.startup import secrets_held, stop
from monitor.embedded_postgres import EmbeddedPostgresError
from monitor.redaction import plain, redact
from monitor.storage import DatabaseUnavailable, SchemaUnknown, explained

REPORT_AT = "the issue tracker of rag-monitor"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def end(error: Exception) -> NoReturn:
    """End the command with the sentence for this error on standard error."""
    if os.environ.get("LOG_LEVEL", "").strip().upper() == "DEBUG":
        logs.begin("DEBUG", secrets_held())
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
            return f"there is no space left{where}: free some, or write elsewhere"
        case OSError() if error.errno is not None:
            where = f"{error.filename}: " if error.filename else ""
            return f"{where}{error.strerror}: check the path, its permissions and the network"
        case _:
            return (
                f"unexpected error, {type(error).__name__}: {text}. Please report it to "
                f"{REPORT_AT} with the version ({__version__}) and the log of the same command "
                "with LOG_LEVEL=DEBUG"
            )


def discard_output() -> None:
    """Write nothing more to standard output, which failed: not at the end of the process either."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError, AttributeError):
        return

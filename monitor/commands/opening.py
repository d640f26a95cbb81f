"""What every command does first: read the configuration, find the database, or say why not."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from monitor.embedded import EmbeddedFault, running
from monitor.settings import ConfigurationFault, Settings, load
from monitor.store.engine import shown

BAD_INPUT = 2  # exit status: nothing was done, the caller must mend something
FAILED = 1


def stop(sentence: str, status: int = FAILED) -> NoReturn:
    """End with one message on standard error."""
    print(f"monitor: {sentence}", file=sys.stderr)  # noqa: T201
    raise SystemExit(status)


def configuration() -> Settings:
    """The whole configuration; ends the command with every fault, one a line, if there is one."""
    try:
        return load()
    except ConfigurationFault as fault:
        listed = "\n".join(f"  {item}" for item in fault.faults)
        count = len(fault.faults)
        stop(f"{count} configuration fault{'s' if count > 1 else ''}:\n{listed}", BAD_INPUT)


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """The address of the database: DATABASE_URL, else the embedded one for as long as we run."""
    given = settings.environment.database_url
    if given is not None:
        yield given.get_secret_value()
        return
    try:
        with running(settings.environment.monitor_home) as server:
            yield server.url
    except EmbeddedFault as fault:
        stop(str(fault))


def named(settings: Settings, url: str) -> str:
    """How to speak of the database in a message, without its password."""
    if settings.environment.database_url is None:
        return f"embedded database in MONITOR_HOME = {settings.environment.monitor_home}"
    return f"DATABASE_URL = {shown(url)}"


def unreachable(settings: Settings, url: str, why: object) -> str:
    """The sentence for a database that does not serve us."""
    return (
        f"{named(settings, url)}: {why}. Start the server or correct the address; "
        "without DATABASE_URL an embedded database is used"
    )

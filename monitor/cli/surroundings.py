"""`monitor check` of the environment: unknown variables, proxies, the spool."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from tempfile import TemporaryFile

from monitor import network_settings
from monitor.cli.check_details import CheckLine
from monitor.config import Environment, Settings
from monitor.config.environment import REFERENCE, VARIABLES

_CLOSE = 0.82  # likeness of two names: SLACK_WEBHOOK and SLACK_WEBHOOK_URL have 0.87
_SET_BY_OTHERS = "FLY_"


def lines(settings: Settings, variables: Mapping[str, str]) -> Iterator[CheckLine]:
    """A warning for everything in the environment that was meant for us and is not used."""
    yield from _unread(settings, variables)
    yield from _spool(settings.environment)
    for fault in network_settings.faults():
        yield CheckLine(
            "proxy",
            None,
            f"{fault}. Slack, provider accounts, price list and heartbeat are not reached",
        )


def _spool(environment: Environment) -> Iterator[CheckLine]:
    """Whether observations can wait on the disk while the database is unavailable."""
    if environment.database_url is None:
        return  # the embedded database needs the same folder, and says so
    folder = environment.monitor_home / "spool"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield CheckLine(
            "spool",
            None,
            f"MONITOR_HOME = {environment.monitor_home} cannot be written "
            f"({error.strerror}): observations that wait for the database are kept in "
            "memory only and lost when the process ends",
        )


def _unread(settings: Settings, variables: Mapping[str, str]) -> Iterator[CheckLine]:
    known = list(VARIABLES)
    wanted = [
        name for name in known if name not in variables and not name.startswith(_SET_BY_OTHERS)
    ]
    referred = {
        name
        for section in settings.file.targets.values()
        for template in section.headers.values()
        for name in REFERENCE.findall(template)
    }
    for name in sorted(variables.keys() - referred - set(known)):
        upper = name.upper()
        if upper.startswith("MONITOR_") and not name.startswith("MONITOR_"):
            yield CheckLine("environment", None, f"{name} is not read: write it in capitals")
        elif close := get_close_matches(upper, wanted, n=1, cutoff=_CLOSE):
            yield CheckLine("environment", None, f"{name} is not read; did you mean {close[0]}?")

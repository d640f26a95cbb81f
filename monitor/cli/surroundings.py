"""`monitor check` of the environment: unknown variables, proxies, the spool."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryFile

from monitor import network_settings
from monitor.cli.check_details import CheckLine
from monitor.config import Environment, Settings
from monitor.config.environment import REFERENCE, VARIABLES

_CLOSE = 0.82  # similarity of two names: SLACK_WEBHOOK and SLACK_WEBHOOK_URL have 0.87
_SET_BY_OTHERS = "FLY_"
# Variables and files that show a platform whose disks do not persist.
PLATFORMS = {
    "FLY_APP_NAME": "a Fly machine",
    "FLY_MACHINE_ID": "a Fly machine",
    "KUBERNETES_SERVICE_HOST": "a Kubernetes pod",
    "K_SERVICE": "a Cloud Run service",
    "DYNO": "a Heroku dyno",
    "RENDER": "a Render service",
    "RAILWAY_ENVIRONMENT": "a Railway service",
    "ECS_CONTAINER_METADATA_URI_V4": "an ECS task",
    "WEBSITE_INSTANCE_ID": "an Azure App Service",
}
CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")


def lines(settings: Settings, variables: Mapping[str, str]) -> Iterator[CheckLine]:
    """A warning for everything in the environment that looks like ours and is not used."""
    for missing in settings.unresolved:
        remedy = f"{missing.remedy}: `monitor run` does not start without it"
        yield CheckLine(missing.key, False, remedy)
    yield from _unread(settings, variables)
    yield from _lost_disk(settings.environment, variables)
    yield from _spool(settings.environment)
    for fault in network_settings.faults():
        yield CheckLine(
            "proxy",
            None,
            f"{fault}. Slack, provider accounts, price list and heartbeat are not reached",
        )


def _lost_disk(environment: Environment, variables: Mapping[str, str]) -> Iterator[CheckLine]:
    """A warning for an embedded database on a disk that does not persist."""
    if environment.database_url is not None or _is_mounted(environment.monitor_home):
        return
    platform = next((name for mark, name in PLATFORMS.items() if mark in variables), None)
    if platform is None and any(Path(mark).exists() for mark in CONTAINER_MARKS):
        platform = "this container"
    if platform is not None:
        yield CheckLine(
            "disk",
            None,
            f"the embedded database is on the disk of {platform}, which does not last: incidents "
            "and baselines are lost when it is replaced. Set DATABASE_URL, or mount a volume and "
            f"set MONITOR_HOME to a folder on it (now {environment.monitor_home})",
        )


def _is_mounted(folder: Path) -> bool:
    """Whether a folder, which may not exist yet, is on a file system mounted below the root."""
    whole = folder.absolute()
    return any(place.is_mount() for place in (whole, *whole.parents) if place != Path("/"))


def _spool(environment: Environment) -> Iterator[CheckLine]:
    """Whether observations can be spooled to disk while the database is unavailable."""
    if environment.database_url is None:
        return  # the embedded database needs the same folder and reports it
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

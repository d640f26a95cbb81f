"""`monitor migrate`: the schema to its head, under a lock."""

from monitor.commands.opening import BAD_INPUT, configuration, database_url, stop, unreachable
from monitor.store import REVISION, Away, SchemaUnknown
from monitor.store.schema import migrate as bring


def migrate() -> None:
    """Bring the database's schema to the revision this version knows. Safe to repeat."""
    settings = configuration()
    with database_url(settings) as url:
        try:
            bring(url)
        except Away as away:
            stop(unreachable(settings, url, away))
        except SchemaUnknown as unknown:
            stop(str(unknown), BAD_INPUT)
        except PermissionError as refused:
            stop(str(refused), BAD_INPUT)
    print(f"schema is at revision {REVISION}")  # noqa: T201

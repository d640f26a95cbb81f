"""`monitor migrate`: the schema to its head, under a lock."""

from monitor.cli.startup import BAD_INPUT, configuration, database_url, stop, unreachable
from monitor.storage import REVISION, DatabaseBusy, DatabaseUnavailable, SchemaUnknown, schema
from monitor.storage.schema import migrate as bring


def migrate() -> None:
    """Bring the database's schema to the revision this version knows. Safe to repeat."""
    settings = configuration()
    with database_url(settings) as url:
        try:
            bring(url)
            left_to_do = schema.ensure(url)
        except DatabaseBusy as busy:
            stop(
                f"the schema is in use: {busy}. Another migration runs, or a session left a "
                "transaction open: wait for it, or end it with pg_terminate_backend(), and "
                "migrate again"
            )
        except DatabaseUnavailable as unavailable:
            stop(unreachable(settings, url, unavailable))
        except SchemaUnknown as unknown:
            stop(str(unknown), BAD_INPUT)
        except PermissionError as refused:
            stop(str(refused), BAD_INPUT)
    if left_to_do:
        print("this role may not make the others; have the owner run:\n" + left_to_do)  # noqa: T201
    print(f"schema is at revision {REVISION}")  # noqa: T201

"""SQLAlchemy's asyncio engine without its ORM.

The package `sqlalchemy.ext.asyncio` imports the ORM for its sessions. Nothing here uses one, and
it is 6 MiB of a worker's memory. The room imports this module before any other of its own.
"""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import Any

_PACKAGE = "sqlalchemy.ext.asyncio"
_NAMES = ("AsyncConnection", "AsyncEngine", "create_async_engine")


def _skip_sessions() -> None:
    """Import the engine only. The package runs as usual when another name of it is asked for."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.loader is None:
        raise ImportError(f"{_PACKAGE} is missing")
    package = sys.modules[_PACKAGE] = module_from_spec(spec)
    run = spec.loader.exec_module

    def whole(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        vars(package).pop("__getattr__", None)
        run(package)
        return getattr(package, name)

    engine = import_module(f"{_PACKAGE}.engine")
    vars(package).update({name: getattr(engine, name) for name in _NAMES}, __getattr__=whole)


if _PACKAGE not in sys.modules:
    _skip_sessions()

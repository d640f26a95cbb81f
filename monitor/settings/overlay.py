"""The document that is checked: `monitor.toml` with the environment laid over it."""

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from monitor.settings.faults import Fault
from monitor.settings.schema import File

PREFIX = "MONITOR_"
_OWN = {"MONITOR_HOME", "MONITOR_CONFIG"}

Origins = dict[tuple[str, ...], str]  # path in the document -> variable it came from


def document(path: Path) -> tuple[dict[str, Any], list[Fault]]:
    """The file as TOML, numbers with a point exact; {} with a fault where it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal), []
    except FileNotFoundError:
        remedy = "no such file; name the configuration by MONITOR_CONFIG"
    except OSError as error:
        remedy = f"cannot be read: {error.strerror}"
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        remedy = f"is not TOML: {error}"
    return {}, [Fault(str(path), None, remedy)]


def overlay(document: dict[str, Any], variables: Mapping[str, str], faults: list[Fault]) -> Origins:
    """Lay `MONITOR_SECTION__KEY` over the document; returns which path came from which name."""
    origins: Origins = {}
    for name in sorted(variables):
        if not name.startswith(PREFIX) or name in _OWN:
            continue
        path = tuple(part.lower() for part in name.removeprefix(PREFIX).split("__"))
        if path[0] not in File.model_fields or len(path) < 2 or "" in path:
            faults.append(Fault(name, None, "unknown variable; write MONITOR_<SECTION>__<KEY> with "
                                "a section of monitor.toml, or unset it"))  # fmt: skip
            continue
        table: Any = document
        for part in path[:-1]:
            if isinstance(table, dict):
                table = table.setdefault(part, {})
        if isinstance(table, dict):
            table[path[-1]] = _toml_value(variables[name])
            origins[path] = name
        else:
            faults.append(
                Fault(name, None, "points into a value that has no keys; change the file")
            )
    return origins


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}", parse_float=Decimal)["value"]
    except tomllib.TOMLDecodeError:
        return text

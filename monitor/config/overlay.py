"""The document that is checked: `monitor.toml` with the environment laid over it."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from monitor.config.config_errors import ConfigError, suggestion
from monitor.config.file_schema import ConfigFile

PREFIX = "MONITOR_"
_FREE = ("prices",)
_OWN = {"MONITOR_HOME", "MONITOR_CONFIG"}

Origins = dict[tuple[str, ...], str]  # path in the document -> variable it came from


def document(path: Path) -> tuple[dict[str, Any], list[ConfigError]]:
    """The file as TOML, numbers with a point exact; {} with a fault where it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"), parse_float=Decimal), []
    except FileNotFoundError:
        remedy = "no such file; name the configuration by MONITOR_CONFIG"
    except OSError as error:
        remedy = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        remedy = f"is not UTF-8 (line {line}): save it in that encoding"
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        remedy = f"is not TOML: {error}"
    return {}, [ConfigError(str(path), None, remedy)]


def overlay(
    document: dict[str, Any], variables: Mapping[str, str], faults: list[ConfigError]
) -> Origins:
    """Lay `MONITOR_SECTION__KEY` over the document; returns which path came from which name."""
    origins: Origins = {}
    for name in sorted(variables):
        if not name.startswith(PREFIX) or name in _OWN:
            continue
        path = tuple(part.lower() for part in name.removeprefix(PREFIX).split("__"))
        if path[0] not in ConfigFile.model_fields or len(path) < 2 or "" in path:
            faults.append(
                ConfigError(
                    name,
                    None,
                    "unknown variable; write MONITOR_<SECTION>__<KEY> with "
                    "a section of monitor.toml, or unset it",
                )
            )
            continue
        if path[0] == "targets" and len(path) > 2:
            known = document.get("targets")
            known = list(known) if isinstance(known, dict) else []
            named = _target(path[1], known)
            if named is None and f"{PREFIX}TARGETS__{name.split('__')[1]}__URL" not in variables:
                faults.append(
                    ConfigError(name, None, f"unknown target; {suggestion(path[1], known)}")
                )
                continue
            path = ("targets", named or path[1], *path[2:])
        table: Any = document
        for part in path[:-1]:
            if isinstance(table, dict):
                table = table.setdefault(part, {})
        if isinstance(table, dict):
            table[path[-1]] = _value(variables[name], free=path[0] in _FREE or "options" in path)
            origins[path] = name
        else:
            faults.append(
                ConfigError(name, None, "points into a value that has no keys; change the file")
            )
    return origins


def _target(written: str, known: Sequence[str]) -> str | None:
    """The target that a variable means: a variable's name can hold no `-` and no `.`."""
    if written in known:
        return written
    same = [name for name in known if re.sub(r"[-.]", "_", name) == written]
    return same[0] if len(same) == 1 else None


def _value(text: str, *, free: bool) -> Any:
    """A variable as TOML where it is TOML. A number or boolean stays text, unless the schema has
    no type for it: pydantic then reads it as what the key asks for, be it `4` for a name.
    """
    text = text.strip()
    try:
        value = tomllib.loads(f"value = {text}", parse_float=Decimal)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        return text
    if len(value) > 1:  # a line of it looks like a key of its own
        return text
    found = value["value"]
    return found if free or isinstance(found, (str, list, dict)) else text

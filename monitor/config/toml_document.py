"""The document that is validated: `monitor.toml` with the environment on top."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from monitor.bounded_io import content
from monitor.config.config_errors import ConfigError, suggestion
from monitor.config.environment import WHOLE_TEXT
from monitor.config.file_schema import ConfigFile
from monitor.config.value_kinds import bare

PREFIX = "MONITOR_"


_FREE = ("prices",)


USUAL_FILE = "monitor.toml"


_OWN = {"MONITOR_HOME", "MONITOR_CONFIG", WHOLE_TEXT}


ABSENT = f"MONITOR_CONFIG names no file and ./{USUAL_FILE} does not exist."


MOST_PARTS = 32  # of a dotted key: tomllib needs memory for the square of them
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+"""
_DEEP = re.compile(rf"(?<![\w-])(?:{_PART}\.[ \t]*+){{{MOST_PARTS}}}")


START = "Create one with `monitor init`, or start from a file in examples/."


Origins = dict[tuple[str, ...], str]  # path in the document -> variable that set it


def file_named(variables: Mapping[str, str]) -> Path:
    """The configuration file that the environment names, or the default one."""
    return Path(bare(variables.get("MONITOR_CONFIG", "")) or USUAL_FILE)


def source(variables: Mapping[str, str]) -> str:
    """The origin of the configuration, for messages."""
    return WHOLE_TEXT if variables.get(WHOLE_TEXT, "").strip() else str(file_named(variables))


def document(variables: Mapping[str, str]) -> tuple[dict[str, Any], list[ConfigError]]:
    """The configuration as TOML, from MONITOR_CONFIG_TOML or the file; decimal numbers are exact.

    An empty document with an error if it cannot be read.
    """
    path, whole = file_named(variables), variables.get(WHOLE_TEXT, "").strip()
    named = bare(variables.get("MONITOR_CONFIG", ""))
    key = source(variables)
    if whole and named:
        return {}, [ConfigError(key, None, "MONITOR_CONFIG is set, too: unset one of them")]
    try:
        text = whole or _lines(content(path).decode("utf-8-sig"))
        if _DEEP.search(text):
            raise ValueError(f"a key has more than {MOST_PARTS} parts")
        return tomllib.loads(text, parse_float=Decimal), []
    except FileNotFoundError:
        remedy = f"no such file: correct MONITOR_CONFIG. {START}"
        if not named:
            key, remedy = "No configuration", f"{ABSENT} {START}"
    except OSError as error:
        remedy = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        remedy = f"is not UTF-8 (line {line}): save it in that encoding"
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        remedy = f"is not TOML: {error}"
    return {}, [ConfigError(key, None, remedy)]


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def overlay(
    document: dict[str, Any], variables: Mapping[str, str], faults: list[ConfigError]
) -> Origins:
    """Apply `MONITOR_SECTION__KEY` to the document; returns which path came from which variable."""
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
                ConfigError(name, None, "addresses a key of a value without keys; change the file")
            )
    return origins


def _target(written: str, known: Sequence[str]) -> str | None:
    """The target that a variable means: names of variables cannot contain `-` or `.`."""
    if written in known:
        return written
    same = [name for name in known if re.sub(r"[-.]", "_", name) == written]
    return same[0] if len(same) == 1 else None


def _value(text: str, *, free: bool) -> Any:
    """A variable as TOML if it is valid TOML, else as text.

    A number or boolean stays text unless the schema has no type for it: pydantic then converts it
    to the type of the key, such as `4` for a name.
    """
    text = text.strip()
    try:
        value = tomllib.loads(f"value = {text}", parse_float=Decimal)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        return text
    if len(value) > 1:  # a line of it looks like a key
        return text
    found = value["value"]
    return found if free or isinstance(found, (str, list, dict)) else text

"""Configuration errors as text: which key, which value, how to fix it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from monitor.config.file_schema import ConfigFile
from monitor.redaction import HIDDEN, plain, shown, shown_name

_MAY_BE_SECRET = {"headers", "options"}  # no value under these keys is shown
_NUMBER = 'write a number such as 4 or "0.5": digits and a point, without unit or separators'
_WHOLE = "write a whole number such as 20000, without unit or separators"
_REMEDIES = {
    "bool_parsing": "write true or false",
    "bool_type": "write true or false",
    "decimal_parsing": _NUMBER,
    "decimal_type": _NUMBER,
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "finite_number": "write a finite number",
    "int_parsing": _WHOLE,
    "int_type": _WHOLE,
    "int_from_float": _WHOLE,
    "string_type": "write a text in quotes",
    "string_too_short": "must not be empty",
    "too_short": "write at least one entry",
    "list_type": 'write a list, such as ["one", "two"]',
    "tuple_type": "write a list, such as [14, 3, 1]",
    "dict_type": "write a table",
    "model_type": "write a table",
}


@dataclass(frozen=True, slots=True)
class ConfigError:
    """One configuration error: `key` as a person would search for it, `value` as they wrote it."""

    key: str
    value: str | None
    remedy: str

    def __str__(self) -> str:
        shown = "" if self.value is None else f" = {self.value}"
        return f"{self.key}{shown}: {self.remedy}"


class ConfigErrors(Exception):
    """Every configuration error, raised together."""

    def __init__(self, faults: Sequence[ConfigError]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in faults))


def faults_in(
    error: ValidationError, origins: Mapping[tuple[str, ...], str]
) -> Iterator[ConfigError]:
    """One error per error of pydantic, named by file key or by environment variable."""
    for item in error.errors(include_url=False):
        path = tuple(str(part) for part in item["loc"])
        name_refused = path[-1:] == ("[key]",)  # a mark that pydantic adds after the name
        path = path[:-1] if name_refused else path
        key = origins.get(path) or ".".join(path) or "monitor.toml"
        if name_refused:
            named = ".".join((*path[:-1], shown_name(path[-1])))
            yield ConfigError(origins.get(path) or named, None, sentence(item))
        elif item["type"] == "extra_forbidden":
            # The value, and also the key, may be a secret in the wrong place.
            remedy = f"unknown key; {suggestion(path[-1], known_keys(path[:-1]))}"
            named = ".".join((*path[:-1], shown_name(path[-1])))
            yield ConfigError(origins.get(path) or named, None, remedy)
        elif item["type"] == "missing" or (
            item["type"] == "too_short" and path[-1] in ("targets", "queries")
        ):
            yield ConfigError(key, None, _missing(path))
        else:
            yield fault_of(item, key)


def fault_of(item: ErrorDetails, key: str) -> ConfigError:
    """An error of pydantic about one value, with a remedy."""
    path = [str(part) for part in item["loc"]]
    secret = _MAY_BE_SECRET.intersection(path)
    whole = isinstance(item["input"], (dict, list))  # the message names its key itself
    value = None if whole or secret else shown_value(item["input"])
    return ConfigError(key, value, sentence(item))


def sentence(item: ErrorDetails) -> str:
    """What is wrong with a value, or what to write instead."""
    if item["type"] in ("literal_error", "enum"):
        return f"write {item['ctx']['expected']}"
    message = _REMEDIES.get(item["type"]) or item["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be", "must be")
    if item["input"] == "" and item["type"] != "string_too_short":
        message = f"the value is empty: {message}" if "empty" not in message else message
    return message[:1].lower() + message[1:]


def suggestion(key: str, known: Sequence[str]) -> str:
    """The key that was probably meant, else the known keys."""
    close = get_close_matches(key.strip().lower(), known, n=1)
    if close:
        return f'did you mean "{close[0]}"?'
    return "known here: " + ", ".join(known) if known else "remove it"


def _missing(path: tuple[str, ...]) -> str:
    if path == ("targets",):
        return "no target; add [targets.NAME] with url, dialect and [[targets.NAME.queries]]"
    if path[0] == "targets" and path[-1] == "queries":
        return f"missing; add a section [[{'.'.join(path)}]] with id and text for each query"
    where = f"[{'.'.join(path[:-1])}]"
    if path[-2:-1] and path[-2].isdigit():  # an entry of a list of sections
        where = f"[[{'.'.join(path[:-2])}]] number {int(path[-2]) + 1}"
    return f"missing; add `{path[-1]} = …` under {where}"


def known_keys(path: Sequence[str]) -> list[str]:
    """Keys that may occur under a path of `monitor.toml`, for suggestions."""
    model: Any = ConfigFile
    for part in path:
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(part) or _by_alias(model, part)
            model = field.annotation if field else None
        else:  # a table of sections by name, or a list of sections by position
            model = get_args(model)[-1] if get_args(model) else None
    if isinstance(model, type) and issubclass(model, BaseModel):
        return sorted(field.alias or name for name, field in model.model_fields.items())
    return []


def _by_alias(model: type[BaseModel], alias: str) -> Any:
    return next((f for f in model.model_fields.values() if f.alias == alias), None)


def shown_value(value: object) -> str:
    """A rejected value for a message; tables and lists are not shown."""
    if isinstance(value, (dict, list, tuple)):
        return HIDDEN
    text = plain(str(value), 80)
    if isinstance(value, str):
        text = f'"{shown(text)}"'
    return text

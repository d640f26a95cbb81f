"""Generates the tables of docs/configuration.md from the schema.

python -m monitor.config.documentation     # brings the page up to date

The parts between `<!-- table: NAME -->` and `<!-- end -->` are generated; the rest is written by
hand. A test compares page and schema.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from monitor.config.environment import documented
from monitor.config.file_schema import (
    ChannelSection,
    ConfigFile,
    HealthSection,
    MaintenanceSection,
    TargetSection,
)
from monitor.config.query_schema import ExpectSection, QuerySection
from monitor.config.section import Section
from monitor.rules import RULES, Rule

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_HEAD = "| {} | default | meaning |\n| --- | --- | --- |\n"
_APART = {
    "targets",
    "rules",
    "prices",
    "maintenance",
    "channels",
}  # sections with a table of their own
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def rewritten(page: str) -> str:
    """The page with every table generated from the present schema."""
    return _TABLE.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}{found[3]}", page)


def _table(head: str, rows: Iterable[tuple[str, str, str]]) -> str:
    lines = (f"| {name} | {default} | {meaning} |\n" for name, default, meaning in rows)
    return _HEAD.format(head) + "".join(lines)


def _section(model: type[Section], *, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        if field.description:  # a field without one is a section with its own table
            yield f"`{prefix}{field.alias or name}`", default(field), field.description


def _sections() -> Iterator[tuple[str, str, str]]:
    for name, field in ConfigFile.model_fields.items():
        if name == "tokenizers":
            model = field.annotation.__args__[1]  # type: ignore[union-attr]
            yield from _section(model, prefix='tokenizers."MODEL".')
        elif name not in _APART:
            yield from _section(field.annotation, prefix=f"{name}.")  # type: ignore[arg-type]


def _environment() -> Iterator[tuple[str, str, str]]:
    for name, field in documented():
        yield f"`{name}`", default(field).replace('"', ""), field.description or ""


def _rules() -> str:
    lines = "| rule | keys and their defaults |\n| --- | --- |\n"
    for name, rule in RULES.items():
        keys = ", ".join(f"`{key} = {value}`" for key, value in limits(rule))
        lines += f"| [`{name}`](alerts.md#{name}) | {keys} |\n"
    return lines


def limits(rule: type[Rule]) -> Iterator[tuple[str, str]]:
    """The keys of a rule's section with their defaults, as TOML."""
    yield "enabled", "true"
    usual = rule()
    for field in fields(rule):  # type: ignore[arg-type]
        if field.name not in rule.set_elsewhere:
            yield field.name, written(getattr(usual, field.name))


def default(field: FieldInfo) -> str:
    """The default of a key as the page shows it."""
    if isinstance(field.json_schema_extra, Mapping) and "shown" in field.json_schema_extra:
        return str(field.json_schema_extra["shown"])
    if field.default is PydanticUndefined:
        return "required"
    return "–" if field.default is None else f"`{written(field.default)}`"


def written(value: Any) -> str:
    """A value as it is written in TOML."""
    match value:
        case bool():
            return str(value).lower()
        case timedelta():
            return f'"{_span(value)}"'
        case time():
            return f'"{value:%H:%M}"'
        case Enum():
            return f'"{value.value}"'
        case Decimal() if value != value.to_integral_value() or value.as_tuple().exponent:
            return f'"{value}"'
        case int() | float() | Decimal():
            return str(value)
        case Mapping():
            return "{" + ", ".join(f"{key} = {written(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(written, value)) + "]"
        case _:
            return f'"{value}"'


def _span(value: timedelta) -> str:
    seconds, text = value.total_seconds(), ""
    for unit, size in _UNITS:
        count, seconds = divmod(seconds, size)
        text += f"{count:.0f}{unit}" if count else ""
    return text or "0s"


TABLES: Mapping[str, Callable[[], str]] = {
    "environment": lambda: _table("variable", _environment()),
    "target": lambda: _table("key", _section(TargetSection)),
    "query": lambda: _table("key", _section(QuerySection)),
    "expect": lambda: _table("key", _section(ExpectSection, prefix="expect.")),
    "health": lambda: _table("key", _section(HealthSection)),
    "sections": lambda: _table("key", _sections()),
    "rules": _rules,
    "channel": lambda: _table("key", _section(ChannelSection)),
    "maintenance": lambda: _table("key", _section(MaintenanceSection)),
}


if __name__ == "__main__":
    if not PAGE.exists():
        sys.exit(f"{PAGE.name} is part of a clone, not of the installed package")
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

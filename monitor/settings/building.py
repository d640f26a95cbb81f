"""From checked sections to the domain's words: rules, prices and targets."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter, ValidationError

from monitor.dialects import dialect_of
from monitor.domain import Query, Target
from monitor.health import HealthPage, address
from monitor.identity import asks_who
from monitor.pricing import BadPrices
from monitor.pricing import rows as price_rows
from monitor.pricing.book import OVERRIDES
from monitor.rules import RULES, Rule
from monitor.settings.faults import Fault, fault_of, suggestion
from monitor.settings.overlay import Origins
from monitor.settings.schema import File, QuerySection, TargetSection

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_AUTHENTICATES = re.compile("auth|key|token|secret|cookie", re.IGNORECASE)


def rules(
    document: Mapping[str, Any], origins: Origins, faults: list[Fault]
) -> Iterator[tuple[str, Rule]]:
    sections = document.get("rules", {})
    if not isinstance(sections, dict):
        return
    for unknown in sorted(sections.keys() - RULES.keys()):
        remedy = f"unknown rule; {suggestion(unknown, sorted(RULES))}"
        faults.append(Fault(f"rules.{unknown}", None, remedy))
    for name, rule in RULES.items():
        section = sections.get(name, {})
        if not isinstance(section, dict):
            faults.append(Fault(f"rules.{name}", str(section), f"write a table, [rules.{name}]"))
        elif section.get("enabled") is not False:
            values = {key: value for key, value in section.items() if key != "enabled"}
            known = {field.name for field in fields(rule)}  # type: ignore[arg-type]
            for key in sorted(values.keys() - known):
                remedy = f"unknown key; {suggestion(key, sorted(known))}"
                faults.append(Fault(_rule_key(name, (key,), origins), str(values[key]), remedy))
            try:
                yield (
                    name,
                    TypeAdapter(rule).validate_python(
                        {key: value for key, value in values.items() if key in known}
                    ),
                )
            except ValidationError as error:
                for item in error.errors(include_url=False):
                    path = tuple(str(part) for part in item["loc"])
                    faults.append(fault_of(item, _rule_key(name, path, origins)))


def _rule_key(name: str, path: tuple[str, ...], origins: Origins) -> str:
    """How a person finds the key: by its variable, else by its place in the file."""
    return origins.get(("rules", name, *path)) or ".".join(("rules", name, *path))


def price_faults(document: Mapping[str, Any]) -> Iterator[Fault]:
    tables = document.get("prices", {})
    try:
        price_rows(tables if isinstance(tables, dict) else {}, source=OVERRIDES)
    except BadPrices as bad:
        for sentence in bad.faults:
            key, _, remedy = sentence.partition(": ")
            yield Fault(key, None, remedy)


def targets(
    file: File | None, variables: Mapping[str, str], faults: list[Fault]
) -> Iterator[tuple[str, Target]]:
    for name, section in (file.targets if file else {}).items():
        headers = {}
        for header, template in section.headers.items():
            key = f"targets.{name}.headers.{header}"
            faults += (
                Fault(key, None, f"${{{missing}}} is not set in the environment")
                for missing in sorted(set(_REFERENCE.findall(template)) - variables.keys())
            )
            headers[header] = _REFERENCE.sub(lambda m: variables.get(m[1], ""), template)
        target = _target(name, section, headers)
        try:
            dialect_of(target)
        except ValueError as error:
            faults.append(Fault(f"targets.{name}.dialect", f'"{section.dialect}"', str(error)))
        yield name, target


def _target(name: str, section: TargetSection, headers: Mapping[str, str]) -> Target:
    plain = section.model_dump(exclude={"queries", "headers", "options", "health"})
    plain |= {k: tuple(v) for k, v in plain.items() if isinstance(v, list)}
    queries = tuple(map(_query, section.queries))
    return Target(name=name, queries=queries, headers=headers,
                  options=_floats(section.options), **plain)  # fmt: skip


def _query(section: QuerySection) -> Query:
    direct = asks_who(section.text) if section.identity is None else section.identity
    return Query(**section.model_dump() | {"identity": direct})


def _floats(value: Any) -> Any:
    """Options travel into JSON bodies, which know no Decimal."""
    if isinstance(value, dict):
        return {k: _floats(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_floats(v) for v in value]
    return float(value) if isinstance(value, Decimal) else value


def health_pages(file: File) -> Iterator[tuple[str, HealthPage]]:
    """The health page of each target that has one."""
    for name, section in file.targets.items():
        page = section.health
        if page.url is not None:
            whole = address(section.url, page.url)
            yield name, HealthPage(url=whole, every=page.every, expect=tuple(page.expect))


def header_secrets(file: File, built: Mapping[str, Target]) -> Iterator[str]:
    """Values of headers that authenticate, and whatever the environment put into one."""
    for name, target in built.items():
        templates = file.targets[name].headers
        for header, value in target.headers.items():
            if _AUTHENTICATES.search(header) or _REFERENCE.search(templates[header]):
                yield value
                cookies = (pair.partition("=")[2] for pair in value.split(";"))
                yield from filter(None, cookies)

"""From validated sections to domain types: rules, prices, targets and channels."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from decimal import Decimal
from functools import cache
from typing import Any

from pydantic import SecretStr, TypeAdapter, ValidationError

from monitor.accounts import ACCOUNTS
from monitor.config.config_errors import (
    ConfigError,
    fault_of,
    sentence,
    shown_value,
    suggestion,
)
from monitor.config.environment import OPTION_TYPES, REFERENCE
from monitor.config.file_schema import ChannelSection, ConfigFile, TargetSection
from monitor.config.query_schema import QuerySection
from monitor.config.toml_document import Origins
from monitor.config.value_kinds import fields_normalized, normalized
from monitor.dialects import dialect_of
from monitor.domain import ALL, AnswerExpectation, Dialect, Query, Target
from monitor.health_page import HealthPage, address
from monitor.identity import asks_for_model
from monitor.notifications import (
    DEFAULT,
    NOTIFIERS,
    ChannelFilter,
    ChannelOptions,
    ConfiguredChannel,
    ConsoleOptions,
    usual,
)
from monitor.pricing.book import OVERRIDES
from monitor.pricing.price_table import BadPrices
from monitor.pricing.price_table import rows as price_rows
from monitor.redaction import shown_name
from monitor.rules import RULES, Rule

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BARE_REFERENCE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_COMPUTED = ("content-length", "transfer-encoding", "connection")
_HEADER_VALUE = re.compile(r"[\t -~]*")


@cache  # building it takes longer than reading a whole configuration
def _adapter(rule: type[Rule]) -> TypeAdapter[Rule]:
    return TypeAdapter(rule)


def rules(
    document: Mapping[str, Any], origins: Origins, faults: list[ConfigError]
) -> Iterator[tuple[str, Rule]]:
    sections = document.get("rules", {})
    if not isinstance(sections, dict):
        return
    for unknown in sorted(sections.keys() - RULES.keys()):
        remedy = f"unknown rule; {suggestion(unknown, sorted(RULES))}"
        faults.append(ConfigError(f"rules.{shown_name(unknown)}", None, remedy))
    for name, rule in RULES.items():
        section = sections.get(name, {})
        if not isinstance(section, dict):
            faults.append(ConfigError(f"rules.{name}", None, f"write a table, [rules.{name}]"))
        else:
            enabled = normalized(section.get("enabled", True), bool)
            if not isinstance(enabled, bool):
                faults.append(
                    ConfigError(
                        _rule_key(name, ("enabled",), origins),
                        shown_value(enabled),
                        "write true or false",
                    )
                )
            values = {key: value for key, value in section.items() if key != "enabled"}
            known = {field.name for field in fields(rule)}  # type: ignore[arg-type]
            for key in sorted(values.keys() - known):
                remedy = f"unknown key; {suggestion(key, sorted({*known, 'enabled'}))}"
                if key in rule.moved:
                    remedy = f"no longer a key of this rule; set {rule.moved[key]}"
                faults.append(ConfigError(_rule_key(name, (key,), origins), None, remedy))
            for key in sorted(values.keys() & rule.set_elsewhere.keys()):
                remedy = f"set {rule.set_elsewhere[key]} instead, which probing also uses"
                faults.append(ConfigError(_rule_key(name, (key,), origins), None, remedy))
            fitting = {key: value for key, value in values.items() if key in known}
            try:
                built = _adapter(rule).validate_python(fields_normalized(fitting, rule))
                if enabled:
                    yield name, built
            except ValidationError as error:
                for item in error.errors(include_url=False):
                    path = tuple(str(part) for part in item["loc"])
                    faults.append(fault_of(item, _rule_key(name, path, origins)))


def _rule_key(name: str, path: tuple[str, ...], origins: Origins) -> str:
    """How a person finds the key: by its variable, else by its path in the file."""
    return origins.get(("rules", name, *path)) or ".".join(("rules", name, *path))


def silence_faults(
    file: ConfigFile | None, channels: Iterable[ConfiguredChannel], *, known: Iterable[str]
) -> Iterator[ConfigError]:
    """Errors for maintenance windows that would silence nothing because the name does not exist."""
    names = [channel.name for channel in channels]
    for number, window in enumerate(file.maintenance if file else ()):
        scopes = (ALL, *known, *ACCOUNTS, *names)
        for key, name, allowed in (
            ("target", window.target, scopes),
            ("rule", window.rule, (ALL, *RULES)),
        ):
            if name not in allowed:
                remedy = f"unknown {key}; {suggestion(name, allowed)}"
                yield ConfigError(f"maintenance.{number}.{key}", shown_value(name), remedy)


def price_faults(document: Mapping[str, Any]) -> Iterator[ConfigError]:
    tables = document.get("prices", {})
    try:
        price_rows(tables if isinstance(tables, dict) else {}, source=OVERRIDES)
    except BadPrices as bad:
        for sentence in bad.faults:
            key, _, remedy = sentence.partition(": ")
            yield ConfigError(key, None, remedy)


def target_names(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of all targets of the document, also of those that are refused."""
    found = document.get("targets")
    return tuple(name.strip().lower() for name in found) if isinstance(found, dict) else ()


def targets(
    file: ConfigFile | None,
    variables: Mapping[str, str],
    faults: list[ConfigError],
    unresolved: list[ConfigError],
) -> Iterator[tuple[str, Target]]:
    """Every target by name; `unresolved`: references to variables that are not set."""
    for name, section in (file.targets if file else {}).items():
        headers: dict[str, str] = {}
        for header, template in section.headers.items():
            key = f"targets.{name}.headers.{header}"
            unresolved += _unresolved(key, template, variables)
            faults += _wrong_references(key, template, variables)
            if header.lower() in map(str.lower, headers):
                faults.append(ConfigError(key, None, "is given twice: remove one"))
            if header.lower() in _COMPUTED:
                faults.append(
                    ConfigError(key, None, "is set by the monitor for each request: remove it")
                )
            value = REFERENCE.sub(lambda m: variables.get(m[1], "").strip(), template).strip()
            if not _HEADER.fullmatch(header) or not _HEADER_VALUE.fullmatch(value):
                remedy = (
                    "HTTP cannot carry this header: write its name in letters, digits and -, "
                    "its value in printable ASCII"
                )
                faults.append(ConfigError(key, None, remedy))
            headers[header] = value
        target = _built_target(name, section, headers)
        try:
            dialect = dialect_of(target)
        except ValueError as error:
            faults += (
                _dialect_fault(name, section.dialect, line) for line in str(error).splitlines()
            )
        else:
            if dialect.never_lists_sources:
                faults += _without_sources(target, dialect)
        yield name, target


def _without_sources(target: Target, dialect: Dialect) -> Iterator[ConfigError]:
    """Expected sources that no answer can list."""
    configurable = dialect.explain is not None
    remedy = "name their expression in option `sources`, or " if configurable else ""
    for number, query in enumerate(target.queries):
        if query.expect.sources_at_least is not None:
            yield ConfigError(
                f"targets.{target.name}.queries.{number}.expect.sources_at_least",
                str(query.expect.sources_at_least),
                f"answers in dialect {target.dialect} list no sources: {remedy}remove it",
            )


# Channels: sections of the file, then that of the environment.


_OTHER_NOTICES = ("digest", "clock", "storage", "configuration")  # not of a rule


def channels(
    file: ConfigFile | None,
    variables: Mapping[str, str],
    notifiers: Mapping[str, str],
    faults: list[ConfigError],
    unresolved: list[ConfigError],
    *,
    known: Sequence[str],
) -> list[ConfiguredChannel]:
    """Every channel in the order of the file; `notifiers`: checked variables of the default one.

    One whose variables are not set is not usable and has an entry in `unresolved`.
    """
    found: list[ConfiguredChannel] = []
    for number, section in enumerate(file.channels if file else ()):
        faults += _filter_faults(number, section, known)
        key, before = f"channels.{number}", len(unresolved)
        options = _channel_options(key, section, variables, notifiers, faults, unresolved)
        if options is not None:
            accepts = ChannelFilter(
                rules=frozenset(section.rules),
                targets=frozenset(section.targets),
                severity=frozenset(section.severity),
            )
            found.append(
                ConfiguredChannel(
                    name=section.name,
                    options=options,
                    accepts=accepts,
                    usable=len(unresolved) == before,
                )
            )
    found += usual(notifiers, found)
    names = [channel.name for channel in found]
    for name in sorted({name for name in names if names.count(name) > 1}):
        remedy = "two channels have this name: each must be unique"
        if name == DEFAULT:
            remedy += f"; {DEFAULT} is also the channel of the SLACK_ variables"
        faults.append(ConfigError("channels.name", f'"{name}"', remedy))
    return found


def _filter_faults(
    number: int, section: ChannelSection, targets: Sequence[str]
) -> Iterator[ConfigError]:
    known = {"rules": (*RULES, *_OTHER_NOTICES), "targets": targets}
    for key, names in known.items():
        for name in getattr(section, key):
            if name not in names:
                remedy = f"unknown {key[:-1]}; {suggestion(name, names)}"
                yield ConfigError(f"channels.{number}.{key}", shown_value(name), remedy)
    if section.name == ALL:
        yield ConfigError(f"channels.{number}.name", f'"{ALL}"', "is reserved: choose another")


def _channel_options(
    key: str,
    section: ChannelSection,
    variables: Mapping[str, str],
    notifiers: Mapping[str, str],
    faults: list[ConfigError],
    unresolved: list[ConfigError],
) -> ChannelOptions | None:
    """The options of a channel's kind; None, with errors, if they are invalid."""
    kind = NOTIFIERS.get(section.kind)
    if kind is None:
        remedy = f"unknown kind; {suggestion(section.kind, list(NOTIFIERS))}"
        faults.append(ConfigError(f"{key}.kind", shown_value(section.kind), remedy))
        return None
    given, before, known_before = section.model_extra or {}, len(faults), len(unresolved)
    values: dict[str, Any] = {}
    for name, written in given.items():
        if (holds := kind.kinds().get(name)) is None:
            known = sorted((*kind.kinds(), *ChannelSection.model_fields))
            remedy = f"unknown key of kind {kind.kind}; {suggestion(name, known)}"
            faults.append(ConfigError(f"{key}.{shown_name(name)}", None, remedy))
            continue
        value = written.strip() if isinstance(written, str) else written
        if isinstance(value, str):
            missing = [*_unresolved(f"{key}.{name}", value, variables)]
            wrong = [*_wrong_references(f"{key}.{name}", value, variables)]
            unresolved += missing
            faults += wrong
            if missing or wrong:
                continue
            value = REFERENCE.sub(lambda m: variables[m[1]].strip(), value)
        try:
            checked = TypeAdapter(OPTION_TYPES[holds]).validate_python(value, strict=False)
        except ValidationError as error:
            shown = None if holds.secret else shown_value(value)
            [item] = error.errors(include_url=False)
            faults.append(ConfigError(f"{key}.{name}", shown, sentence(item)))
            continue
        text = checked.get_secret_value() if isinstance(checked, SecretStr) else checked
        if text:
            values[name] = text
        else:
            faults.append(ConfigError(f"{key}.{name}", None, "must not be empty"))
    for name in sorted(kind.kinds().keys() - kind.defaults().keys() - given.keys()):
        number = int(key.rpartition(".")[2]) + 1
        remedy = f"missing; add `{name} = …` under [[channels]] number {number}"
        faults.append(ConfigError(f"{key}.{name}", None, remedy))
    if len(faults) > before:
        return None
    if len(unresolved) > known_before:
        return ConsoleOptions()  # it stands in: the channel is not usable
    try:
        return (None if values else kind.from_environment(notifiers)) or kind(**values)
    except ValueError as error:
        if not values:  # it uses the variables of the default channel
            unresolved.append(ConfigError(key, None, str(error)))
            return ConsoleOptions()  # it stands in: the channel is not usable
        faults.append(ConfigError(key, None, str(error)))
        return None


def _unresolved(key: str, template: str, variables: Mapping[str, str]) -> Iterator[ConfigError]:
    """The variables that a header or a channel refers to and that have no value."""
    for name in sorted(set(REFERENCE.findall(template))):
        if name not in variables:
            yield ConfigError(key, None, f"${{{name}}} is not set in the environment")
        elif not variables[name].strip():
            yield ConfigError(key, None, f"${{{name}}} is empty in the environment")


def _wrong_references(
    key: str, template: str, variables: Mapping[str, str]
) -> Iterator[ConfigError]:
    """What was meant as a reference and is none."""
    rest = REFERENCE.sub("", template)
    if "${" in rest:
        yield ConfigError(key, None, "write ${NAME}, with the name of an environment variable")
    for name in sorted(set(_BARE_REFERENCE.findall(rest)) & variables.keys()):
        remedy = f"write ${{{name}}}: without braces the text is sent literally"
        yield ConfigError(key, None, remedy)


def _dialect_fault(name: str, dialect: str, line: str) -> ConfigError:
    """An error that a dialect found, at the key of the option if it names one."""
    stated, found, remedy = line.partition(": ")
    if found and stated.startswith("options."):
        key, _, value = stated.partition(" = ")
        parts = ".".join(map(shown_name, key.split(".")))
        return ConfigError(f"targets.{name}.{parts}", value or None, remedy)
    return ConfigError(f"targets.{name}.dialect", f'"{dialect}"', line)


def _built_target(name: str, section: TargetSection, headers: Mapping[str, str]) -> Target:
    plain = section.model_dump(exclude={"queries", "headers", "options", "health"})
    plain |= {k: _tuple(v) for k, v in plain.items() if isinstance(v, list)}
    queries = tuple(map(_query, section.queries))
    return Target(
        name=name, queries=queries, headers=headers, options=_floats(section.options), **plain
    )


def _tuple(values: list[Any]) -> tuple[Any, ...]:
    return tuple(_tuple(value) if isinstance(value, list) else value for value in values)


def _query(section: QuerySection) -> Query:
    direct = asks_for_model(section.text) if section.identity is None else section.identity
    expect = section.expect.model_dump(by_alias=True)
    expect = {k: _tuple(v) if isinstance(v, list) else v for k, v in expect.items()}
    own = section.model_dump() | {"identity": direct, "expect": AnswerExpectation(**expect)}
    return Query(**own)


def _floats(value: Any) -> Any:
    """Options become part of JSON bodies, which have no Decimal."""
    if isinstance(value, dict):
        return {k: _floats(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_floats(v) for v in value]
    return float(value) if isinstance(value, Decimal) else value


def health_pages(file: ConfigFile) -> Iterator[tuple[str, HealthPage]]:
    """The health page of each target that has one."""
    for name, section in file.targets.items():
        page = section.health
        if page.url is not None:
            whole = address(section.url, page.url)
            yield name, HealthPage(url=whole, every=page.every, expect=tuple(page.expect))

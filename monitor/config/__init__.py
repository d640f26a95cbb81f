"""Environment and `monitor.toml`: read once, validated completely, frozen.

All errors are reported together; each names key, value and remedy. Any key of the file can also be
set as `MONITOR_<SECTION>__<KEY>`, which takes precedence.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from monitor.config.compile import (
    channels,
    health_pages,
    price_faults,
    rules,
    silence_faults,
    target_names,
    targets,
)
from monitor.config.config_errors import ConfigError, ConfigErrors, faults_in
from monitor.config.environment import (
    SECRET_VARIABLES,
    WHOLE_TEXT,
    Environment,
    address_secrets,
    environment,
    references,
    secret_values,
    target_secrets,
)
from monitor.config.fault_repair import without_faults
from monitor.config.file_schema import ConfigFile
from monitor.config.toml_document import document, file_named, overlay, source
from monitor.config.value_kinds import bare, fields_normalized
from monitor.domain import Target
from monitor.health_page import HealthPage
from monitor.notifications import ConfiguredChannel
from monitor.redaction import redact, secret_parts
from monitor.rules import Rule

NOTHING: Mapping[str, str] = MappingProxyType({})

__all__ = [
    "ConfigError",
    "ConfigErrors",
    "Environment",
    "Settings",
    "exists",
    "load",
]


_JUDGING = {"rules", "prices", "tokenizers"}
_NO_MATTER = {"every", "daily_queries", "health"}  # of a target: no answer changes with them
_SURROUNDINGS = {
    "channels",
    "slack",
    "digest",
    "incidents",
    "maintenance",
    "storage",
    "metrics",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration.

    `config_hash` changes if what is probed, judged or priced changes, but not if only the monitor's
    own environment does: channels, database, metrics endpoint.
    """

    environment: Environment
    file: ConfigFile
    targets: Mapping[str, Target]
    rules: Mapping[str, Rule]
    health: Mapping[str, HealthPage]  # by target
    channels: Mapping[str, ConfiguredChannel]  # by name; at least one
    config_hash: str
    target_hashes: Mapping[str, str]  # see `hash_of`
    secrets: tuple[str, ...]
    source: str  # the file, or the variable, that was read
    unresolved: tuple[ConfigError, ...] = ()  # only with `load(without_secrets=True)`

    @property
    def usable_channels(self) -> tuple[ConfiguredChannel, ...]:
        """The channels that can be opened: their variables are set."""
        return tuple(channel for channel in self.channels.values() if channel.usable)

    def hash_of(self, target: str) -> str:
        """The hash of what a target is asked and of how that is judged."""
        return self.target_hashes.get(target, self.config_hash)

    def lacks_secrets(self, target: str) -> bool:
        """Whether a header of the target refers to a variable that is not set."""
        key = f"targets.{target}.headers."
        return any(fault.key.startswith(key) for fault in self.unresolved)

    def __repr__(self) -> str:
        return f"Settings(targets={sorted(self.targets)}, config_hash={self.config_hash})"


def exists() -> bool:
    """Whether there is a configuration at all."""
    return bool(os.environ.get(WHOLE_TEXT, "").strip()) or file_named(os.environ).exists()


def load(
    environ: Mapping[str, str] | None = None,
    *,
    laid_over: Mapping[str, str] = NOTHING,
    without_secrets: bool = False,
) -> Settings:
    """Read and check everything; raises ConfigErrors with every fault found.

    `laid_over` are further `MONITOR_…` variables, which win: limits to try. With
    `without_secrets`, for commands that only read the database, variables that headers and
    channels refer to need no value: what lacks one is in `Settings.unresolved`. Headers then are
    incomplete, and such a channel cannot be opened.
    """
    variables = {**(os.environ if environ is None else environ), **laid_over}
    unresolved: list[ConfigError] = []
    found, faults = environment(variables)
    table, unread = document(variables)
    origins = overlay(table, variables, faults)
    faults += unread
    file = checked = None
    if not unread:
        try:
            file = checked = ConfigFile.model_validate(fields_normalized(table, ConfigFile))
        except ValidationError as error:
            faults += faults_in(error, origins)
            checked = without_faults(table, error)  # what else is wrong
    judged_by = dict(rules(table, origins, faults))
    watched = dict(targets(checked, variables, faults, unresolved))
    given = found.for_notifiers if found else NOTHING
    known = target_names(table)
    notify = channels(checked, variables, given, faults, unresolved, known=known)
    faults += silence_faults(checked, notify, known=known)
    faults += price_faults(table)
    faults += () if without_secrets else unresolved
    if faults or file is None or found is None:
        raise ConfigErrors(_redacted(faults, table, variables))
    return Settings(
        environment=found,
        file=file,
        targets=watched,
        rules={name: _with_limits_of(file, rule) for name, rule in judged_by.items()},
        health=dict(health_pages(file)),
        channels={channel.name: channel for channel in notify},
        config_hash=_hash(file.model_dump_json(exclude=_SURROUNDINGS)),
        target_hashes={
            name: _hash(
                file.model_dump_json(include=_JUDGING) + section.model_dump_json(exclude=_NO_MATTER)
            )
            for name, section in file.targets.items()
        },
        secrets=(
            *found.secrets,
            *target_secrets(file, watched),
            *_of_channels(notify),
            *_of_proxies(variables),
        ),
        source=source(variables),
        unresolved=tuple(unresolved),
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _of_channels(channels: Iterable[ConfiguredChannel]) -> Iterator[str]:
    for channel in channels:
        for value in channel.options.secrets:
            yield value
            yield from address_secrets(value)


def _of_proxies(variables: Mapping[str, str]) -> Iterator[str]:
    """Credentials of the proxies in the environment, which accounts, heartbeat and Slack use."""
    for name, value in variables.items():
        if name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
            yield from secret_parts(value if "://" in value else f"http://{value}")


def _redacted(
    faults: Sequence[ConfigError], table: Mapping[str, Any], variables: Mapping[str, str]
) -> list[ConfigError]:
    """The errors without anything in file or environment that may be a secret."""
    held = [bare(variables[name]) for name in SECRET_VARIABLES if variables.get(name)]
    held += [variables[name].strip() for name in references(table) if name in variables]
    held += secret_values(table)
    secrets = [part for whole in held for part in (whole, *secret_parts(whole))]
    return [
        ConfigError(f.key, f.value and redact(f.value, secrets), redact(f.remedy, secrets))
        for f in faults
    ]


def _with_limits_of(file: ConfigFile, rule: Rule) -> Rule:
    """The rule with the limits that are set in another section."""
    limits = {limit: attrgetter(key)(file) for limit, key in rule.set_elsewhere.items()}
    return replace(rule, **limits) if limits else rule  # type: ignore[type-var]

"""Every key of the schema, in file and environment, takes a value in every usual spelling.

The keys come from the schema and the rules themselves: a new one is tested without being named.
"""

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from pydantic import BaseModel

from monitor.config import ConfigErrors, Settings, load
from monitor.config.environment import VARIABLES, WHOLE_TEXT
from monitor.config.file_schema import ConfigFile
from monitor.config.value_kinds import VERBATIM
from monitor.rules import RULES

BASE = """
[targets.rag]
url = "https://rag.example.com"
dialect = "bali_zero"
[targets.rag.health]
url = "https://rag.example.com/health"
[[targets.rag.queries]]
id = "hi"
text = "Hi"
[tokenizers.m]
file = "m.model"
[[maintenance]]
days = ["sun"]
from = "01:00"
to = "02:00"
"""
CHANNEL = """
[[channels]]
name = "screen"
kind = "console"
"""
PATHS = {"targets": ("rag",), "tokenizers": ("m",)}  # tables of sections by name
FREE = ("prices", "headers", "options")  # not of the schema: names and values of anybody's
SAMPLES: dict[str, tuple[str, ...]] = {
    "url": ("https://other.example.com",),
    "dialect": ("bali_zero_typed",),
    "timezone": ("Europe/Rome",),
    "proxy": ("http://proxy.example.com:3128",),
    "runbook_url": ("https://runbook.example.com",),
    "target": ("rag",),
    "rule": ("ttft",),
    "expect": ("status",),
    "from": ("03:00",),
    "severity": ("warn", "info"),
    "kind": ("console",),
    "language": ("english",),
    "rules": ("ttft",),
    "targets": ("rag",),
}


@dataclass(frozen=True)
class Key:
    path: tuple[str | int, ...]
    kind: Any
    verbatim: bool = False

    @property
    def variable(self) -> str | None:
        """The variable that sets it; None where a path goes through a list."""
        if any(isinstance(part, int) for part in self.path):
            return None
        return "MONITOR_" + "__".join(str(part).upper() for part in self.path)

    @property
    def file_key(self) -> str:
        return ".".join(map(str, self.path))


def keys(shape: type[BaseModel], path: tuple[str | int, ...] = ()) -> Iterator[Key]:
    hints = get_type_hints(shape, include_extras=True)
    for name, field in shape.model_fields.items():
        key = field.alias or name
        if key not in FREE and not (key == "rules" and not path):
            yield from of_kind(hints[name], (*path, key))


def of_kind(kind: Any, path: tuple[str | int, ...], *, verbatim: bool = False) -> Iterator[Key]:
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *marks = get_args(kind)
        yield from of_kind(inner, path, verbatim=VERBATIM in marks)
    elif origin in (Union, UnionType):
        inner = next(k for k in get_args(kind) if k is not type(None))  # the usual spelling
        yield from of_kind(inner, path, verbatim=verbatim)
    elif origin is dict:
        for name in PATHS[str(path[-1])]:
            yield from of_kind(get_args(kind)[1], (*path, name))
    elif origin in (list, tuple):
        yield from of_kind(get_args(kind)[0], (*path, 0))
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        yield from keys(kind, path)
    else:
        yield Key(path, kind, verbatim)


def rule_keys() -> Iterator[Key]:
    for name, rule in RULES.items():
        hints = get_type_hints(rule)
        yield Key(("rules", name, "enabled"), bool)
        for field in fields(rule):  # type: ignore[arg-type]
            if field.name in rule.set_elsewhere:
                continue
            yield from of_kind(hints[field.name], ("rules", name, field.name))


KEYS = [*keys(ConfigFile), *rule_keys()]
NAMES = [key.file_key for key in KEYS]


def loaded(tmp_path: Path, key: Key, value: Any, *, by: str = "file") -> Settings:
    document = tomllib.loads(BASE + CHANNEL)
    path, environ = tmp_path / "monitor.toml", {}
    if by == "file":
        here: Any = document
        for part, after in zip(key.path, (*key.path[1:], None), strict=True):
            if after is None:
                if isinstance(part, int):
                    here[:] = [value]
                else:
                    here[part] = value
            elif isinstance(part, int):
                here = here[part]
            else:
                here = here.setdefault(part, [] if isinstance(after, int) else {})
    else:
        assert key.variable
        environ = {key.variable: value}
    path.write_text(toml(document))
    return load({"MONITOR_CONFIG": str(path), **environ})


def toml(document: dict[str, Any]) -> str:
    """The top level as `key = inline value`, which TOML allows for everything."""
    return "".join(f"{key} = {inline(value)}\n" for key, value in document.items())


def inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


def got(settings: Settings, key: Key) -> Any:
    """What is in force at this key."""
    here: Any = settings.file
    path = list(key.path)
    if path[0] == "rules":
        if path[2] == "enabled":
            return path[1] in settings.rules
        here, path = settings.rules[str(path[1])], path[2:]
    for part in path:
        if isinstance(part, int) or isinstance(here, dict):
            here = here[part]
        else:
            here = getattr(here, {"from": "start", "to": "end", "json": "json_"}.get(part, part))
    return here


def samples(key: Key) -> Iterator[Any]:
    """Values to try, the first that the key takes is used: others than the default first."""
    last = next(str(part) for part in reversed(key.path) if not isinstance(part, int))
    yield from SAMPLES.get(last, ())
    if get_origin(key.kind) is Literal:
        yield from get_args(key.kind)[1:]
    elif key.kind is timedelta:
        yield from ("15s", "7m", "90d")
    elif key.kind is time:
        yield from ("04:30",)
    elif key.kind in (int, float, Decimal):
        yield from (7, 3, 2, 1, 20, 200, 5000, Decimal("0.25"), Decimal("0.9"))
    elif key.kind is str:
        yield "word"


def sample(tmp_path: Path, key: Key) -> tuple[Any, Any]:
    """A value the key takes as it is, and what is then in force: not what is without it."""
    before = None
    if not any(isinstance(part, int) for part in key.path):
        before = got(load_base(tmp_path), key)
    for value in samples(key):
        try:
            found = got(loaded(tmp_path, key, value), key)
        except ConfigErrors:
            continue
        if found != before:
            return value, found
    raise AssertionError(f"no sample fits {key.file_key}: add one to SAMPLES")


def load_base(tmp_path: Path) -> Settings:
    path = tmp_path / "base.toml"
    path.write_text(BASE)
    return load({"MONITOR_CONFIG": str(path)})


TRUE = ("true", "True", "TRUE", "yes", "Yes", "on", "ON", "1", " true", "yes\n", "\tOn ")
FALSE = ("false", "False", "FALSE", "no", "No", "off", "OFF", "0", " false\n", "no ", "\noff")
NEITHER = ("maybe", "2", "", "tru", "enabled", "null", "[]")


def ways(key: Key) -> list[str]:
    return ["file", "environment"] if key.variable else ["file"]


BOOLEANS = [key for key in KEYS if key.kind is bool]


@pytest.mark.parametrize(("key", "every"), [
    pytest.param(key, every, id=f"{key.file_key}{' in every spelling' * every}",
                 marks=[pytest.mark.search] * (every and nth > 0))
    for nth, key in enumerate(BOOLEANS) for every in (False, True)
])  # fmt: skip
def test_a_boolean_is_understood_in_every_usual_spelling_or_refused(
    tmp_path: Path, key: Key, every: bool
) -> None:
    most = None if every else 2  # one key shows how each is read
    for by in ways(key):
        for spellings, meaning in ((TRUE, True), (FALSE, False)):
            for spelling in spellings[-1 if most else 0 :]:
                found = got(loaded(tmp_path, key, spelling, by=by), key)
                assert found is meaning, (by, spelling)
        for spelling in NEITHER[:most]:
            with pytest.raises(ConfigErrors) as raised:
                loaded(tmp_path, key, spelling, by=by)
            notified = str(raised.value)
            assert "write true or false" in notified
            assert str(key.variable if by == "environment" else key.file_key) in notified
    for plain, meaning in ((True, True), (False, False), (1, True), (0, False)):
        assert got(loaded(tmp_path, key, plain), key) is meaning


@pytest.mark.parametrize("key", [k for k in KEYS if k.kind is not bool], ids=lambda k: k.file_key)
def test_blanks_and_line_ends_around_a_value_change_nothing(tmp_path: Path, key: Key) -> None:
    value, expected = sample(tmp_path, key)
    for by in ways(key):
        for spelling in (f" {value}", f"{value}\n", f"\t{value} \r\n"):
            found = got(loaded(tmp_path, key, spelling, by=by), key)
            if key.verbatim and by == "file":
                assert found == spelling
            else:
                assert found == expected, (by, spelling)


@pytest.mark.parametrize(
    "key",
    [k for k in KEYS if get_origin(k.kind) is Literal or k.kind in (timedelta, time)
     or str(k.path[-1]) in ("dialect", "timezone", "target", "rule")],
    ids=lambda k: k.file_key,
)  # fmt: skip
def test_case_changes_nothing_or_is_refused(tmp_path: Path, key: Key) -> None:
    value, expected = sample(tmp_path, key)
    for by in ways(key):
        for spelling in (str(value).upper(), str(value).lower(), str(value).title()):
            notified = ""
            try:
                found = got(loaded(tmp_path, key, spelling, by=by), key)
            except ConfigErrors as fault:
                notified = str(fault)
            if notified:
                last = next(part for part in reversed(key.path) if isinstance(part, str))
                assert last in notified or (key.variable or last) in notified
            else:
                assert found == expected, (by, spelling)


@pytest.mark.parametrize(
    "key", [k for k in KEYS if k.kind in (int, float, Decimal)], ids=lambda k: k.file_key
)
def test_a_boolean_is_no_number(tmp_path: Path, key: Key) -> None:
    for by in ways(key):
        with pytest.raises(ConfigErrors):
            loaded(tmp_path, key, "true" if by == "environment" else True, by=by)


@pytest.mark.parametrize("name", sorted(name.lower() for name in VARIABLES if name != WHOLE_TEXT))
def test_a_variable_may_end_in_a_line_end(tmp_path: Path, name: str) -> None:
    path = tmp_path / "monitor.toml"
    path.write_text(BASE)
    value = {
        "database_url": "postgresql://u:secret1@h:5432/d",
        "slack_webhook_url": "https://hooks.example.com/x/secret1",
        "monitor_config": str(path),
        "log_level": "DEBUG",
        "watchdog_usec": "60000000",
    }.get(name, "https://x.example.com" if name.endswith("_url") else "word")
    given = {"MONITOR_CONFIG": str(path), "SLACK_CHANNEL": "#alerts"}
    plain = load({**given, name.upper(): value}).environment
    for spelling in (f"{value}\n", f" {value}", f"{value} \r\n"):
        assert load({**given, name.upper(): spelling}).environment == plain
    if name not in ("monitor_config", "monitor_home"):
        assert load({**given, name.upper(): " \n"}).environment == load({
                k: v for k, v in given.items() if k != name.upper()
            }).environment  # fmt: skip


@pytest.mark.parametrize("level", ["info", "Info", "debug\n", " WARNING", "error"])
def test_a_log_level_is_understood_in_any_case(tmp_path: Path, level: str) -> None:
    path = tmp_path / "monitor.toml"
    path.write_text(BASE)
    found = load({"MONITOR_CONFIG": str(path), "LOG_LEVEL": level}).environment.log_level
    assert found == level.strip().upper()


@pytest.mark.parametrize(
    ("key", "remedy"),
    [("limit_usd", "probes.daily_budget_usd"), ("limit_probes", "probes.max_per_day")],
)
def test_a_limit_that_stands_elsewhere_is_not_ignored(
    tmp_path: Path, key: str, remedy: str
) -> None:
    path = tmp_path / "monitor.toml"
    path.write_text(f"{BASE}[rules.probe_budget]\n{key} = 5\n")
    with pytest.raises(ConfigErrors, match=f"rules.probe_budget.{key}: set {remedy}"):
        load({"MONITOR_CONFIG": str(path)})


@pytest.mark.parametrize(
    ("text", "variables", "named"),
    [
        ("[rules.key]\nexpires_days = 14\n", {}, "rules.key.expires_days"),
        ("", {"MONITOR_RULES__KEY__EXPIRES_DAYS": "14"}, "MONITOR_RULES__KEY__EXPIRES_DAYS"),
    ],
)
def test_a_former_limit_names_the_one_that_replaced_it(
    tmp_path: Path, text: str, variables: dict[str, str], named: str
) -> None:
    path = tmp_path / "monitor.toml"
    path.write_text(BASE + text)
    remedy = r"set `days` of \[rules.calendar\], a list such as \[30, 14, 3, 1\]"
    with pytest.raises(ConfigErrors, match=f"{named}: no longer a key of this rule; {remedy}"):
        load({"MONITOR_CONFIG": str(path), **variables})


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("target", "rga", 'unknown target; did you mean "rag"?'),
        ("rule", "tfft", 'unknown rule; did you mean "ttft"?'),
    ],
)
def test_a_maintenance_window_names_what_exists(
    tmp_path: Path, key: str, value: str, remedy: str
) -> None:
    path = tmp_path / "monitor.toml"
    path.write_text(f'{BASE}{key} = "{value}"\n')
    with pytest.raises(ConfigErrors, match=f'maintenance.0.{key} = "{value}": ') as raised:
        load({"MONITOR_CONFIG": str(path)})
    assert remedy in str(raised.value)
    for known in ("all", *(("RAG ", "openrouter", "console") if key == "target" else ("Ttft",))):
        path.write_text(f'{BASE}{key} = "{known}"\n')
        load({"MONITOR_CONFIG": str(path)})


def test_the_keys_of_the_schema_are_all_walked() -> None:
    sections = {key.path[0] for key in KEYS}
    assert sections | {"prices"} == set(ConfigFile.model_fields)
    assert len(KEYS) > 90

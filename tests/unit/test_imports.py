"""Imports point inwards only; rooms on one level do not import each other; names are unique."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from tests.case_tables import each
from tests.parsed_sources import nodes, parsed

PACKAGE = Path(__file__).parents[2] / "monitor"

# Innermost first. A room may import from rooms further up this list, never from its own line.
# A dotted name is a module that stands further in than the rest of its room.
LEVELS: tuple[tuple[str, ...], ...] = (
    ("domain", "data_files", "error_text", "redaction"),
    ("identity.model_names",),
    (
        "dialects",
        "probing.timing",
        "identity",
        "pricing",
        "rules",
        "incidents",
        "transcripts",
        "health_page",
    ),
    ("answer_checks", "paired_comparison"),
    ("probing.observe",),
    ("bounded_io", "network_settings", "command_name", "accounts", "probing.limits"),
    ("probing.tls",),
    ("probing.fetch",),
    ("notifications",),
    (
        "config",
        "probing",
        "storage",
        "reports",
        "metrics",
        "embedded_postgres",
        "simulator",
        "tokenizers",
        "cpu_limit",
    ),
    ("backtest", "demo", "setup"),
    ("worker",),
    ("cli",),
    ("__main__",),
)
LEVEL = {room: number for number, rooms in enumerate(LEVELS) for room in rooms}

# Each of these libraries has one room that knows it.
OWNERS = {
    "httpx": {"probing", "probing.fetch", "probing.tls"},
    "httpcore": {"probing", "probing.tls"},
    "h11": {"probing"},
    "sqlalchemy": {"storage"},
    "psycopg": {"storage"},
    "alembic": {"storage"},
    "slack_sdk": {"notifications"},
    "apprise": {"notifications"},
    "apscheduler": {"worker"},
    "typer": {"__main__"},
    "prometheus_client": {"metrics"},
    "tiktoken": {"tokenizers"},
    "jinja2": {"reports"},
    "markupsafe": {"reports"},
    "numpy": {"paired_comparison"},
    "scipy": {"paired_comparison"},
}

PURE = {room for rooms in LEVELS[:5] for room in rooms}
IMPURE = {"socket", "asyncio", "logging", "os", "subprocess", "random", "threading", "time"}


def place_of(parts: tuple[str, ...]) -> str:
    """The room of a module, or its own line in the table."""
    own = ".".join(parts[:2])
    return own if own in LEVEL else parts[0]


def room_of(path: Path) -> str:
    return place_of(path.relative_to(PACKAGE).with_suffix("").parts)


@cache
def imports(path: Path) -> list[tuple[str, int]]:
    """Every module a file imports, with its line; `from monitor import x` names monitor.x."""
    found = []
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            if node.module == "monitor":
                found += [(f"monitor.{alias.name}", node.lineno) for alias in node.names]
            else:
                folder = PACKAGE.parent.joinpath(*(node.module or "").split("."))
                for alias in node.names:
                    inner = (folder / alias.name).with_suffix(".py").exists()
                    found.append(
                        (f"{node.module}.{alias.name}" if inner else node.module or "", node.lineno)
                    )
    return found


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def test_every_room_has_a_level() -> None:
    assert {room_of(path) for path in FILES} <= LEVEL.keys()


@each("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_inwards(path: Path) -> None:
    room = room_of(path)
    wrong = []
    for module, line in imports(path):
        parts = module.split(".")
        if parts[0] == "monitor" and len(parts) > 1 and parts[1] != "__version__":
            other = place_of(tuple(parts[1:]))
            if other != room and LEVEL[other] >= LEVEL[room]:
                wrong.append(f"{path.name}:{line} {room} imports {other}")
        elif parts[0] in OWNERS and room not in OWNERS[parts[0]]:
            wrong.append(f"{path.name}:{line} {room} imports {parts[0]}")
    assert not wrong


@each("path", [p for p in FILES if room_of(p) in PURE], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_pure_rooms_touch_no_world(path: Path) -> None:
    assert not [m for m, _ in imports(path) if m.split(".")[0] in IMPURE]


def test_no_public_class_name_is_defined_twice() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in FILES:
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(PACKAGE)))
    assert len(places) > 200, "too few classes were found"
    assert not {name: paths for name, paths in places.items() if len(paths) > 1}


def test_no_module_name_stands_in_two_rooms() -> None:
    """A module may bear the name of its own room; `__init__` and `__main__` are Python's."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in FILES:
        if not path.stem.startswith("__"):
            places[path.stem].append(str(path.relative_to(PACKAGE)))
    for folder in {path.parent for path in FILES} - {PACKAGE}:
        places[folder.name].append(str(folder.relative_to(PACKAGE)))
    own = {name: {p for p in paths if p != f"{name}/{name}.py"} for name, paths in places.items()}
    assert len(own) > 120, "too few modules were found"
    assert not {name: sorted(paths) for name, paths in own.items() if len(paths) > 1}


LONGEST = 400  # lines of a module. Source: docs/adr/0021-size.md
# These modules are longer. A line is removed when its module is split; none is added.
LONGER = {
    "__main__.py": 750,  # declares every command and its options
    "rules/ttft.py": 450,
    "storage/report_tables.py": 460,
    "storage/tables.py": 600,
    "worker/scheduler.py": 500,
}


def test_no_module_is_longer_than_its_limit() -> None:
    counted = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    over = {name: n for name, n in counted.items() if n > LONGER.get(name, LONGEST)}
    assert over == {}, f"split these by nouns: the limit is {LONGEST} lines"
    assert {name for name in LONGER if counted.get(name, 0) <= LONGEST} == set(), "remove these"


def test_each_library_of_the_table_is_used_by_its_room() -> None:
    """A library that nobody imports, or whose room is gone, leaves no line behind."""
    used = defaultdict(set)
    for path in FILES:
        for module, _ in imports(path):
            used[module.split(".")[0]].add(room_of(path))
    assert {library: rooms for library, rooms in OWNERS.items() if used[library] != rooms} == {}


# Libraries that a worker loads when it first draws something.
LATE = {"jinja2", "markupsafe", "resvg_py"}


def loaded_with(module: str) -> set[str]:
    """Everything that importing a module imports: at its top level, ours followed further."""
    found, due = set(), [module]
    while due:
        name = due.pop()
        if name in found:
            continue
        found.add(name)
        path = PACKAGE.parent.joinpath(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if path.exists():
            for node in parsed(path).body:
                if isinstance(node, ast.Import):
                    due += [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    due += [node.module or ""]
                    due += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("module", ["monitor.cli.run", "monitor.cli.reporting"])
def test_an_idle_worker_and_a_report_on_the_terminal_load_no_templates(module: str) -> None:
    loaded = loaded_with(module)
    assert "sqlalchemy" in loaded, "the walk follows imports"
    assert not loaded & LATE


def test_the_page_loads_the_templates() -> None:
    assert "jinja2" in loaded_with("monitor.reports.picture")

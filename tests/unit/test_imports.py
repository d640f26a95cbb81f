"""Imports point inwards only; rooms on one level do not import each other."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "monitor"

# Innermost first. A room may import from rooms further up this list, never from its own line.
LEVELS: tuple[tuple[str, ...], ...] = (
    ("domain", "addresses", "error_text", "scrub"),
    (
        "dialects",
        "measure",
        "identity",
        "pricing",
        "rules",
        "incidents",
        "messages",
        "transcripts",
        "health",
        "digest",
    ),
    ("observe",),
    ("name_lookup", "environment_proxy"),
    (
        "settings",
        "wire",
        "store",
        "notifiers",
        "accounts",
        "reports",
        "metrics",
        "embedded",
        "demo",
        "logs",
        "counters",
        "cpu_limit",
    ),
    ("spool", "backtest"),
    ("jobs",),
    ("worker",),
    ("commands",),
    ("__main__",),
)
LEVEL = {room: number for number, rooms in enumerate(LEVELS) for room in rooms}

# Each of these libraries has one room that knows it.
OWNERS = {
    "httpx": {"wire"},
    "httpcore": {"wire"},
    "h11": {"wire"},
    "sqlalchemy": {"store"},
    "psycopg": {"store"},
    "alembic": {"store"},
    "slack_sdk": {"notifiers"},
    "apscheduler": {"worker"},
    "typer": {"__main__"},
    "prometheus_client": {"metrics"},
    "tiktoken": {"counters"},
}

PURE = {room for rooms in LEVELS[:3] for room in rooms}
IMPURE = {"socket", "asyncio", "logging", "os", "subprocess", "random", "threading", "time"}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[tuple[str, int]]:
    """Every module a file imports, with its line; `from monitor import x` names monitor.x."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            if node.module == "monitor":
                found += [(f"monitor.{alias.name}", node.lineno) for alias in node.names]
            else:
                found.append((node.module or "", node.lineno))
    return found


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def test_every_room_has_a_level() -> None:
    assert {room_of(path) for path in FILES} <= LEVEL.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_inwards(path: Path) -> None:
    room = room_of(path)
    wrong = []
    for module, line in imports(path):
        parts = module.split(".")
        if parts[0] == "monitor" and len(parts) > 1 and parts[1] != "__version__":
            other = parts[1]
            if other != room and LEVEL[other] >= LEVEL[room]:
                wrong.append(f"{path.name}:{line} {room} imports {other}")
        elif parts[0] in OWNERS and room not in OWNERS[parts[0]]:
            wrong.append(f"{path.name}:{line} {room} imports {parts[0]}")
    assert not wrong


@pytest.mark.parametrize(
    "path", [p for p in FILES if room_of(p) in PURE], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_pure_rooms_touch_no_world(path: Path) -> None:
    assert not [m for m, _ in imports(path) if m.split(".")[0] in IMPURE]

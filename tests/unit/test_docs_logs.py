"""docs/logs.md lists every log event of the code with its level, and no other."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
LEVELS = ("debug", "info", "warning", "error")
METHODS = {level: {level} for level in LEVELS} | {"exception": {"error"}, "say": {"warning"}}


def documented() -> dict[str, set[str]]:
    rows = re.findall(r"^\| `([^`]+)` \| ([a-z, ]+) \| .+\. \|$|^\| `(.+)`", PAGE, re.M)
    assert not [wrong for _, _, wrong in rows if wrong]
    return {event: set(levels.split(", ")) for event, levels, _ in rows}


def text(node: ast.expr) -> str | None:
    """The event that a call logs, with … for what it fills in; None: not a literal."""
    match node:
        case ast.Constant(value=str(event)):
            return event
        case ast.JoinedStr(values=parts):
            return "".join(
                str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts
            )
    return None


def is_logger(node: ast.expr) -> bool:
    return bool(re.match(r"(log|logs|startup|logging\.getLogger\(.*\))\.\w+$", ast.unparse(node)))


@cache
def logged() -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "monitor").rglob("*.py")):
        code = path.read_text(encoding="utf-8")
        if not re.search(r"\blogs?\.|getLogger|startup\.", code):
            continue
        for node in ast.walk(ast.parse(code)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if not is_logger(node.func):
                continue
            if node.args and ast.unparse(node.args[0]) == "event":
                continue  # `say` passes on what it was given
            if node.func.attr == "log":
                levels = set(re.findall(r"logging\.([A-Z]+)", ast.unparse(node.args[0])))
                event = text(node.args[1])
                found[str(event)] |= {level.lower() for level in levels}
            elif node.func.attr in METHODS:
                event = text(node.args[0])
                assert event is not None, f"{path}:{node.lineno} logs no literal"
                found[event] |= METHODS[node.func.attr]
    return found


def test_the_page_lists_every_event_with_its_level_and_no_other() -> None:
    assert documented() == logged()


def test_the_page_and_the_code_were_read() -> None:
    assert len(documented()) > 50
    assert {level for levels in logged().values() for level in levels} == set(LEVELS)

"""Documents and program name the same commands, options, rules and metrics."""

import re
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from typer.main import get_command

from monitor.__main__ import app
from monitor.metrics.series import series
from tests.case_tables import each

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
}
SCRIPT = {"test", "install", "build", "audit"}  # of `./run`, not of the program


def options(command: Any) -> set[str]:
    found = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    return {name for name in found if name.startswith("--")} | {"--help"}


def commands(command: Any = None, path: str = "") -> dict[str, set[str]]:
    """`incidents mute` → its options; groups too."""
    command = command or get_command(app)
    found = {path: options(command)}
    for name, inner in getattr(command, "commands", {}).items():
        found |= commands(inner, f"{path} {name}".strip())
    return found


COMMANDS = commands()


def quoted(text: str) -> list[str]:
    """Code of a page: fenced lines, and spans in backticks."""
    fenced = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.M | re.S)
    rest = re.sub(r"^ *```\w*\n.*?^ *```", "", text, flags=re.M | re.S)
    lines = [line for block in fenced for line in block.replace("\\\n", " ").splitlines()]
    return lines + [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", rest)]


def calls() -> list[tuple[str, str, list[str]]]:
    """Page, command and options of each command line that a page shows."""
    found = []
    for page, text in PAGES.items():
        for code in quoted(text):
            for call in re.findall(r"(?:^|[\s(])(?:\./run|monitor) ([a-z-][^|;&#)]*)", code):
                words = call.split()
                name = words[0] if not words[0].startswith("-") else ""
                if " ".join(words[:2]) in COMMANDS:
                    name = " ".join(words[:2])
                found.append((page, name, re.findall(r"(?<=\s)(--[a-z-]+)", f" {call}")))
    return found


CALLS = calls()


@each("page", sorted({page for page, _, _ in CALLS}))
def test_every_command_line_of_a_page_is_understood(page: str) -> None:
    for where, name, given in CALLS:
        if where == page and name.split(" ")[0] not in SCRIPT:
            assert name in COMMANDS
            assert set(given) <= COMMANDS[name] | COMMANDS[""], name


def leaves() -> dict[str, set[str]]:
    groups = {name.rpartition(" ")[0] for name in COMMANDS}
    return {name: given - {"--help"} for name, given in COMMANDS.items() if name not in groups}


def test_the_page_of_commands_lists_every_command_with_its_options_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z -]+)` \|([^|]*)\|", PAGES["docs/commands.md"], re.M)
    listed = {name: set(re.findall(r"--[a-z-]+", given)) for name, given in rows}
    assert listed == leaves()


def test_the_readme_names_every_command() -> None:
    table = PAGES["README.md"].split("## Commands")[1].split("\n## ")[0]
    first = " ".join(re.findall(r"^\| (.+?) \|", table, re.M))
    assert {f"`{name.split(' ')[0]}`" for name in leaves()} <= set(re.findall(r"`[^`]+`", first))


def test_the_first_commands_of_the_readme_are_those_that_ci_runs() -> None:
    first = PAGES["README.md"].split("```sh\n")[1].split("```")[0].split("\n")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").split("\n")
    ran = {line for line in script if line.startswith("./run ")}
    assert "./run test" in ran
    assert ran <= set(first)


def test_the_pages_were_read() -> None:
    assert len(CALLS) > 100
    assert len(COMMANDS) > 15
    assert len({name for _, name, _ in CALLS}) > 12


def test_every_series_has_a_row_and_every_row_a_series() -> None:
    registry = CollectorRegistry()
    series(registry)
    rows = re.findall(r"^\| (`.+?) \|", PAGES["docs/metrics-endpoint.md"], re.M)
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    suffix = {"counter": "_total", "info": "_info"}
    exposed = [f"{family.name}{suffix.get(family.type, '')}" for family in registry.collect()]
    assert sorted(listed) == sorted(exposed)
    assert len(listed) > 25


def test_every_metric_that_any_page_names_is_exposed() -> None:
    registry = CollectorRegistry()
    series(registry)
    known = {family.name for family in registry.collect()}
    named = {
        name
        for text in PAGES.values()
        for name in re.findall(r"\b(?:monitor|gen_ai_client)_[a-z_]+_(?:total|seconds|usd)\b", text)
    }
    assert len(named) > 10
    assert not {
        name for name in named if name not in known and name.removesuffix("_total") not in known
    }

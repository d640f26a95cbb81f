"""Every command explains itself: short help lines, and an example at the end."""

import re

from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from monitor.__main__ import app
from tests.case_tables import each

LONGEST = 55  # characters: a line with its option fits a terminal of 80 columns


def _paths(command: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The command and all commands below it, as they are typed."""
    if not isinstance(command, TyperGroup):
        return [path]
    below = [_paths(command.commands[name], (*path, name)) for name in sorted(command.commands)]
    return [path, *(found for paths in below for found in paths)]


PATHS = _paths(get_command(app))


def test_all_commands_are_found() -> None:
    assert {("run",), ("probe",), ("baseline", "capture"), ("incidents", "mute")} <= set(PATHS)


@each("path", PATHS)
def test_a_command_has_short_help_lines_and_ends_with_an_example(path: tuple[str, ...]) -> None:
    command = get_command(app)
    for name in path:
        assert isinstance(command, TyperGroup)
        command = command.commands[name]
    lines = [(command.help or "").split("\n", maxsplit=1)[0]]
    lines += [getattr(parameter, "help", None) or "" for parameter in command.params]
    assert [line for line in lines if not 1 <= len(line) <= LONGEST] == []
    shown = CliRunner().invoke(app, [*path, "--help"]).output
    assert re.search(rf"\n *Example: {' '.join(('monitor', *path))}\b[^\n]*\n*$", shown)


def test_an_example_parses() -> None:
    """Every example names options that its command has."""
    for path in PATHS:
        command = get_command(app)
        for name in path:
            assert isinstance(command, TyperGroup)
            command = command.commands[name]
        known = {option for parameter in command.params for option in parameter.opts}
        if not isinstance(command, TyperGroup):
            assert set(re.findall(r"--[a-z-]+", command.epilog or "")) <= known, path

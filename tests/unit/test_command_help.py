"""Every command explains itself: short help lines, and an example at the end."""

import re

import pytest
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


SPAN = 'write a duration such as "30s", "5m" or "1h30m"'
WHOLE = "write a whole number such as 20000, without unit or separators"


@each("arguments, sentence", [
    ("incidents mute --for 2 --rule ttft --reason x", f"'--for': {SPAN}"),
    ("incidents mute --for 0s --rule ttft --reason x", "'--for': must be greater than zero"),
    ("incidents list --since 7", f"'--since': {SPAN}"),
    ("export --since week", f"'--since': {SPAN}"),
    ("derive --since 3", f"'--since': {SPAN}"),
    ("backtest --since 3", f"'--since': {SPAN}"),
    ("export --follow --out x --since 3", f"'--since': {SPAN}"),
    ("export --format xml", "'--format': 'xml' is not one of 'csv', 'jsonl', 'parquet'"),
    ("incidents show seven", f"'number': {WHOLE}"),
    ("compare a b --count 1.5", f"'--count': {WHOLE}"),
    ("compare a b --count 0", "'--count': must be greater than or equal to 1"),
    ("compare a b --budget much",
     "'--budget': write a number such as 4 or \"0.5\": digits and a point, without unit or "
     "separators"),
])  # fmt: skip
def test_a_rejected_argument_names_the_option_and_what_to_write(
    arguments: str, sentence: str
) -> None:
    ended = CliRunner().invoke(app, arguments.split())
    assert ended.exit_code == 2
    assert ended.output.splitlines()[-1] == f"Error: Invalid value for {sentence}"


@each("change, sentence", [
    ("ttft.limit=3", '--set ttft.limit: unknown key; did you mean "limit_ms"?'),
    ("ttft.limit_ms=fast", '--set ttft.limit_ms = "fast": '),
    ("ttft.limit_ms.x=3", "--set ttft.limit_ms.x: unknown key; "),
    ("ttft.=3", "--set ttft.=3: write RULE.KEY=VALUE"),
    ("ttft.a__=3", "--set ttft.a__=3: write RULE.KEY=VALUE"),
])  # fmt: skip
def test_a_rejected_limit_to_try_is_named_as_written(
    monkeypatch: pytest.MonkeyPatch, change: str, sentence: str
) -> None:
    monkeypatch.setenv(
        "MONITOR_CONFIG_TOML",
        '[targets.rag]\nurl = "http://127.0.0.1:9"\ndialect = "openai_chat"\n'
        '[[targets.rag.queries]]\nid = "hi"\ntext = "Hi"\n',
    )
    ended = CliRunner().invoke(app, ["backtest", "--set", change], input="")
    assert ended.exit_code == 2
    assert sentence in ended.output
    assert "MONITOR_" not in ended.output

"""Hints name the command by which the program was started."""

import sys
from pathlib import Path

import pytest

from monitor.command_name import NAMES, as_started, command_name
from tests.case_tables import each
from tests.contract.cli import commands


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAG_MONITOR_COMMAND", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "monitor"
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("started", "named", "shown"),
    [
        (["pytest"], None, "monitor"),
        (["monitor"], None, "monitor"),
        (["{here}/bin/monitor"], None, "monitor"),  # the shell finds it
        (["{here}/.venv/bin/monitor"], None, "{here}/.venv/bin/monitor"),
        (["/cache/uv/archive-v0/x/bin/rag-monitor"], None, "uvx rag-monitor"),
        (["{here}/monitor/__main__.py"], None, ".venv/bin/python -m monitor"),
        (["{here}/monitor/__main__.py"], "./run", "./run"),
        (["{here}/monitor/__main__.py"], "{here}/bin/monitor", "monitor"),
        (["pytest"], "docker compose exec worker monitor", "docker compose exec worker monitor"),
    ],
)
def test_the_command_is_the_one_that_was_typed(
    started: list[str], named: str | None, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = str(Path.cwd())
    monkeypatch.setattr(sys, "argv", [word.format(here=here) for word in started])
    monkeypatch.setattr(sys, "orig_argv", [f"{here}/.venv/bin/python", "-m", "monitor"])
    if named:
        monkeypatch.setenv("RAG_MONITOR_COMMAND", named.format(here=here))
    assert command_name() == shown.format(here=here)


@each(
    ("text", "shown"),
    [
        ("run `monitor migrate` first", "run `./run migrate` first"),
        ("`monitor baseline capture rag` or `monitor check`",
         "`./run baseline capture rag` or `./run check`"),
        ("Runbook: monitor runbook ttft\nDetails: monitor incidents show 7",
         "Runbook: ./run runbook ttft\nDetails: ./run incidents show 7"),
        ("```sh\nmonitor report --since 24h\n```", "```sh\n./run report --since 24h\n```"),
        ("Example: monitor demo", "Example: ./run demo"),
        # Not a command.
        ("the monitor run by us; `monitor.toml`; monitor_reader", None),
        ("`/usr/bin/monitor run`", None),
        ("monitor: 1 error", None),
    ],
)  # fmt: skip
def test_hints_name_it(text: str, shown: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_MONITOR_COMMAND", "monitor")
    assert as_started(text) == text
    monkeypatch.setenv("RAG_MONITOR_COMMAND", "./run")
    assert as_started(text) == (text if shown is None else shown)


def test_every_command_is_known() -> None:
    assert set(NAMES) == {name.split()[0] for name in commands()}

"""The command with which a person started the program, for hints that they can copy.

After a clone it is `./run` or `.venv/bin/monitor`, after an installation `monitor`. Texts in the
code and stored notices always say `monitor`: a notice is read on other machines.
"""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

VARIABLE = "RAG_MONITOR_COMMAND"  # set by `./run` and by `.venv/bin/monitor`
USUAL = "monitor"
NAMES = (
    "backtest", "backup", "baseline", "check", "compare", "demo", "derive", "export", "identify",
    "incidents", "init", "migrate", "probe", "report", "restore", "run", "runbook", "test-alert",
    "watch",
)  # fmt: skip
_NAMED = re.compile(
    rf"(`|^[ #]*|(?:Example|Runbook|Details): ){USUAL} (?=(?:{'|'.join(NAMES)})\b)", re.M
)


def command_name() -> str:
    """How to start the program again, such as `./run` or `monitor`."""
    if given := os.environ.get(VARIABLE, "").strip():
        return _short(given)
    started = Path(sys.argv[0])
    if started.parts[-2:] == (USUAL, "__main__.py"):
        python = Path(sys.orig_argv[0])
        shown = os.path.relpath(python) if python.is_relative_to(Path.cwd()) else str(python)
        return f"{shlex.quote(shown)} -m {USUAL}"
    if started.stem not in (USUAL, "rag-monitor"):
        return USUAL
    if "archive-v0" in started.parts:  # where uv keeps what `uvx` runs
        return f"uvx {started.stem}"
    return _short(shlex.quote(sys.argv[0]))


def as_started(text: str) -> str:
    """The text with its commands as a person must type them here: `` `./run check` ``."""
    name = command_name()
    return text if name == USUAL else _NAMED.sub(lambda found: f"{found[1]}{name} ", text)


def _short(path: str) -> str:
    """Without the folder, where the shell finds the same program."""
    name = Path(path).name
    found = shutil.which(name)
    same = found is not None and Path(path).exists() and Path(found).samefile(path)
    return name if same and name != "run" else path

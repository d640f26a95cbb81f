"""Every command of the monitor, run within the test's process, as a terminal would see it."""

import asyncio
import io
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import typer

from monitor.__main__ import app, main

# What a command needs besides its name. A command that is missing here is run bare.
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "incidents show": ("1",),
    "runbook": ("ttft",),
    "incidents acknowledge": ("1",),
    "incidents mute": ("--reason", "x", "--for", "1h"),
    "baseline capture": ("--over-budget", "--yes"),
    "baseline accept": ("--yes",),
    "init": ("--url", "http://127.0.0.1:9", "--yes"),
    "backup": (os.devnull + "/x",),
    "restore": (os.devnull,),
    "probe": ("--store", "--count", "2", "--over-budget"),
    "compare": ("a", "b", "--target", "rag"),
}
# They need neither a configuration of the user's nor a database of his.
APART = ("demo", "init", "runbook")


def commands() -> list[str]:
    """The names of all commands, `incidents list` among them, from the program itself."""
    return sorted(_leaves(typer.main.get_command(app), ()))


def _leaves(command: Any, path: tuple[str, ...]) -> Iterator[str]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path)
    else:
        for name, one in inner.items():
            yield from _leaves(one, (*path, name))


def every_third(names: Sequence[str], number: int, *always: str) -> list[str]:
    """Some of the names, others for each of three numbers in turn; these always."""
    return sorted({*names[number % 3 :: 3], *always})


@dataclass(frozen=True)
class Ended:
    """`error` is an exception that left the program, which none should."""

    status: int
    out: str
    err: str
    error: BaseException | None = None

    @property
    def said(self) -> str:
        return self.out + self.err


def run(
    command: str,
    *more: str,
    home: Path,
    stdin: str = "",
    encoding: str = "utf-8",
    stdout: Any = None,
    **given: str | None,
) -> Ended:
    """Run one command with the arguments it needs. A variable that is None is unset."""
    arguments = (*command.split(), *ARGUMENTS.get(command, ()), *more)
    return call(arguments, home=home, stdin=stdin, encoding=encoding, stdout=stdout, **given)


def call(
    arguments: Sequence[str],
    *,
    home: Path,
    stdin: str = "",
    encoding: str = "utf-8",
    stdout: Any = None,
    **given: str | None,
) -> Ended:
    """Run the program to its end with these arguments."""
    ours = (
        "MONITOR_",
        "RAG_MONITOR_",
        "SLACK_",
        "OPENROUTER_",
        "ANTHROPIC_",
        "OPENAI_",
        "FLY_",
        "DATABASE_URL",
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    fresh = {"MONITOR_HOME": str(home / "state"), "MONITOR_CONFIG": str(home / "monitor.toml")}
    fresh["OPENROUTER_BASE_URL"] = "http://127.0.0.1:9"
    environ = {k: v for k, v in {**kept, **fresh, **given}.items() if v is not None}
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2))
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    status, error = 0, None
    with (
        patch.dict(os.environ, environ, clear=True),
        patch.object(sys, "argv", ["monitor", *arguments]),
        patch.object(sys, "stdout", out if stdout is None else stdout),
        patch.object(sys, "stderr", err),
        patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()))),
    ):
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(bool(end.code))
        except BaseException as escaped:
            error = escaped
        finally:
            root.handlers[:], root.level = handlers, level
            asyncio.set_event_loop(None)
    for stream in (out, err):
        stream.flush()
    texts = [stream.buffer.getvalue().decode(encoding) for stream in (out, err)]  # type: ignore[attr-defined]
    return Ended(status, texts[0], texts[1], error)

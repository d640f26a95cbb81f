"""`monitor run` as a process, as it runs in production: configuration file, environment, signals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg

T = TypeVar("T")


def environment(home: Path, **given: str) -> dict[str, str]:
    """The environment of a child: ours without anything the monitor reads, plus what is given."""
    ours = ("MONITOR_", "SLACK_", "OPENROUTER_", "ANTHROPIC_", "OPENAI_", "FLY_", "DATABASE_URL")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return kept | {"MONITOR_HOME": str(home / "state"), "MONITOR_CONFIG": str(home / "monitor.toml"),
                   **given}  # fmt: skip


def command(
    home: Path, *arguments: str, timeout_s: float = 60, **given: str
) -> subprocess.CompletedProcess[str]:  # noqa: E501
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "monitor", *arguments],
        env=environment(home, **given), cwd=home, capture_output=True, text=True,
        timeout=timeout_s, check=False,
    )  # fmt: skip


class Process:
    """A running worker. `log()` is all it wrote so far."""

    def __init__(self, home: Path, given: Mapping[str, str]) -> None:
        self._log = home / f"worker-{time.monotonic_ns()}.log"
        self._out = self._log.open("wb")
        self.child = subprocess.Popen(
            [sys.executable, "-m", "monitor", "run"],
            env=environment(home, **given), cwd=home, stdout=self._out, stderr=self._out,
        )  # fmt: skip

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 30) -> int:
        """Send a signal and wait; returns the exit status."""
        if self.child.poll() is None:
            self.child.send_signal(number)
        status = self.child.wait(timeout_s)
        self._out.close()
        return status


@contextmanager
def worker(home: Path, **given: str) -> Iterator[Process]:
    process = Process(home, given)
    try:
        yield process
    finally:
        if process.child.poll() is None:
            process.child.kill()
            process.child.wait(10)
        process._out.close()


def eventually(found: Callable[[], T | None], timeout_s: float, what: str) -> T:
    """Ask until there is an answer that counts; fails by name, never by silence."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.2)
    raise AssertionError(f"did not come within {timeout_s:g} s: {what}")


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    """What a person with psql would see."""
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://")) as connection:
        return connection.execute(statement).fetchall()  # type: ignore[arg-type]

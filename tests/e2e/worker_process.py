"""`monitor run` as a process, as in production: configuration file, environment, signals."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from monitor.simulator.slack_server import SlackServer
from tests.contract.cli import call

T = TypeVar("T")


def environment(home: Path, **given: str) -> dict[str, str]:
    """The environment of a child: ours without anything the monitor reads, plus what is given."""
    ours = ("MONITOR_", "SLACK_", "OPENROUTER_", "ANTHROPIC_", "OPENAI_", "FLY_", "DATABASE_URL")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    ours_now = {
        "MONITOR_HOME": str(home / "state"),
        "MONITOR_CONFIG": str(home / "monitor.toml"),
        "RAG_MONITOR_COMMAND": "monitor",
    }
    return kept | ours_now | given


def command(
    home: Path, *arguments: str, timeout_s: float = 180, **given: str
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "monitor", *arguments],
        env=environment(home, **given), cwd=home, capture_output=True, text=True,
        timeout=timeout_s, check=False,
    )  # fmt: skip


def run_command(home: Path, *arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end within our process, which takes a tenth of the time."""
    ended = call(arguments, home=home, **given)
    if ended.error is not None:
        raise ended.error
    return subprocess.CompletedProcess(arguments, ended.status, ended.out, ended.err)


class Process:
    """A running worker. `log()` is all it wrote so far."""

    def __init__(self, home: Path, given: Mapping[str, str], within: Sequence[str] = ()) -> None:
        self._log = home / f"worker-{time.monotonic_ns()}.log"
        self._out = self._log.open("wb")
        self.child = subprocess.Popen(
            [*within, sys.executable, "-m", "monitor", "run"],
            env=environment(home, **given), cwd=home, stdout=self._out, stderr=self._out,
        )  # fmt: skip

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 120) -> int:
        """Send a signal and wait; returns the exit status."""
        if self.child.poll() is None:
            self.child.send_signal(number)
        status = self.child.wait(timeout_s)
        self._out.close()
        return status


@contextmanager
def worker(home: Path, *within: str, **given: str) -> Iterator[Process]:
    """A worker; `within`: a command that runs it."""
    process = Process(home, given, within)
    try:
        yield process
    finally:
        if process.child.poll() is None:
            process.child.kill()
            process.child.wait(60)
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


class ServiceProcess:
    """The simulated RAG service as a process; `play` changes its situation while it runs."""

    def __init__(self, situation: str, *, pace: float) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "monitor.simulator.service", "--situation", situation,
             "--pace", str(pace), "--chunk-pace", "0.05", "--no-rate-limit"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.child.stdout is not None
        self.url = self.child.stdout.readline().split()[-1]
        self.control = self.child.stdout.readline().split()[-1]

    def play(self, **changes: Any) -> None:
        request = urllib.request.Request(
            self.control, json.dumps(changes).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            assert reply.status == 200


@contextmanager
def service(situation: str = "healthy", *, pace: float = 1.0) -> Iterator[ServiceProcess]:
    stage = ServiceProcess(situation, pace=pace)
    try:
        yield stage
    finally:
        stage.child.terminate()
        stage.child.wait(60)
        if stage.child.stdout:
            stage.child.stdout.close()


# Fire after one slow round: the usual rule takes minutes on a busy machine, whose samples of a
# stalled process do not count.
AT_ONCE = '[rules.ttft]\nmode = "consecutive"\nrounds = 1\n'


def configuration(home: Path, url: str, *, every: str = "1s", more: str = "") -> None:
    """Two canned queries, fast rounds, the usual limits."""
    (home / "monitor.toml").write_text(f"""
[targets.rag]
url = "{url}"
dialect = "bali_zero"
every = "{every}"
expected_models = ["meta-llama/llama-4-scout"]
fallback_models = ["anthropic/claude-haiku-4-5"]
[[targets.rag.queries]]
id = "hi"
text = "Hi"
prompt_tokens = 680
[[targets.rag.queries]]
id = "who"
text = "Who are you? Which AI model are you?"
identity = true
prompt_tokens = 690
[digest]
enabled = false
{more}
""")


def slack(inbox: SlackServer) -> dict[str, str]:
    """The environment that leads a worker's bot to a local channel."""
    return {
        "SLACK_BOT_TOKEN": inbox.token,
        "SLACK_CHANNEL": "#alerts",
        "SLACK_API_BASE_URL": inbox.api_url,
    }

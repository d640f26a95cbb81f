"""The processes of a run: workers, the simulated service, Postgres; what each of them uses."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from benchmarks.truth.server import free_port

ROOT = Path(__file__).parents[2]
TICKS = os.sysconf("SC_CLK_TCK")
END_S = 60  # a worker drains for at most 20 s
OURS = ("MONITOR_", "SLACK_", "OPENROUTER_", "ANTHROPIC_", "OPENAI_", "FLY_", "DATABASE_URL", "PG")
BUCKET = re.compile(r'^(\w+)_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)


class Ended(Exception):
    """A process ended that should run; the message has its last words."""


@dataclass
class Scrape:
    """One reading of `/metrics`: its duration, its size, and histograms by name and bound."""

    took_s: float
    size: int
    buckets: Mapping[str, Mapping[float, float]]


@dataclass
class Worker:
    """A `monitor run` with its log and its metrics port."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int
    scrapes: list[Scrape] = field(default_factory=list)

    def lines(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def count(self, events: Iterable[str]) -> int:
        """How many log lines are about one of these events."""
        lines = self.lines()
        return sum(lines.count(f'"{event}"') for event in events)

    def scrape(self) -> None:
        """Read `/metrics`; nothing is noted if the worker does not answer within 30 s."""
        began = time.monotonic()
        try:
            address = f"http://127.0.0.1:{self.port}/metrics"
            with urllib.request.urlopen(address, timeout=30) as page:
                text = page.read().decode()
        except (OSError, HTTPException):
            return
        found: dict[str, dict[float, float]] = {}
        for name, bound, count in BUCKET.findall(text):
            found.setdefault(name, {})[float(bound)] = float(count)
        self.scrapes.append(Scrape(time.monotonic() - began, len(text), found))


@contextmanager
def workers(home: Path, count: int, url: str, toml: str) -> Iterator[list[Worker]]:
    """So many workers on one database, each with a home of its own; ended afterwards."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    running: list[Worker] = []
    try:
        for number in range(count):
            own = home / f"worker-{number}"
            own.mkdir()
            (own / "monitor.toml").write_text(toml, encoding="utf-8")
            port = free_port()
            given = {
                "MONITOR_HOME": str(own),
                "MONITOR_CONFIG": str(own / "monitor.toml"),
                "MONITOR_METRICS__PORT": str(port),
                "DATABASE_URL": url,
                "PYTHONPATH": str(ROOT),
            }
            log = own / "worker.log"
            with log.open("wb") as out:
                process = subprocess.Popen(
                    (sys.executable, "-m", "monitor", "run"), cwd=own, env=kept | given,
                    stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                )  # fmt: skip
            running.append(Worker(process, log, port))
        yield running
    finally:
        stop(running)


def stop(running: list[Worker]) -> None:
    """End the workers as a deployment does; what does not end in time is killed."""
    for worker in running:
        if worker.process.poll() is None:
            worker.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + END_S
    for worker in running:
        try:
            worker.process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()


def started(running: list[Worker], within_s: float) -> None:
    """Wait until every worker has started. Raises Ended."""
    deadline = time.monotonic() + within_s
    for worker in running:
        while '"worker started"' not in worker.lines():
            if worker.process.poll() is not None or time.monotonic() > deadline:
                raise Ended(f"a worker did not start: {worker.lines()[-2000:]}")
            time.sleep(0.2)


@dataclass
class Service:
    """The simulated service."""

    process: subprocess.Popen[bytes]
    port: int

    def break_down(self) -> None:
        """From now on, the target that was named at the start gets failures."""
        self.process.send_signal(signal.SIGUSR1)


@contextmanager
def serving(log: Path, fails: str) -> Iterator[Service]:
    """The simulated service. Its log can be read afterwards."""
    process = subprocess.Popen(
        (sys.executable, "-m", "benchmarks.fleets.service", "--log", log, "--fails", fails),
        cwd=ROOT, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        if process.stdout is None or not (port := process.stdout.readline()):
            raise Ended("the simulated service did not start")
        yield Service(process, int(port))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(END_S)
        if process.stdout:
            process.stdout.close()


def cpu_s(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mib(pid: int) -> float:
    """Memory of a process now."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def family_cpu_s(parent: int) -> dict[int, float]:
    """CPU time so far of a process and its descendants, by process id."""
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            pid = int(entry.name)
            parents[pid] = int(fields[1])
            spent[pid] = (int(fields[11]) + int(fields[12])) / TICKS

    def belongs(pid: int) -> bool:
        while pid not in (parent, 0):
            pid = parents.get(pid, 0)
        return pid == parent

    return {pid: used for pid, used in spent.items() if belongs(pid)}

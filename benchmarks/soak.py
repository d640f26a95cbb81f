"""A month of the worker in fast time, with faults: what grows?

    python -m benchmarks.soak [--days 30] [--every 30m] [--step 1800] [--seed 1] [--generous]

The worker of `monitor run` runs in this process, with a real Postgres, slack-sdk and a local Slack,
and two services: `rag`, the simulated one, and `chat`, which misbehaves. Waiting takes no time
(`benchmarks/fast_time.py`). Faults, three at a time: HTTP errors, hangs, answers without end, other
models, a database that restarts, crashes or is away, Slack's refusals, reloads. The first day has
each of them. Each simulated day is a row of the table. Exit status: 1 if a limit is exceeded, 2 if
measuring is impossible here.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

import psycopg

from benchmarks import hostile
from benchmarks.fast_time import FastClock, FastPostgres, faketime, run
from monitor.cli.run import work
from monitor.cli.startup import configuration
from monitor.simulator.service import SimulatedService
from monitor.simulator.situations import ServiceSituation as Situation
from monitor.simulator.slack_server import SlackReplyStep, SlackServer
from monitor.storage.schema import migrate

START = datetime(2026, 10, 20, tzinfo=UTC)  # the clocks change, and a month ends
SITUATIONS = (
    Situation.KEY_REJECTED, Situation.SWITCH, Situation.INTERMITTENT, Situation.UNAVAILABLE,
    Situation.BOTH_REJECTED, Situation.EMPTY, Situation.HANG, Situation.STALL, Situation.BLOCKED,
    Situation.KILLED, Situation.DOWN, Situation.SLOW, Situation.COLD_START,
)  # fmt: skip
REFUSALS: tuple[dict[str, Any], ...] = (
    {"word": "ratelimited", "status": 429, "retry_after": "30"},
    {"word": "invalid_blocks"},
    {"status": 500, "body": "oops"},
    {"status": 200, "body": "<html>"},
    {"cut": True},
)
ERRORS = {f"HTTP {status}": status for status in (404, 429, 500, 503)}
MODES = ("endless text", "tiny events", "one letter a token", "comments", "events of 240 KB",
         "wide characters", "hang", "reset", *ERRORS)  # fmt: skip
ENDINGS = (signal.SIGINT, signal.SIGQUIT)  # of the database: an orderly end, and a crash
AWAY_S = (0, 900)
CONFIGURATION = """
[metrics]
port = {port}
[digest]
enabled = true
[probes]
daily_budget_usd = "1000"
max_per_day = 1000000
[targets.rag]
url = "{rag}"
dialect = "bali_zero"
every = "{every}"
expected_models = ["meta-llama/llama-4-scout"]
fallback_models = ["anthropic/claude-haiku-4-5"]
[[targets.rag.queries]]
id = "hi"
text = "Hi"
[[targets.rag.queries]]
id = "who"
text = "Who are you? Which AI model are you?"
identity = true
[targets.chat]
url = "{chat}"
dialect = "bali_zero"
every = "{every}"
expected_models = ["meta-llama/llama-4-scout"]
fallback_models = ["anthropic/claude-haiku-4-5"]
[[targets.chat.queries]]
id = "hi"
text = "Hi"
"""
MORE = """
[targets.more]
url = "{chat}"
dialect = "bali_zero"
every = "10m"
[[targets.more.queries]]
id = "hi"
text = "Hi"
"""
Fault = Callable[[float], Awaitable[None]]  # with its duration in seconds


@dataclass(frozen=True)
class SoakDay:
    """One simulated day: its work, and what the worker and its server held at the end of it."""

    rows: int
    worker_ms: float  # CPU a row, of the worker's process with the local services
    postgres_ms: float  # CPU a row
    rss_mib: float
    descriptors: int
    threads: int
    connections: int
    files: int  # temporary files and those of the spool
    dead: int  # dead tuples
    wal_kib: float  # a row
    wal_files: int
    database_mib: float
    faults: int
    notices: int
    failures: int  # jobs that failed, or other errors with a traceback


class MisbehavingService:
    """Answers well, or in the current mode; on the worker's loop, so that hangs take no time."""

    def __init__(self) -> None:
        self.mode = "none"
        self.port = 0

    async def serve(self) -> None:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await self._play(reader, writer)
        writer.close()

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "reset":
            writer.transport.abort()
        elif self.mode == "hang":
            while await reader.read(65_536):  # until the worker leaves
                pass
        elif status := ERRORS.get(self.mode):
            writer.write(f"HTTP/1.1 {status} No\r\nConnection: close\r\n\r\n".encode())
        else:
            writer.write(hostile.HEAD)
            for block in hostile.MODES[self.mode]():
                writer.write(block)
                await writer.drain()


class _Failures(logging.Handler):
    """Counts what the worker logs; shows errors with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        self.count[record.getMessage()] += 1
        if record.exc_info:
            self.count["failures"] += 1
            print(logging.Formatter().format(record), file=sys.stderr)


class Slack:
    """A local Slack in its own process; `refuse` scripts its next reply."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.soak", "--slack"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._child.stdout is not None
        self.environment: dict[str, str] = json.loads(self._child.stdout.readline())

    def refuse(self, step: dict[str, Any]) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(step) + "\n")
        self._child.stdin.flush()

    def close(self) -> None:
        self._child.communicate(timeout=60)


def serve_slack() -> None:
    """Serve until standard input ends; each line is the next reply."""
    with SlackServer() as slack:
        environment = {
            "SLACK_BOT_TOKEN": slack.token,
            "SLACK_CHANNEL": "#alerts",
            "SLACK_API_BASE_URL": slack.api_url,
        }
        print(json.dumps(environment), flush=True)
        for line in sys.stdin:
            slack.script([SlackReplyStep(**json.loads(line))])


class Soak:
    """One run: the services, the faults, and a measurement at each midnight."""

    def __init__(
        self, home: Path, postgres: FastPostgres, slack: Slack, *, every: str, seed: int
    ) -> None:
        self._home, self._postgres, self._slack, self._every = home, postgres, slack, every
        self._random = Random(seed)
        self._log = _Failures()
        self._chat = MisbehavingService()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._metrics_port = free.getsockname()[1]
        self._faults = 0
        self._ended_s = 0.0  # CPU of servers that ended
        self.days: list[SoakDay] = []

    async def run(self, days: int) -> list[SoakDay]:
        """The days, with the worker from its start to its clean end."""
        await asyncio.to_thread(self._postgres.start)
        await asyncio.to_thread(migrate, self._postgres.url)
        async with SimulatedService(seed=1, rate_limited=False) as rag:
            self._rag = rag
            await self._chat.serve()
            self._configure()
            os.environ |= {
                "MONITOR_HOME": str(self._home / "state"),
                "MONITOR_CONFIG": str(self._home / "monitor.toml"),
                "DATABASE_URL": self._postgres.url,
                "OPENROUTER_API_KEY": "sk-or-soak-123456",
                "OPENROUTER_BASE_URL": rag.openrouter_url,
                **self._slack.environment,
            }
            logging.getLogger().handlers[:] = [self._log]
            logging.getLogger().setLevel(logging.INFO)
            logging.getLogger("apscheduler").setLevel(logging.ERROR)
            settings = configuration()
            around = asyncio.create_task(self._around(days))
            worker = asyncio.create_task(work(settings, self._postgres.url))
            await asyncio.wait((around, worker), return_when=asyncio.FIRST_COMPLETED)
            around.cancel()  # without effect, unless the worker ended first
            with suppress(asyncio.CancelledError):
                await around
            await worker
        return self.days

    async def _around(self, days: int) -> None:
        """Faults and measurements beside the worker; then its end."""
        address = f"http://127.0.0.1:{self._chat.port}"
        more = ("[rules.ttft]\nlimit_ms = 3000\n", MORE.format(chat=address), "nonsense")
        kinds: tuple[list[Fault], ...] = (
            [partial(self._answer, situation) for situation in SITUATIONS],
            [partial(self._misbehave, mode) for mode in MODES],
            [
                *(partial(self._lose_database, how, s) for how in ENDINGS for s in AWAY_S),
                *(partial(self._refuse, refusal) for refusal in REFUSALS),
                *(partial(self._reload, text) for text in more),
            ],
        )
        causing = [asyncio.create_task(self._cause(faults)) for faults in kinds]
        try:
            before = _Totals()
            for day in range(1, days + 1):
                await asyncio.sleep((START + timedelta(days=day)).timestamp() - time.time())
                before = await self._measured(before)
        finally:
            for task in causing:
                task.cancel()
            os.kill(os.getpid(), signal.SIGTERM)

    async def _cause(self, faults: list[Fault]) -> None:
        """Each fault once, on the first day; then any of them, for ever."""
        self._random.shuffle(faults)
        for fault in chain(faults, iter(lambda: self._random.choice(faults), None)):
            await asyncio.sleep(self._random.uniform(300, 1800))
            self._faults += 1
            await fault(self._random.uniform(300, 3000))

    async def _answer(self, situation: Situation, lasts_s: float) -> None:
        self._rag.situation = situation
        await asyncio.sleep(lasts_s)
        self._rag.situation = Situation.HEALTHY

    async def _misbehave(self, mode: str, lasts_s: float) -> None:
        self._chat.mode = mode
        await asyncio.sleep(lasts_s)
        self._chat.mode = "none"

    async def _lose_database(self, how: signal.Signals, away_s: float, _: float) -> None:
        self._ended_s += sum(map(_cpu_s, self._postgres.pids))
        await asyncio.to_thread(self._postgres.stop, how)
        await asyncio.sleep(away_s)
        await asyncio.to_thread(self._postgres.start)

    async def _refuse(self, refusal: dict[str, Any], _: float) -> None:
        self._slack.refuse(refusal)

    async def _reload(self, more: str, lasts_s: float) -> None:
        """A changed limit, another target, or a configuration that is refused; then as before."""
        self._configure(more)
        await asyncio.sleep(lasts_s)
        self._configure()

    def _configure(self, more: str = "") -> None:
        text = CONFIGURATION.format(
            port=self._metrics_port, rag=self._rag.url, chat=f"http://127.0.0.1:{self._chat.port}",
            every=self._every,
        )  # fmt: skip
        (self._home / "monitor.toml").write_text(text + more)

    async def _measured(self, before: "_Totals") -> "_Totals":
        """Add the day that just ended; the totals at its end."""
        while True:
            try:
                state = await asyncio.to_thread(_state, self._postgres.url)
                break
            except psycopg.OperationalError:  # a fault: measure once it is over
                await asyncio.sleep(60)
        now = _Totals(
            rows=state["rows"],
            worker_s=time.process_time(),
            postgres_s=self._ended_s + sum(map(_cpu_s, self._postgres.pids)),
            wal=state["wal"],
            faults=self._faults,
            notices=state["notices"],
            failures=self._log.count["failures"],
        )
        new = max(now.rows - before.rows, 1)
        home = self._home / "state"
        self.days.append(
            SoakDay(
                rows=now.rows - before.rows,
                worker_ms=(now.worker_s - before.worker_s) * 1000 / new,
                postgres_ms=(now.postgres_s - before.postgres_s) * 1000 / new,
                rss_mib=_status("VmRSS") / 1024,
                descriptors=_descriptors(),
                threads=_status("Threads"),
                connections=state["connections"],
                files=sum(1 for at in (home, self._home / "tmp") for _ in at.rglob("*")),
                dead=state["dead"],
                wal_kib=(now.wal - before.wal) / 1024 / new,
                wal_files=state["wal_files"],
                database_mib=state["size"] / 2**20,
                faults=now.faults - before.faults,
                notices=now.notices - before.notices,
                failures=now.failures - before.failures,
            )
        )
        print(shown(len(self.days), self.days[-1]), flush=True)
        return now


@dataclass(frozen=True)
class _Totals:
    """Sums since the start."""

    rows: int = 0
    worker_s: float = 0.0
    postgres_s: float = 0.0
    wal: int = 0
    faults: int = 0
    notices: int = 0
    failures: int = 0


STATE = """
SELECT (SELECT count(*) FROM observations) AS rows,
    (SELECT count(*) FROM outbox) AS notices,
    (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rag-monitor') AS connections,
    (SELECT coalesce(sum(n_dead_tup), 0)::int FROM pg_stat_user_tables) AS dead,
    (pg_current_wal_lsn() - '0/0')::bigint AS wal,
    (SELECT count(*) FROM pg_ls_waldir()) AS wal_files,
    pg_database_size(current_database()) AS size
"""


def _state(url: str) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        row = connection.execute(STATE)
        assert row.description is not None
        return dict(zip([column.name for column in row.description], row.fetchone() or (),
                        strict=True))  # fmt: skip


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process and of its children that ended."""
    with suppress(OSError):
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
        return sum(map(int, values)) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


COLUMNS = {
    "rows": "rows", "worker_ms": "worker ms", "postgres_ms": "Postgres ms", "rss_mib": "RSS MiB",
    "descriptors": "fds", "threads": "threads", "connections": "conns", "files": "files",
    "dead": "dead", "wal_kib": "WAL KiB", "wal_files": "WAL files", "database_mib": "db MiB",
    "faults": "faults", "notices": "notices", "failures": "failures",
}  # fmt: skip
HEAD = f"| day | {' | '.join(COLUMNS.values())} |\n|{' --- |' * (len(COLUMNS) + 1)}"


def shown(number: int, day: SoakDay) -> str:
    figures = [getattr(day, name) for name in COLUMNS]
    cells = [f"{x:.1f}" if isinstance(x, float) else str(x) for x in figures]
    return f"| {number} | {' | '.join(cells)} |"


@dataclass(frozen=True)
class SoakGoal:
    """One limit, and what was measured."""

    name: str
    limit: float
    measured: float

    @property
    def met(self) -> bool:
        return self.measured <= self.limit

    def shown(self) -> str:
        met = "met" if self.met else "MISSED"
        return f"| {self.name} | ≤ {self.limit:g} | {self.measured:.3g} | {met} |"


def goals(days: Sequence[SoakDay], *, generous: bool = False) -> list[SoakGoal]:
    """The limits for at least two days; `generous`: for a few days, or a busy machine.

    The first day is the standard: it has every fault. Figures of one day depend on its faults, so
    thirds of the other days are compared. The log (WAL) grows for days in any new database, until
    Postgres has its planner statistics (up to 100 values of each column), so that its last third is
    compared with the one before.
    """
    first, rest = days[0], days[1:]
    third = max(len(rest) // 3, 1)

    def grown(name: str, since: int = 0) -> float:
        late: float = mean(getattr(day, name) for day in rest[-third:])
        early: float = mean(getattr(day, name) for day in rest[since : since + third])
        return late / max(early, 0.001)

    def most(name: str) -> float:
        return float(max(getattr(day, name) for day in rest) - getattr(first, name))

    rss = mean(day.rss_mib for day in rest[-third:]) - first.rss_mib
    ratio = 2.0 if generous else 1.25
    return [
        SoakGoal("memory after the first day, MiB more", 20 if generous else 5, rss),
        SoakGoal("descriptors, more than after the first day", 6, most("descriptors")),
        SoakGoal("threads, more", 8, most("threads")),
        SoakGoal("connections", 4, max(day.connections for day in days)),
        SoakGoal("temporary and spool files, more", 4, most("files")),
        SoakGoal("dead tuples", 5_000, max(day.dead for day in days)),
        SoakGoal("WAL files (128 MiB)", 9, max(day.wal_files for day in days)),
        SoakGoal("WAL of a row, last third to the one before", ratio,
                 grown("wal_kib", max(len(rest) - 2 * third, 0))),
        SoakGoal("CPU of a row, worker, last third to first", ratio, grown("worker_ms")),
        SoakGoal("CPU of a row, Postgres, last third to first", ratio, grown("postgres_ms")),
        SoakGoal("failed jobs", 0, sum(day.failures for day in days)),
        SoakGoal("rows of the worst day, share missing", 0.6 if generous else 0.4,
                 1 - min(day.rows for day in rest) / max(day.rows for day in days)),
    ]  # fmt: skip


def soaked(days: int, *, every: str, step_s: float, seed: int) -> list[SoakDay]:
    """Run the soak; its days. The process is used up afterwards: its environment is changed."""
    with ExitStack() as opened:
        home = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        (home / "tmp").mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = str(home / "tmp")
        clock = FastClock(home / "clock", start=START, step_s=step_s)
        postgres = FastPostgres(home, clock)
        opened.callback(postgres.close)
        slack = Slack()
        opened.callback(slack.close)
        soak = Soak(home, postgres, slack, every=every, seed=seed)
        run(clock, lambda: soak.run(days))
    return soak.days


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--days", type=int, default=30, help="at least two")
    parser.add_argument("--every", default="30m", help="the interval of the targets")
    parser.add_argument(
        "--step", type=float, default=1800, help="seconds: timers within them end together"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    parser.add_argument("--generous", action="store_true", help="limits for a few days")
    parser.add_argument("--slack", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.slack:
        serve_slack()
        return 0
    if options.days < 2:
        parser.error("--days must be at least 2")
    if faketime() is None:
        print("soak: libfaketime is not installed (Debian: apt install faketime)", file=sys.stderr)
        return 2
    print(HEAD, flush=True)
    days = soaked(options.days, every=options.every, step_s=options.step, seed=options.seed)
    if len(days) < options.days:
        print("soak: the worker ended before the last day", file=sys.stderr)
        return 2
    found = goals(days, generous=options.generous)
    print("\n| limit | | measured | |\n| --- | --- | --- | --- |")
    print("\n".join(goal.shown() for goal in found))
    return int(not all(goal.met for goal in found))


if __name__ == "__main__":
    sys.exit(main())

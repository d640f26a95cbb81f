"""What surrounds the workers: the service that they probe, Slack, and the workers themselves."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from benchmarks.kills.edge import Edge, HttpSteps, Place, Points, PostgresSteps, When
from monitor.simulator.slack_server import SlackServer

HEAD = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nConnection: close\r\n\r\n"
WORDS = ("Hello! ", "A ", "KITAS ", "is ", "a ", "limited ", "stay ", "permit.")
WORD_S = 0.015
OURS = ("MONITOR_", "SLACK_", "OPENROUTER_", "ANTHROPIC_", "OPENAI_", "FLY_", "DATABASE_URL")
READY = "worker started"


@dataclass(slots=True)
class Asked:
    """A probe as the service saw it. `done_at` None: the answer was not read to its end."""

    id: UUID
    target: str
    tag: str  # of the worker's process
    at: float  # Unix time, s
    done_at: float | None = None


class Service:
    """One service with many targets; `broken` says whether a target is down at a moment."""

    def __init__(self, points: Points, kill: Callable[[str, When], None]) -> None:
        self.asked: list[Asked] = []
        self.port = 0
        self.broken: Callable[[str], bool] = lambda target: False
        self._points, self._kill = points, kill  # by the tag of a process
        self._server: asyncio.Server | None = None

    async def begin(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1_000)
        self.port = self._server.sockets[0].getsockname()[1]

    async def end(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        found = dict(line.split(": ", 1) for line in lines if ": " in line)
        fields = {name.lower(): value for name, value in found.items()}
        target = first.split(" ")[1].split("/")[1]
        asked = Asked(UUID(fields["x-request-id"]), target, fields["x-worker"], time.time())
        self.asked.append(asked)
        if self._dies("probe sent", asked.tag):
            return
        if self.broken(target):
            writer.write(HEAD % (b"500 Internal Server Error", b"text/plain") + b"broken")
        else:
            writer.write(HEAD % (b"200 OK", b"text/event-stream"))
            for word in WORDS:
                writer.write(f"data: {json.dumps({'text': word})}\n\n".encode())
                await writer.drain()
                await asyncio.sleep(WORD_S)
                if word == WORDS[3] and self._dies("answer half read", asked.tag):
                    return
            writer.write(b'data: {"done":true,"sequenceNumber":1}\n\n')
        await writer.drain()
        asked.done_at = time.time()
        self._dies("answer read", asked.tag)

    def _dies(self, name: str, tag: str) -> bool:
        when = self._points.reached(name)
        if when is None or when == "pause":
            return False
        self._kill(tag, when)
        self._points.fired.set()
        return True


@dataclass(slots=True)
class Life:
    """One process of a worker. Times are Unix times in s; `pauses`: when it was stopped."""

    worker: int
    tag: str
    pid: int
    log: Path
    began: float
    ready: float | None = None
    killed: float | None = None  # by us
    ended: float | None = None
    status: int | None = None
    stopping: bool = False
    paused: bool = False
    pauses: list[tuple[float, float]] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        return self.killed is None and self.ended is None

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Team:
    """Workers in their processes. Each has edges of its own, which stay when it is replaced.

    Two workers share a MONITOR_HOME, and with it their spool; every second one has a fixed name,
    as a Fly machine has.
    """

    def __init__(
        self,
        home: Path,
        count: int,
        place: Place | None,
        configuration: str,
        *,
        preload: Mapping[str, str] | None = None,
        **given: str,
    ) -> None:
        self.home, self.place, self.points = home, place, Points()
        self._preload = dict(preload or {})
        self.lives: list[Life] = []
        self.current: dict[int, Life] = {}
        self.count, self.kills_by_point = count, dict[str, int]()
        self.inbox = SlackServer()
        self.service = Service(self.points, self._killed_at_service)
        self._configuration, self._given = configuration, given
        self.pause_s = 20.0  # beyond the lease of the evaluation
        self._pausing: set[asyncio.Future[None]] = set()
        self._edges: dict[int, tuple[Edge | None, Edge]] = {}
        self._zygote: asyncio.subprocess.Process | None = None
        self._answers: dict[str, asyncio.Future[int]] = {}
        self._reading: asyncio.Task[None] | None = None

    @property
    def database_edges(self) -> list[Edge]:
        return [edge for edge, _ in self._edges.values() if edge is not None]

    async def __aenter__(self) -> "Team":
        self.inbox.__enter__()
        await self.service.begin()
        slack = ("127.0.0.1", int(self.inbox.url.rpartition(":")[2]))
        for number in range(1, self.count + 1):
            kill = self._kill_of(number)
            database = None
            if self.place is not None:
                database = Edge(self.place, PostgresSteps, self.points, kill)
                await database.begin()
            channel = Edge(slack, lambda: HttpSteps("slack"), self.points, kill)
            await channel.begin()
            self._edges[number] = database, channel
            self._home(number).mkdir(exist_ok=True)
        path = self.home / "monitor.toml"
        path.write_text(self._configuration.replace("{service}", self.url))
        self._zygote = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.kills.zygote",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path.cwd()), **self._preload},
        )  # fmt: skip
        assert self._zygote.stdout is not None
        await self._zygote.stdout.readline()
        self._reading = asyncio.create_task(self._read())
        return self

    async def all_run(self) -> None:
        """Wait until every pause is over."""
        await asyncio.gather(*self._pausing)

    async def __aexit__(self, *ending: object) -> None:
        for life in self.lives:
            if life.ended is None:
                with suppress(ProcessLookupError):
                    os.kill(life.pid, signal.SIGKILL)
        assert self._zygote is not None
        assert self._zygote.stdin is not None
        self._zygote.stdin.close()
        await self._zygote.wait()
        if self._reading is not None:
            self._reading.cancel()
        for edge in (each for pair in self._edges.values() for each in pair if each is not None):
            await edge.end()
        await self.service.end()
        self.inbox.__exit__()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.service.port}"

    def _home(self, number: int) -> Path:
        return self.home / f"state{(number + 1) // 2}"

    async def start(self, number: int) -> Life:
        """Start the worker of that number, which does not run."""
        nth = sum(life.worker == number for life in self.lives) + 1
        tag = f"w{number}.{nth}"
        database, channel = self._edges[number]
        kept = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
        environment = kept | {
            "MONITOR_HOME": str(self._home(number)),
            "MONITOR_CONFIG": str(self.home / "monitor.toml"),
            "WORKER_TAG": tag,
            "SLACK_BOT_TOKEN": self.inbox.token,
            "SLACK_CHANNEL": "#alerts",
            "SLACK_API_BASE_URL": f"http://127.0.0.1:{channel.port}/api/",
            **self._given,
            **self._preload,
        }
        if number % 2:
            environment["FLY_MACHINE_ID"] = f"machine{number}"
        if database is not None:
            address = f"postgresql://monitor@127.0.0.1:{database.port}/monitor"
            environment["DATABASE_URL"] = address + "?sslmode=disable&gssencmode=disable"
        log = self.home / f"{tag}.log"
        order = {"tag": tag, "environment": environment, "folder": str(self.home), "log": str(log)}
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._answers[tag] = answer
        assert self._zygote is not None
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps(order).encode() + b"\n")
        pid = await answer
        life = Life(number, tag, pid, log, time.time())
        self.lives.append(life)
        self.current[number] = life
        return life

    def kill(self, life: Life, why: str = "at random") -> None:
        if life.runs:
            life.killed = time.time()
            self.kills_by_point[why] = self.kills_by_point.get(why, 0) + 1
            with suppress(ProcessLookupError):
                os.kill(life.pid, signal.SIGKILL)

    def pause(self, life: Life) -> float:
        os.kill(life.pid, signal.SIGSTOP)
        life.paused = True
        return time.time()

    def go_on(self, life: Life, since: float) -> None:
        life.pauses.append((since, time.time()))
        life.paused = False
        with suppress(ProcessLookupError):
            os.kill(life.pid, signal.SIGCONT)

    async def pause_for(self, life: Life, seconds: float) -> None:
        """Stop a process for that long, as a machine that hangs."""
        if life.runs and not life.paused:
            since = self.pause(life)
            await asyncio.sleep(seconds)
            self.go_on(life, since)

    async def stop(self, life: Life, timeout_s: float = 60) -> None:
        """SIGTERM, and wait for its end."""
        life.stopping = True
        with suppress(ProcessLookupError):
            os.kill(life.pid, signal.SIGTERM)
        await until(lambda: life.ended is not None, timeout_s, f"the end of {life.tag}")

    async def ready(self, life: Life, timeout_s: float = 120) -> None:
        """Wait until it has started, or has been killed."""

        def started() -> bool:
            if life.ready is None and READY in life.text():
                life.ready = time.time()
            return life.ready is not None or not life.runs

        await until(started, timeout_s, f"the start of {life.tag}: {life.text()[-2000:]}")

    def _kill_of(self, number: int) -> Callable[[str, When], None]:
        def kill(name: str, when: When) -> None:
            life = self.current[number]
            if when == "pause":
                self._pausing.add(asyncio.ensure_future(self.pause_for(life, self.pause_s)))
                self.kills_by_point[f"pause at {name}"] = 1
            else:
                self.kill(life, f"{when} {name}")

        return kill

    def _killed_at_service(self, tag: str, when: When) -> None:
        for life in self.current.values():
            if life.tag == tag:
                self.kill(life, f"{when} a step of a probe")

    async def _read(self) -> None:
        assert self._zygote is not None
        assert self._zygote.stdout is not None
        while line := await self._zygote.stdout.readline():
            said = json.loads(line)
            if "pid" in said:
                self._answers.pop(said["tag"]).set_result(said["pid"])
                continue
            for life in self.lives:
                if life.pid == said["exited"] and life.ended is None:
                    life.ended, life.status = time.time(), said["status"]


async def until(true: Callable[[], object], timeout_s: float, what: str) -> None:
    """Wait; ends the program if it does not come true in time."""
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"did not come within {timeout_s:g} s: {what}")
        await asyncio.sleep(0.1)

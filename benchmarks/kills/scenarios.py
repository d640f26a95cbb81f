"""The runs: a team of workers, a database, and what happens to both."""

import asyncio
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psycopg

from benchmarks.kills.edge import When
from benchmarks.kills.findings import Findings, judged
from benchmarks.kills.postgres import PostgresServer
from benchmarks.kills.stage import Life, Team, until
from monitor.embedded_postgres.process import socket_directory
from monitor.storage.schema import migrate

SETTLED = """
    SELECT NOT EXISTS (SELECT FROM incidents WHERE resolved_at IS NULL)
        AND NOT EXISTS (SELECT FROM outbox WHERE settled_at IS NULL)
"""
FAILED_ROUNDS = 5
KILLS_S = 0.3, 3.7  # between two kills
POINT_S = 6.0  # how long a step is waited for
PAUSES_S = (20.0, 50.0)  # beyond the lease of the evaluation, and beyond that of a notice
STEADY_S = 15.0  # nothing is open for so long: an evaluation that lags opens no further incident
RULES = ("fallback", "identity_unknown", "model_changed", "ttft", "ttft_unknown", "unpriced")


@dataclass(frozen=True, slots=True)
class Load:
    """How many targets, how often, and for how many slots in all."""

    targets: int = 50
    every_s: int = 10
    slots: int = 1_000

    @property
    def lasts_s(self) -> float:
        return self.slots / self.targets * self.every_s

    def configuration(self) -> str:
        names = [f"t{number}" for number in range(1, self.targets + 1)]
        disabled = "".join(f"[rules.{rule}]\nenabled = false\n" for rule in RULES)
        return _GENERAL + disabled + "".join(map(self._target, names))

    def _target(self, name: str) -> str:
        return f"""
[targets.{name}]
url = "{{service}}/{name}"
dialect = "bali_zero"
every = "{self.every_s}s"
expected_models = ["meta-llama/llama-4-scout"]
[targets.{name}.headers]
X-Worker = "${{WORKER_TAG}}"
[[targets.{name}.queries]]
id = "hi"
text = "Hi"
"""


_GENERAL = """
[digest]
enabled = false
[probes]
daily_budget_usd = "1000"
max_per_day = 1000000
"""


@dataclass(slots=True)
class Run:
    """A team at work on a server, which is None for the embedded one."""

    team: Team
    server: PostgresServer | None
    load: Load
    chance: Random
    began: float  # monotonic
    pauses_s: tuple[float, ...] = PAUSES_S

    @property
    def until(self) -> float:
        """When the disturbances end."""
        return self.began + self.load.lasts_s

    def over(self) -> bool:
        return time.monotonic() >= self.until

    @property
    def running(self) -> list[Life]:
        return [life for life in self.team.current.values() if life.runs and not life.paused]

    async def replace_dead(self) -> None:
        """Start every worker that was killed; a supervisor does so in production."""
        for number, life in list(self.team.current.items()):
            if not life.runs:
                with suppress(TimeoutError):
                    await until(lambda life=life: life.ended is not None, 10, "its end")  # type: ignore[misc]
                if life.killed is None:
                    raise RuntimeError(f"{life.tag} ended by itself: {life.text()[-2000:]}")
                await self.team.start(number)

    async def rest(self, seconds: float) -> None:
        """Wait, or until the disturbances end."""
        await asyncio.sleep(max(0.0, min(seconds, self.until - time.monotonic())))


Disturbance = Callable[[Run], Awaitable[None]]


async def calm(run: Run) -> None:
    """Nothing happens."""
    await run.rest(1e9)


async def kills(run: Run) -> None:
    """kill -9 at random moments, and a pause now and then; the dead are replaced at once."""
    paused: list[asyncio.Task[None]] = []
    while not run.over():
        await run.rest(run.chance.uniform(*KILLS_S))
        running = [life for life in run.running if life.ready is not None]
        _look_for_starts(run)
        if not running or run.over():
            continue
        life = run.chance.choice(running)
        left = run.until - time.monotonic()
        wanted = run.pauses_s[len(paused) % len(run.pauses_s)] if run.pauses_s else 1e9
        if run.chance.random() < 0.08 and wanted < left and len(running) > 1:
            paused.append(asyncio.create_task(run.team.pause_for(life, wanted)))
        else:
            run.team.kill(life)
            await run.replace_dead()
    await asyncio.gather(*paused)


def _look_for_starts(run: Run) -> None:
    for life in run.running:
        if life.ready is None and "worker started" in life.text():
            life.ready = time.time()


async def points(run: Run) -> None:
    """A kill before and after every kind of step that was seen, and a pause at it.

    The rarest and the most frequent take turns: what happens once in a run is not missed.
    """
    done: set[tuple[str, When]] = set()
    ways: tuple[When, ...] = ("before", "after", "pause")
    await run.rest(8)
    while not run.over():
        _look_for_starts(run)
        alone = len(run.running) < 2  # another one is to take over during a pause
        seen = run.team.points.seen
        todo = sorted(
            (count, name, way) for name, count in seen.items() for way in ways
            if (name, way) not in done and not (alone and way == "pause")
        )  # fmt: skip
        if not todo:
            await run.rest(1)
            continue
        _, name, way = todo[0] if len(done) % 2 else todo[-1]
        done.add((name, way))
        run.team.points.arm(name, way)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.1, min(POINT_S, run.until - time.monotonic()))):
                await run.team.points.fired.wait()
        run.team.points.disarm()
        await run.replace_dead()
    await run.team.all_run()


async def restarts(run: Run) -> None:
    """The database crashes, shuts down and comes back; a worker is killed meanwhile."""
    assert run.server is not None
    while not run.over():
        await run.rest(run.chance.uniform(6, 12))
        if run.over():
            break
        number = run.chance.choice([signal.SIGKILL, signal.SIGINT, signal.SIGQUIT])
        await asyncio.to_thread(run.server.stop, number)
        await _kill_one(run)
        await run.rest(run.chance.uniform(0.5, 8))
        await asyncio.to_thread(run.server.start)


async def frozen(run: Run) -> None:
    """Every process of the database stops for longer than each deadline."""
    assert run.server is not None
    while not run.over():
        await run.rest(run.chance.uniform(8, 12))
        if run.until - time.monotonic() < 25:
            break
        run.server.freeze()
        try:
            await asyncio.sleep(5)
            await _kill_one(run)
            await asyncio.sleep(run.chance.uniform(10, 20))
        finally:
            run.server.thaw()


async def failover(run: Run) -> None:
    """The primary crashes, its replica is promoted, and the address leads there."""
    assert run.server is not None
    primary = run.server
    home = primary.data.parent
    for nth in range(1, 4):
        replica = PostgresServer(home.with_name(f"{home.name}r{nth}"))
        await asyncio.to_thread(primary.copy_to, replica)
        await asyncio.to_thread(replica.start)
        await run.rest(run.chance.uniform(8, 12))
        await until(lambda p=primary: _caught_up(p), 60, "a replica in step")  # type: ignore[misc]
        for edge in run.team.database_edges:  # first to the standby, which takes no writes
            edge.point_at(replica.place)
            edge.cut()
        # Synchronously replicated, as far as a client can tell: nothing is written any more.
        await until(lambda p=primary: _caught_up(p), 60, "a replica in step")  # type: ignore[misc]
        await run.rest(5)
        await asyncio.to_thread(primary.stop, signal.SIGKILL)
        await _kill_one(run)
        with replica.connect() as connection:
            connection.execute("SELECT pg_promote()")
        run.server = primary = replica
        if run.over():
            break


def _caught_up(primary: PostgresServer) -> bool:
    with primary.connect() as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()"
        ).fetchone()
    return bool(found and found[0])


async def full_disk(run: Run) -> None:
    """The database's disk is full for a while, again and again."""
    assert run.server is not None
    ballast = run.server.data.parent / "ballast"
    while not run.over():
        await run.rest(run.chance.uniform(6, 10))
        if run.over():
            break
        await asyncio.to_thread(_fill, ballast)
        await run.rest(5)
        await _kill_one(run)
        await run.rest(run.chance.uniform(5, 15))
        ballast.unlink()
        with suppress(psycopg.Error):
            run.server.connect().close()
            continue
        await asyncio.to_thread(run.server.stop)  # it may have ended: WAL could not be written
        await asyncio.to_thread(run.server.start)
    ballast.unlink(missing_ok=True)


def _fill(ballast: Path) -> None:
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(b"\0" * (1 << 16)):
            pass


async def embedded_kills(run: Run) -> None:
    """The worker with the embedded database is killed, and so is its database."""
    data = run.team.home / "state1" / "postgres"
    while not run.over():
        await run.rest(run.chance.uniform(1, 6))
        _look_for_starts(run)
        if run.over() or not run.running or run.running[0].ready is None:
            continue
        if run.chance.random() < 0.25:
            with suppress(OSError, ValueError, IndexError):
                postmaster = int((data / "postmaster.pid").read_text().split()[0])
                os.kill(postmaster, signal.SIGKILL)
        else:
            await _kill_one(run)


OUTAGES = (restarts, frozen, failover, full_disk, embedded_kills)  # of the database


async def _kill_one(run: Run) -> None:
    if run.running:
        run.team.kill(run.chance.choice(run.running))
        await run.replace_dead()


def place_for(prefix: str, folder: str | None) -> Path:
    """A new folder that the user of Postgres may enter."""
    home = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
    home.chmod(0o711)
    return home


@contextmanager
def small_disk(folder: Path, mib: int | None) -> Iterator[bool]:
    """A file system of that size at `folder`; False where this user may not mount one.

    None: the file system that is there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if mib is None:
        yield True
        return
    mount = ("mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", str(folder))
    with suppress(OSError):
        if not subprocess.run(mount, capture_output=True, check=False).returncode:
            try:
                yield True
            finally:
                subprocess.run(("umount", "-l", str(folder)), capture_output=True, check=False)
            return
    yield False


async def observe(
    home: Path,
    *,
    workers: int,
    load: Load,
    disturb: Disturbance,
    server: PostgresServer | None,
    seed: int = 1,
    pauses_s: tuple[float, ...] = PAUSES_S,
    settle_s: float = 90,
) -> tuple[Findings, Team]:
    """One run, with what it found. `server` None: the embedded database, of one worker."""
    team = Team(home, workers, server.place if server else None, load.configuration())
    url = f"postgresql://monitor@/monitor?host={socket_directory(home / 'state1' / 'postgres')}"
    if server is not None:
        await asyncio.to_thread(migrate, server.url)
    async with team:
        for number in range(1, workers + 1):
            await team.ready(await team.start(number))
        began = time.time()
        run = Run(team, server, load, Random(seed), time.monotonic(), pauses_s)
        team.service.broken = lambda target: _fails(target, run)
        await disturb(run)
        await run.rest(1e9)
        ended = time.time()
        await run.replace_dead()
        for life in run.running:
            await team.ready(life)
        url = run.server.url if run.server is not None else url
        await _settled(url, settle_s)
        for life in run.running:
            if server is not None:  # the embedded one ends with its worker
                await team.stop(life)
        _keep_for_later(team)
        findings = await asyncio.to_thread(
            judged,
            team,
            url,
            every_s=load.every_s,
            began=began,
            ended=ended,
            outages=disturb in OUTAGES,
        )
        for life in run.running:
            if not life.stopping:
                await team.stop(life)
        return findings, team


def _keep_for_later(team: Team) -> None:
    """Write what Slack was sent beside the logs, for whoever looks for a cause."""
    with (team.home / "slack.jsonl").open("w") as file:
        for request in team.inbox.requests:
            kept = {"at": request.at, "path": request.path, "refused": request.refused}
            file.write(json.dumps(kept | {"payload": request.payload}, default=str) + "\n")


def _fails(target: str, run: Run) -> bool:
    """Each target fails once, for some rounds: what returns within minutes is open for longer."""
    nth, load = int(target[1:]) - 1, run.load
    since = time.monotonic() - run.began
    fails_at = 0.75 * load.lasts_s * nth / load.targets
    return fails_at <= since < fails_at + FAILED_ROUNDS * load.every_s and not run.over()


async def _settled(url: str, within_s: float) -> None:
    """Wait until nothing is open and nothing waits; what is missing is judged later."""
    plain = url.replace("postgresql+psycopg://", "postgresql://")

    def settled() -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(plain) as connection:
            found = connection.execute(SETTLED).fetchone()
            return bool(found and found[0])
        return False

    now = time.monotonic()
    deadline, since = now + within_s, now
    while now < deadline and now - since < STEADY_S:
        await asyncio.sleep(1)
        steady = await asyncio.to_thread(settled)
        now = time.monotonic()
        since = since if steady else now
    await asyncio.sleep(3)  # an answer that is read now is stored

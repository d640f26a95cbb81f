"""Clock steps, daylight saving time, month ends and suspension, with real processes.

    python -m benchmarks.kills.clocks [CASE ...] [--list] [--beside 4]

The wall clocks of worker and Postgres are changed by libfaketime, which is preloaded into both; the
monotonic clock stays, as on a real machine. Install it with `apt-get install libfaketime`. Each
case starts a worker, a Postgres and a service, changes clocks, and then lets a target fail: the
alert must come as soon as without a step, and nothing may be lost. The exit status is 1 if not.
"""

import argparse
import asyncio
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import create_server

from benchmarks.kills.postgres import PostgresServer
from benchmarks.kills.scenarios import Load, place_for
from benchmarks.kills.stage import Team, until
from monitor.storage.schema import migrate

LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1",
             "/usr/local/lib/faketime/libfaketimeMT.so.1")  # fmt: skip
MISSING = "libfaketime is not installed: `apt-get install libfaketime`"
LOAD = Load(targets=2, every_s=2)
_MIGRATING = asyncio.Lock()  # Alembic migrates one database at a time in a process
USUAL = 15  # failed probes; three rounds are needed, and the rest is for a busy machine
WITHIN_S = 120.0
HEALTHY_S = 60.0  # on a busy machine a cycle of 2 s may take longer than the 6 s allowed
TROUBLE = ("Traceback (most recent call last)", "job failed")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def library() -> Path | None:
    """libfaketime for programs with threads; None: it is not installed."""
    for pattern in LIBRARIES:
        for found in Path("/").glob(pattern[1:]):
            return found
    return None


class Clock:
    """A wall clock that processes share; `set` moves it from the real time by `ahead`."""

    def __init__(self, file: Path, ahead: timedelta = timedelta(0)) -> None:
        self.file, self.ahead = file, ahead
        self.set(ahead)
        file.chmod(0o644)

    def set(self, ahead: timedelta) -> None:
        self.ahead = ahead
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{ahead.total_seconds():+f}\n")
        fresh.chmod(0o644)
        fresh.replace(self.file)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def environment(self) -> Mapping[str, str]:
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


@dataclass(slots=True)
class Scene:
    """A worker and its database, each with its clock; `one_clock`: the same for both."""

    team: Team
    server: PostgresServer
    worker: Clock
    database: Clock
    port: int  # of the metrics
    broken: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def move(self, who: str, ahead: timedelta) -> None:
        if who in ("both", "worker"):
            self.worker.set(ahead)
        if who in ("both", "database"):
            self.database.set(ahead)

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        with self.server.connect() as connection:
            return connection.execute(statement).fetchall()

    async def probes(self, more: int) -> None:
        """Wait until so many further probes have been answered."""
        wanted = self._answered() + more
        await until(lambda: self._answered() >= wanted, 120, f"{more} probes")

    def _answered(self) -> int:
        return sum(asked.done_at is not None for asked in self.team.service.asked)

    async def restart(self) -> None:
        await self.team.stop(self.team.current[1])
        await self.team.ready(await self.team.start(1))

    def partitions(self) -> set[str]:
        found = "SELECT inhrelid::regclass::text FROM pg_inherits"
        return {str(name) for (name,) in self.rows(found)}


@dataclass(frozen=True, slots=True)
class Case:
    """`story` changes the clocks. `start`: what they say at first; None: the real time."""

    story: Callable[[Scene], Awaitable[None]]
    start: datetime | None = None


def step(who: str, by: timedelta, *, stays: bool = False, restart: bool = False) -> Case:
    """The clock steps after some rounds, and back after some more, unless it `stays`."""

    async def story(scene: Scene) -> None:
        await scene.probes(8)
        scene.move(who, by)
        await scene.probes(8)
        if not stays:
            scene.move(who, timedelta(0))
        if restart:
            await scene.restart()

    return Case(story)


def ahead_at_start(by: timedelta) -> Case:
    """The machine boots with a wrong clock, which is put right while the worker runs."""

    async def story(scene: Scene) -> None:
        await scene.probes(8)
        scene.move("both", timedelta(0))

    return Case(story, start=datetime.now(UTC) + by)


def across(start: datetime) -> Case:
    """The clock runs across an instant, 10 s after the start."""

    async def story(scene: Scene) -> None:
        await until(lambda: scene.worker.now() > start + timedelta(seconds=20), 60, "the instant")
        await scene.probes(4)

    return Case(story, start=start)


def down_meanwhile(start: datetime, end: datetime) -> Case:
    """The worker does not run while time passes."""

    async def story(scene: Scene) -> None:
        await scene.probes(8)
        await scene.team.stop(scene.team.current[1])
        scene.move("both", end - datetime.now(UTC))
        await scene.team.ready(await scene.team.start(1))
        await scene.probes(4)
        default = scene.rows("SELECT count(*) FROM ONLY observations_default")
        if default != [(0,)]:
            scene.broken.append(f"{default[0][0]} rows in the default partition")

    return Case(story, start=start)


def suspended(seconds: float, *, database_too: bool, wall: timedelta) -> Case:
    """Processes stop; `wall`: how much further the wall clock is when they go on."""

    async def story(scene: Scene) -> None:
        await scene.probes(8)
        life = scene.team.current[1]
        since = scene.team.pause(life)
        if database_too:
            scene.server.freeze()
        await asyncio.sleep(seconds)
        if wall:
            scene.move("both", wall)
        if database_too:
            scene.server.thaw()
        scene.team.go_on(life, since)
        await scene.probes(2)

    return Case(story)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


SPANS = {"5 min": 5 * MINUTE, "1 h": HOUR, "1 day": DAY, "2 years": 730 * DAY}
CASES: dict[str, Case] = {
    "control": step("both", timedelta(0)),
    **{
        f"{who} {sign}{name}": step(who, by if sign == "+" else -by)
        for who in ("both", "worker", "database")
        for name, by in SPANS.items()
        for sign in "+-"
    },
    "both +1 day, restart": step("both", DAY, restart=True),
    "both -1 h, restart": step("both", -HOUR, restart=True),
    "both +2 years, restart": step("both", 730 * DAY, restart=True),
    "both +1 h, stays": step("both", HOUR, stays=True),
    "both -1 h, stays": step("both", -HOUR, stays=True),
    "both +40 days, stays": step("both", 40 * DAY, stays=True),
    "booted 2 years ahead": ahead_at_start(730 * DAY),
    "booted 1 h behind": ahead_at_start(-HOUR),
    "summer time begins": across(utc(2027, 3, 28, 0, 59, 50)),
    "summer time ends": across(utc(2027, 10, 31, 0, 59, 50)),
    "month ends": across(utc(2027, 1, 31, 23, 59, 50)),
    "down over a month's end": down_meanwhile(utc(2027, 1, 31, 23, 58), utc(2027, 2, 3, 10, 0)),
    "down for five months": down_meanwhile(utc(2027, 1, 31, 23, 58), utc(2027, 7, 1, 0, 0, 5)),
    "worker stopped 40 s": suspended(40, database_too=False, wall=timedelta(0)),
    "both stopped 40 s": suspended(40, database_too=True, wall=timedelta(0)),
    "machine suspended 1 h": suspended(5, database_too=True, wall=HOUR),
}


async def observe(name: str, home: Path) -> Scene:
    """Run a case and judge it."""
    case = CASES[name]
    start = timedelta(0) if case.start is None else case.start - datetime.now(UTC)
    clocks = [Clock(home / f"{who}.clock", start) for who in ("worker", "database")]
    server = PostgresServer(home / "pg", clocks[1].environment())
    await asyncio.to_thread(server.create)
    await asyncio.to_thread(server.start)
    try:
        async with _MIGRATING:
            await asyncio.to_thread(migrate, server.url)
        with create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        configuration = LOAD.configuration() + f"[metrics]\nport = {port}\n"
        team = Team(home, 1, server.place, configuration, preload=clocks[0].environment())
        async with team:
            scene = Scene(team, server, clocks[0], clocks[1], port)
            await team.ready(await team.start(1))
            await _told(scene, case)
            await team.stop(team.current[1])
            scene.broken += await asyncio.to_thread(lambda: list(_lost(scene)))
            return scene
    finally:
        await asyncio.to_thread(server.stop)


async def _told(scene: Scene, case: Case) -> None:
    """The story, then an outage, which must be announced as usual, and its end."""
    team = scene.team
    await scene.probes(2)
    before = await asyncio.to_thread(scene.partitions)
    await case.story(scene)
    began, heard = time.time(), len(team.inbox.messages)
    team.service.broken = lambda target: target == "t1"
    with suppress(TimeoutError):
        await until(lambda: _heard(team, "FIRING", heard), WITHIN_S, "the alert")
    scene.figures["alert after, s"] = round(time.time() - began, 1)
    failed = sum(asked.target == "t1" and asked.at > began for asked in team.service.asked)
    scene.figures["failed probes"] = failed
    if not _heard(team, "FIRING", heard):
        scene.broken.append(f"no alert within {WITHIN_S:.0f} s, after {failed} failed probes")
    elif failed > USUAL:
        scene.broken.append(f"the alert came after {failed} failed probes")
    health, until_s = "", time.monotonic() + HEALTHY_S
    while not health.startswith("ok") and time.monotonic() < until_s:
        await asyncio.sleep(0.5)
        health = await asyncio.to_thread(_health, scene.port)
    if not health.startswith("ok") or "-" in health.partition("ago")[0]:
        scene.broken.append(f"health after the step: {health}")
    team.service.broken = lambda target: False
    with suppress(TimeoutError):
        await until(lambda: _heard(team, "RESOLVED", heard), WITHIN_S, "its end")
    if not _heard(team, "RESOLVED", heard):
        scene.broken.append(f"the incident did not end within {WITHIN_S:.0f} s")
    missing = before - await asyncio.to_thread(scene.partitions)
    if missing:
        scene.broken.append(f"partitions dropped: {', '.join(sorted(missing))}")
    for name, holder, left in await asyncio.to_thread(
        scene.rows,
        "SELECT name, holder, until - clock_timestamp() FROM leases "
        "WHERE until > clock_timestamp() + interval '3 minutes'",
    ):
        scene.broken.append(f"lease {name} of {holder} ends in {left}")
    for text in (life.text() for life in team.lives):
        for bad in TROUBLE:
            if bad in text:
                place = text.index(bad)
                scene.broken.append(f"logged {text[place - 300 : place + 1500]!r}")


def _heard(team: Team, status: str, since: int) -> bool:
    """Whether the channel shows this about t1, in a message that came since."""
    return any(
        text.startswith(status) and " down · t1" in text
        for message in team.inbox.messages[since:]
        for text in (message.text, *message.was)
    )


def _lost(scene: Scene) -> Iterator[str]:
    """Every answer is in the database: as a row, or set aside."""
    held = {row[0] for row in scene.rows(
        "SELECT id FROM observations UNION ALL SELECT id FROM misdated_observations"
    )}  # fmt: skip
    aside = scene.rows("SELECT count(*) FROM misdated_observations")[0][0]
    answered = [asked for asked in scene.team.service.asked if asked.done_at is not None]
    lost = [asked for asked in answered if asked.id not in held]
    scene.figures |= {"probes": len(answered), "set aside": float(str(aside))}
    if lost:
        yield f"{len(lost)} of {len(answered)} answers are in no table"
    if false := scene.rows("SELECT number FROM incidents WHERE rule = 'delivery'"):
        yield f"the channel worked all the time, and has incidents of delivery: {false}"
    if opened := scene.rows("SELECT number, rule, target FROM incidents WHERE resolved_at IS NULL"):
        yield f"incidents that are still open: {opened}"


def _health(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as reply:
            return str(reply.read().decode()).strip()
    except urllib.error.HTTPError as refused:
        return refused.read().decode().strip()
    except OSError as error:
        return f"unreachable: {error}"


async def main(names: Sequence[str], beside: int, folder: str | None) -> int:
    places = asyncio.Semaphore(beside)
    broken = 0

    async def one(name: str) -> None:
        nonlocal broken
        async with places:
            home = place_for("clocks-", folder)
            try:
                scene = await observe(name, home)
            except Exception as error:
                broken += 1
                print(f"| {name} | {type(error).__name__}: {error} ({home}) |", flush=True)
                return
        broken += len(scene.broken)
        figures = ("alert after, s", "failed probes", "probes", "set aside")
        cells = " | ".join(f"{scene.figures.get(figure, 0):g}" for figure in figures)
        print(f"| {name} | {cells} | {len(scene.broken)} |", flush=True)
        for what in scene.broken:
            print(f"  BROKEN {name}: {what} ({home})", flush=True)

    print("| case | alert after, s | failed probes | probes | set aside | broken |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    await asyncio.gather(*map(one, names))
    return 1 if broken else 0


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kills.clocks",
        description="Clock steps, DST, month ends and suspension.",
        epilog="It needs libfaketime: apt-get install libfaketime",
    )
    parser.add_argument("case", nargs="*", metavar="CASE", help="default: all")
    parser.add_argument("--list", action="store_true", help="show the cases")
    parser.add_argument("--beside", type=int, default=4, help="cases at the same time")
    parser.add_argument("--folder", help="where logs and data go; default: TMPDIR")
    given = parser.parse_args()
    if unknown := set(given.case) - CASES.keys():
        parser.error(f"no such case: {', '.join(sorted(unknown))}; --list shows them")
    return given


if __name__ == "__main__":
    given = options()
    if given.list:
        print("\n".join(CASES))
        sys.exit(0)
    if library() is None:
        sys.exit(f"clocks: {MISSING}")
    sys.exit(asyncio.run(main(given.case or list(CASES), given.beside, given.folder)))

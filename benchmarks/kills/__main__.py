"""Workers killed, paused, cut off from their database and restarted: what holds afterwards.

    python -m benchmarks.kills [SCENARIO ...] [--workers 1 2 5 8] [--slots 1000] [--seed 1]

Each scenario starts workers (`monitor run`), a service whose targets fail in turn, a local
Slack and a Postgres server of its own, disturbs them for as long as the slots last, and then
compares what service, Slack and database saw. The exit status is 1 if an invariant does not hold.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.kills import scenarios
from benchmarks.kills.findings import Findings
from benchmarks.kills.postgres import PostgresServer
from benchmarks.kills.scenarios import Load, observe, place_for, small_disk
from benchmarks.kills.stage import Team

SCENARIOS: dict[str, tuple[scenarios.Disturbance, str]] = {
    "calm": (scenarios.calm, "nothing happens: the control"),
    "kills": (scenarios.kills, "kill -9 at random moments, and pauses beyond every lease"),
    "points": (scenarios.points, "kill -9 before and after each kind of step"),
    "embedded": (scenarios.embedded_kills, "one worker and its embedded Postgres, both killed"),
    "restart": (scenarios.restarts, "Postgres crashes, shuts down and comes back"),
    "frozen": (scenarios.frozen, "Postgres stops answering, beyond every deadline"),
    "failover": (scenarios.failover, "a replica is promoted, behind the same address"),
    "disk": (scenarios.full_disk, "the disk of Postgres is full"),
}
SEVERAL = ("calm", "kills")  # run once for each size of team
DISK_MIB = 400
COLUMNS = ("kills", "pauses", "slots", "missed", "probes", "rows", "lost in flight", "twice",
           "due", "late", "latest, s", "incidents", "messages", "marked repeats")  # fmt: skip


async def run(name: str, workers: int, load: Load, seed: int, home: Path) -> Findings | None:
    """One scenario with one team; None where it cannot run, with the reason on standard error."""
    disturb, _ = SCENARIOS[name]
    place = home / "pg"
    if name == "embedded":
        found, team = await observe(
            home, workers=1, load=load, disturb=disturb, server=None, seed=seed
        )
        return shown(name, 1, found, team)
    with small_disk(place, DISK_MIB if name == "disk" else None) as small:
        if name == "disk" and not small:
            print("disk: skipped: this user may not mount a small file system", file=sys.stderr)
            return None
        server = PostgresServer(place)
        server.create()
        server.start()
        try:
            found, team = await observe(
                home, workers=workers, load=load, disturb=disturb, server=server, seed=seed
            )
        finally:
            server.stop()
    return shown(name, workers, found, team)


def shown(name: str, workers: int, found: Findings, team: Team) -> Findings:
    """Print a run as a row of a table, and each invariant that does not hold."""
    figures = found.figures
    cells = " | ".join(f"{figures.get(column, 0):g}" for column in COLUMNS)
    print(f"| {name} | {workers} | {cells} | {len(found.broken)} |", flush=True)
    for broken in found.broken:
        print(f"  BROKEN {name}, {workers} workers: {broken}", flush=True)
    if name == "points":
        for point, count in sorted(team.kills_by_point.items()):
            print(f"  {count} × {point}")
    return found


async def main(given: argparse.Namespace) -> int:
    load = Load(targets=given.targets, every_s=given.every, slots=given.slots)
    print(f"| scenario | workers | {' | '.join(COLUMNS)} | broken |")
    print("| --- |" + " --- |" * (len(COLUMNS) + 2), flush=True)
    broken, began = 0, time.monotonic()
    for name in given.scenario or SCENARIOS:
        for workers in given.workers if name in SEVERAL else (2,):
            home = place_for("kills-", given.folder)
            found = await run(name, workers, replace(load), given.seed, home)
            broken += len(found.broken) if found else 0
            if found and given.json:
                row = {"scenario": name, "workers": workers, **found.figures}
                noted(Path(given.json), row | {"broken": found.broken})
    print(f"{time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.1f}")
    return 1 if broken else 0


def noted(file: Path, row: object) -> None:
    with file.open("a") as out:
        out.write(json.dumps(row) + "\n")


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    listed = "\n".join(f"  {name:9} {what}" for name, (_, what) in SCENARIOS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kills",
        description=f"Kills, pauses and outages of the database.\n\nscenarios:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenario", nargs="*", choices=[*SCENARIOS, []], metavar="SCENARIO")
    teams = "sizes of the team, for calm and kills; the others have 2"
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 5, 8], help=teams)
    parser.add_argument("--slots", type=int, default=1_000, help="in all, of each run")
    parser.add_argument("--targets", type=int, default=50)
    parser.add_argument("--every", type=int, default=10, metavar="S", help="interval of a target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="append each run as a line of JSON")
    parser.add_argument("--folder", help="where the logs of the workers go; default: TMPDIR")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(options())))

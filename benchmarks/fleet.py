"""What a fleet of targets costs, and whether every round is served in time.

    python -m benchmarks.fleet                                10 and 100 targets, one worker
    python -m benchmarks.fleet --targets 1000 5000 --workers 1 2 4 --seconds 180
    python -m benchmarks.fleet --targets 100 --day-of-rows    with the rows of a day at the start
    python -m benchmarks.fleet --targets 1000 --outage        then one target fails: seconds until
                                                              its message

Each combination has a Postgres of its own (the embedded one), its own workers (`monitor run`) and a
simulated service. Exit status 1: a goal is missed. 2: a process did not start.
See docs/benchmarks.md#fleets.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from benchmarks.fleets import figures, processes, rows
from benchmarks.fleets.figures import FleetRun, FleetWindow, StoredProbe
from benchmarks.fleets.service import MODEL
from benchmarks.fleets.use import FleetUse
from benchmarks.seeding import plain, roll, tune
from benchmarks.truth import pages
from benchmarks.truth.machine import Watch
from monitor.domain import Query, Target
from monitor.embedded_postgres import EmbeddedPostgres, running
from monitor.storage.schema import migrate
from monitor.worker.round_schedule import phase

START_S, START_TARGET_S = 60, 0.05
CALM_S = 17  # late rounds of a start begin within 15 s
AFTER_S = 10.0  # for rounds that are due at the end of the window
OUTAGE_ROUNDS = 8
# Events that mean that the worker could not use the database.
UNAVAILABLE = (
    "database unavailable", "database busy", "round claim failed", "identity history skipped",
    "round status not saved", "observations spooled", "outbox delivery blocked",
)  # fmt: skip
STORED = """
    SELECT id::text, slot, origin, ttft_ms, stamp FROM observations WHERE slot >= %(since)s
"""
TOLD = """
    SELECT told_at FROM incidents
    WHERE target = %(target)s AND rule = 'down' AND told_at IS NOT NULL
"""
STATEMENTS = """
    SELECT calls, total_exec_time, left(regexp_replace(query, '\\s+', ' ', 'g'), 110)
    FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid WHERE datname = 'monitor'
    ORDER BY total_exec_time DESC LIMIT %(most)s
"""
TOML = f"""
[probes]
max_per_day = 100000000
daily_budget_usd = "100000"
[digest]
enabled = false
[prices."{MODEL}"]
input = "0.20"
output = "0.20"
source = "operators"
checked = 2026-11-22
"""


def main() -> int:
    given = arguments()
    watch, runs = Watch(), []
    for size in given.targets:
        for workers in given.workers:
            print(f"{size} targets, {workers} workers …", file=sys.stderr, flush=True)
            try:
                runs.append(run(size, workers, given))
            except processes.Ended as reason:
                print(reason, file=sys.stderr)
                return 2
    judged = figures.goals(runs)
    text = f"{pages.conditions(watch.machine())}\n\n{figures.page(runs)}\n"
    if judged:
        text += f"\n{pages.goals_table(judged)}\n"
    print(text)
    if given.markdown:
        given.markdown.write_text(text, encoding="utf-8")
    if given.json:
        document = [figures.document(one) for one in runs]
        given.json.write_text(json.dumps(document, indent=1, default=str) + "\n", encoding="utf-8")
    return 0 if all(goal.met for goal in judged) else 1


def arguments() -> argparse.Namespace:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fleet", description=__doc__, formatter_class=as_written
    )
    option = parser.add_argument
    option("--targets", type=int, nargs="+", default=[10, 100], metavar="N")
    option("--workers", type=int, nargs="+", default=[1], metavar="W")
    option("--seconds", type=int, default=120, help="what is measured, after the start")
    option("--after", type=int, default=0, metavar="S",
           help="wait before that, until all windows are read")  # fmt: skip
    option("--every", type=int, default=60, metavar="S", help="interval of each target, in s")
    option("--day-of-rows", action="store_true",
           help="write the rows of the last 24 hours first, by COPY")  # fmt: skip
    option("--outage", action="store_true",
           help="afterwards one target fails: seconds until its message")  # fmt: skip
    option("--statements", type=int, metavar="N", help="print the N most expensive SQL statements")
    option("--directory", help="where the temporary directories are made")
    option("--json", type=Path, metavar="FILE")
    option("--markdown", type=Path, metavar="FILE")
    return parser.parse_args()


def run(size: int, count: int, given: argparse.Namespace) -> FleetRun:
    """One combination, from an empty database to its figures. Raises Ended."""
    every = timedelta(seconds=given.every)
    targets = {target.name: target for target in fleet(size, every)}
    after = {name: phase(target) for name, target in targets.items()}
    with TemporaryDirectory(prefix="fleet-", dir=given.directory) as directory:
        home = Path(directory)
        log, failing = home / "truth.csv", next(iter(targets))
        with server(home, statements=bool(given.statements)) as postgres:
            seeded = seed(postgres.url, targets, after, every) if given.day_of_rows else 0
            with processes.serving(log, failing) as service:
                began = time.monotonic()
                with processes.workers(
                    home, count, postgres.url, configuration(targets, service.port)
                ) as workers:
                    processes.started(workers, START_S + size * START_TARGET_S)
                    started_s = time.monotonic() - began
                    time.sleep(min(given.every / 4 + 2, CALM_S) + given.after)
                    use = FleetUse(postgres, workers, service.process.pid)
                    use.measure(given.seconds)
                    if given.statements:
                        print_statements(postgres.url, given.statements)
                    time.sleep(min(AFTER_S, given.every))
                    outage = Outage(service, failing, postgres.url) if given.outage else None
                    if outage:
                        outage.wait(OUTAGE_ROUNDS * given.every)
                unavailable = sum(worker.count(UNAVAILABLE) for worker in workers)
            epoch_ns = time.time_ns() - time.monotonic_ns()
            asked = figures.read_log(log, epoch_ns)
            found = rows.asked(postgres.url, STORED, since=use.begins - 2 * every)
    window = FleetWindow(use.begins, use.ends, every, after)
    in_window = [probe for probe in asked if use.begins <= probe.at <= use.ends]
    return FleetRun(
        targets=size,
        workers=count,
        seeded=seeded,
        started_s=started_s,
        probes=len(in_window),
        rounds=figures.served(window, asked, [StoredProbe(*row) for row in found]),
        outage_s=outage.announced_s(asked) if outage else None,
        unavailable=unavailable,
        **use.totals(),
    )


def fleet(size: int, every: timedelta) -> Iterator[Target]:
    """Targets as the configuration describes them; without an address, which is known later."""
    query = Query(id="hi", text="Hi")
    for number in range(1, size + 1):
        yield Target(name=f"target-{number}", url="http://127.0.0.1", dialect="openai_chat",
                     queries=(query,), every=every, expected_models=(MODEL,))  # fmt: skip


def configuration(targets: Mapping[str, Target], port: int) -> str:
    """The configuration of each worker."""
    sections = [
        f'[targets.{name}]\nurl = "http://127.0.0.1:{port}/{name}"\ndialect = "openai_chat"\n'
        f'every = "{target.every.total_seconds():.0f}s"\nexpected_models = ["{MODEL}"]\n'
        'queries = [{ id = "hi", text = "Hi" }]\n'
        for name, target in targets.items()
    ]
    return TOML + "".join(sections)


@contextmanager
def server(home: Path, *, statements: bool) -> Iterator[EmbeddedPostgres]:
    """A migrated server. `statements`: it counts what each statement costs."""
    with running(home) as before:
        migrate(before.url)
        tune(before.url)
        if statements:
            with psycopg.connect(plain(before.url), autocommit=True) as connection:
                connection.execute("CREATE EXTENSION pg_stat_statements")
                connection.execute("ALTER SYSTEM SET shared_preload_libraries = pg_stat_statements")
    with running(home) as after:
        yield after


def seed(
    url: str, targets: Mapping[str, Target], after: Mapping[str, timedelta], every: timedelta
) -> int:
    """The rows of the last 24 hours, rolled up; how many observations."""
    began, before = time.monotonic(), rows.size(url)
    now = datetime.now(UTC)
    # The workers' first slots stay free.
    until = figures.EPOCH + (now - figures.EPOCH) // every * every
    written = rows.seed_day(url, after, every, first=until - timedelta(days=1), until=until)
    wrote_s, size = time.monotonic() - began, rows.size(url) - before
    asyncio.run(roll(url, targets))
    rolled_s, rolled = time.monotonic() - began - wrote_s, rows.size(url) - before - size
    took = f"{wrote_s:.0f} s, {size / written:.0f} bytes each; rolled up in {rolled_s:.0f} s"
    took += f", {rolled / written:.0f} bytes more"
    print(f"{written:,} rows written in {took}", file=sys.stderr, flush=True)
    return written


class Outage:
    """The target begins to fail; its message is waited for."""

    def __init__(self, service: processes.Service, target: str, url: str) -> None:
        self._target, self._url = target, url
        self._told_at: datetime | None = None
        service.break_down()

    def wait(self, seconds: float) -> None:
        """Until the message, or for so long."""
        until = time.monotonic() + seconds
        while self._told_at is None and time.monotonic() < until:
            time.sleep(1)
            for (told_at,) in rows.asked(self._url, TOLD, target=self._target):
                self._told_at = told_at

    def announced_s(self, asked: Sequence[figures.AskedProbe]) -> float | None:
        """Seconds from the first failed answer to the message; None: there was none."""
        failed = [p.at for p in asked if p.target == self._target and p.ttft_ms is None]
        if self._told_at is None or not failed:
            return None
        return (self._told_at - min(failed)).total_seconds()


def print_statements(url: str, most: int) -> None:
    """The statements that took most of the server's time since its start."""
    for calls, total_ms, statement in rows.asked(url, STATEMENTS, most=most):
        print(f"{calls:>8,} × {total_ms / calls:8.2f} ms  {statement}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

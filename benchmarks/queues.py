"""A queue on Postgres beside due rounds that are claimed in batches: delay, cost, a killed worker.

    PYTHON -m benchmarks.queues --rates 17 84 --workers 1 4

PYTHON is an environment with `procrastinate` besides rag-monitor's packages. A job waits 0.7 s, as
a probe does. Every rate has as many targets as fit a minute. With Procrastinate, the parent defers
the jobs of the next seconds in one statement, which is its best case, and its processes are not
counted. One of several workers is killed after half of the time. The figures are in
docs/adr/0023-queue.md.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from benchmarks.fleets import processes
from benchmarks.fleets.use import CONNECTIONS, STATE
from benchmarks.seeding import plain
from benchmarks.truth.figures import percentile
from benchmarks.truth.pages import number, table
from monitor.embedded_postgres import running

JOB_S, TICK_S, AHEAD_S, EVERY_S = 0.7, 0.5, 3.0, 60
WARM_S = 10  # for the start of the process that makes the work
READY = "ready"
SCHEMA = """
    CREATE TABLE due (target int PRIMARY KEY, due_at timestamptz, worker text, until timestamptz);
    CREATE INDEX ON due (due_at);
"""
FINISH = """
    UPDATE due SET due_at = due_at + interval '60 seconds', until = NULL
    WHERE target = ANY(%s::int[]) AND worker = %s
"""
CLAIM = """
    UPDATE due SET worker = %s, until = now() + interval '20 seconds' FROM (
        SELECT target FROM due WHERE due_at <= now() + interval '0.5 seconds'
            AND (until IS NULL OR until < now())
        ORDER BY due_at LIMIT 500 FOR UPDATE SKIP LOCKED) AS mine
    WHERE due.target = mine.target RETURNING due.target, extract(epoch FROM due_at)::float8
"""
HEADINGS = (
    "engine", "jobs a second", "workers", "due", "not started", "started twice",
    "delay p50 / p99 / max s", "CPU ms a job: workers", "Postgres", "transactions a job",
    "rows written a job", "connections a worker", "killed: longest delay s",
)  # fmt: skip


# A worker: it prints the target, the due time and the delay of each job that it starts.


async def _job(target: int, due: float) -> None:
    print(target, due, time.time() - due, flush=True)
    await asyncio.sleep(JOB_S)


async def in_batches(url: str) -> None:
    """One transaction a tick: what ended since the last one, and what is due before the next."""
    me, ended = str(os.getpid()), list[int]()
    async with asyncio.TaskGroup() as tasks:

        async def run(target: int, due: float) -> None:
            await asyncio.sleep(due - time.time())
            await _job(target, due)
            ended.append(target)

        connection = await psycopg.AsyncConnection.connect(url, row_factory=tuple_row)
        print(READY, flush=True)
        while True:
            began = time.monotonic()
            done, ended = ended, []
            async with connection.transaction():
                await connection.execute(FINISH, (done, me))
                claimed = await (await connection.execute(CLAIM, (me,))).fetchall()
            for target, due in claimed:
                tasks.create_task(run(target, due))
            await asyncio.sleep(TICK_S - (time.monotonic() - began))


def _app(url: str, *, connections: int = 1) -> Any:
    import procrastinate  # type: ignore[import-not-found]  # no dependency of rag-monitor

    app = procrastinate.App(
        connector=procrastinate.PsycopgConnector(
            conninfo=url, min_size=connections, max_size=connections
        )
    )
    app.task(name="round")(_job)
    return app


async def by_procrastinate(url: str) -> None:
    app = _app(url, connections=3)
    async with app.open_async():
        print(READY, flush=True)
        await app.run_worker_async(
            concurrency=500, fetch_job_polling_interval=TICK_S, delete_jobs="always"
        )


ENGINES: dict[str, Callable[[str], Coroutine[Any, Any, None]]] = {
    "batches": in_batches,
    "procrastinate": by_procrastinate,
}


# The parent: it makes the work, ends a worker, and counts.


async def _make_work(engine: str, url: str, targets: int, begins: float, seconds: float) -> None:
    """All targets, evenly spread over the interval, for so long."""
    if engine == "batches":
        rows = "SELECT n, to_timestamp(%s + n * %s) FROM generate_series(0, %s) AS n"
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(
                f"INSERT INTO due (target, due_at) {rows}", (begins, EVERY_S / targets, targets - 1)
            )
        return
    app, made = _app(url), 0
    async with app.open_async():
        job = app.tasks["round"].configure().job
        while time.time() < begins + seconds:
            upto = int((time.time() + AHEAD_S - begins) * targets / EVERY_S)
            new = []
            for n in range(made, upto):
                due = begins + n * EVERY_S / targets
                at = datetime.fromtimestamp(due, UTC)
                given = {"target": n % targets, "due": due}
                new.append(job.evolve(scheduled_at=at, task_kwargs=given))
            if new:
                await app.job_manager.batch_defer_jobs_async(jobs=new)
            made = max(made, upto)
            await asyncio.sleep(AHEAD_S / 3)


def measured(engine: str, rate: int, count: int, seconds: int) -> tuple[str, ...]:
    """One row of the table."""
    targets = rate * EVERY_S
    with TemporaryDirectory(prefix="queues-") as directory, running(Path(directory)) as server:
        url = plain(server.url)
        asyncio.run(_schema(engine, url))
        logs = [Path(directory) / f"{n}.log" for n in range(count)]
        workers = [_worker(engine, url, log) for log in logs]
        while not all(log.read_text().startswith(READY) for log in logs):
            time.sleep(0.1)
        begins = time.time() + WARM_S
        work = json.dumps((engine, url, targets, begins, seconds))
        maker = subprocess.Popen(
            (sys.executable, "-m", "benchmarks.queues", "--make", work), cwd=processes.ROOT
        )
        killed_at = float("inf")
        try:
            time.sleep(max(begins - time.time(), 0))
            before = _used(url, server.pid, workers)
            most = 0
            while time.time() < begins + seconds:
                time.sleep(1)
                most = max(most, _connections(url))
                half = time.time() > begins + seconds / 2
                if count > 1 and half and workers[0].poll() is None:
                    killed_at = time.time()
                    before["workers"] -= processes.cpu_s(workers[0].pid)
                    workers[0].kill()
                    workers[0].wait()
            after = _used(url, server.pid, [w for w in workers if w.poll() is None])
            time.sleep(2)
        finally:
            for process in (maker, *workers):
                process.kill()
                process.wait()
        started = [line.split() for log in logs for line in log.read_text().splitlines()[1:]]
    due = ceil(seconds * targets / EVERY_S)
    times = Counter((target, at) for target, at, _ in started if float(at) < begins + seconds)
    delays = [float(late) for _, at, late in started if float(at) < begins + seconds]
    jobs = len(times)
    spent = {name: (after[name] - before[name]) / jobs for name in before}
    late = [float(wait) for _, at, wait in started if -1 < float(at) - killed_at < 20]
    return (
        engine, str(rate), str(count), f"{due:,}", f"{due - jobs:,}",
        str(sum(n > 1 for n in times.values())),
        " / ".join(number(percentile(delays, share)) for share in (0.5, 0.99, 1)),
        number(spent["workers"] * 1000), number(spent["postgres"] * 1000),
        number(spent["transactions"]), number(spent["rows"]), number(most / count),
        number(max(late, default=None)),
    )  # fmt: skip


async def _schema(engine: str, url: str) -> None:
    if engine == "batches":
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(SCHEMA)
        return
    app = _app(url)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


def _worker(engine: str, url: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(
            (sys.executable, "-m", "benchmarks.queues", "--serve", engine, url),
            cwd=processes.ROOT, stdout=out,
        )  # fmt: skip


def _used(url: str, postgres: int, workers: list[subprocess.Popen[bytes]]) -> dict[str, float]:
    with psycopg.connect(url.replace("/monitor?", "/postgres?"), autocommit=True) as connection:
        [(transactions, rows, _)] = connection.execute(STATE).fetchall()
    return {
        "transactions": transactions,
        "rows": rows,
        "workers": sum(processes.cpu_s(worker.pid) for worker in workers),
        "postgres": sum(processes.family_cpu_s(postgres).values()),
    }


def _connections(url: str) -> int:
    with psycopg.connect(url.replace("/monitor?", "/postgres?"), autocommit=True) as connection:
        [(count,)] = connection.execute(CONNECTIONS).fetchall()
    return int(count)


def rows(given: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    for engine in ENGINES:
        for rate in given.rates:
            for count in given.workers:
                yield measured(engine, rate, count, given.seconds)
                print(".", end="", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queues", description=__doc__)
    parser.add_argument("--rates", type=int, nargs="+", default=[17, 84], help="jobs a second")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        engine, url = given.serve
        asyncio.run(ENGINES[engine](url))
    elif given.make:
        asyncio.run(_make_work(*json.loads(given.make)))
    else:
        print(table(HEADINGS, list(rows(given))))


if __name__ == "__main__":
    main()

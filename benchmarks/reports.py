"""How long reports take and how fast rows are stored, with millions of observations at hand.

    python -m benchmarks.reports                      1 and 10 million rows, a table
    python -m benchmarks.reports --millions 1 10 100  the last needs 64 GB and 80 minutes
    python -m benchmarks.reports --grow history       the same rows a day, more days
    python -m benchmarks.reports --keep DIRECTORY     seed once, measure again and again
    python -m benchmarks.reports --json               one line of JSON a figure

By default the rows lie in 90 days, so that ten times the rows are ten times as dense: what
costs the same then is read from rollups. Every time is a median. Views are read to their last
row; the HTML report is the whole command, from its start to its end; rows are stored while a
worker of its own watches ten services through the same database.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString
from uuid import uuid4

import psycopg

from benchmarks.seeding import database, plain, roll, seed, ten_targets, tune, vacuum
from monitor.demo.scenario import WORKER, environment, worker
from monitor.embedded_postgres import running
from monitor.simulator.service import SimulatedService
from monitor.storage import Database, observations
from tests.example_data import observation

LIMITS_MS = {"24 h": 200, "90 d": 500}
REPEATS = 5

SPANS = {"24 h": timedelta(hours=24), "90 d": timedelta(days=90)}
QUESTIONS: dict[
    str, LiteralString
] = {  # whole views, as a page of charts reads them; of raw rows one screen
    "observations": "SELECT * FROM report.observations WHERE slot >= now() - %(span)s "
    "ORDER BY slot DESC LIMIT 500",
    "ttft_hourly": "SELECT * FROM report.ttft_hourly WHERE hour >= now() - %(span)s",
    "one target's ttft_hourly": "SELECT * FROM report.ttft_hourly "
    "WHERE hour >= now() - %(span)s AND target = 'target-1'",
    "fallback_hourly": "SELECT * FROM report.fallback_hourly WHERE hour >= now() - %(span)s",
    "ttft_daily": "SELECT * FROM report.ttft_daily WHERE day >= (now() - %(span)s)::date",
    "models_daily": "SELECT * FROM report.models_daily WHERE day >= (now() - %(span)s)::date",
    "spend_daily": "SELECT * FROM report.spend_daily WHERE day >= (now() - %(span)s)::date",
    "cost_per_query_daily": "SELECT * FROM report.cost_per_query_daily "
    "WHERE day >= (now() - %(span)s)::date",
    "savings_daily": "SELECT * FROM report.savings_daily WHERE day >= (now() - %(span)s)::date",
    "incidents": "SELECT * FROM report.incidents WHERE opened_at >= now() - %(span)s",
    "health": "SELECT * FROM report.health WHERE last_probe_at >= now() - %(span)s",
}


def main() -> None:
    options = arguments()
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
        measure(options, options.keep, keep=True)
        return
    with tempfile.TemporaryDirectory(prefix="reports-", dir=options.directory) as home:
        measure(options, Path(home), keep=False)


def measure(options: argparse.Namespace, home: Path, *, keep: bool) -> None:
    with running(home) as server:
        tune(server.url)
        for millions in options.millions:
            for figure in measured(server.url, millions, options.grow, keep=keep):
                show(figure, as_json=options.json)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 10], metavar="N")
    parser.add_argument("--grow", choices=("density", "history"), default="density")
    parser.add_argument("--directory", help="where the temporary directory is made")
    parser.add_argument("--keep", type=Path, help="a directory of data that stays")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def show(figure: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figure), flush=True)
        return
    judged = {True: "ok", False: "OVER", None: ""}[figure["ok"]]
    print(f"{figure['millions']:>6g} M  {figure['what']:<24} {figure['span']:<6} "
          f"{figure['value']:>10.1f} {figure['unit']:<14} {judged}", flush=True)  # fmt: skip


def measured(
    server_url: str, millions: float, grow: str, *, keep: bool
) -> Iterator[dict[str, Any]]:
    """Seed a database of that size, roll it up, and measure everything in it."""

    def figure(
        what: str, value: float, unit: str, *, span: str = "", ok: bool | None = None
    ) -> dict[str, Any]:
        return {"millions": millions, "what": what, "span": span, "value": round(value, 2),
                "unit": unit, "ok": ok}  # fmt: skip

    with database(server_url, f"{grow}_{millions:g}".replace(".", "_"), keep=keep) as url:
        yield figure("seeding", timed(lambda: seed(url, millions * 1e6, grow)), "s")
        targets = ten_targets()
        yield figure("first roll-up", timed(lambda: asyncio.run(roll(url, targets))), "s")
        vacuum(url)
        yield figure("roll-up when current", timed(lambda: asyncio.run(roll(url, targets))), "s")
        for span, limit in LIMITS_MS.items():
            for what, statement in QUESTIONS.items():
                ms = asked(url, statement, SPANS[span])
                yield figure(what, ms, "ms", span=span, ok=ms <= limit)
        seconds = statistics.median(page(url) for _ in range(3))
        yield figure("HTML report", seconds, "s", span="30 d", ok=seconds <= 3)
        singly, batched = asyncio.run(beside_a_worker(url))
        yield figure("one observation", singly, "ms", ok=singly <= 5)
        yield figure("batches of 200", batched, "rows/s", ok=batched >= 2000)


def asked(url: str, statement: LiteralString, span: timedelta) -> float:
    """Median ms until the last row arrived, after one run that warms the caches."""
    took = []
    with psycopg.connect(plain(url), autocommit=True) as connection:
        for _ in range(REPEATS + 1):
            begun = time.perf_counter()
            connection.execute(statement, {"span": span})
            took.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took[1:])


def page(url: str) -> float:
    """Seconds of `monitor report --since 30d --html`, interpreter and all."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        notified = environment(configuration(home, url, service="http://127.0.0.1:9"))
        text = [*WORKER[:-1], "report", "--since", "30d", "--html", str(home / "report.html")]
        return timed(lambda: subprocess.run(text, env=notified, check=True, stdout=sys.stderr))


def configuration(home: Path, url: str, *, service: str) -> dict[str, str]:
    """Environment of a monitor that watches ten targets, four queries each, once a minute."""
    queries = [f'{{ id = "{name}", text = "{name}" }}' for name in ("hello", "hi", "kbli", "who")]
    text = '[storage]\nkeep_raw = "3650d"\n[probes]\nmax_per_day = 1000000\n'
    for number in range(1, 11):
        text += (f'[targets.target-{number}]\nurl = "{service}"\ndialect = "bali_zero"\n'
                 f'every = "1m"\ndaily_queries = 333\nqueries = [{", ".join(queries)}]\n'
                 'expected_models = ["meta-llama/llama-4-scout"]\n'
                 'fallback_models = ["anthropic/claude-haiku-4-5"]\n')  # fmt: skip
    file = home / "monitor.toml"
    file.write_text(text, encoding="utf-8")
    return {"DATABASE_URL": url, "MONITOR_CONFIG": str(file), "MONITOR_HOME": str(home)}


@asynccontextmanager
async def watching(url: str) -> AsyncIterator[None]:
    """A worker at work on that database: ten simulated services, forty probes a minute."""
    with tempfile.TemporaryDirectory() as directory:
        async with SimulatedService(rate_limited=False) as service:
            notified = configuration(Path(directory), url, service=service.url)
            async with worker(WORKER, Path(directory), notified) as process:
                await asyncio.sleep(90)  # its first rounds, roll-up and evaluation
                yield
                if process.returncode is not None:
                    raise RuntimeError((Path(directory) / "worker.log").read_text())


async def beside_a_worker(url: str) -> tuple[float, float]:
    async with watching(url):
        return await stored(url)


async def stored(url: str) -> tuple[float, float]:
    """Median ms of one observation stored alone, and rows a second in batches of 200."""
    opened = Database(url)

    async def add(count: int) -> float:
        now = datetime.now(UTC)
        new = [replace(observation(slot=now, started_at=now, origin="manual"), id=uuid4())
               for _ in range(count)]  # fmt: skip
        begun = time.perf_counter()
        async with opened.begin() as connection:
            await observations.add(connection, new)
        return time.perf_counter() - begun

    await add(1)
    single = [await add(1) for _ in range(100)]
    batches = [await add(200) for _ in range(50)]
    await opened.close()
    return statistics.median(single) * 1000, 200 / statistics.median(batches)


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()

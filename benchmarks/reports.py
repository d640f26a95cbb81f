"""How long reports take and how fast rows are stored, with millions of observations at hand.

    python benchmarks/reports.py                      1 and 10 million rows, a table
    python benchmarks/reports.py --millions 1 10 100  the last needs about 90 GB and hours
    python benchmarks/reports.py --grow history       the same rows a day, more days
    python benchmarks/reports.py --json               one line of JSON a figure

By default the rows lie in 90 days, so that ten times the rows are ten times as dense: what
costs the same then is read from rollups. Everything is made in a temporary directory.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, LiteralString, cast
from uuid import uuid4

import psycopg
from sqlalchemy import create_engine, make_url, text

from monitor import identity, pricing
from monitor.domain import Query, Target
from monitor.embedded import running
from monitor.jobs.rolling import roll_up
from monitor.jobs.watch import Watch
from monitor.store import Database, observations
from monitor.store.engine import address
from monitor.store.schema import migrate
from tests.facts import observation

SEED = Path(__file__).with_name("seed.sql").read_text(encoding="utf-8")
DENSITY = 10_000_000 / 90  # rows a day where history grows
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
    directory = tempfile.TemporaryDirectory(prefix="reports-", dir=options.directory)
    with directory as home, running(Path(home)) as server:
        _tune(server.url)
        for millions in options.millions:
            for figure in measured(server.url, millions, options.grow):
                show(figure, as_json=options.json)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 10], metavar="N")
    parser.add_argument("--grow", choices=("density", "history"), default="density")
    parser.add_argument("--directory", help="where the temporary directory is made")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def show(figure: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figure), flush=True)
        return
    judged = {True: "ok", False: "OVER", None: ""}[figure["ok"]]
    print(f"{figure['millions']:>6g} M  {figure['what']:<24} {figure['span']:<6} "
          f"{figure['value']:>10.1f} {figure['unit']:<14} {judged}", flush=True)  # fmt: skip


def measured(server_url: str, millions: float, grow: str) -> Iterator[dict[str, Any]]:
    """Seed a database of that size, roll it up, and measure everything in it."""

    def figure(
        what: str, value: float, unit: str, *, span: str = "", ok: bool | None = None
    ) -> dict[str, Any]:
        return {"millions": millions, "what": what, "span": span, "value": round(value, 2),
                "unit": unit, "ok": ok}  # fmt: skip

    with database(server_url, f"seeded_{millions:g}".replace(".", "_")) as url:
        took = timed(lambda: seed(url, millions * 1e6, grow))
        yield figure("seeding", took, "s")
        yield figure("first roll-up", timed(lambda: asyncio.run(roll(url))), "s")
        vacuum(url)
        yield figure("roll-up when current", timed(lambda: asyncio.run(roll(url))), "s")
        for span, limit in LIMITS_MS.items():
            for what, statement in QUESTIONS.items():
                ms = asked(url, statement, SPANS[span])
                yield figure(what, ms, "ms", span=span, ok=ms <= limit)
        singly, batched = asyncio.run(stored(url))
        yield figure("one observation", singly, "ms", ok=singly <= 5)
        yield figure("batches of 200", batched, "rows/s", ok=batched >= 2000)


@contextmanager
def database(server_url: str, name: str) -> Iterator[str]:
    """A migrated database of its own, dropped afterwards."""
    engine = create_engine(address(server_url), isolation_level="AUTOCOMMIT")
    url = make_url(address(server_url)).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
        migrate(url)
        yield url
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    engine.dispose()


def _tune(url: str) -> None:
    """Seeding is no part of the measurement: let it write without a checkpoint a minute."""
    with psycopg.connect(_plain(url), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET max_wal_size = '4GB'")
        connection.execute("SELECT pg_reload_conf()")


def seed(url: str, rows: float, grow: str) -> None:
    now = datetime.now(UTC)
    days = rows / DENSITY if grow == "history" else 90
    every = timedelta(seconds=days * 86400 * 40 / rows)
    with psycopg.connect(_plain(url), autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        begins = now - timedelta(days=days)
        month = begins.date().replace(day=1)
        while month <= now.date() + timedelta(days=62):
            connection.execute("SELECT make_month(%s)", (month,))
            month = (month + timedelta(days=32)).replace(day=1)
        while begins < now:
            ends = min(begins + timedelta(days=1), now)
            connection.execute(SEED, {"starts_at": begins, "ends_at": ends, "every": every})
            begins = ends
            tell(f"{url.rpartition('/')[2].partition('?')[0]}: seeded until {ends:%Y-%m-%d}")
        connection.execute(INCIDENTS)
        connection.execute("ANALYZE")


INCIDENTS = """
    INSERT INTO incidents (rule, target, opened_at, resolved_at, last_breach_at, last_told_at,
        because, observations, facts)
    SELECT 'ttft', o.target, o.started_at, o.started_at + interval '40 minutes', o.started_at,
        o.started_at, 'TTFT is 2200 ms', ARRAY[o.id], '{}'
    FROM generate_series(1, 1000) AS n
    CROSS JOIN LATERAL (
        SELECT id, target, started_at FROM observations
        WHERE slot >= now() - n * interval '2 hours' ORDER BY slot LIMIT 1
    ) AS o
"""


async def roll(url: str) -> None:
    """The rolling job as the worker runs it."""
    names = [f"target-{n}" for n in range(1, 11)]
    queries = tuple(Query(id=name, text=name) for name in ("hello", "hi", "kbli", "who"))
    targets = {
        name: Target(name=name, url="http://localhost", dialect="bali_zero", queries=queries,
                     expected_models=("meta-llama/llama-4-scout",), daily_queries=333,
                     fallback_models=("anthropic/claude-haiku-4-5",))
        for name in names
    }  # fmt: skip
    storage = SimpleNamespace(keep_raw=timedelta(days=3650), keep_excerpts=timedelta(days=7),
                              keep_failed_excerpts=timedelta(days=30))  # fmt: skip
    file = SimpleNamespace(storage=storage)
    watch = SimpleNamespace(
        settings=SimpleNamespace(targets=targets, rules={}, file=file),
        database=Database(url),
        book=pricing.book({}, same=identity.same),
        worker="w1",
        now=lambda: datetime.now(UTC),
    )
    await roll_up(cast("Watch", watch))
    await watch.database.close()


def vacuum(url: str) -> None:
    with psycopg.connect(_plain(url), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def asked(url: str, statement: LiteralString, span: timedelta) -> float:
    """Median ms until the last row arrived, after one run that warms the caches."""
    took = []
    with psycopg.connect(_plain(url), autocommit=True) as connection:
        for _ in range(REPEATS + 1):
            begun = time.perf_counter()
            connection.execute(statement, {"span": span})
            took.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took[1:])


async def stored(url: str) -> tuple[float, float]:
    """Median ms of one observation stored alone, and rows a second in batches of 200."""
    opened = Database(url)
    now = datetime.now(UTC)

    async def add(count: int) -> float:
        new = [replace(observation(slot=now, started_at=now, origin="manual"), id=uuid4())
               for _ in range(count)]  # fmt: skip
        begun = time.perf_counter()
        async with opened.begin() as connection:
            await observations.add(connection, new)
        return time.perf_counter() - begun

    await add(1)
    single = [await add(1) for _ in range(100)]
    batches = [await add(200) for _ in range(25)]
    await opened.close()
    return statistics.median(single) * 1000, 200 / statistics.median(batches)


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def tell(sentence: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{sentence}", end="", file=sys.stderr, flush=True)


def _plain(url: str) -> str:
    return address(url).replace("postgresql+psycopg://", "postgresql://")


if __name__ == "__main__":
    main()

"""Databases full of observations for `reports.py`, made in the server, rolled up by the job."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import psycopg
from sqlalchemy import create_engine, make_url, text

from monitor import identity
from monitor.config import Environment
from monitor.domain import Query, Target
from monitor.pricing.book import price_book
from monitor.storage import Database
from monitor.storage.engine import address
from monitor.storage.schema import migrate
from monitor.worker.context import WorkerContext, WorkerState
from monitor.worker.rollups import roll_up

SEED = Path(__file__).with_name("seed.sql").read_text(encoding="utf-8")
DENSITY = 10_000_000 / 90  # rows a day where history grows
PROBES = 40  # of one round of everything: ten targets, four queries
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


@contextmanager
def database(server_url: str, name: str, *, keep: bool) -> Iterator[str]:
    """A migrated database of that name; dropped afterwards, or kept for the next run."""
    engine = create_engine(address(server_url), isolation_level="AUTOCOMMIT")
    url = make_url(address(server_url)).set(database=name).render_as_string(hide_password=False)
    known = text("SELECT count(*) FROM pg_database WHERE datname = :name")
    with engine.connect() as connection:
        if not connection.scalar(known, {"name": name}):
            connection.execute(text(f'CREATE DATABASE "{name}"'))
        migrate(url)
        yield url
        if not keep:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    engine.dispose()


def tune(url: str) -> None:
    """Seeding is no part of the measurement: let it write without a checkpoint a minute."""
    with psycopg.connect(plain(url), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET max_wal_size = '4GB'")
        connection.execute("SELECT pg_reload_conf()")


def seed(url: str, rows: float, grow: str) -> None:
    """Rows up to now; where the database was kept, those from its last one on.

    May be killed and run again: it goes on after the last whole day.
    """
    now = datetime.now(UTC)
    days = rows / DENSITY if grow == "history" else 90
    every = timedelta(seconds=days * 86400 * PROBES / rows)
    with psycopg.connect(plain(url), autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        before = connection.execute("SELECT max(slot) FROM observations").fetchone()
        last = before[0] if before else None
        begins = last + every if last else now - timedelta(days=days)
        month = begins.date().replace(day=1)
        while month <= now.date() + timedelta(days=62):
            connection.execute("SELECT make_month(%s)", (month,))
            month = (month + timedelta(days=32)).replace(day=1)
        while begins < now:
            ends = min(begins + timedelta(days=1), now)
            connection.execute(SEED, {"starts_at": begins, "ends_at": ends, "every": every})
            begins += every * -((begins - ends) // every)
            _tell(f"{url.rpartition('/')[2].partition('?')[0]}: seeded until {ends:%Y-%m-%d}")
        if not connection.execute("SELECT FROM incidents LIMIT 1").fetchall():
            connection.execute(INCIDENTS)
        connection.execute("ANALYZE")


def ten_targets() -> dict[str, Target]:
    """The targets that `seed.sql` writes rows of."""
    names = [f"target-{n}" for n in range(1, 11)]
    queries = tuple(Query(id=name, text=name) for name in ("hello", "hi", "kbli", "who"))
    return {
        name: Target(name=name, url="http://localhost", dialect="bali_zero", queries=queries,
                     expected_models=("meta-llama/llama-4-scout",), daily_queries=333,
                     fallback_models=("anthropic/claude-haiku-4-5",))
        for name in names
    }  # fmt: skip


async def roll(url: str, targets: Mapping[str, Target]) -> None:
    """The rolling job as the worker runs it."""
    storage = SimpleNamespace(keep_raw=timedelta(days=3650), keep_excerpts=timedelta(days=7),
                              keep_failed_excerpts=timedelta(days=30))  # fmt: skip
    accounts = SimpleNamespace(every=timedelta(minutes=5))
    file = SimpleNamespace(storage=storage, accounts=accounts)
    context = SimpleNamespace(
        settings=SimpleNamespace(targets=targets, rules={}, file=file, environment=Environment()),
        database=Database(url),
        book=price_book({}, same=identity.same),
        worker="w1",
        state=WorkerState(),
        now=lambda: datetime.now(UTC),
    )
    await roll_up(cast("WorkerContext", context))
    await context.database.close()


def vacuum(url: str) -> None:
    with psycopg.connect(plain(url), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def plain(url: str) -> str:
    """The address as psycopg takes it."""
    return address(url).replace("postgresql+psycopg://", "postgresql://")


def _tell(sentence: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{sentence}", end="", file=sys.stderr, flush=True)

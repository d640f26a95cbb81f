"""What workers, Postgres and the service used while a fleet was measured."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from benchmarks.fleets import figures, processes
from benchmarks.seeding import plain
from benchmarks.truth.machine import Watch
from monitor.embedded_postgres import EmbeddedPostgres

SCRAPE_S = 15  # as Prometheus is usually configured
STATE = """
    SELECT xact_commit + xact_rollback, tup_inserted + tup_updated + tup_deleted,
        tup_returned + tup_fetched
    FROM pg_stat_database WHERE datname = 'monitor'
"""
CONNECTIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = 'monitor' AND backend_type = 'client backend'
"""


@dataclass
class FleetUse:
    """What the processes and the database used from `begins` to `ends`."""

    postgres: EmbeddedPostgres
    workers: Sequence[processes.Worker]
    service: int
    begins: datetime = field(default_factory=lambda: datetime.now(UTC))
    ends: datetime = field(default_factory=lambda: datetime.now(UTC))
    connections: int = 0
    _readings: list[dict[str, Any]] = field(default_factory=list)
    _postgres_s: dict[int, float] = field(default_factory=dict)

    def measure(self, seconds: float) -> None:
        """Measure for so long. Raises Ended if a worker ends."""
        watch, self.begins = Watch(), datetime.now(UTC)
        until = time.monotonic() + seconds
        # In another database, so that its transactions are not counted.
        url = plain(self.postgres.url).replace("/monitor?", "/postgres?")
        with psycopg.connect(url, autocommit=True) as connection:
            self._read(connection)
            next_scrape = time.monotonic()
            while time.monotonic() < until:
                if time.monotonic() >= next_scrape:
                    next_scrape += SCRAPE_S
                    for worker in self.workers:
                        threading.Thread(target=worker.scrape, daemon=True).start()
                time.sleep(min(1, max(until - time.monotonic(), 0)))
                for worker in self.workers:
                    if worker.process.poll() is not None:
                        raise processes.Ended(f"a worker ended: {worker.lines()[-2000:]}")
                [(count,)] = connection.execute(CONNECTIONS).fetchall()
                self.connections = max(self.connections, count)
                self._postgres_s |= processes.family_cpu_s(self.postgres.pid)
            self._read(connection)
        self.ends, machine = datetime.now(UTC), watch.machine()
        self._others = machine.others
        for worker in self.workers:
            worker.scrape()

    def _read(self, connection: psycopg.Connection[Any]) -> None:
        [counts] = connection.execute(STATE).fetchall()
        pids = [worker.process.pid for worker in self.workers]
        self._readings.append(
            {
                "at": time.monotonic(),
                "counts": counts,
                "worker_s": sum(map(processes.cpu_s, pids)),
                "service_s": processes.cpu_s(self.service),
                "postgres_s": processes.family_cpu_s(self.postgres.pid),
                "rss": max(map(processes.rss_mib, pids)),
            }
        )

    def totals(self) -> dict[str, Any]:
        """The fields of a `FleetRun` that follow from the readings."""
        first, last = self._readings
        counts = [b - a for a, b in zip(first["counts"], last["counts"], strict=True)]
        spent = self._postgres_s | last["postgres_s"]
        postgres_s = sum(s - first["postgres_s"].get(pid, 0) for pid, s in spent.items())
        seconds = last["at"] - first["at"]
        worker_s, service_s = (last[name] - first[name] for name in ("worker_s", "service_s"))
        scrapes = [scrape for worker in self.workers for scrape in worker.scrapes]
        evaluation = self._histogram("monitor_evaluation_seconds")
        return {
            "worker_cpu_s": worker_s,
            "postgres_cpu_s": postgres_s,
            "service_cores": service_s / seconds,
            "others_cores": max(self._others - (worker_s + postgres_s + service_s) / seconds, 0),
            "transactions": counts[0],
            "rows_written": counts[1],
            "rows_read": counts[2],
            "rss_begin_mib": first["rss"],
            "rss_mib": last["rss"],
            "connections": self.connections,
            "evaluation_p50_s": figures.bound_of(evaluation, 0.5),
            "evaluation_p99_s": figures.bound_of(evaluation, 0.99),
            "lag_p99_s": figures.bound_of(self._histogram("monitor_loop_lag_seconds"), 0.99),
            "scrape_s": max((scrape.took_s for scrape in scrapes), default=None),
            "scrape_bytes": max((scrape.size for scrape in scrapes), default=None),
        }

    def _histogram(self, name: str) -> figures.Buckets:
        """Counts of all workers between their first and their last reading."""
        return figures.together(
            figures.between(
                worker.scrapes[0].buckets.get(name, {}), worker.scrapes[-1].buckets.get(name, {})
            )
            for worker in self.workers
            if worker.scrapes
        )

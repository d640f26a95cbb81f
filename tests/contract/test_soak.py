"""The short form of the soak; a month of it is a benchmark."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.fast_time import faketime
from benchmarks.soak import SoakDay, goals
from tests.case_tables import each

ROOT = Path(__file__).parents[2]
DAY = SoakDay(
    rows=100, worker_ms=100.0, postgres_ms=50.0, rss_mib=130.0, descriptors=24, threads=4,
    connections=3, files=2, dead=500, wal_kib=40.0, wal_files=2, database_mib=12.0, faults=30,
    notices=10, failures=0,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(faketime() is None, reason="libfaketime is not installed")
def test_two_days_with_faults_leave_nothing_behind() -> None:
    short = ("--days", "2", "--every", "4h", "--step", "7200", "--generous")
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", *short],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr


def missed(*, generous: bool = False, **late: float) -> list[str]:
    """The goals missed by thirty days whose last third has these figures."""
    days = [DAY] * 20 + [replace(DAY, **late)] * 10  # type: ignore[arg-type]
    return [goal.name for goal in goals(days, generous=generous) if not goal.met]


@each(
    ("late", "words"),
    [
        ({"rss_mib": 136.0}, "memory"),
        ({"descriptors": 40}, "descriptors"),
        ({"threads": 30}, "threads"),
        ({"connections": 5}, "connections"),
        ({"files": 20}, "files"),
        ({"dead": 9_000}, "dead tuples"),
        ({"wal_files": 12}, "WAL files"),
        ({"wal_kib": 60.0}, "WAL of a row"),
        ({"worker_ms": 150.0}, "CPU of a row, worker"),
        ({"postgres_ms": 70.0}, "CPU of a row, Postgres"),
        ({"failures": 1}, "failed jobs"),
        ({"rows": 50}, "rows"),
    ],
)
def test_each_kind_of_growth_misses_its_limit(late: dict[str, float], words: str) -> None:
    [name] = missed(**late)
    assert words in name


def test_steady_days_miss_none() -> None:
    assert missed() == []

"""Workers killed, paused and cut off from their database, in small: `benchmarks/kills` in full."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.kills import scenarios
from benchmarks.kills.postgres import PostgresServer
from benchmarks.kills.scenarios import Disturbance, Load, observe, small_disk
from tests.ram_disk import database_directory

SMALL = Load(targets=6, every_s=1, slots=60)
LONGER = Load(targets=6, every_s=2, slots=150)
DISK_MIB = 400


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kills")  # a short path, for sockets


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with database_directory() as place:
        server = PostgresServer(place / "pg")
        server.create()
        server.start()
        yield server
        server.stop()


def judge(
    home: Path,
    server: PostgresServer | None,
    disturb: Disturbance,
    load: Load,
    *,
    workers: int = 2,
) -> dict[str, float]:
    """Run it; fails with every invariant that does not hold."""
    found, _ = asyncio.run(
        observe(home, workers=workers, load=load, disturb=disturb, server=server)
    )
    assert found.broken == [], f"logs in {home}"
    return found.figures


def test_killed_at_random_moments_no_slot_row_or_message_is_lost_or_doubled(
    home: Path, server: PostgresServer
) -> None:
    figures = judge(home, server, scenarios.kills, SMALL, workers=3)
    assert figures["kills"] > 2
    assert figures["rows"] > 0


@pytest.mark.slow
def test_killed_before_and_after_each_kind_of_step_nothing_is_lost_or_doubled(
    home: Path, server: PostgresServer
) -> None:
    figures = judge(home, server, scenarios.points, LONGER)
    assert figures["kills"] > 5


@pytest.mark.slow
def test_five_workers_killed_and_stopped_beyond_their_leases_lose_and_double_nothing(
    home: Path, server: PostgresServer
) -> None:
    judge(home, server, scenarios.kills, Load(targets=10, every_s=2, slots=300), workers=5)


@pytest.mark.slow
@pytest.mark.parametrize("disturb", [scenarios.restarts, scenarios.frozen, scenarios.failover])
def test_a_database_that_crashes_hangs_or_fails_over_costs_no_answer(
    home: Path, server: PostgresServer, disturb: Disturbance
) -> None:
    judge(home, server, disturb, LONGER)


@pytest.mark.slow
def test_a_full_disk_of_the_database_costs_no_answer(home: Path) -> None:
    with small_disk(home / "pg", DISK_MIB) as small:
        if not small:
            pytest.skip("this user may not mount a small file system")
        server = PostgresServer(home / "pg")
        server.create()
        server.start()
        try:
            judge(home, server, scenarios.full_disk, LONGER)
        finally:
            server.stop()


@pytest.mark.slow
def test_the_embedded_database_is_killed_with_its_worker_or_alone_and_nothing_is_lost(
    home: Path,
) -> None:
    judge(home, None, scenarios.embedded_kills, LONGER, workers=1)

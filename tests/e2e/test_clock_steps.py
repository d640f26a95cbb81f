"""Clocks that step while worker and Postgres run as processes: `benchmarks/kills/clocks.py`."""

import asyncio

import pytest

from benchmarks.kills.clocks import CASES, MISSING, library, observe


@pytest.mark.slow
@pytest.mark.skipif(library() is None, reason=MISSING)
@pytest.mark.parametrize("name", CASES)
def test_after_a_wrong_clock_alerts_come_as_usual_and_nothing_is_lost(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("clock")
    scene = asyncio.run(observe(name, home))
    assert scene.broken == [], f"logs in {home}"

"""`benchmarks.fleet` and `benchmarks.evaluation` in short forms, with a real Postgres."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import evaluation
from benchmarks.fleet import main

MEASURED = (
    "started_s", "worker_cpu_s", "postgres_cpu_s", "transactions", "rows_written", "rows_read",
    "rss_mib", "connections", "evaluation_p99_s", "lag_p99_s", "scrape_s", "scrape_bytes",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("seeded", [False, True])
def test_a_short_run_measures_everything_and_ends_what_it_started(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    seeded: bool,
) -> None:
    found = tmp_path / "runs.json"
    given = ["--targets", "10", "--seconds", "20", "--every", "5", "--workers", "2"]
    more = ["--targets", "2", "--every", "60", "--workers", "1", "--day-of-rows"] if seeded else []
    files = ["--directory", str(tmp_path), "--json", str(found)]
    monkeypatch.setattr(sys, "argv", ["fleet", *given, *more, *files])
    assert main() == 0
    assert "start delay p50" in capsys.readouterr().out
    [run] = json.loads(found.read_text())
    assert run["seeded"] == (2 * 1440 if seeded else 0)
    assert {name for name in MEASURED if not run[name]} == set()
    rounds = run["rounds"]
    assert seeded or rounds["due"] >= 30
    assert (rounds["doubled"], rounds["lost"]) == (0, 0)
    assert [entry.name for entry in tmp_path.iterdir()] == ["runs.json"]


@pytest.mark.slow
def test_evaluations_are_measured_after_a_takeover_and_tick_by_tick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--targets", "3", "--rows", "30", "--ticks", "2", "--directory", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["evaluation", *given])
    assert evaluation.main() in (0, 1)  # a busy machine misses goals
    said = capsys.readouterr().out
    assert "| targets | judged after s |" in said
    assert "| answer_check, retrieval, cost_drift | |" in said
    assert list(tmp_path.iterdir()) == []

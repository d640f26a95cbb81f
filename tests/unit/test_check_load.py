"""`monitor check` warns of a load that is more than one worker carries."""

from dataclasses import replace
from pathlib import Path

from monitor.cli import check_load
from monitor.config import load
from tests.case_tables import each

TARGET = """
[targets.t]
url = "http://127.0.0.1:1"
dialect = "bali_zero"
every = "{every}"
queries = [{queries}]
"""


def warned(home: Path, count: int, every: str, queries: int = 1, **environ: str) -> list[str]:
    listed = ", ".join(f'{{ id = "q{n}", text = "Hi" }}' for n in range(queries))
    path = home / "monitor.toml"
    path.write_text(TARGET.format(every=every, queries=listed))
    settings = load({"MONITOR_CONFIG": str(path), **environ})
    names = [f"t{n}" for n in range(count)]  # reading thousands takes seconds
    targets = {name: replace(settings.targets["t"], name=name) for name in names}
    return [str(line) for line in check_load.lines(replace(settings, targets=targets))]


@each(("pattern", "slow"), [("(a+)+$", True), (r"(\s*x?)*$", True), ("visa|KITAS", False),
                            (r"^\W*\d{1,3}(\.\d{3})*$", False)])  # fmt: skip
def test_a_pattern_that_explodes_is_named(tmp_path: Path, pattern: str, slow: bool) -> None:
    path = tmp_path / "monitor.toml"
    expect = f"expect = {{ matches = '{pattern}' }}"
    text = TARGET.format(every="5m", queries='{ id = "q", text = "Hi", ' + expect + " }")
    path.write_text(text)
    found = [str(line) for line in check_load.lines(load({"MONITOR_CONFIG": str(path)}))]
    assert len(found) == slow
    assert all(line.startswith("warning expectation of t: query q: the pattern") for line in found)


@each(
    "case, count, every, queries, workers",
    [
        ("a service", 1, "5m", 4, None),
        ("as many probes a minute as one worker carries", 1000, "1m", 1, None),
        ("one more", 1001, "1m", 1, 2),
        ("each query is a probe", 501, "1m", 2, 2),
        ("5,000 targets", 5000, "1m", 1, 5),
        ("half as many with twice the interval", 1000, "2m", 2, None),
        # Rounds of longer intervals begin within five minutes, too.
        ("hourly rounds", 5001, "1h", 1, 2),
        ("many rounds in each second", 50, "1s", 1, 3),
    ],
    ids=lambda row: row[0],
)  # fmt: skip
def test_a_load_beyond_one_worker_is_a_warning_with_the_number_of_workers(
    case: str, count: int, every: str, queries: int, workers: int | None, tmp_path: Path
) -> None:
    found = warned(tmp_path, count, every, queries)
    assert len(found) == (workers is not None)
    assert all(f"run {workers} workers" in line for line in found), found


def test_the_warning_names_the_figures_the_limits_and_the_remedies(tmp_path: Path) -> None:
    assert warned(tmp_path, 50, "1s") == [
        "warning load: 3,000 probes a minute and 50 rounds in one second are due at the busiest "
        "time; one worker carries 1,000 and 40: run 3 workers on one database that DATABASE_URL "
        "names, or raise every (docs/scale.md)"
    ]
    [line] = warned(tmp_path, 50, "1s", DATABASE_URL="postgresql://db/monitor")
    assert "on one database, or raise every" in line


def test_the_limits_of_the_document_are_those_of_the_check() -> None:
    page = (Path(__file__).parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")
    assert f"**{check_load.PROBES_A_MINUTE:,} probes a minute**" in page
    assert f"**{check_load.ROUNDS_A_SECOND} rounds in one second**" in page

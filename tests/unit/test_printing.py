"""What `monitor probe` prints of money: exact, between two ends, or not known."""

from decimal import Decimal

import pytest

from monitor.cli.output import as_json, show
from monitor.domain import Identity, Observation
from tests.example_data import observation


def changed() -> Observation:
    return observation(
        cost_usd=None, cost_source=None, identity=Identity.CHANGED, model_detected=None,
        cost_low_usd=Decimal("0.000200"), cost_high_usd=Decimal("0.001100"),
    )  # fmt: skip


UNPRICED = observation(cost_usd=None, cost_source=None)


@pytest.mark.parametrize(
    ("seen", "cost"),
    [
        ([observation()], "$0.000007"),
        ([changed()], "between $0.0002 and $0.0011"),
        ([observation(), changed()], "between $0.000207 and $0.001107"),
        ([observation(), UNPRICED], "at least $0.000007"),
        ([changed(), UNPRICED], "between $0.0002 and at least $0.0011"),
        ([UNPRICED], "not known"),
    ],
)
def test_the_table_sums_what_is_known(
    seen: list[Observation], cost: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", "200")
    show(seen)
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("hi"))
    assert line.rstrip().endswith(f"  {cost}")


def test_a_line_of_json_names_both_ends() -> None:
    line = as_json(changed())
    assert '"cost_usd": null' in line
    assert '"cost_low_usd": "0.000200", "cost_high_usd": "0.001100"' in line


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 100, 160])
def test_no_terminal_is_too_narrow_for_whole_words(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    show([observation(query="opening-a-company"), UNPRICED])
    reported = capsys.readouterr().out
    for word in ("opening-a-company", "answered", "900.0", "meta-llama/llama-4-scout", "ttft p50"):
        assert word in reported
    assert "…" not in reported
    if columns >= 100:
        lines = reported.splitlines()
        assert lines[0].startswith("query")
        assert all(len(line) <= columns for line in lines)


def test_a_file_or_a_pipe_takes_the_whole_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    show([observation()])
    head = capsys.readouterr().out.splitlines()[0]
    assert all(name in head for name in ("p90", "p99", "max", "total p50", "cost USD"))

"""What `monitor probe` prints of money: exact, between two ends, or not known."""

from decimal import Decimal

import pytest

from monitor.commands.printing import as_json, show
from monitor.domain import Identity, Observation
from tests.facts import observation


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

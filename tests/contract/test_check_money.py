"""What `monitor check` says of money before the first paid probe."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor import identity
from monitor.cli.check import _prices, _used, budget_warnings
from monitor.cli.check_details import CheckLine
from monitor.cli.spend_projection import projection
from monitor.config import Settings, load
from monitor.pricing.book import price_book

TODAY = datetime.now(UTC).date()
CONFIGURATION = """
[targets.rag]
url = "http://127.0.0.1:1"
dialect = "bali_zero"
every = "12m"
expected_models = ["m/one"]
fallback_models = ["m/two", "m/three"]
daily_queries = 100
[[targets.rag.queries]]
id = "hi"
text = "Hi"
prompt_tokens = 400
[prices."m/one"]
input = "0.5"
output = "0.5"
checked = {checked}
[prices."m/two"]
input = "5"
output = "5"
checked = {checked}
"""


def settings(home: Path, *, checked: object = TODAY, **environ: str) -> Settings:
    path = home / "monitor.toml"
    path.write_text(CONFIGURATION.format(checked=checked))
    return load({"MONITOR_CONFIG": str(path), **environ})


def test_the_projection_names_the_day_and_the_month_on_every_model(tmp_path: Path) -> None:
    configured = settings(tmp_path)
    book = price_book(configured.file.prices, same=identity.same)
    budget = configured.file.probes.daily_budget_usd
    target = configured.targets["rag"]
    assert list(projection(target, book, budget)) == [
        "projected spend of rag (a month is 30 days):",
        "  expected m/one: probes $0.06/day + traffic $0.05/day = $0.11/day, $3.30/month",
        "  fallback m/two: probes $0.60/day + traffic $0.50/day = $1.10/day, $33.00/month"
        "; the probe budget stops probes at $0.50/day",
        "  fallback m/three: cannot be projected: no price for m/three. Add "
        '[prices."m/three"] with input and output in USD per million tokens',
        "  model unknown: between $0.0005 and $0.0050 an answer",
    ]


@pytest.mark.parametrize(
    ("budget", "hours"), [("0.50", None), ("0.06", None), ("0.05", 20), ("0.01", 4)]
)
def test_a_budget_that_does_not_last_a_good_day_is_a_warning(
    tmp_path: Path, budget: str, hours: int | None
) -> None:
    configured = settings(tmp_path, MONITOR_PROBES__DAILY_BUDGET_USD=f'"{budget}"')
    book = price_book(configured.file.prices, same=identity.same)
    lines = list(budget_warnings(configured, book))
    assert [line.good for line in lines] == ([] if hours is None else [None])
    assert all(f"lasts {hours} hours" in str(line) for line in lines)


@pytest.mark.parametrize(("age", "warned"), [(60, False), (61, True)])
def test_a_price_read_more_than_sixty_days_ago_is_a_warning(
    tmp_path: Path, age: int, warned: bool
) -> None:
    configured = settings(tmp_path, checked=TODAY - timedelta(days=age))
    book = price_book(configured.file.prices, same=identity.same)
    lines: list[CheckLine] = list(_prices(_used(configured, book)))
    old = [line for line in lines if "check it again" in str(line)]
    assert len(old) == (2 if warned else 0)
    assert all(line.good is None for line in old)

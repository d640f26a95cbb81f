"""What an account spends in a day, from what it said of its days so far."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import pytest

from monitor.domain import AccountReading, AccountState
from monitor.worker.daily_spend import day_spend
from tests.probe_notation import NOON

HOUR = timedelta(hours=1)


def spend(reported: Sequence[tuple[float, str]]) -> Decimal | None:
    """`reported`: hours before noon, and what was spent since that UTC midnight."""
    spent = [(NOON - hours * HOUR, Decimal(usd)) for hours, usd in reported]
    reading = AccountReading(provider="openrouter", at=spent[-1][0], state=AccountState.OK,
                      spent_today_usd=spent[-1][1])  # fmt: skip
    return day_spend(spent, reading, NOON)


@pytest.mark.parametrize(
    ("reported", "usd"),
    [
        ([(25, "1.00"), (13, "4.00"), (0.1, "0.50")], "3.50"),  # 3 of yesterday and today's
        ([(24, "1.00"), (13, "4.00"), (0.1, "0.50")], "3.50"),  # the first counts from there on
        ([(2, "0.50"), (0, "1.00")], "2"),  # nothing known of yesterday: today goes on like this
        ([(0, "0")], "0"),
    ],
)
def test_a_days_spend_is_that_of_the_last_24_hours_else_todays_rate(
    reported: list[tuple[float, str]], usd: str
) -> None:
    assert spend(reported) == Decimal(usd)


def test_a_day_just_begun_proves_nothing() -> None:
    assert spend([(11.5, "0.50")]) is None

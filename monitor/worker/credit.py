"""What accounts have left and spend in a day: what the rule `key` judges besides a reading."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from monitor.domain import AccountReading, AccountState
from monitor.pricing import account_spend, day_of
from monitor.rules import KeyCredit
from monitor.storage import Connection, account_readings

DAY = timedelta(days=1)
LEAST = timedelta(hours=1)  # of a day, before it is taken to go on like this


async def credits(
    connection: Connection, readings: Sequence[AccountReading], now: datetime
) -> Sequence[KeyCredit]:
    """The credit of each account that says what is left, and of which a day's spend is known."""
    found = []
    for reading in readings:
        if reading.state is not AccountState.OK or reading.remaining_usd is None:
            continue
        # A day more: what was spent by the start tells how much of its UTC day came later.
        spent = await account_readings.spent(connection, reading.provider, since=now - 2 * DAY)
        day = day_spend(spent, reading, now)
        if day is not None:
            found.append(KeyCredit(provider=reading.provider, at=reading.at,
                                left_usd=reading.remaining_usd, day_usd=day))  # fmt: skip
    return found


def day_spend(
    spent: Sequence[tuple[datetime, Decimal]], reading: AccountReading, now: datetime
) -> Decimal | None:
    """What an account spends in a day; None while nobody can tell.

    `spent`: since UTC midnight, each time it was read, oldest first. The last 24 hours as the
    readings tell; where they do not reach back as far, today at its rate so far.
    """
    known = account_spend(spent, starts_at=now - DAY, ends_at=now)
    if known is not None and spent[0][0] <= now - DAY:
        return known.spent.usd
    gone = reading.at - day_of(reading.at)[1]
    if gone < LEAST or reading.spent_today_usd is None:
        return None
    return reading.spent_today_usd * Decimal(DAY.total_seconds()) / Decimal(gone.total_seconds())

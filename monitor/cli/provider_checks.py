"""`monitor check`: the state of each provider key, and prices compared with a public list."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial

from monitor import identity
from monitor.accounts.openrouter import OpenRouterAccount, price_list
from monitor.cli.check_details import CheckLine
from monitor.config import Environment
from monitor.domain import (
    AccountReading,
    AccountState,
    TryLater,
    usd_text,
)
from monitor.pricing.price_table import Price
from monitor.pricing.published import PriceDifference, differences
from monitor.probing.fetch import fetch
from monitor.worker.account_polling import configured

READ_TIMEOUT_S = 10


LONGEST_LIST = 8_388_608  # bytes; a list of several hundred models is half a megabyte


async def accounts(environment: Environment) -> AsyncIterator[CheckLine]:
    """A line for each account whose key is set. A rejected key is an error."""
    found = list(configured(environment))
    readings = await asyncio.gather(*(account.read(datetime.now(UTC)) for account in found))
    for account, reading in zip(found, readings, strict=True):
        yield CheckLine(f"account {account.name}", _good(reading), _key_status(reading))


def _good(reading: AccountReading) -> bool | None:
    refused = reading.state in (AccountState.REJECTED, AccountState.OUT_OF_CREDIT)
    return False if refused else True if reading.state is AccountState.OK else None


def _key_status(reading: AccountReading) -> str:
    if reading.state is not AccountState.OK:
        return reading.detail or reading.state.value
    reported = ["the key is accepted"]
    if reading.spent_today_usd is not None:
        reported.append(f"{usd_text(reading.spent_today_usd)} spent today (UTC)")
    if reading.remaining_usd is not None:
        reported.append(f"{usd_text(reading.remaining_usd)} left")
    if reading.expires_at is not None:
        reported.append(f"expires {reading.expires_at:%Y-%m-%d %H:%M} UTC")
    return ", ".join(reported)


async def prices(used: Sequence[Price], environment: Environment) -> AsyncIterator[CheckLine]:
    """A warning for each rate in use that differs from OpenRouter's own list."""
    listed = await price_list(
        partial(fetch, timeout_s=READ_TIMEOUT_S, max_bytes=LONGEST_LIST),
        at=datetime.now(UTC),
        base_url=environment.account_url(OpenRouterAccount),
    )
    if isinstance(listed, TryLater):
        reason = f"OpenRouter's list was not compared: {listed.reason}"
        yield CheckLine("price list", True, reason, skipped=True)
        return
    found = differences(used, listed, same=identity.same)
    for line in _different(found):
        yield line
    if not found:
        yield CheckLine("price list", True, "OpenRouter's list has the same rates")


def _different(found: Sequence[PriceDifference]) -> Iterator[CheckLine]:
    for item in found:
        start = f" from {item.prompt_tokens} prompt tokens on" if item.prompt_tokens else ""
        yield CheckLine(
            f"price of {item.price.model}",
            None,
            f"{item.rate}{start} is ${item.ours} in "
            f"{item.price.source}, ${item.theirs} in OpenRouter's list",
        )

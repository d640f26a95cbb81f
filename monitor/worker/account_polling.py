"""The account job: ask each provider whose key we hold how the key stands; keep the answer."""

import logging
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial

from monitor.accounts import ACCOUNTS, ProviderAccount
from monitor.config import Environment, Settings
from monitor.domain import AccountReading, AccountState
from monitor.probing.fetch import fetch
from monitor.storage import account_readings
from monitor.worker import lease_keeper
from monitor.worker.context import WorkerContext

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 20
MISSED = 3  # polls without a reading, after which the last one says nothing any more
LATE = timedelta(minutes=2)  # longer than a run in which every account is slow


async def poll(context: WorkerContext) -> int:
    """Read every configured account that did not ask us to wait; returns how many were read.

    One worker reads, and goes on reading; another takes over when it is gone. Raises Away.
    """
    accounts_ = list(configured(context.settings.environment))
    read_before = await _read_before(context) if accounts_ else None
    if read_before is None:
        return 0
    count = 0
    for account in accounts_:
        if context.now() < context.backoff_until.get(_of(account), context.began_at):
            continue
        if account.name in read_before:
            continue
        reading = await account.read(context.now())
        if reading.retry_after_s is not None:
            context.backoff_until[_of(account)] = context.now() + timedelta(
                seconds=reading.retry_after_s
            )
        async with context.database.begin() as connection:
            await account_readings.add(connection, reading)
        if reading.state is not AccountState.OK:
            facts = {"provider": account.name, "state": reading.state, "why": reading.detail}
            log.warning("account read", extra=facts)
        count += 1
    return count


async def _read_before(context: WorkerContext) -> set[str] | None:
    """Whom a worker before us read a moment ago; None while another worker reads.

    A restart asks nobody again, unless the key was in trouble.
    """
    every = context.settings.file.accounts.every
    span = every + LATE
    taken_over = not lease_keeper.held(context, "accounts")
    async with context.database.begin() as connection:
        held = await lease_keeper.hold(context, connection, "accounts", keep=span)
        if held is None:
            return None
        read = await account_readings.latest(connection) if taken_over else ()
    now = context.now()
    good = (one for one in read if one.state is AccountState.OK)
    return {one.provider for one in good if timedelta(0) <= now - one.at < every / 2}


def fresh(
    readings: Sequence[AccountReading], settings: Settings, now: datetime
) -> Sequence[AccountReading]:
    """The readings that still say something: of keys we hold, and not older than three polls."""
    held, oldest = providers(settings.environment), MISSED * settings.file.accounts.every + LATE
    return [r for r in readings if r.provider in held and abs(now - r.at) <= oldest]


def providers(environment: Environment) -> Collection[str]:
    """The names of the providers whose keys we hold."""
    return {account.name for account in configured(environment)}


def _of(account: ProviderAccount) -> str:
    """The name an account's patience is kept under; no target's holds a blank."""
    return f"account {account.name}"


def configured(environment: Environment) -> Iterator[ProviderAccount]:
    """The accounts whose keys we hold."""
    held = {
        "openrouter": (environment.openrouter_api_key, environment.openrouter_base_url),
        "anthropic": (environment.anthropic_admin_key, environment.anthropic_base_url),
        "openai": (environment.openai_admin_key, environment.openai_base_url),
    }
    for name, (key, base_url) in held.items():
        if key is not None:
            get = partial(fetch, timeout_s=READ_TIMEOUT_S)
            yield ACCOUNTS[name](get, key.get_secret_value(), base_url)

"""The account job: ask each provider whose key we hold how the key stands; keep the answer."""

import logging
from collections.abc import Iterator
from functools import partial

from monitor.accounts import ACCOUNTS, Account
from monitor.domain import AccountState
from monitor.jobs.watch import Watch
from monitor.settings import Environment
from monitor.store import accounts
from monitor.wire.fetch import fetch

log = logging.getLogger(__name__)

PATIENCE_S = 20


async def poll(watch: Watch) -> int:
    """Read every configured account once; returns how many there are."""
    count = 0
    for account in configured(watch.settings.environment):
        reading = await account.read(watch.now())
        async with watch.database.begin() as connection:
            await accounts.add(connection, reading)
        if reading.state is not AccountState.OK:
            facts = {"provider": account.name, "state": reading.state, "why": reading.detail}
            log.warning("account read", extra=facts)
        count += 1
    return count


def configured(environment: Environment) -> Iterator[Account]:
    """The accounts whose keys we hold."""
    held = {
        "openrouter": (environment.openrouter_api_key, environment.openrouter_base_url),
        "anthropic": (environment.anthropic_admin_key, environment.anthropic_base_url),
        "openai": (environment.openai_admin_key, environment.openai_base_url),
    }
    for name, (key, base_url) in held.items():
        if key is not None:
            get = partial(fetch, timeout_s=PATIENCE_S)
            yield ACCOUNTS[name](get, key.get_secret_value(), base_url)

"""Jobs that read provider accounts, receipts and health pages, and store the results."""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

from monitor.accounts import ACCOUNTS
from monitor.accounts.openrouter import RECEIPT_LAG_S, OpenRouterAccount, ProviderReceipt
from monitor.accounts.replies import ProviderAccount, ProviderBill
from monitor.config import Environment, Settings
from monitor.domain import (
    AccountReading,
    AccountState,
    Claim,
    GiveUp,
    ProviderAttempt,
    Target,
    TryLater,
)
from monitor.health_page import HealthPage, statement
from monitor.pricing.meters import day_of
from monitor.probing.fetch import fetch
from monitor.redaction import plain, redact, shown, storable
from monitor.storage import account_readings, bills, rederive
from monitor.worker import lease_keeper, rederivation
from monitor.worker.context import WorkerContext

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 20
MISSED = 3  # polls without a reading, after which the last one is too old
BILLED_AFTER, BILLED_AGAIN_AFTER = timedelta(minutes=30), timedelta(hours=12)
CORRECTED_DAYS = 7  # after its end a bill is read again so often, once a day
LATE = timedelta(minutes=2)  # longer than a run in which every account is slow


async def poll(context: WorkerContext) -> int:
    """Read every configured account that did not ask us to wait; returns how many were read.

    One worker reads, and continues to; another takes over when it is gone. Raises
    DatabaseUnavailable.
    """
    accounts_ = list(configured(context.settings.environment))
    read_before = await _read_before(context) if accounts_ else None
    if read_before is None:
        return 0
    count = 0
    for account in accounts_:
        waits_until = context.state.account_backoff_until.get(account.name)
        if waits_until is not None and context.now() < waits_until:
            continue
        if account.name in read_before:
            continue
        reading = await account.read(context.now())
        if reading.retry_after_s is not None:
            wait = timedelta(seconds=reading.retry_after_s)
            context.state.account_backoff_until[account.name] = context.now() + wait
        async with context.database.begin() as connection:
            await account_readings.add(connection, reading)
        if reading.state is not AccountState.OK:
            facts = {"provider": account.name, "state": reading.state, "reason": reading.detail}
            log.warning("account read", extra=facts)
        else:
            await _read_bills(context, account)
        count += 1
    return count


async def _read_bills(context: WorkerContext, account: ProviderAccount) -> None:
    """Read the bill of yesterday (UTC) early in the day, and once more at noon with earlier ones.

    Providers post a part of a day late, and correct bills of closed days. A failure is logged; the
    next poll tries again.
    """
    now = context.now()
    today, midnight, _ = day_of(now)
    early, noon = midnight + BILLED_AFTER, midnight + BILLED_AGAIN_AFTER
    if now < early:
        return
    since, earlier = (noon, CORRECTED_DAYS - 1) if now >= noon else (early, 0)
    yesterday = today - timedelta(days=1)
    async with context.database.begin() as connection:
        days = await bills.due(connection, account.name, yesterday, since=since, earlier=earlier)
    for day in days:
        bill = await account.bill(day, now)
        if isinstance(bill, ProviderBill):
            async with context.database.begin() as connection:
                await bills.keep_bill(
                    connection, account.name, day, usd=bill.usd, running_usd=bill.running_usd,
                    at=now,
                )  # fmt: skip
        elif bill is not None:
            facts = {"provider": account.name, "day": day, "reason": bill.detail}
            log.warning("bill not read", extra=facts)
            return


async def _read_before(context: WorkerContext) -> set[str] | None:
    """The providers that another worker read a moment ago; None while another worker reads.

    A restart reads no account again, unless the key had a problem.
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
    """The current readings: of keys that are configured, and not older than three polls."""
    held, oldest = providers(settings.environment), MISSED * settings.file.accounts.every + LATE
    return [r for r in readings if r.provider in held and abs(now - r.at) <= oldest]


def providers(environment: Environment) -> Collection[str]:
    """The names of the providers whose keys are configured."""
    return {account.name for account in configured(environment)}


def configured(environment: Environment) -> Iterator[ProviderAccount]:
    """The accounts whose keys are configured."""
    for account in ACCOUNTS.values():
        key = environment.account_key(account)
        if key is not None:
            get = partial(fetch, timeout_s=READ_TIMEOUT_S)
            yield account(get, key, environment.account_url(account))


# Receipts: fetch the provider's own records of answers, which then decide.
#
# A record appears later than its answer, and a record of another account never does: each is
# requested a few times, at growing intervals, one after another. A failure other than a missing
# record concerns the provider or us, so the rest waits as well.


MOST = 20  # records a run
RECEIPT_LATE = timedelta(hours=2)  # an answer found later than this is not requested any more
LEASE = timedelta(minutes=10)  # longer than a run in which every request is slow


async def fetch_receipts(context: WorkerContext) -> int:
    """Fetch what is due, and derive its observations again; returns how many changed.

    One worker at a time. Raises DatabaseUnavailable.
    """
    held = configured(context.settings.environment)
    account = next((one for one in held if isinstance(one, OpenRouterAccount)), None)
    if account is None:
        return 0
    changed = 0
    for item in await _due(context):
        if context.state.leaving.is_set():
            break
        answer = await account.receipt(item.generation, context.now())
        changed += await _settled(context, item, answer)
        if isinstance(answer, TryLater) and answer.after_s != RECEIPT_LAG_S:
            log.warning("receipts deferred", extra={"reason": answer.reason})
            break
    return changed


async def _due(context: WorkerContext) -> list[account_readings.DueReceipt]:
    """What to request now; nothing while another worker does, or if the key is rejected."""
    async with context.database.begin() as connection:
        held = await lease_keeper.hold(context, connection, "receipts", keep=LEASE)
        if held is None:
            return []
        await account_readings.expect(connection, within=RECEIPT_LATE)
        read = await account_readings.latest(connection)
        for reading in fresh(read, context.settings, context.now()):
            if (
                reading.provider == OpenRouterAccount.name
                and reading.state is AccountState.REJECTED
            ):
                return []
        return list(await account_readings.due(connection, most=MOST))


async def _settled(
    context: WorkerContext,
    item: account_readings.DueReceipt,
    answer: ProviderReceipt | TryLater | GiveUp,
) -> int:
    """Store one answer, and its consequences, in one transaction."""
    async with context.database.begin() as connection:
        match answer:
            case TryLater(reason, after_s):
                await account_readings.postpone(
                    connection, item.generation, reason=reason, after_s=after_s
                )
                return 0
            case GiveUp(reason):
                await account_readings.give_up(connection, item.generation, reason=reason)
                return 0
        reported = plain(redact(answer.claim.value, context.settings.secrets))
        claim = Claim(answer.claim.kind, answer.claim.source, reported)
        attempts = None if answer.attempts is None else [*map(_plain, answer.attempts)]
        record = account_readings.ReceiptRecord(claim, answer.usage, attempts)
        await account_readings.keep_receipt(connection, item.generation, record)
        target = context.settings.targets.get(item.target)
        if target is None:
            return 0
        stored = await rederive.some(connection, target.name, [(item.slot, item.observation)])
        changed = await rederivation.derive(connection, stored, target, context.book)
    facts = {"observation": item.observation, "target": item.target, "model": reported}
    log.info("receipt read", extra=facts | {"changed": bool(changed)})
    return len(changed)


def _plain(attempt: ProviderAttempt) -> ProviderAttempt:
    """The attempt with foreign names shortened to what a message may show."""
    host, model = (name and plain(name, 100) for name in (attempt.host, attempt.model))
    return replace(attempt, host=host, model=model)


# Health pages: read what a target reports about itself, judge it, store changes.


PATIENCE_S = 10


async def read_health_page(context: WorkerContext, target: Target, page: HealthPage) -> bool:
    """Read one page once; True if it says something new. Raises DatabaseUnavailable.

    One worker reads a page: two with different results would report changes all day.
    """
    url = shown(page.url)  # nothing of a token in the address is stored
    async with context.database.begin() as connection:
        span, name = 2 * page.every, f"health {target.name} {url}"
        taken_over = not lease_keeper.held(context, name)
        if await lease_keeper.hold(context, connection, name, keep=span) is None:
            return False
        age = page.every / 2
        if taken_over and await account_readings.checked_since(connection, target.name, url, age):
            return False  # the worker before us read it: restarts do not multiply requests
    reply = await fetch(
        page.url, headers=page_headers(target, page), timeout_s=PATIENCE_S, target=target
    )
    reported = statement(page, http_status=reply.status, document=reply.json)
    facts = {
        name: storable(redact(value, context.settings.secrets)) if isinstance(value, str) else value
        for name, value in reported.facts.items()
    }
    async with context.database.begin() as connection:
        changed = await account_readings.keep(
            connection,
            target.name,
            url,
            at=context.now(),
            http_status=reported.http_status,
            healthy=reported.healthy,
            unmet=reported.unmet,
            facts=facts,
        )
    if changed:
        log.info(
            "health page changed",
            extra={
                "target": target.name,
                "url": url,
                "healthy": reported.healthy,
                "unmet": reported.unmet,
                "reason": reply.error,
            },
        )
    return changed


def page_headers(target: Target, page: HealthPage) -> dict[str, str]:
    """The target's own headers, which may contain keys, only for pages on the same host."""
    there, here = urlsplit(page.url), urlsplit(target.url)
    same = (there.scheme, there.netloc) == (here.scheme, here.netloc)
    return dict(target.headers) if same else {}

"""The receipts job: fetch the provider's own records of answers, and let them decide.

A record lags behind its answer, and one that is nobody's never comes: each is asked for a few
times, ever more rarely, one after another. Trouble that is not a lag is about the provider or
about us, so the rest waits as well.
"""

import logging
from datetime import timedelta

from monitor.accounts import OpenRouterAccount, ProviderReceipt
from monitor.accounts.openrouter import RECEIPT_LAG_S
from monitor.domain import AccountState, Claim, GiveUp, TryLater
from monitor.redaction import plain, redact
from monitor.storage import account_readings, receipt_rows, rederive
from monitor.worker import account_polling, lease_keeper, rederivation
from monitor.worker.context import WorkerContext

log = logging.getLogger(__name__)

MOST = 20  # records a run
LATE = timedelta(hours=2)  # an answer found later than this is asked for no more
LEASE = timedelta(minutes=10)  # longer than a run in which every request is slow


async def fetch(context: WorkerContext) -> int:
    """Fetch what is due, and derive its observations again; returns how many changed.

    One worker at a time. Raises Away.
    """
    held = account_polling.configured(context.settings.environment)
    account = next((one for one in held if isinstance(one, OpenRouterAccount)), None)
    if account is None:
        return 0
    changed = 0
    for item in await _due(context):
        if context.leaving.is_set():
            break
        answer = await account.receipt(item.generation, context.now())
        changed += await _settled(context, item, answer)
        if isinstance(answer, TryLater) and answer.after_s != RECEIPT_LAG_S:
            log.warning("receipts deferred", extra={"why": answer.reason})
            break
    return changed


async def _due(context: WorkerContext) -> list[receipt_rows.DueReceipt]:
    """What to ask for now; nothing while another worker asks, or the key is rejected."""
    async with context.database.begin() as connection:
        held = await lease_keeper.hold(context, connection, "receipts", keep=LEASE)
        if held is None:
            return []
        await receipt_rows.expect(connection, within=LATE)
        read = await account_readings.latest(connection)
        for reading in account_polling.fresh(read, context.settings, context.now()):
            if (
                reading.provider == OpenRouterAccount.name
                and reading.state is AccountState.REJECTED
            ):
                return []
        return list(await receipt_rows.due(connection, most=MOST))


async def _settled(
    context: WorkerContext,
    item: receipt_rows.DueReceipt,
    answer: ProviderReceipt | TryLater | GiveUp,
) -> int:
    """Write down one answer, and what follows from it, in one transaction."""
    async with context.database.begin() as connection:
        match answer:
            case TryLater(reason, after_s):
                await receipt_rows.postpone(
                    connection, item.generation, reason=reason, after_s=after_s
                )
                return 0
            case GiveUp(reason):
                await receipt_rows.give_up(connection, item.generation, reason=reason)
                return 0
        reported = plain(redact(answer.claim.value, context.settings.secrets))
        claim = Claim(answer.claim.kind, answer.claim.source, reported)
        await receipt_rows.keep(
            connection, item.generation, receipt_rows.ReceiptRecord(claim, answer.usage)
        )
        target = context.settings.targets.get(item.target)
        if target is None:
            return 0
        stored = await rederive.some(connection, [(item.slot, item.observation)])
        changed = await rederivation.derive(connection, stored, target, context.book)
    facts = {"observation": item.observation, "target": item.target, "model": reported}
    log.info("receipt", extra=facts | {"changed": bool(changed)})
    return len(changed)

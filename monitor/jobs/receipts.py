"""The receipts job: fetch the provider's own records of answers, and let them decide.

A record lags behind its answer, and one that is nobody's never comes: each is asked for a few
times, ever more rarely, one after another. Trouble that is not a lag is about the provider or
about us, so the rest waits as well.
"""

import logging
from datetime import timedelta

from monitor.accounts import OpenRouter, Receipt
from monitor.accounts.openrouter import RECEIPT_LAG_S
from monitor.domain import AccountState, Claim, GiveUp, TryLater
from monitor.jobs import deriving, holding, polling
from monitor.jobs.watch import Watch
from monitor.scrub import plain, redact
from monitor.store import accounts, derived, receipts

log = logging.getLogger(__name__)

MOST = 20  # records a run
LATE = timedelta(hours=2)  # an answer found later than this is asked for no more
LEASE = timedelta(minutes=10)  # longer than a run in which every request is slow


async def fetch(watch: Watch) -> int:
    """Fetch what is due, and derive its observations again; returns how many changed.

    One worker at a time. Raises Away.
    """
    held = polling.configured(watch.settings.environment)
    account = next((one for one in held if isinstance(one, OpenRouter)), None)
    if account is None:
        return 0
    changed = 0
    for item in await _due(watch):
        if watch.leaving.is_set():
            break
        answer = await account.receipt(item.generation, watch.now())
        changed += await _settled(watch, item, answer)
        if isinstance(answer, TryLater) and answer.after_s != RECEIPT_LAG_S:
            log.warning("receipts wait", extra={"why": answer.why})
            break
    return changed


async def _due(watch: Watch) -> list[receipts.Due]:
    """What to ask for now; nothing while another worker asks, or the key is rejected."""
    async with watch.database.begin() as connection:
        held = await holding.hold(watch, connection, "receipts", keep=LEASE)
        if held is None:
            return []
        await receipts.expect(connection, within=LATE)
        read = await accounts.latest(connection)
        for reading in polling.fresh(read, watch.settings, watch.now()):
            if reading.provider == OpenRouter.name and reading.state is AccountState.REJECTED:
                return []
        return list(await receipts.due(connection, most=MOST))


async def _settled(watch: Watch, item: receipts.Due, answer: Receipt | TryLater | GiveUp) -> int:
    """Write down one answer, and what follows from it, in one transaction."""
    async with watch.database.begin() as connection:
        match answer:
            case TryLater(why, after_s):
                await receipts.postpone(connection, item.generation, why=why, after_s=after_s)
                return 0
            case GiveUp(why):
                await receipts.give_up(connection, item.generation, why=why)
                return 0
        said = plain(redact(answer.claim.value, watch.settings.secrets))
        claim = Claim(answer.claim.kind, answer.claim.source, said)
        await receipts.keep(connection, item.generation, receipts.Record(claim, answer.usage))
        target = watch.settings.targets.get(item.target)
        if target is None:
            return 0
        stored = await derived.some(connection, [(item.slot, item.observation)])
        changed = await deriving.derive(connection, stored, target, watch.book)
    facts = {"observation": item.observation, "target": item.target, "model": said}
    log.info("receipt", extra=facts | {"changed": bool(changed)})
    return len(changed)

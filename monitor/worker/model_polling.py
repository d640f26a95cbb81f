"""The job that reads a provider's public list of models and its statistics of them.

The list is read once a day, again when an incident began since, and an hour after a model was
first missing. One that is too short is not believed before it has said the same for a day. The
statistics are read while an incident is new. Neither costs tokens, and neither is needed: a failure
is logged and the next run tries again. Source: docs/alerts.md#likely-cause
"""

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from functools import partial

from monitor import identity
from monitor.accounts.openrouter import (
    OfferedModel,
    OpenRouterAccount,
    host_statistics,
    offered,
    offered_models,
)
from monitor.config import Settings
from monitor.domain import Target, TryLater
from monitor.probing.fetch import fetch
from monitor.rules import RULES
from monitor.rules.cause_sources import DURING, ModelStatistics
from monitor.storage import Connection, incident_rows, provider_models
from monitor.storage.provider_models import ModelListing
from monitor.worker import lease_keeper
from monitor.worker.context import ListDoubt, WorkerContext

log = logging.getLogger(__name__)

PROVIDER = OpenRouterAccount.name
LIST_EVERY, STATISTICS_EVERY = timedelta(days=1), timedelta(minutes=3)
BELIEVED_AFTER = timedelta(days=3)  # a list that looks incomplete, since it was complete
LIST_AGAIN = timedelta(minutes=10)  # not sooner, however many incidents begin
CONFIRM_AFTER = timedelta(hours=1)  # a model that is missing once may be back
MOST = 10  # models whose statistics are read in one run
LONG_LIST = 20  # entries; OpenRouter lists several hundred models
LONGEST_LIST = 8_388_608  # bytes; a list of several hundred models is half a megabyte
TIMEOUT_S = 20
PAUSE = timedelta(minutes=10)  # after a refusal that does not say how long to wait
LEASE = timedelta(minutes=10)  # longer than a run in which every request is slow
_RULES = tuple(name for name, rule in RULES.items() if rule.likely_cause)
_BACKOFF, _DOUBT = f"{PROVIDER} models", f"{PROVIDER} model list"


def enabled(settings: Settings) -> bool:
    """Whether OpenRouter is used: its key, or an address of it, is configured."""
    environment = settings.environment
    url = environment.account_url(OpenRouterAccount)
    return (
        environment.account_key(OpenRouterAccount) is not None
        or url != OpenRouterAccount.public_url
    )


def model_of(target: Target) -> str | None:
    """The model that a target is expected to answer with."""
    return next(iter(target.expected_models), target.model)


def declared_by(target: Target) -> set[str]:
    """The models that a target is expected to answer with, and its fallbacks."""
    return {
        model
        for model in (target.model, *target.expected_models, *target.fallback_models)
        if model is not None
    }


def declared(settings: Settings) -> set[str]:
    """The models that the targets declare."""
    return {model for target in settings.targets.values() for model in declared_by(target)}


async def poll(context: WorkerContext) -> int:
    """Read what is due; returns the number of requests. One worker at a time.

    Raises DatabaseUnavailable.
    """
    now, state = context.now(), context.state
    targets = context.settings.targets
    models = declared(context.settings)
    waits_until = state.account_backoff_until.get(_BACKOFF)
    if not models or not enabled(context.settings) or (waits_until and now < waits_until):
        return 0
    async with context.database.begin() as connection:
        if await lease_keeper.hold(context, connection, "models", keep=LEASE) is None:
            return 0
        new = await incident_rows.new_breaches(connection, _RULES, within=DURING)
        read_at = await provider_models.listed_at(connection, PROVIDER)
        unconfirmed = await provider_models.loss_unconfirmed(connection, PROVIDER)
    list_every = CONFIRM_AFTER if unconfirmed else LIST_EVERY
    doubted_until = state.account_backoff_until.get(_DOUBT)
    began = [at for target, at in new if target in targets]
    count = 0
    if not (doubted_until and now < doubted_until) and (
        read_at is None
        or not timedelta(0) <= now - read_at < list_every
        or (now - read_at >= LIST_AGAIN and any(at > read_at for at in began))
    ):
        count += 1
        if not await _read_list(context, models, now, read_at):
            return count
    affected = dict.fromkeys(
        model for target, _ in new if target in targets and (model := model_of(targets[target]))
    )
    async with context.database.begin() as connection:
        names = await provider_models.listed_names(connection, PROVIDER)
        due = [
            (model, listed_as)
            for model in affected
            if (listed_as := names.get(model))
            and not await provider_models.statistics_read_since(connection, model, STATISTICS_EVERY)
        ]
    if count or due:
        state.windows.causes.clear()  # they are searched again
    for model, listed_as in due[:MOST]:
        count += 1
        if state.leaving.is_set() or not await _read_statistics(context, model, listed_as):
            break
    return count


async def _read_list(
    context: WorkerContext, models: Collection[str], now: datetime, read_at: datetime | None
) -> bool:
    """Read the list and store what it says about each model; False if the rest must wait.

    `read_at`: when it was last read and believed.
    """
    url = context.settings.environment.account_url(OpenRouterAccount)
    get = partial(fetch, timeout_s=TIMEOUT_S, max_bytes=LONGEST_LIST)
    found = await offered_models(get, at=now, base_url=url)
    if isinstance(found, TryLater):
        return _pause(context, found)
    offers = {model: offered(model, found, same=identity.same) for model in sorted(models)}
    async with context.database.begin() as connection:
        before = await provider_models.listed_names(connection, PROVIDER)
        lost = [model for model in offers if before.get(model) and offers[model] is None]
        known = sum(1 for model in offers if before.get(model))
        if (
            lost
            and _incomplete(len(found), context.state.models_listed, lost=len(lost), of=known)
            and not await _believed(connection, context, frozenset(lost), now, read_at)
        ):
            context.state.account_backoff_until[_DOUBT] = now + CONFIRM_AFTER
            facts = {"provider": PROVIDER, "models": len(found), "missing": lost}
            log.warning("model list doubted", extra=facts)
            return True
        context.state.models_listed, context.state.list_doubt = len(found), None
        await provider_models.forget_doubt(connection, PROVIDER)
        for model, offer in offers.items():
            listing = _listing(model, offer)
            if await provider_models.keep_listing(connection, PROVIDER, listing, at=now):
                facts = {"provider": PROVIDER, "model": model, "listed_as": listing.listed_as}
                log.info("model list changed", extra=facts)
    return True


async def _believed(
    connection: Connection,
    context: WorkerContext,
    lost: frozenset[str],
    now: datetime,
    read_at: datetime | None,
) -> bool:
    """Whether a list that looks incomplete has lacked the same models for long enough.

    A day of hourly readings of this worker is enough: they are counted, so that neither a step of
    the clock nor a pause adds to them. A restart forgets them. After restarts, three days since the
    list was complete are enough, if readings lacked them for a day, two of them by this worker.
    """
    before = context.state.list_doubt
    earlier = before.readings if before is not None and before.lost == lost else 0
    context.state.list_doubt = doubt = ListDoubt(lost, earlier + 1)
    span = await provider_models.keep_doubt(connection, PROVIDER, lost, at=now, gap=LIST_EVERY)
    return doubt.readings > LIST_EVERY // CONFIRM_AFTER or (
        doubt.readings > 1
        and span >= LIST_EVERY
        and read_at is not None
        and now - read_at >= BELIEVED_AFTER
    )


def _incomplete(count: int, before: int, *, lost: int, of: int) -> bool:
    """Whether a list is too short to prove that models left it: half is gone, or all of ours.

    `before`: entries when it was last read; 0: not known, after a restart.
    """
    shrunk = before >= LONG_LIST and 2 * count < before
    return shrunk or (1 < lost == of and count < LONG_LIST)


def _listing(model: str, offer: OfferedModel | None) -> ModelListing:
    if offer is None:
        return ModelListing(model, None)
    return ModelListing(model, offer.name, offer.expires_on, offer.rates)


async def _read_statistics(context: WorkerContext, model: str, listed_as: str) -> bool:
    """Read and store the statistics of one model; False if the rest must wait."""
    environment = context.settings.environment
    found = await host_statistics(
        partial(fetch, timeout_s=TIMEOUT_S),
        listed_as,
        key=environment.account_key(OpenRouterAccount),
        at=context.now(),
        base_url=environment.account_url(OpenRouterAccount),
    )
    if isinstance(found, TryLater):
        return _pause(context, found)
    read = ModelStatistics(context.now(), found)
    async with context.database.begin() as connection:
        await provider_models.keep_statistics(connection, PROVIDER, model, read)
    return True


def _pause(context: WorkerContext, refused: TryLater) -> bool:
    wait = PAUSE if refused.after_s is None else timedelta(seconds=refused.after_s)
    context.state.account_backoff_until[_BACKOFF] = context.now() + wait
    log.warning("models not read", extra={"provider": PROVIDER, "reason": refused.reason})
    return False

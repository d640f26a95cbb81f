"""`monitor derive`: who answered, and for how much, judged again by the rules and prices of now."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from monitor import identity, pricing
from monitor.cli.startup import BAD_INPUT, configuration, database_url, stop, unreachable
from monitor.domain import Cost, CostRange, Target, Unpriced, amount_text
from monitor.pricing import PriceBook
from monitor.storage import (
    REVISION,
    Database,
    DatabaseUnavailable,
    SchemaUnknown,
    rederive,
    schema,
)
from monitor.storage.rederive import DerivedJudgement
from monitor.worker.rederivation import ChangedJudgement, derive

BATCH = 500  # observations a transaction


def derive_again(*, since: timedelta, target: str | None) -> None:
    """Judge the stored observations of one target, or of all, again; print what changed and how."""
    settings = configuration()
    known = settings.targets
    if target is not None and target not in known:
        stop(f'unknown target "{target}"; known: {", ".join(sorted(known))}', BAD_INPUT)
    chosen = [known[target]] if target is not None else list(known.values())
    book = pricing.book(settings.file.prices, same=identity.same)
    begin = datetime.now(UTC) - since
    with database_url(settings) as url:
        try:
            asyncio.run(_derive(url, chosen, book, begin))
        except DatabaseUnavailable as unavailable:
            stop(unreachable(settings, url, unavailable))
        except SchemaUnknown as unknown:
            stop(str(unknown))


async def _derive(url: str, targets: list[Target], book: PriceBook, begin: datetime) -> None:
    database = Database(url)
    try:
        found = await schema.revision(database)
        if not schema.fits(found):
            stop(
                f"the database is at revision {found or 'none'}, needed {REVISION}: "
                "run `monitor migrate`"
            )
        for target in targets:
            for line in _summary(target.name, *await _of_target(database, target, book, begin)):
                print(line)  # noqa: T201
    finally:
        await database.close()


async def _of_target(
    database: Database, target: Target, book: PriceBook, begin: datetime
) -> tuple[int, list[ChangedJudgement]]:
    """How many were judged, and what changed. Each batch is written whole or not at all."""
    judged, changed = 0, []
    after: rederive.Key | None = None
    while True:
        async with database.begin() as connection:
            stored = await rederive.following(
                connection, target.name, since=begin, after=after, most=BATCH
            )
            changed += await derive(connection, stored, target, book)
        judged += len(stored)
        if len(stored) < BATCH:
            return judged, changed
        after = stored[-1].key


def _summary(name: str, judged: int, changed: list[ChangedJudgement]) -> Iterator[str]:
    yield f"{name}: {len(changed)} of {judged} observations are judged otherwise now"
    for what, of in _ASPECTS.items():
        turned = Counter((of(item.before), of(item.after)) for item in changed)
        for (before, after), count in turned.most_common():
            if before != after:
                yield f"  {what}: {before} → {after}: {count}"
    was, is_ = _spent(item.before for item in changed), _spent(item.after for item in changed)
    if was != is_:
        yield f"  spent on them: {was} → {is_}"


def _price(judgement: DerivedJudgement) -> str:
    match judgement.cost:
        case Cost(_, source):
            return source.value
        case CostRange():
            return "range, the model is unknown"
        case Unpriced(reason):
            return f"none, {reason}"


_ASPECTS: dict[str, Callable[[DerivedJudgement], str]] = {
    "identity": lambda judgement: judgement.who.identity.value,
    "model": lambda judgement: judgement.who.model or "model not identified",
    "cost": _price,
}


def _spent(judgements: Iterable[DerivedJudgement]) -> str:
    low = high = Decimal(0)
    for judgement in judgements:
        match judgement.cost:
            case Cost(usd):
                low, high = low + usd, high + usd
            case CostRange(cheapest, dearest):
                low, high = low + cheapest, high + dearest
            case Unpriced():
                pass
    return amount_text(low, high)

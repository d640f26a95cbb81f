"""`monitor backtest` and `monitor derive`: judge stored rows again."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from monitor import identity
from monitor.backtest.input_rows import BacktestRow, BadBacktestRow
from monitor.backtest.replay import BacktestEvent, Replay, as_json, judged_by_name, replay
from monitor.cli.startup import BAD_INPUT, configuration, database_url, stop, unreachable
from monitor.config import ConfigErrors, Settings, exists, load
from monitor.domain import Cost, CostRange, Sample, Target, Unpriced, amount_text
from monitor.incidents.state_machine import ReminderPolicy
from monitor.pricing.book import PriceBook, price_book
from monitor.rules import RULES, Rule
from monitor.storage import (
    REVISION,
    Database,
    DatabaseUnavailable,
    SchemaUnknown,
    observations,
    rederive,
    schema,
)
from monitor.storage.rederive import DerivedJudgement
from monitor.worker.rederivation import ChangedJudgement, derive

# `monitor backtest`: the rules and incidents replayed over stored rows, in virtual time.


DEFAULT_EXPECTED = ("meta-llama/llama-4-scout",)


def backtest(
    since: timedelta | None, *, changes: Collection[str], expected: Collection[str], table: bool
) -> None:
    """Replay standard input, or the stored observations since a time; print every event.

    `changes` are limits to try, written as `ttft.limit_ms=900`. Exit 2 names an invalid row by
    line.
    """
    settings = _with(changes, required=since is not None)
    rules: Mapping[str, Rule] = settings.rules if settings else _defaults(changes)
    out = _tabled if table else _lined
    try:
        if since is not None and settings is not None:
            out(_stored(settings, rules, since))
        else:
            named = tuple(expected) or _expected(settings)
            out(replay(sys.stdin, rules, identity=judged_by_name(named)))
    except BadBacktestRow as bad:
        stop(str(bad), BAD_INPUT)


def _with(changes: Collection[str], *, required: bool) -> Settings | None:
    """The configuration with other limits; None if none is required and there is none."""
    if not required and not exists():
        return None
    laid, written = {}, {}
    for rule, key, value in map(_change, changes):
        variable = f"MONITOR_RULES__{rule}__{key}".upper()
        laid[variable], written[variable] = value, f"--set {rule}.{key}"
    try:
        return load(laid_over=laid, without_secrets=True)
    except ConfigErrors as fault:
        named = (replace(item, key=written.get(item.key, item.key)) for item in fault.faults)
        stop("\n".join(map(str, named)), BAD_INPUT)


def _change(text: str) -> tuple[str, str, str]:
    path, found, value = text.partition("=")
    rule, dot, key = path.partition(".")
    if not (found and dot and rule in RULES and key and "__" not in key):
        stop(f'--set {text}: write RULE.KEY=VALUE, such as "ttft.limit_ms=900"', BAD_INPUT)
    return rule, key, value


def _defaults(changes: Collection[str]) -> Mapping[str, Rule]:
    if changes:
        stop("--set needs a monitor.toml that it can change", BAD_INPUT)
    return {name: rule() for name, rule in RULES.items()}


def _expected(settings: Settings | None) -> Collection[str]:
    targets = settings.targets.values() if settings else ()
    return {model for target in targets for model in target.expected_models} or DEFAULT_EXPECTED


def _stored(
    settings: Settings, rules: Mapping[str, Rule], since: timedelta
) -> Iterator[BacktestEvent]:
    """Events of the stored observations, read in pages, oldest first."""
    section = settings.file.incidents
    policy = ReminderPolicy(remind_after=section.remind_after, remind_every=section.remind_every)
    playing = Replay(rules, policy=policy)
    with database_url(settings) as url, asyncio.Runner() as runner:
        now = datetime.now(UTC)
        pages = _pages(url, now - since, now)
        while True:
            try:
                page = runner.run(anext(pages, None))
            except DatabaseUnavailable as unavailable:
                stop(unreachable(settings, url, unavailable))
            if page is None:
                return
            for row in page:
                yield from playing.take(row)


async def _pages(url: str, since: datetime, until: datetime) -> AsyncIterator[list[BacktestRow]]:
    database = Database(url)
    try:
        after = None
        while True:
            async with database.begin() as connection:
                found = await observations.page(connection, since=since, until=until, after=after)
            if not found:
                return
            after = found[-1][1]
            yield [_row(target, item) for target, item in found]
    finally:
        await database.close()


def _row(target: str, sample: Sample) -> BacktestRow:
    if sample.cost_ends is None:
        return BacktestRow(sample.at, target, None, sample)
    low, high = sample.cost_ends
    return BacktestRow(sample.at, target, low, sample, high - low)


def _lined(events: Iterable[BacktestEvent]) -> None:
    for event in events:
        sys.stdout.write(as_json(event) + "\n")


def _tabled(events: Iterable[BacktestEvent]) -> None:
    """The messages that would have been sent, one line each."""
    for event in events:
        if event.notice is not None and not event.notice.quiet:
            sys.stdout.write(
                f"{event.at:%Y-%m-%d %H:%M} UTC  {event.notice.status:12} {event.rule} · "
                f"{event.target}: {event.notice.sentence}\n"
            )


# `monitor derive`: identity and cost judged again by the present rules and prices.


BATCH = 500  # observations a transaction


def derive_again(*, since: timedelta, target: str | None) -> None:
    """Judge the stored observations of one target, or of all, again; print what changed."""
    settings = configuration(without_secrets=True)
    known = settings.targets
    if target is not None and target not in known:
        stop(f'unknown target "{target}"; known: {", ".join(sorted(known))}', BAD_INPUT)
    chosen = [known[target]] if target is not None else list(known.values())
    book = price_book(settings.file.prices, same=identity.same)
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
    """How many were judged, and what changed. Each batch is one transaction."""
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
    yield f"{name}: {len(changed)} of {judged} observations have a new identity or cost"
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

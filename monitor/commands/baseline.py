"""`monitor baseline`: whose answers a target's looks are compared with.

Capture asks, or reads transcripts; accept makes what was held since a change the baseline.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from monitor import identity, pricing
from monitor.commands import capturing
from monitor.commands.opening import BAD_INPUT, FAILED, configuration, database_url, stop
from monitor.commands.opening import unreachable as out_of_reach
from monitor.domain import Query, Target, Unpriced
from monitor.identity.features import Answer
from monitor.identity.profile import ENOUGH_ANSWERS, ENOUGH_OF_A_RIVAL
from monitor.identity.tracking import CHANGED_AT
from monitor.jobs.identifying import profiled
from monitor.settings import Settings
from monitor.store import Away, Database, SchemaUnknown, captured, identities, schema
from monitor.store.identities import Epoch

Result = TypeVar("Result")


def capture(
    target: str | None,
    *,
    model: str | None,
    count: int | None,
    query: str | None,
    source: Path | None,
    over_budget: bool,
) -> None:
    """Keep `count` answers to each canned query, or those of a file, as this model's.

    Running it is a person's word that the model answers; the first expected one if none is named.
    Without a `count`, as many as make a good baseline.
    """
    settings = configuration()
    chosen = chosen_target(settings, target)
    named = _declared(chosen, model) if model else next(iter(chosen.expected_models), None)
    if named is None:
        stop(f'target "{chosen.name}" has no expected_models: say --model', BAD_INPUT)
    queries = [item for item in chosen.queries if query in (None, item.id)]
    if not queries:
        ids = ", ".join(item.id for item in chosen.queries)
        stop(f'target "{chosen.name}" has no query "{query}"; known: {ids}', BAD_INPUT)
    if source is not None:
        heard = capturing.from_file(settings, chosen, queries, source)
    else:
        each = count or capturing.enough(queries)
        if not over_budget:
            _within_budget(settings, chosen, each * len(queries))
        heard = asyncio.run(capturing.asked(settings, chosen, queries, each))
    if not any(heard.values()):
        stop("nothing was answered: no baseline was captured")
    epoch, known = in_database(settings, lambda database: _kept(database, chosen, named, heard))
    for item, answers in heard.items():
        _say(f"{item.id}: {len(answers)} answers of {named} kept in epoch {epoch.number}")
    needed = ENOUGH_ANSWERS if identity.same(named, epoch.model) else ENOUGH_OF_A_RIVAL
    if known < needed:
        _say(f"{known} of {needed} answers of {named} are known: nothing is judged by them before "
             "there are more; capture again")  # fmt: skip


async def _kept(
    database: Database, target: Target, model: str, heard: Mapping[Query, Sequence[Answer]]
) -> tuple[Epoch, int]:
    """Add to the baseline in force; an expected model that is not its own begins the next.

    Returns the epoch, and how many answers of the model it now has.
    """
    expected = next((m for m in target.expected_models if identity.same(m, model)), None)
    async with database.begin() as connection:
        found = await identities.epochs(connection, target.name)
        epoch = found[0] if found else None
        if epoch is None and target.expected_models and expected is None:
            stop(f"capture the baseline of {target.expected_models[0]} first", BAD_INPUT)
        if epoch is None or (expected and identity.same(epoch.model, model) is False):
            epoch = await identities.begin(connection, target.name, model, verified_by="operator")
        for query, answers in heard.items():
            await captured.add(
                connection, epoch, query, answers, model=model, verified_by="operator"
            )
        await identities.restart(connection, epoch)
        counts = await captured.counts(connection, epoch)
    return epoch, sum(count.answers for count in counts if count.model == model)


def show(target: str | None) -> None:
    """What is kept of each model, what can be told apart, and what is suspected."""
    settings = configuration()
    chosen = chosen_target(settings, target)
    _say("\n".join(in_database(settings, lambda database: _told(database, chosen))))


def accept(target: str | None, *, note: str) -> None:
    """Make the answers held since a change the baseline of a new epoch; the old one is kept."""
    settings = configuration()
    chosen = chosen_target(settings, target)

    async def adopt(database: Database) -> tuple[Epoch, int]:
        async with database.begin() as connection:
            found = await identities.epochs(connection, chosen.name)
            if not found:
                stop(f'target "{chosen.name}" has no baseline: `monitor baseline capture` first')
            counts = await captured.counts(connection, found[0])
            held = sum(count.answers for count in counts if count.model is None)
            if held < ENOUGH_ANSWERS:
                stop(f"{held} of {ENOUGH_ANSWERS} answers are held since the change: wait for more "
                     "probes, or ask for them with `monitor baseline capture`")  # fmt: skip
            new = await identities.begin(
                connection, chosen.name, found[0].model, verified_by="operator", note=note
            )
            adopted = await captured.adopt(connection, found[0], new)
            await identities.restart(connection, new)
            return new, adopted

    epoch, adopted = in_database(settings, adopt)
    _say(f"epoch {epoch.number} of {chosen.name}: {adopted} answers are the baseline of "
         f"{epoch.model}")  # fmt: skip


async def _told(database: Database, target: Target) -> list[str]:
    async with database.begin() as connection:
        state = await identities.state(connection, target.name)
        if state is None:
            return [f"{target.name}: no baseline; capture one with `monitor baseline capture`"]
        counts = await captured.counts(connection, state.epoch)
        answers = await captured.answers(connection, state.epoch, target.queries)
    epoch = state.epoch
    lines = [
        f"{target.name}: epoch {epoch.number} since {epoch.began_at:%Y-%m-%d %H:%M} UTC, "
        f"{epoch.model}, confirmed by {epoch.verified_by}" + (f" ({epoch.note})" * bool(epoch.note))
    ]
    lines += [
        f"  {count.query}: {count.answers} answers of {count.model or 'nobody known (held)'}"
        for count in counts
    ]
    profile, why = profiled(epoch, answers)
    if profile is None:
        return [*lines, f"nothing is judged by looks: {why}"]
    for rival in profile.rivals:
        lines.append(f"{rival.model} can be told from it: separability "
                     f"{rival.contrast.separability:.2f} on {rival.answers} answers")  # fmt: skip
    lines += [f"{model} is never named: {why}" for model, why in profile.mistakable.items()]
    if state.track is None:
        return [*lines, "no answer was followed yet"]
    track = state.track
    lines.append(f"{track.judged} answers followed; bets that something changed "
                 f"{track.change:.1f} of {CHANGED_AT:.0f}")  # fmt: skip
    lines += [f"{course.model}: {course.nats:.1f} nats, {course.spoke} answers speak for it"
              for course in track.courses]  # fmt: skip
    return lines


def chosen_target(settings: Settings, name: str | None) -> Target:
    known = sorted(settings.targets)
    if name is None and len(known) > 1:
        stop(f"which target? known: {', '.join(known)}", BAD_INPUT)
    if (name or known[0]) not in settings.targets:
        stop(f'unknown target "{name}"; known: {", ".join(known)}', BAD_INPUT)
    return settings.targets[name or known[0]]


def _declared(target: Target, model: str) -> str:
    """The name as the configuration spells it, so that one model has one name."""
    declared = (*target.expected_models, *target.fallback_models)
    return next((name for name in declared if identity.same(name, model)), model)


def _within_budget(settings: Settings, target: Target, count: int) -> None:
    book = pricing.book(settings.file.prices, same=identity.same)
    forecast = pricing.projected(target, book=book, at=datetime.now(UTC))
    priced = [item for item in forecast.values() if not isinstance(item, Unpriced)]
    worst = max((item.query.usd for item in priced), default=Decimal(0)) * count
    if worst > settings.file.probes.daily_budget_usd:
        stop(f"{count} probes could cost ${worst:.4f}, more than the daily probe budget of "
             f"${settings.file.probes.daily_budget_usd} (probes.daily_budget_usd); repeat with "
             "--over-budget to run them", BAD_INPUT)  # fmt: skip


def in_database(
    settings: Settings, work: Callable[[Database], Coroutine[Any, Any, Result]]
) -> Result:
    with database_url(settings) as url:
        if settings.environment.database_url is None:
            schema.migrate(url)

        async def run() -> Result:
            async with AsyncExitStack() as edges:
                database = Database(url)
                edges.push_async_callback(database.close)
                if not schema.fits(await schema.revision(database)):
                    stop("the schema is too old: run `monitor migrate` first")
                return await work(database)

        try:
            return asyncio.run(run())
        except Away as away:
            stop(out_of_reach(settings, url, away), FAILED)
        except SchemaUnknown as unknown:
            stop(str(unknown), BAD_INPUT)


def _say(words: str) -> None:
    print(words)  # noqa: T201

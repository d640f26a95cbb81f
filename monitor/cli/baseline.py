"""Answers from which a writing style is learnt: requested now, or read from transcripts."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from monitor import __version__, identity
from monitor.cli.detection_summary import coverage, sentences, suspicions
from monitor.cli.output import progress
from monitor.cli.startup import BAD_INPUT, FAILED, configuration, database_url, stop
from monitor.cli.startup import unreachable as out_of_reach
from monitor.command_name import as_started
from monitor.config import Settings
from monitor.cpu_limit import CpuLimitExceeded, limited
from monitor.dialects import dialect_of, read
from monitor.domain import Outcome, Query, Target, Transcript, Unpriced, usd_text
from monitor.identity.fingerprint.features import SHORTEST, AnswerText
from monitor.identity.fingerprint.profile import ENOUGH_ANSWERS, ENOUGH_OF_A_RIVAL
from monitor.identity.fingerprint.tracker import DOUBT_LOG_ODDS
from monitor.identity.learning import AnswerCount
from monitor.pricing.book import price_book
from monitor.pricing.forecast import projected
from monitor.probing import timing
from monitor.probing.client import ProbeClient, exchange
from monitor.probing.garbage_collection import gc_paused
from monitor.probing.probe_ids import new_probe_id
from monitor.storage import (
    Connection,
    Database,
    DatabaseUnavailable,
    SchemaUnknown,
    baseline_answers,
    fingerprints,
    schema,
)
from monitor.storage.fingerprints import BaselineEpoch, BaselineState
from monitor.transcripts import recorded
from monitor.worker.probe_round import answer_of

FEWEST = 5  # answers to each query, for any number of queries
WAIT_S, LONGEST_S = 60.0, 120.0  # the longest wait if a rate-limiting service names no time
WAITS = 3  # consecutive attempts for one answer
THROTTLED = (Outcome.RATE_LIMITED, Outcome.UNAVAILABLE)


def enough(queries: Sequence[Query]) -> int:
    """Answers to each query that make a good baseline: 1.5 times the required number."""
    return max(FEWEST, -(-3 * ENOUGH_ANSWERS // (2 * len(queries))))


async def request_answers(
    settings: Settings, target: Target, queries: Sequence[Query], count: int
) -> dict[Query, list[AnswerText]]:
    """Request each query so many times, in turn and sequentially, as fast as the service allows.

    These requests are not measured, so a rate-limited one is repeated.
    """
    received: dict[Query, list[AnswerText]] = {query: [] for query in queries}
    turns = [query for _ in range(count) for query in queries]
    async with ProbeClient(__version__) as wire:
        with gc_paused(), progress(len(turns)) as done:
            for query in turns:
                transcript = await _answered(target, query, wire)
                received[query] += usable(settings, target, query, transcript)
                done()
    return received


async def _answered(target: Target, query: Query, wire: ProbeClient) -> Transcript:
    dialect = dialect_of(target)
    for waited in range(WAITS + 1):
        transcript = await exchange(
            dialect.build_request(query, target),
            dialect=dialect,
            target=target,
            query=query,
            probe=new_probe_id(),
            http=wire,
            raw=False,
        )
        outcome, reason = timing.outcome(transcript, read(dialect, transcript))
        if outcome not in THROTTLED or waited == WAITS:
            break
        named = transcript.retry_after_s
        pause = min(WAIT_S if named is None else named, LONGEST_S)
        print(f"{reason}: next attempt in {pause:.0f} s", file=sys.stderr, flush=True)  # noqa: T201
        await asyncio.sleep(pause)
    return transcript


def from_file(
    settings: Settings, target: Target, queries: Sequence[Query], source: Path
) -> dict[Query, list[AnswerText]]:
    """Answers of recorded transcripts to these queries.

    If there are several queries, every transcript must name its own.
    """
    try:
        with source.open(encoding="utf-8") as lines:
            transcripts = recorded(lines)
    except (OSError, ValueError) as fault:
        stop(f"{source}: {fault}", BAD_INPUT)
    if len(queries) > 1 and any(transcript.query is None for transcript in transcripts):
        stop(
            f"{source}: some transcripts do not name their query: add --query if all answers "
            "belong to one query",
            BAD_INPUT,
        )
    return {
        query: [
            answer
            for transcript in transcripts
            if transcript.query in (None, query.id)
            for answer in usable(settings, target, query, transcript)
        ]
        for query in queries
    }


def usable(
    settings: Settings, target: Target, query: Query, transcript: Transcript
) -> list[AnswerText]:
    """The answer of a transcript if it is complete and long enough for a style.

    An answer that takes too long to read is left out.
    """

    def found() -> list[AnswerText]:
        reply = read(dialect_of(target), transcript)
        whole = timing.outcome(transcript, reply)[0] is Outcome.ANSWERED
        answer = answer_of(query, reply, settings.secrets)
        return [answer] if whole and len(answer.text.strip()) >= SHORTEST else []

    try:
        return limited(found)
    except CpuLimitExceeded:
        return []


# `monitor baseline capture` and `show`: the answers with which a target's are compared.


Result = TypeVar("Result")


def run_capture(
    target: str | None,
    *,
    model: str | None,
    count: int | None,
    query: str | None,
    source: Path | None,
    over_budget: bool,
    yes: bool = False,
) -> None:
    """Store `count` answers to each canned query, or those of a file, as this model's.

    A person who runs it confirms that this model answers; without a name, the first expected one.
    Without a `count`, as many as make a good baseline. While an incident suggests that another
    model answers, nothing is stored in the expected model's name without `yes`, also from a file.
    """
    settings = configuration(without_secrets=source is not None)
    chosen = chosen_target(settings, target)
    named = _declared(chosen, model) if model else next(iter(chosen.expected_models), None)
    if named is None:
        stop(f'target "{chosen.name}" has no expected_models: add --model', BAD_INPUT)
    queries = [item for item in chosen.queries if query in (None, item.id)]
    if not queries:
        ids = ", ".join(item.id for item in chosen.queries)
        stop(f'target "{chosen.name}" has no query "{query}"; known: {ids}', BAD_INPUT)
    expected = chosen.expected_models
    guarded = not yes and (not expected or any(identity.same(named, model) for model in expected))
    if guarded:
        in_database(settings, lambda database: _unsuspected(database, chosen, named))
    if source is not None:
        received = from_file(settings, chosen, queries, source)
    else:
        each = count or enough(queries)
        if not over_budget:
            _within_budget(settings, chosen, each * len(queries))
        received = asyncio.run(request_answers(settings, chosen, queries, each))
    if not any(received.values()):
        stop("no probe was answered: no baseline was captured")
    epoch, known = in_database(
        settings, lambda database: _kept(database, chosen, named, received, guarded=guarded)
    )
    for item, answers in received.items():
        unused = f": none was complete and at least {SHORTEST} characters long"
        print_line(
            f"{item.id}: {len(answers)} answers of {named} stored in epoch {epoch.number}"
            f"{'' if answers else unused}"
        )
    needed = ENOUGH_ANSWERS if identity.same(named, epoch.model) else ENOUGH_OF_A_RIVAL
    if known < needed:
        print_line(
            f"{known} of {needed} required answers of {named} are stored: writing style is not "
            "compared until then; capture again"
        )
        return
    print_line("\n".join(in_database(settings, lambda database: _detected(database, chosen))))


async def _detected(database: Database, target: Target) -> list[str]:
    async with database.begin() as connection:
        return list(sentences(await coverage(connection, target)))


async def _unsuspected(database: Database, target: Target, model: str) -> None:
    async with database.begin() as connection:
        await _unsuspicious(connection, target, model)


async def _unsuspicious(connection: Connection, target: Target, model: str) -> None:
    """End the command while an incident suggests that the expected model does not answer.

    If no model is expected, the check is against the baseline's own model. Answers in the name of
    another model need no check.
    """
    if not target.expected_models:
        state = await fingerprints.state(connection, target.name)
        if state is not None and not identity.same(state.epoch.model, model):
            return
    if found := await suspicions(connection, target):
        stop(
            f"nothing was captured: {'; '.join(found)}. If {model} answers now, repeat with --yes",
            BAD_INPUT,
        )


async def _kept(
    database: Database,
    target: Target,
    model: str,
    received: Mapping[Query, Sequence[AnswerText]],
    *,
    guarded: bool,
) -> tuple[BaselineEpoch, int]:
    """Add to the baseline in force; another expected model than its own begins a new one.

    `guarded`: store nothing if an incident opened while the answers arrived. A suspicion is kept if
    there are fewer than `ENOUGH_ANSWERS` answers of the baseline's own model. Returns the epoch,
    and how many answers of the model it now has.
    """
    expected = next((m for m in target.expected_models if identity.same(m, model)), None)
    async with database.begin() as connection:
        if guarded:
            await _unsuspicious(connection, target, model)
        found = await fingerprints.epochs(connection, target.name)
        epoch = found[0] if found else None
        if epoch is None and target.expected_models and expected is None:
            stop(f"capture the baseline of {target.expected_models[0]} first", BAD_INPUT)
        if epoch is None or (expected and identity.same(epoch.model, model) is False):
            epoch = await fingerprints.begin(connection, target.name, model, verified_by="operator")
        for query, answers in received.items():
            await baseline_answers.add(
                connection, epoch, query, answers, model=model, verified_by="operator"
            )
        few = sum(map(len, received.values())) < ENOUGH_ANSWERS
        state = await fingerprints.state(connection, target.name)
        suspected = state is not None and state.track is not None and state.track.since
        if not (suspected and few and identity.same(epoch.model, model)):
            await fingerprints.restart(connection, epoch)
        counts = await baseline_answers.counts(connection, epoch)
    return epoch, sum(count.answers for count in counts if count.model == model)


def show(target: str | None) -> None:
    """Stored answers by model, what can be detected, and current suspicions."""
    settings = configuration(without_secrets=True)
    chosen = chosen_target(settings, target)
    print_line("\n".join(in_database(settings, lambda database: _shown(database, chosen))))


async def _shown(database: Database, target: Target) -> list[str]:
    async with database.begin() as connection:
        state = await fingerprints.state(connection, target.name)
        counts = await baseline_answers.counts(connection, state.epoch) if state else []
        found = await coverage(connection, target)
    if state is None:
        return [
            f"{target.name}: no baseline; capture one with `monitor baseline capture "
            f"{target.name}`",
            *sentences(found),
        ]
    epoch = state.epoch
    note = f" ({epoch.note})" if epoch.note else ""
    return [
        f"{target.name}: epoch {epoch.number} since {epoch.began_at:%Y-%m-%d %H:%M} UTC, "
        f"{epoch.model}, confirmed by {epoch.verified_by}{note}",
        *_answers(counts),
        *_state(state, found.profile is not None),
        *sentences(found),
    ]


def _answers(counts: Sequence[AnswerCount]) -> Iterator[str]:
    """Captured answers by model, then held answers, which a person must assign."""
    yield "captured answers:"
    for count in counts:
        if count.model is not None:
            yield f"  {count.query}: {count.answers} answers of {count.model}"
    held = [count for count in counts if count.model is None]
    if held:
        whole = sum(count.answers for count in held)
        yield (f"unassigned answers ({whole} of {ENOUGH_ANSWERS} that `accept` needs):")
        yield from (f"  {count.query}: {count.answers} answers" for count in held)


def _state(state: BaselineState, judged: bool) -> Iterator[str]:
    """The state of detection after the capture."""
    track = state.track
    if not judged or track is None or not track.judged:
        yield "state: no answer has been compared with this baseline yet"
        return
    lead = track.leading
    settled = track.standing
    since = f" since {track.since:%Y-%m-%d %H:%M} UTC" if track.since else ""
    if settled is not None and settled[1] is not None:
        yield f"state: FALLBACK{since}: the answers match {settled[1]}"
    elif settled is not None:
        yield (
            f"state: CHANGED{since}: the answers no longer match {state.epoch.model}; the "
            "answering model is unknown"
        )
    elif track.doubtful:
        what = f"the answers match {state.epoch.model} less closely than before"
        if lead and lead.nats > DOUBT_LOG_ODDS:
            what = f"{lead.model} may be answering ({lead.lacks})"
        yield f"state: SUSPECTED{since}: {what}. More answers are needed to decide"
    else:
        yield f"state: OK: the answers match {state.epoch.model}"
    yield f"{track.judged} answers compared"


def chosen_target(settings: Settings, name: str | None) -> Target:
    known = sorted(settings.targets)
    if name is None and len(known) > 1:
        stop(f"name a target; known: {', '.join(known)}", BAD_INPUT)
    if (name or known[0]) not in settings.targets:
        stop(f'unknown target "{name}"; known: {", ".join(known)}', BAD_INPUT)
    return settings.targets[name or known[0]]


def _declared(target: Target, model: str) -> str:
    """The name as the configuration spells it, so that one model has one name."""
    declared = (*target.expected_models, *target.fallback_models)
    return next((name for name in declared if identity.same(name, model)), model)


def _within_budget(settings: Settings, target: Target, count: int) -> None:
    book = price_book(settings.file.prices, same=identity.same)
    forecast = projected(target, book=book, at=datetime.now(UTC))
    priced = [item for item in forecast.values() if not isinstance(item, Unpriced)]
    worst = max((item.query.usd for item in priced), default=Decimal(0)) * count
    if worst > settings.file.probes.daily_budget_usd:
        stop(
            f"{count} probes could cost {usd_text(worst)}, more than the daily probe budget of "
            f"${settings.file.probes.daily_budget_usd} (probes.daily_budget_usd); repeat with "
            "--over-budget to run them",
            BAD_INPUT,
        )


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
                    stop("the database schema is too old: run `monitor migrate` first")
                return await work(database)

        try:
            return asyncio.run(run())
        except DatabaseUnavailable as unavailable:
            stop(out_of_reach(settings, url, unavailable), FAILED)
        except SchemaUnknown as unknown:
            stop(str(unknown), BAD_INPUT)


def print_line(text: str) -> None:
    print(as_started(text))  # noqa: T201

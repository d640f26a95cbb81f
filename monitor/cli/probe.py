"""`monitor probe`: probes now and prints; with more than one probe, a bounded load run."""

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from monitor import __version__, identity
from monitor.cli.manual_probe import manual_probe
from monitor.cli.output import ProgressCallback, answer_lines, as_json, progress, show
from monitor.cli.run import run_async
from monitor.cli.startup import (
    BAD_INPUT,
    configuration,
    database_url,
    file_fault,
    private_file,
    stop,
    unreachable,
)
from monitor.cli.stream_explanation import explanation, hint
from monitor.command_name import as_started
from monitor.config import Settings
from monitor.dialects import dialect_of, read
from monitor.domain import (
    Observation,
    Outcome,
    Query,
    Target,
    Transcript,
    Unpriced,
    usd_text,
)
from monitor.pricing.book import price_book
from monitor.pricing.forecast import projected
from monitor.probing.client import ProbeClient
from monitor.probing.garbage_collection import gc_paused
from monitor.storage import Database, DatabaseUnavailable, SchemaUnknown, observations, schema
from monitor.transcripts import scrubbed

BATCH = 200
FEW = 20  # probes whose events are kept, to explain an answer without text
EXPLAINED = 5  # probes of a run that --explain prints
INTERRUPTED = 130  # exit status that a shell uses for an interrupt

Keep = Callable[[Transcript], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeLoad:
    """A bounded run: which queries, how many probes in all, how many at once."""

    target: Target
    queries: Sequence[Query]
    count: int
    concurrency: int

    def turn(self, nth: int) -> Query:
        return self.queries[nth % len(self.queries)]


def probe(
    target: str | None,
    query: str | None,
    count: int | None,
    concurrency: int,
    *,
    as_lines: bool,
    store: bool,
    over_budget: bool,
    record: Path | None,
    explain: bool = False,
) -> None:
    """Probe one target's canned queries once, or `count` probes in turn, `concurrency` at a time.

    If interrupted, it prints and stores the results so far. Exit 1 if no probe was answered.
    """
    settings = configuration()
    load = _load(settings, target, query, count, concurrency)
    if not over_budget:
        _within_budget(settings, load)
    identity.prepare()  # before anything is measured
    with _recording(record, settings.secrets) as keep:
        raw = record is not None or explain or load.count <= FEW
        run = _Run(settings, load, keep, raw=raw, explain=explain)
        try:
            _probe_all(run, store=store)
            status = 0
        except KeyboardInterrupt:
            status = INTERRUPTED
    if as_lines:
        for observation in run.seen:
            print(as_json(observation))  # noqa: T201
    else:
        show(run.seen)
    if explain or not as_lines:
        for line in run.remarks():
            print(as_started(line), file=sys.stderr if as_lines else sys.stdout)
    if status:
        stop(f"interrupted after {len(run.seen)} of {load.count} probes", status)
    if not any(observation.outcome is Outcome.ANSWERED for observation in run.seen):
        stop(f"no answer to any of {len(run.seen)} probes")


def _load(
    settings: Settings, target: str | None, query: str | None, count: int | None, concurrency: int
) -> ProbeLoad:
    known = sorted(settings.targets)
    if target is None and len(known) > 1:
        stop(f"name a target; known: {', '.join(known)}", BAD_INPUT)
    name = target or known[0]
    if name not in settings.targets:
        stop(f'unknown target "{name}"; known: {", ".join(known)}', BAD_INPUT)
    chosen = settings.targets[name]
    queries = [item for item in chosen.queries if query in (None, item.id)]
    if not queries:
        ids = ", ".join(item.id for item in chosen.queries)
        stop(f'target "{name}" has no query "{query}"; known: {ids}', BAD_INPUT)
    total = count if count is not None else len(queries)
    return ProbeLoad(target=chosen, queries=queries, count=total, concurrency=concurrency)


def _within_budget(settings: Settings, load: ProbeLoad) -> None:
    """Refuse a run that may cost more than the probes' daily budget, with the figure."""
    book = price_book(settings.file.prices, same=identity.same)
    forecast = projected(load.target, book=book, at=datetime.now(UTC))
    priced = [item for item in forecast.values() if not isinstance(item, Unpriced)]
    dearest = max((item.query.usd for item in priced), default=Decimal(0))
    worst, budget = dearest * load.count, settings.file.probes.daily_budget_usd
    if worst > budget:
        stop(
            f"{load.count} probes could cost {usd_text(worst)}, more than the daily probe "
            f"budget of ${budget} (probes.daily_budget_usd); repeat with --over-budget to run them",
            BAD_INPUT,
        )


@contextmanager
def _recording(path: Path | None, secrets: Sequence[str]) -> Iterator[Keep]:
    """Transcripts written as they arrive, to a file that is opened before the first paid probe."""
    if path is None:
        yield lambda transcript: None
        return
    with ExitStack() as edges:
        try:
            file = edges.enter_context(private_file(path))
        except OSError as error:
            stop(f"--record {file_fault(error, path)}", BAD_INPUT)
        yield lambda transcript: file.write(scrubbed([transcript], secrets).encode())


def _probe_all(run: "_Run", *, store: bool) -> None:
    settings = run.settings
    if not store:
        _probe_and_store(run, url=None)
        return
    with database_url(settings) as url:
        if settings.environment.database_url is None:
            schema.migrate(url)
        _probe_and_store(run, url=url)


def _probe_and_store(run: "_Run", *, url: str | None) -> None:
    async def main() -> None:
        async with AsyncExitStack() as edges:
            database = None
            if url is not None:
                database = Database(url)
                edges.push_async_callback(database.close)
                await _ready(database, run.settings, url)
            wire = await edges.enter_async_context(ProbeClient(__version__))
            try:
                with progress(run.load.count) as done, gc_paused():
                    await run.ask(wire, done)
            finally:
                if database is not None:
                    await _stored(database, run.seen)

    run_async(main())


class _Run:
    """Running probes, at most `concurrency`; results in the order in which they ended."""

    def __init__(
        self, settings: Settings, load: ProbeLoad, keep: Keep, *, raw: bool, explain: bool = False
    ) -> None:
        self.seen: list[Observation] = []
        self._explain = explain
        self._kept: list[tuple[Transcript, Observation]] = []  # with their events
        self.settings, self.load = settings, load
        self._keep = keep
        self._raw = raw
        self._book = price_book(settings.file.prices, same=identity.same)
        self._turns = iter(range(load.count))

    async def ask(self, wire: ProbeClient, done: ProgressCallback) -> None:
        lanes = min(self.load.concurrency, self.load.count)
        await asyncio.gather(*(self._lane(wire, done) for _ in range(lanes)))

    async def _lane(self, wire: ProbeClient, done: ProgressCallback) -> None:
        target = self.load.target
        for nth in self._turns:
            transcript, observation = await manual_probe(
                wire,
                self.settings,
                self._book,
                target,
                self.load.turn(nth),
                secrets=self.settings.secrets,
                raw=self._raw,
            )
            self.seen.append(observation)
            self._keep(transcript)
            if self._raw and len(self._kept) < FEW:
                self._kept.append((transcript, observation))
            done()

    def remarks(self) -> Iterator[str]:
        """How each event was read, if requested; else the first answers, their models,

        or why they have no text.
        """
        dialect, secrets = dialect_of(self.load.target), self.settings.secrets
        if self._explain:
            for transcript, _ in self._kept[:EXPLAINED]:
                yield from explanation(transcript, dialect, secrets)
            return
        replies = [(t, observation, read(dialect, t)) for t, observation in self._kept]
        answers = [(observation, reply.text) for _, observation, reply in replies]
        yield from answer_lines(self.load.target, answers, secrets)
        hints = ((t.query, hint(t, reply, dialect, secrets)) for t, _, reply in replies)
        yield from dict.fromkeys(f"{query}: {reported}" for query, reported in hints if reported)


async def _ready(database: Database, settings: Settings, url: str) -> None:
    try:
        found = await schema.revision(database)
        if not schema.fits(found):
            stop(f"the database is at revision {found or 'none'}: run `monitor migrate` first")
    except DatabaseUnavailable as unavailable:
        stop(unreachable(settings, url, unavailable))
    except SchemaUnknown as unknown:
        stop(str(unknown))


async def _stored(database: Database, seen: Sequence[Observation]) -> None:
    for start in range(0, len(seen), BATCH):
        async with database.begin() as connection:
            await observations.add(connection, seen[start : start + BATCH])

"""`monitor compare`: two targets, or two models of one, by paired answers to the same queries."""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from random import Random
from urllib.parse import urlsplit
from uuid import uuid4

from monitor import __version__, identity
from monitor.cli.manual_probe import manual_probe
from monitor.cli.output import progress
from monitor.cli.run import run_async
from monitor.cli.startup import BAD_INPUT, configuration, file_fault, private_file, stop
from monitor.config import Settings
from monitor.dialects import dialect_of, read
from monitor.domain import Query, Target, Unpriced, usd_text
from monitor.paired_comparison import judge_verdicts
from monitor.paired_comparison.paired_answers import AnswerPair, ComparedAnswer, separability
from monitor.pricing.book import PriceBook, price_book
from monitor.pricing.forecast import projected
from monitor.probing.client import ProbeClient
from monitor.probing.garbage_collection import gc_paused
from monitor.redaction import plain, redact
from monitor.reports.comparison_page import ComparisonPage, comparison_page, document, table

INTERRUPTED = 130
JUDGED = 50  # pairs at most: each costs two requests to the judge
JUDGE_NAME = "judge"
NO_SCIPY = (
    'compare needs SciPy, which is an extra: pip install "rag-monitor[compare]", in a clone '
    "./run install"
)


@dataclass(frozen=True, slots=True)
class ComparedSide:
    """One side: the label that people read, and the target that is probed."""

    label: str
    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRequest:
    """The options of the command. `target`: then A and B are models of that target."""

    a: str
    b: str
    target: str | None
    query: str | None
    count: int
    budget: Decimal | None
    html: Path | None
    as_json: bool
    judge_url: str | None
    judge_model: str | None
    judge_key_variable: str | None
    seed: int


def compare(request: ComparisonRequest) -> None:
    """Ask both sides in turn, and print differences, their intervals and a conclusion.

    Interrupted, it prints what was measured until then. Exit 1 if no pair was answered by both.
    """
    settings = configuration()
    a, b = _sides(settings, request)
    queries = [query for query in a.target.queries if request.query in (None, query.id)]
    if not queries:
        known = ", ".join(query.id for query in a.target.queries)
        stop(f'target "{a.target.name}" has no query "{request.query}"; known: {known}', BAD_INPUT)
    judge = _judge_target(request)
    try:
        import_module("scipy.stats")
    except ImportError:
        stop(NO_SCIPY, BAD_INPUT)
    if request.html is not None:
        _writable(request.html)
    identity.prepare()
    limit = request.budget
    if limit is None:
        limit = settings.file.probes.daily_budget_usd
    run = _Comparison(settings, a, b, queries, request, limit=limit, judge=judge)
    status = 0
    try:
        run_async(run.ask())
    except KeyboardInterrupt:
        status = INTERRUPTED
    if not run.pairs:
        stop(run.stopped or "interrupted before the first pair", status or 1)
    answered = any(pair.a.answered or pair.b.answered for pair in run.pairs)
    page = run.page()
    if request.html is not None:
        with private_file(request.html) as file:
            file.write(comparison_page(page, run.pairs).encode())
    lines = table(page) if answered else ()
    for line in [document(page)] if request.as_json else lines:
        print(line)  # noqa: T201
    if not answered:
        for line in page.errors:
            print(line, file=sys.stderr)  # noqa: T201
        stop(run.stopped or f"neither side answered, in {len(run.pairs)} pairs", status or 1)
    if not any(pair.answered for pair in run.pairs):
        stop(f"no pair was answered by both sides, of {len(run.pairs)}", status or 1)
    if status:
        stop(f"interrupted after {len(run.pairs)} of {run.planned} pairs", status)


def _sides(settings: Settings, request: ComparisonRequest) -> tuple[ComparedSide, ComparedSide]:
    known = sorted(settings.targets)
    if request.target is None:
        unknown = [name for name in (request.a, request.b) if name not in settings.targets]
        if unknown:
            stop(
                f'unknown target "{plain(unknown[0])}"; known: {", ".join(known)}. To compare two '
                f"models of one target: monitor compare MODEL MODEL --target NAME",
                BAD_INPUT,
            )
        if request.a == request.b:
            stop(
                f'"{request.a}" is both sides; name two targets, or two models with --target',
                BAD_INPUT,
            )
        a, b = (settings.targets[name] for name in (request.a, request.b))
        return ComparedSide(a.name, a), ComparedSide(b.name, b)
    if request.target not in settings.targets:
        stop(f'unknown target "{plain(request.target)}"; known: {", ".join(known)}', BAD_INPUT)
    target = settings.targets[request.target]
    a, b = (
        replace(target, model=model, expected_models=(model,), fallback_models=())
        for model in (request.a, request.b)
    )
    first, second = (dialect_of(side).build_request(side.queries[0], side) for side in (a, b))
    if first == second:
        stop(
            f'the requests to "{target.name}" would be identical: '
            + (
                "name two models"
                if request.a == request.b
                else f"its dialect ({target.dialect}) sends no model name. Configure a second "
                "target and compare both"
            ),
            BAD_INPUT,
        )
    return ComparedSide(request.a, a), ComparedSide(request.b, b)


def _judge_target(request: ComparisonRequest) -> Target | None:
    """The judge as a target of its own: an OpenAI-compatible endpoint."""
    if request.judge_url is None:
        if request.judge_model or request.judge_key_variable:
            stop("--judge-model and --judge-key-variable need --judge-url", BAD_INPUT)
        return None
    if request.judge_model is None:
        stop("--judge-url needs --judge-model", BAD_INPUT)
    headers = {}
    if request.judge_key_variable is not None:
        key = os.environ.get(request.judge_key_variable)
        if not key:
            stop(f"{request.judge_key_variable} (--judge-key-variable) is not set", BAD_INPUT)
        headers["Authorization"] = f"Bearer {key}"
    target = Target(
        name=JUDGE_NAME,
        url=request.judge_url,
        dialect="openai_chat",
        queries=(Query(id=JUDGE_NAME, text=""),),
        model=request.judge_model,
        expected_models=(request.judge_model,),
        headers=headers,
    )
    try:
        address = urlsplit(dialect_of(target).build_request(target.queries[0], target).url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError("write an address such as https://api.example.com/v1")
    except ValueError as error:
        stop(f"--judge-url: {error}", BAD_INPUT)
    return target


def _writable(path: Path) -> None:
    """Refuse a page that cannot be written before anything is paid for; nothing is changed."""
    existed = path.exists()
    try:
        path.open("ab").close()
        if not existed:
            path.unlink()
    except OSError as error:
        stop(f"--html {file_fault(error, path)}", BAD_INPUT)


@dataclass
class _Comparison:
    """The pairs asked so far, what they cost, and what the judge said of them."""

    settings: Settings
    a: ComparedSide
    b: ComparedSide
    queries: Sequence[Query]
    request: ComparisonRequest
    limit: Decimal
    judge: Target | None
    pairs: list[AnswerPair] = field(default_factory=list)
    verdicts: list[tuple[judge_verdicts.Preference, judge_verdicts.Preference]] = field(
        default_factory=list
    )
    spent: Decimal = Decimal(0)
    unpriced: int = 0  # answers whose cost is not known
    judge_usd: Decimal | None = Decimal(0)
    stopped: str | None = None

    @property
    def planned(self) -> int:
        return self.request.count * len(self.queries)

    async def ask(self) -> None:
        """Every query `count` times, the sides one after the other, which first by chance.

        One request at a time: requests in parallel would slow each other.
        """
        book = price_book(self.settings.file.prices, same=identity.same)
        next_pair = sum((_dearest(side.target, book) for side in (self.a, self.b)), Decimal(0))
        chance = Random(self.request.seed)  # noqa: S311  an order, no secret
        async with ProbeClient(__version__) as client:
            with progress(self.planned) as done, gc_paused():
                for _ in range(self.request.count):
                    for query in self.queries:
                        if self.spent + next_pair > self.limit:
                            self.stopped = (
                                f"stopped after {len(self.pairs)} of {self.planned} pairs: the "
                                f"next could exceed the budget of {usd_text(self.limit)} "
                                "(--budget)"
                            )
                            break
                        first_b = chance.random() < 0.5
                        await self._pair(client, book, query, first_b=first_b)
                        done()
            if self.judge is not None:
                await self._judge_all(client, book, self.judge)

    async def _pair(
        self, client: ProbeClient, book: PriceBook, query: Query, *, first_b: bool
    ) -> None:
        answers = {}
        for side in (self.b, self.a) if first_b else (self.a, self.b):
            answers[side.label] = await self._answer(client, book, side.target, query)
        self.pairs.append(
            AnswerPair(query.id, query.text, answers[self.a.label], answers[self.b.label])
        )

    async def _answer(
        self, client: ProbeClient, book: PriceBook, target: Target, query: Query
    ) -> ComparedAnswer:
        secrets = self._secrets()
        transcript, observation = await manual_probe(
            client, self.settings, book, target, query, secrets=secrets
        )
        self.spent += observation.cost_ends[1]
        known = observation.cost_usd is not None or observation.cost_high_usd is not None
        self.unpriced += observation.answer_chars > 0 and not known
        text = redact(read(dialect_of(target), transcript).text, secrets)
        return ComparedAnswer(observation, text)

    def _secrets(self) -> Sequence[str]:
        judge = self.judge.headers.values() if self.judge else ()
        return (*self.settings.secrets, *(value.removeprefix("Bearer ") for value in judge))

    async def _judge_all(self, client: ProbeClient, book: PriceBook, judge: Target) -> None:
        """Ask the judge twice about each answered pair, once in each order, within the budget."""
        chosen = [pair for pair in self.pairs if pair.answered][:JUDGED]
        dearest = Decimal(0)
        for pair in chosen:
            if self.spent + 2 * dearest > self.limit:
                self.stopped = (
                    f"the judge was asked about {len(self.verdicts)} of {len(chosen)} pairs: more "
                    f"could exceed the budget of {usd_text(self.limit)} (--budget)"
                )
                return
            both = []
            for swapped in (False, True):
                text = judge_verdicts.question_to_judge(pair, swapped=swapped, mark=uuid4().hex[:8])
                answer = await self._answer(client, book, judge, Query(id=JUDGE_NAME, text=text))
                if not answer.answered:
                    error = answer.observation.error or answer.observation.outcome.value
                    self.stopped = (
                        f"the judge was asked about {len(self.verdicts)} of {len(chosen)} pairs, "
                        f"then it did not answer: {plain(error)}"
                    )
                    return
                both.append(judge_verdicts.verdict(answer.text, swapped=swapped))
                usd = answer.observation.cost_usd
                if usd is None:
                    self.judge_usd = None
                elif self.judge_usd is not None:
                    self.judge_usd += usd
                dearest = max(dearest, answer.observation.cost_ends[1])
            self.verdicts.append((both[0], both[1]))

    def page(self) -> ComparisonPage:
        from monitor.paired_comparison.conclusion import conclusion
        from monitor.paired_comparison.differences import differences, shares

        found, held = differences(self.pairs), shares(self.pairs)
        judge = None
        if self.judge is not None and self.verdicts:
            judge = judge_verdicts.judged(self.judge.model or "", self.verdicts, usd=self.judge_usd)
        return ComparisonPage(
            made_at=datetime.now(UTC),
            a=self.a.label,
            b=self.b.label,
            pairs=len(self.pairs),
            queries=tuple(query.id for query in self.queries),
            differences=tuple(found),
            shares=tuple(held),
            separability=separability(self.pairs),
            models=tuple(
                Counter(
                    getattr(pair, side).observation.model_detected or "unknown"
                    for pair in self.pairs
                    if getattr(pair, side).answered
                )
                for side in ("a", "b")
            ),
            untimed=sum(pair.answered and not pair.timed for pair in self.pairs),
            judge=judge,
            spent=self.spent,
            unpriced=self.unpriced,
            errors=tuple(_errors(self)),
            stopped=self.stopped,
            conclusion=conclusion(self.a.label, self.b.label, found, held, judge),
        )


def _dearest(target: Target, book: PriceBook) -> Decimal:
    """The most that one query to a target is projected to cost; zero without any price."""
    forecasts = projected(target, book=book, at=datetime.now(UTC)).values()
    priced = [item.query.usd for item in forecasts if not isinstance(item, Unpriced)]
    return max(priced, default=Decimal(0))


def _errors(run: _Comparison) -> Iterator[str]:
    """The most frequent errors of each side."""
    for label, side in ((run.a.label, "a"), (run.b.label, "b")):
        seen = Counter(
            error for pair in run.pairs if (error := getattr(pair, side).observation.error)
        )
        for error, count in seen.most_common(3):
            yield f"{label}: {count} × {plain(error)}"

"""False alarms and delays of `retrieval` and `cost_drift`: `python -m benchmarks.retrieval`.

`--months N` healthy months (80), `--seeds N` of each incident (10), `--first SEED`. Every stream is
drawn from a seeded world: three queries every five minutes with their own number of sources, scores
that drift, re-crawls that make dates jump and change documents, cached results, bursts, failures,
rare empty results, faults of some minutes that end by themselves, prompt caches of providers, and
answers of varying length. Each round is judged and goes through the state machine of incidents. A
query without its usual sources is asked again as the worker asks it, and each answer is judged.
Exit status 1: a false alarm. `--overhead ROUNDS` measures the CPU time of a round with and without
the two rules.
"""

import argparse
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from math import exp
from random import Random
from statistics import median
from uuid import UUID

from monitor.domain import CostSource, Identity, Incident, Outcome, Sample, Subject
from monitor.incidents.state_machine import IncidentChange, ReminderPolicy, advance
from monitor.rules import RULES, SPAN, RetrievalRule, Window
from monitor.rules.source_losses import LOOKED_AT, RetrievedAnswer, query_to_confirm
from monitor.worker.burst import PAUSE

EVERY = timedelta(minutes=5)
START = datetime(2026, 3, 2, tzinfo=UTC)
DAY = SPAN // EVERY  # rounds
MONTH, BEFORE, AFTER = 30 * DAY, 2 * DAY, DAY // 2  # rounds: healthy, before and after an incident
JUDGED = ("retrieval", "cost_drift")
CONFIRMED: Counter[int] = Counter()  # extra probes that confirm vanished sources, by seed
EXPECTED, OTHER = "meta-llama/llama-4-scout", "anthropic/claude-haiku-4-5"


@dataclass
class Wrong:
    """What an incident does to a stream."""

    none: bool = False
    share: float = 1.0  # of the sources
    score: float = 1.0
    older: timedelta = timedelta(0)
    prompt: float = 1.0
    answer: float = 1.0
    price: float = 1.0
    uncached: bool = False
    model: bool = False
    queries: Sequence[int] = range(99)


@dataclass
class World:
    """A service: what its queries retrieve and use, and how that varies."""

    draw: Random
    names: Sequence[str] = ("visa", "kitas", "company")
    sources: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    drift: float = 0.0
    newest: list[datetime] = field(default_factory=list)
    prompt: list[float] = field(default_factory=list)
    answer: list[float] = field(default_factory=list)
    kept: list[tuple[int, int, float, datetime]] = field(default_factory=list)  # until a round
    fault: tuple[float, float, Sequence[int]] = (0.0, 0.0, ())  # its begin and end, s, and queries

    def __post_init__(self) -> None:
        draw = self.draw
        self.sources = [draw.randint(3, 10) for _ in self.names]
        self.scores = [draw.uniform(0.35, 0.9) for _ in self.names]
        self.newest = [START - timedelta(days=draw.uniform(1, 400)) for _ in self.names]
        self.prompt = [draw.uniform(300, 6000) for _ in self.names]
        self.answer = [draw.uniform(40, 600) for _ in self.names]
        self.empty = draw.choice((0.0, 0.0002, 0.001, 0.005))
        self.often_empty = draw.random() < 0.2  # its first query, one answer in twelve
        self.varying = draw.choice((0.0, 0.1, 0.3))  # share of answers with a source less or more
        self.length = draw.uniform(0.03, 0.35)  # standard deviation of the logarithm
        self.crawl = draw.uniform(0.5, 4) * DAY  # rounds between re-crawls
        self.result_cache = draw.choice((0.0, 0.0, 0.3))  # share of results kept for an hour
        self.hits = draw.choice((None, 0.0, 0.4, 0.85, 0.97))  # of the provider's prompt cache
        self.cached = draw.uniform(0.4, 0.95)
        self.named = draw.random() < 0.8
        self.kept = [(-1, 0, 0.0, START)] * len(self.names)
        # Short faults are drawn apart, so that they leave the rest of a seed's world as it is.
        self.faults = faults = Random(copy(draw).random())
        self.faults_a_month = faults.choice((0, 3, 30))
        self.longest_s = faults.choice((60, 120, 240))
        self.thorough = faults.choice((0.7, 1.0))  # share of the answers that a fault makes empty
        # A service that keeps one empty result in twelve for an hour would not be healthy.
        kept = faults.choice((False, True)) and not self.often_empty
        self.empties_kept = kept and self.result_cache > 0

    def step(self, number: int) -> None:
        """What changes from one round to the next, for all queries."""
        if self.faults.random() < self.faults_a_month / MONTH:
            every = range(len(self.names))
            begin = (number + self.faults.random()) * EVERY.total_seconds()
            until = begin + self.faults.uniform(20, self.longest_s)
            affected = every if self.faults.random() < 0.2 else (self.faults.choice(every),)
            self.fault = begin, until, affected
        self.drift = 0.995 * self.drift + self.draw.gauss(0, 0.004)
        if number and number % int(self.crawl) == 0:
            for nth in range(len(self.names)):
                if self.draw.random() < 0.6:
                    age = timedelta(hours=self.draw.uniform(0, 20))
                    self.newest[nth] = max(self.newest[nth], START + number * EVERY - age)
                self.scores[nth] *= self.draw.uniform(0.97, 1.03)
                self.prompt[nth] *= self.draw.uniform(0.96, 1.04)

    def faulty(self, nth: int, at_s: float) -> bool:
        """Whether a short fault makes this answer empty."""
        begin, until, queries = self.fault
        hit = begin <= at_s <= until and nth in queries
        return hit and self.faults.random() < self.thorough

    def found(
        self, nth: int, number: int, at_s: float
    ) -> tuple[int, float | None, datetime | None]:
        """Number of sources, best score and newest date of one answer at a time since `START`."""
        draw = self.draw
        until, count, score, newest = self.kept[nth]
        if until >= number:
            return (count, score, newest) if count else (0, None, None)
        rate = 1 / 12 if self.often_empty and nth == 0 else self.empty
        if draw.random() < rate or self.faulty(nth, at_s):
            if self.empties_kept and self.faults.random() < self.result_cache:
                self.kept[nth] = (number + 12, 0, 0.0, START)
            return 0, None, None
        count = self.sources[nth] + (draw.random() < self.varying) * draw.choice((-1, 1))
        score = self.scores[nth] * exp(self.drift + draw.gauss(0, 0.01))
        newest = self.newest[nth]
        if draw.random() < 0.03:  # its newest document was not retrieved
            newest -= timedelta(days=draw.uniform(1, 90))
        if draw.random() < self.result_cache:
            self.kept[nth] = (number + 12, count, score, newest)
        return count, score, newest


class OtherWorld(World):
    """A service whose results vary in other ways, and that has one to five queries.

    Empty results may be kept for an hour, alone or with the others. Dates jump back for single
    answers. Scores may be always the same, or scatter and drift more. One query may have sources
    only at some times.
    """

    def __post_init__(self) -> None:
        draw = self.draw
        names = ("visa", "kitas", "company", "tax", "land")
        self.names = names[: draw.choice((1, 2, 3, 3, 5))]
        super().__post_init__()
        self.result_cache = draw.choice((0.0, 0.3, 0.9))
        self.empties_kept = draw.choice((False, True)) and self.result_cache > 0
        self.back = draw.choice((0.0, 0.03, 0.08))
        self.scatter = draw.choice((0.0, 0.01, 0.05))
        self.wander = draw.choice((0.0, 0.004))
        self.at_times = draw.choice((0.0, 0.0, 0.2, 1.0))  # how often the first query changes
        self.present = True

    def step(self, number: int) -> None:
        super().step(number)
        self.drift += self.draw.gauss(0, self.wander)
        if self.draw.random() < self.at_times:
            self.present = self.draw.random() < 0.6

    def found(
        self, nth: int, number: int, at_s: float
    ) -> tuple[int, float | None, datetime | None]:
        draw = self.draw
        until, count, score, newest = self.kept[nth]
        if until >= number:
            return (count, score, newest) if count else (0, None, None)
        rate = 1 / 12 if self.often_empty and nth == 0 else self.empty
        empty = draw.random() < rate or not (self.present or nth) or self.faulty(nth, at_s)
        count = 0 if empty else self.sources[nth]
        if count:
            count += (draw.random() < self.varying) * draw.choice((-1, 1))
        score = self.scores[nth] * exp(
            self.drift * bool(self.scatter) + draw.gauss(0, self.scatter)
        )
        newest = self.newest[nth]
        if draw.random() < self.back:
            newest -= timedelta(days=draw.uniform(1, 90))
        if draw.random() < self.result_cache and (count or self.empties_kept):
            self.kept[nth] = (number + 12, count, score, newest)
        return (count, score, newest) if count else (0, None, None)


class OneQuery(World):
    """A service that is asked one query only."""

    def __post_init__(self) -> None:
        self.names = self.names[:1]
        super().__post_init__()


def rounds(
    seed: int,
    count: int,
    wrong: Wrong,
    begin: int,
    world_of: type[World] = World,
    *,
    reported: Callable[[], bool] = lambda: False,
) -> Iterator[list[Sample]]:
    """The samples of each round, then each extra probe of it that confirms vanished sources.

    `begin`: the round at which it becomes wrong. `reported`: whether an incident of `retrieval` is
    open; then nothing is confirmed.
    """
    draw = Random(seed)
    world, key = world_of(draw), 0
    latest = {name: deque[RetrievedAnswer](maxlen=LOOKED_AT) for name in world.names}
    rule = RetrievalRule()
    most = min(rule.confirmations, EVERY // PAUSE - 1)

    def answer(nth: int, number: int, at: datetime, *, extra: bool) -> Sample:
        nonlocal key
        key += 1
        it = wrong if number >= begin and nth in wrong.queries else Wrong()
        made = _sample(world, it, nth, number, at, key, extra=extra)
        if made.outcome.good:
            found = made.source_count or 0, made.source_best_score, made.source_newest_at
            latest[made.query].append(RetrievedAnswer(*found, made.round, extra))
        return made

    for number in range(count):
        world.step(number)
        slot = START + number * EVERY
        burst = draw.random() < 0.002
        every = range(len(world.names))
        of_round = [
            answer(nth, number, slot + timedelta(seconds=2 * nth), extra=False) for nth in every
        ]
        of_burst = [
            answer(nth, number, slot + place * PAUSE, extra=True)
            for place, nth in enumerate([*every, 0][:4] if burst else (), 1)
        ]
        yield of_round + of_burst
        without = [s.query for s in of_round if s.outcome.good and not s.source_count]
        for place in range(1, 1 + (most if without and not burst else 0)):
            confirmed = query_to_confirm(
                {query: tuple(latest[query]) for query in without},
                answers=rule.answers,
                rounds=rule.rounds,
                most=most,
            )
            if confirmed is None or reported():
                break
            at = slot + place * (PAUSE + timedelta(seconds=5))
            yield [answer(world.names.index(confirmed), number, at, extra=True)]
            if not latest[confirmed][-1].extra:
                break  # it failed


def _sample(
    world: World, it: Wrong, nth: int, number: int, at: datetime, key: int, *, extra: bool
) -> Sample:
    draw = world.draw
    good = draw.random() > 0.003
    count, score, newest = world.found(nth, number, (at - START).total_seconds())
    if it.none:
        count, score, newest = 0, None, None
    count = round(count * it.share)
    prompt = round(world.prompt[nth] * it.prompt * (0.5 + 0.5 * count / world.sources[nth]))
    answer = max(1, round(world.answer[nth] * it.answer * exp(draw.gauss(0, world.length))))
    hit = world.hits is not None and draw.random() < world.hits and not it.uncached
    cached = round(prompt * world.cached) if hit else 0
    usd = it.price * (0.2 * (prompt - 0.9 * cached) + 0.8 * answer) / 1e6
    model = (OTHER if it.model else EXPECTED) if world.named else None
    return Sample(
        id=UUID(int=key), at=at, round=at if extra else START + number * EVERY,
        query=world.names[nth], extra=extra,
        outcome=Outcome.ANSWERED if good else Outcome.HTTP_STATUS, ttft_ms=900.0 if good else None,
        identity=Identity.EXPECTED if world.named else Identity.UNKNOWN, model=model,
        cost_usd=Decimal(f"{usd:.12f}") if good else None, recorded_at=at,
        source_count=count if good else None, source_best_score=score and score * it.score,
        source_newest_at=newest and newest - it.older,
        prompt_tokens=prompt, answer_tokens=answer,
        cached_tokens=None if world.hits is None else cached, cost_source=CostSource.REPORTED,
    )  # fmt: skip


def fired(
    seed: int, count: int, wrong: Wrong, begin: int, world_of: type[World], judged: Sequence[str]
) -> Iterator[tuple[str, int, Incident]]:
    """Rule, round and incident of everything that opens."""
    incidents: dict[str, Incident | None] = {}

    def reported() -> bool:
        latest = incidents.get(RetrievalRule.name)
        return latest is not None and latest.open

    stream = rounds(seed, count, wrong, begin, world_of, reported=reported)
    queries = len(world_of(Random(seed)).names)
    window = Window("rag", every=EVERY, queries=queries, a_day=864)
    rules = [RULES[name]() for name in judged]
    for samples in stream:
        for sample in samples:
            window.add(sample)
        number = (samples[-1].at - START) // EVERY
        CONFIRMED[seed] += len(samples) == 1 and samples[0].extra
        now = samples[-1].at + timedelta(seconds=1)
        for rule in rules:
            verdict = rule.judge(window, incidents.get(rule.name), now)
            incident, change = advance(
                incidents.get(rule.name), verdict, policy=ReminderPolicy(), now=now
            )
            incidents[rule.name] = incident
            if incident is not None and change in (
                IncidentChange.OPENED, IncidentChange.REOPENED, IncidentChange.GREW,
            ):  # fmt: skip
                yield rule.name, number, incident


INCIDENTS: dict[str, tuple[str, Wrong]] = {
    "no sources": ("retrieval", Wrong(none=True)),
    "no sources for one query": ("retrieval", Wrong(none=True, queries=(1,))),
    "half of the sources": ("retrieval", Wrong(share=0.5)),
    "half for one query": ("retrieval", Wrong(share=0.5, queries=(1,))),
    "score lower by 30 %": ("retrieval", Wrong(score=0.7)),
    "score of one query lower by 30 %": ("retrieval", Wrong(score=0.7, queries=(1,))),
    "index of a month ago": ("retrieval", Wrong(older=timedelta(days=30))),
    "index of three days ago": ("retrieval", Wrong(older=timedelta(days=3))),
    "prompt edit, + 50 %": ("cost_drift", Wrong(prompt=1.5)),
    "prompt edit, + 30 %": ("cost_drift", Wrong(prompt=1.3)),
    "prompt of one query + 50 %": ("cost_drift", Wrong(prompt=1.5, queries=(1,))),
    "lost cache": ("cost_drift", Wrong(uncached=True)),
    "answers twice as long": ("cost_drift", Wrong(answer=2.0)),
    "answers longer by half": ("cost_drift", Wrong(answer=1.5)),
    "price doubled": ("cost_drift", Wrong(price=2.0)),
    "another model (not to be reported)": ("", Wrong(prompt=1.5, answer=2, price=9, model=True)),
}  # fmt: skip


def healthy(months: int, first: int, world_of: type[World], judged: Sequence[str]) -> Counter[str]:
    """False alarms by rule."""
    found: Counter[str] = Counter()
    for seed in range(first, first + months):
        CONFIRMED[seed] = 0
        for rule, number, incident in fired(seed, MONTH, Wrong(), MONTH, world_of, judged):
            found[rule] += 1
            print(f"false alarm: seed {seed}, round {number}, {rule}: {incident.because}")
    return found


def incident(
    name: str, seeds: int, first: int, world_of: type[World], judged: Sequence[str]
) -> str:
    """Rounds until it is reported, and what else is."""
    rule, wrong = INCIDENTS[name]
    delays, missed, other, repeats, skipped = [], 0, 0, 0, 0
    for seed in range(first, first + seeds):
        world = world_of(Random(seed))
        if (wrong.uncached and (world.hits or 0) < 0.4) or (wrong.model and not world.named):
            skipped += 1
            continue
        if 1 in wrong.queries and len(wrong.queries) == 1 and len(world.names) < 3:
            skipped += 1  # one of one or two is not one query of several
            continue
        seen = list(fired(seed, BEFORE + AFTER, wrong, BEFORE, world_of, judged))
        right = [number - BEFORE + 1 for each, number, _ in seen
                 if each == rule and number >= BEFORE]  # fmt: skip
        delays += right[:1]
        missed += bool(rule) and not right
        repeats += max(0, len(right) - 1)
        other += len(seen) - len(right)
    spread = f"median {median(delays):g}, at most {max(delays)}" if delays else "never"
    return (f"| {name} | {rule or '–'} | {spread} | {missed} of {seeds - skipped} | {other} | "
            f"{repeats} |")  # fmt: skip


def overhead(count: int) -> str:
    """CPU time of a round of a target: its samples taken in and judged, with and without."""
    stream = list(rounds(1, count + DAY, Wrong(), MONTH))
    every = [rule() for rule in RULES.values() if rule.subject is Subject.TARGET]
    spent = {}
    for names in ((), JUDGED):
        rules = [rule for rule in every if rule.name not in JUDGED or rule.name in names]
        window = Window("rag", every=EVERY, queries=3, a_day=864)
        for sample in chain.from_iterable(stream[:DAY]):
            window.add(sample)
        began = time.process_time()
        for samples in stream[DAY:]:
            for sample in samples:
                window.add(sample)
            for rule in rules:
                rule.judge(window, None, samples[-1].at + timedelta(seconds=1))
        spent[bool(names)] = 1000 * (time.process_time() - began) / count
    return f"CPU ms a round: {spent[False]:.3f} without, {spent[True]:.3f} with the two rules"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, default=80)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=5001)
    worlds = parser.add_mutually_exclusive_group()
    worlds.add_argument("--other", action="store_true", help="other worlds, with 1 to 5 queries")
    worlds.add_argument("--only-query", action="store_true", help="services with one query")
    parser.add_argument("--rule", choices=JUDGED, help="judge one of the two rules alone")
    parser.add_argument("--only", default="", metavar="TEXT", help="incidents whose name has it")
    parser.add_argument("--overhead", type=int, default=0, metavar="ROUNDS", help="nothing else")
    given = parser.parse_args()
    if given.overhead:
        print(overhead(given.overhead))
        return 0
    print("| incident | rule | rounds until reported | missed | other reports | repeats |")
    print("| --- | --- | --- | --- | --- | --- |")
    world_of = OtherWorld if given.other else OneQuery if given.only_query else World
    judged = (given.rule,) if given.rule else JUDGED
    for name in INCIDENTS if given.seeds else ():
        if given.only in name:
            print(incident(name, given.seeds, given.first, world_of, judged), flush=True)
    false = healthy(given.months, given.first, world_of, judged)
    print(f"{given.months} healthy months: {dict(false) or 'no'} false alarms")
    extra = sorted(CONFIRMED[seed] for seed in range(given.first, given.first + given.months))
    if extra:
        print(f"extra probes a month: median {median(extra):g}, at most {extra[-1]}")
    return 1 if false else 0


if __name__ == "__main__":
    sys.exit(main())

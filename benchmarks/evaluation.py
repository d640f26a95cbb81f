"""What an evaluation costs: after a takeover, and once a second while targets are probed.

    python -m benchmarks.evaluation                            100 targets with a day of rows
    python -m benchmarks.evaluation --targets 1000             1.44 million rows: some minutes
    python -m benchmarks.evaluation --targets 1000 --rows 20 --ticks 360 --failing
                                                               an outage of the whole fleet
    python -m benchmarks.evaluation --targets 100 --profile    with the functions that take longest

An embedded Postgres gets the rows of the last 24 hours: one query and one round a minute for each
target, with sources, usage and a passed check. The evaluation of a worker runs in this process.
First it takes over with nothing in memory, as a worker that starts. Then each tick stores one
second of new rows (a sixtieth of the targets) and evaluates. At last another worker, which stood
by, takes over. Exit status 1: a goal is
missed. See docs/benchmarks.md#evaluation.
"""

import argparse
import asyncio
import cProfile
import gc
import os
import pstats
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from benchmarks.fleet import configuration, fleet, server
from benchmarks.fleets.processes import family_cpu_s, rss_mib
from benchmarks.fleets.rows import seed_day
from benchmarks.fleets.service import MODEL
from monitor.config import Settings, load
from monitor.domain import CostSource, Identity, Observation, Outcome, Target
from monitor.probing.garbage_collection import gc_paused
from monitor.rules import Rule
from monitor.storage import Database, leases, observations
from monitor.worker import calendar_job, evaluation, reading_ahead, target_verdicts
from monitor.worker.context import WorkerContext
from monitor.worker.round_schedule import phase
from tests.contract.open_context import open_context
from tests.example_data import observation

EVERY = timedelta(minutes=1)
NEW_RULES = ("answer_check", "retrieval", "cost_drift")
TAKEOVER_S, TICK_MS, SHARE = 20.0, 100.0, 0.1  # the goals
LAPSE_S = 12.0  # until the lease of a worker that was killed lapses


@dataclass
class EvaluationCost:
    """What each of several evaluations took."""

    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    postgres_ms: list[float] = field(default_factory=list)

    def shown(self) -> str:
        cells = [
            f"{percentile(figures, 50):.0f} / {percentile(figures, 99):.0f}"
            for figures in (self.wall_ms, self.cpu_ms, self.postgres_ms)
        ]
        return " | ".join(cells)


def percentile(figures: Sequence[float], which: int) -> float:
    return quantiles(figures, n=100, method="inclusive")[which - 1]


class LoopLagProbe:
    """The longest delay of the event loop since it was last asked for."""

    def __init__(self) -> None:
        self._worst = 0.0
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            due_s = time.monotonic() + 0.01
            await asyncio.sleep(0.01)
            self._worst = max(self._worst, time.monotonic() - due_s)

    def worst_ms(self) -> float:
        worst, self._worst = self._worst, 0.0
        return 1000 * worst

    def end(self) -> None:
        self._task.cancel()


class Measured:
    """Evaluations of one worker, each with what it took."""

    def __init__(self, context: WorkerContext, postgres: int) -> None:
        self.context, self._postgres = context, postgres
        self.lag = LoopLagProbe()
        self.rules: dict[str, float] = defaultdict(float)  # seconds, by rule
        self.verdicts = 0  # targets judged so far
        judge = self._judge = target_verdicts.judged

        def judged(rule: Rule, *given: object) -> object:
            began_s = time.thread_time()
            try:
                return judge(rule, *given)  # type: ignore[arg-type]
            finally:
                self.rules[rule.name] += time.thread_time() - began_s
                self.verdicts += rule.name == "down"

        target_verdicts.judged = judged  # type: ignore[assignment]
        self.ahead = EvaluationCost()  # what a large fleet reads before an evaluation
        read = self._read = reading_ahead.read_ahead

        async def read_ahead(
            context: WorkerContext, *, reading_s: float
        ) -> reading_ahead.ReadAhead:
            with self._timed(self.ahead):
                return await read(context, reading_s=reading_s)

        reading_ahead.read_ahead = read_ahead

    def end(self) -> None:
        target_verdicts.judged = self._judge
        reading_ahead.read_ahead = self._read
        self.lag.end()

    async def evaluate(self, cost: EvaluationCost) -> None:
        before = len(self.ahead.wall_ms)
        with self._timed(cost):
            await evaluation.evaluate_changed(self.context)
        if len(self.ahead.wall_ms) > before:  # it has a line of its own
            cost.wall_ms[-1] -= self.ahead.wall_ms[-1]
            cost.cpu_ms[-1] -= self.ahead.cpu_ms[-1]
            cost.postgres_ms[-1] -= self.ahead.postgres_ms[-1]

    @contextmanager
    def _timed(self, cost: EvaluationCost) -> Iterator[None]:
        began = time.monotonic(), time.process_time(), sum(family_cpu_s(self._postgres).values())
        yield
        cost.wall_ms.append(1000 * (time.monotonic() - began[0]))
        cost.cpu_ms.append(1000 * (time.process_time() - began[1]))
        used_s = sum(family_cpu_s(self._postgres).values()) - began[2]
        cost.postgres_ms.append(1000 * used_s)

    @property
    def judged(self) -> bool:
        """Whether every target has been judged."""
        return not self.context.state.windows.changed


def probe(target: Target, at: datetime, *, failed: bool) -> Observation:
    """A new row like those of the day, or one that was refused."""
    if failed:
        return observation(
            target=target.name, query="hi", slot=at, started_at=at, outcome=Outcome.REFUSED,
            ttft_ms=None, error="refused", model_detected=None, identity=Identity.UNKNOWN,
            cost_usd=None, cost_source=None,
        )  # fmt: skip
    made = observation(target=target.name, query="hi", slot=at, started_at=at)
    return replace(
        made,
        model_detected=MODEL,
        cost_usd=Decimal("0.000139"),
        cost_source=CostSource.REPORTED,
        prompt_tokens=690,
        answer_tokens=6,
        source_count=5,
        source_best_score=0.8,
        check_passed=True,
    )


async def measure(
    configured: Settings, url: str, postgres: int, given: argparse.Namespace, rounds: ExitStack
) -> int:
    database, targets = Database(url), list(configured.targets.values())
    missed = 0
    async with open_context(configured, database) as context:
        rounds.enter_context(gc_paused())  # as while rounds overlap
        measured = Measured(context, postgres)
        print(
            f"| worker | targets | judged after s | evaluations | longest ms | CPU s | "
            f"Postgres CPU s | loop lag ms | RSS KiB a target |\n|{' --- |' * 9}"
        )
        with cProfile.Profile() if given.profile == "takeover" else nullcontext() as profile:
            took_s = await take_over(measured, "without windows")
        show(profile)
        missed += took_s > TAKEOVER_S
        while await running_sums(measured):
            pass
        await store(context, targets)  # otherwise rows are overdue, and time alone has them judged
        while not measured.judged or await running_sums(measured):
            pass
        measured.rules.clear()
        ahead, measured.ahead = measured.ahead, EvaluationCost()
        ticks, a_tick = EvaluationCost(), max(len(targets) // 60, 1)
        lags, judged_before, due_s = [], measured.verdicts, time.monotonic()
        with cProfile.Profile() if given.profile == "ticks" else nullcontext() as profile:
            for tick in range(given.ticks):
                due = [targets[(tick * a_tick + n) % len(targets)] for n in range(a_tick)]
                await store(context, due, failed=given.failing)
                measured.lag.worst_ms()
                await measured.evaluate(ticks)
                due_s += 1
                await asyncio.sleep(max(due_s - time.monotonic(), 0.02))
                lags.append(measured.lag.worst_ms())
                gc.collect(0)  # as the worker does between rounds
        show(profile)
        judged = (measured.verdicts - judged_before) / given.ticks
        print(
            f"| targets judged a tick | wall ms p50 / p99 | CPU ms p50 / p99 | "
            f"Postgres CPU ms p50 / p99 | loop lag ms, longest |\n|{' --- |' * 5}\n"
            f"| {judged:.1f} | {ticks.shown()} | {max(lags):.0f} |\n",
            flush=True,
        )
        for name, cost in (("at the start", ahead), ("in a tick", measured.ahead)):
            if len(cost.wall_ms) > 1:
                longest = f"longest {max(cost.wall_ms):.0f}"
                print(f"read ahead {name}, ms as above: {cost.shown()}, {longest}")
        if given.failing:  # three minutes until incidents open, one in which they do, then the rest
            for minute in range(0, given.ticks, 60):
                wall, cpu = (ms[minute : minute + 60] for ms in (ticks.wall_ms, ticks.cpu_ms))
                print(
                    f"minute {minute // 60 + 1}: wall ms p50 {median(wall):.0f}, longest "
                    f"{max(wall):.0f}; CPU ms p50 {median(cpu):.0f}, most {max(cpu):.0f}"
                )
        missed += percentile(ticks.wall_ms, 99) > TICK_MS
        missed += measured_rules(measured, ticks)
        began_s = time.process_time()
        await calendar_job.update(context)
        print(f"calendar, every five minutes: {1000 * (time.process_time() - began_s):.0f} ms CPU")
        measured.end()
        missed += await stand_by(context, database, postgres) > TAKEOVER_S - LAPSE_S
    await database.close()
    return int(missed > 0)


async def store(context: WorkerContext, targets: Sequence[Target], *, failed: bool = False) -> None:
    async with context.database.begin() as connection:
        now = context.now()
        new = [probe(target, now, failed=failed) for target in targets]
        await observations.add(connection, new)


async def take_over(measured: Measured, name: str) -> float:
    """Evaluate until every target is judged, and print what it took; in s."""
    before_mib, cost, began_s = rss_mib(os.getpid()), EvaluationCost(), time.monotonic()
    measured.lag.worst_ms()
    while not cost.wall_ms or not measured.judged:
        await measured.evaluate(cost)
        await asyncio.sleep(0)
    took_s, lag_ms = time.monotonic() - began_s, measured.lag.worst_ms()
    gc.collect()
    targets = len(measured.context.settings.targets)
    kib = 1024 * (rss_mib(os.getpid()) - before_mib) / targets
    print(
        f"| {name} | {targets:,} | {took_s:.1f} | {len(cost.wall_ms)} | {max(cost.wall_ms):.0f} | "
        f"{sum(cost.cpu_ms) / 1000:.1f} | {sum(cost.postgres_ms) / 1000:.1f} | {lag_ms:.0f} | "
        f"{kib:.0f} |\n",
        flush=True,
    )
    return took_s


async def stand_by(context: WorkerContext, database: Database, postgres: int) -> float:
    """Another worker stands by until it has all windows, and takes over; in s."""
    other = replace(context, worker="standby", state=type(context.state)())
    measured, evaluations = Measured(other, postgres), 0
    while any(name not in other.state.windows._kept for name in other.settings.targets):
        await measured.evaluate(EvaluationCost())
        evaluations += 1
    print(f"The standby had all windows after {evaluations} turns, one a second:\n")
    async with database.begin() as connection:
        await leases.release(connection, ["evaluate"], holder=context.worker)
    took_s = await take_over(measured, "standby")
    measured.end()
    return took_s


def measured_rules(measured: Measured, ticks: EvaluationCost) -> bool:
    """Print each rule's share in the evaluation; whether the goal of the new ones is missed."""
    whole_s = sum(ticks.cpu_ms) / 1000
    print(f"| rule | ms a tick | of the evaluation |\n|{' --- |' * 3}")
    for name, seconds in sorted(measured.rules.items(), key=lambda one: -one[1]):
        print(f"| {name} | {1000 * seconds / len(ticks.cpu_ms):.2f} | {seconds / whole_s:.1%} |")
    share = sum(measured.rules[name] for name in NEW_RULES) / whole_s
    print(f"| {', '.join(NEW_RULES)} | | {share:.1%} |\n", flush=True)
    return share > SHARE


async def running_sums(measured: Measured) -> bool:
    """One evaluation; whether the sums of the days are still being read."""
    measured.context.state.windows.ask()
    await measured.evaluate(EvaluationCost())
    days = measured.context.state.spend
    return bool(days._again) or len(days._days) < 2


def show(profile: object) -> None:
    if isinstance(profile, cProfile.Profile):
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(45)


def arguments() -> argparse.Namespace:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evaluation", description=__doc__, formatter_class=as_written
    )
    option = parser.add_argument
    option("--targets", type=int, default=100, metavar="N")
    option("--rows", type=int, default=1440, metavar="N", help="rows of each target at the start")
    option("--ticks", type=int, default=60, metavar="N")
    option("--failing", action="store_true", help="all targets are refused in the ticks")
    option("--profile", choices=("takeover", "ticks"))
    option("--directory", help="where the temporary directory is made")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    targets = {target.name: target for target in fleet(given.targets, EVERY)}
    after = {name: phase(target) for name, target in targets.items()}
    with TemporaryDirectory(prefix="evaluation-", dir=given.directory) as directory:
        home = Path(directory)
        (home / "monitor.toml").write_text(configuration(targets, 1), encoding="utf-8")
        configured = load({"MONITOR_CONFIG": str(home / "monitor.toml")})
        with server(home, statements=False) as postgres:
            now = datetime.now(UTC).replace(second=0, microsecond=0)
            began_s, until = time.monotonic(), now - EVERY
            rows = seed_day(
                postgres.url, after, EVERY, first=until - given.rows * EVERY, until=until
            )
            took_s = time.monotonic() - began_s
            print(f"{rows:,} rows written in {took_s:.0f} s", file=sys.stderr, flush=True)
            with ExitStack() as rounds:
                return asyncio.run(measure(configured, postgres.url, postgres.pid, given, rounds))


if __name__ == "__main__":
    sys.exit(main())

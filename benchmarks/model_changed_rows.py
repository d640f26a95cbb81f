"""Rule `model_changed` on simulated rows: `python -m benchmarks.model_changed_rows [SEED ...]`.

Months of health with stray `changed`, `disputed` and `unknown` answers, and changes of every
kind, are replayed through the rules as `monitor backtest` does. Exit status 1 where a goal is
missed. A stray `changed` answer is rarer in truth: see `benchmarks.model_changed`.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from statistics import median
from typing import Any

from monitor.backtest.replay import BacktestEvent, judged_by_name, replay
from monitor.domain import NoticeStatus
from monitor.rules import RULES

BEGUN = datetime(2026, 3, 2, tzinfo=UTC)
EVERY, QUERIES = timedelta(minutes=5), (519.0, 1301.0, 1182.0)
EXPECTED, FALLBACK = "meta-llama/llama-4-scout", "anthropic/claude-haiku-4.5"
DAY = 24.0
MONTH = 30 * DAY
UNSEEN = 5  # answers the detector takes to pass its threshold
AFTERWARDS = 3  # answers it takes to come down when the old model returns
RESOLVED_WITHIN = 60  # minutes

Rows = Iterator[dict[str, Any]]


@dataclass(slots=True)
class World:
    """What the service does at one instant, and how often a good answer is misjudged."""

    share: float = 0.0  # of the answers that another model gives
    named: bool = False  # the other model is known by name
    disputed: bool = False  # the response still names the expected model
    error: float = 0.003
    silent: bool = False  # no rows: our own machine is away
    slow: float = 1.0  # times the TTFT of the other model's answers
    unknown: float = 0.03
    stray_changed: float = 1 / 2_000
    stray_disputed: float = 1 / 500
    stray_fallback: float = 0.005


@dataclass(frozen=True, slots=True)
class Scenario:
    """`bend` changes the world of an hour. `change`: from and to which hour another model answers.

    `within`: answers after the change by which it must be announced; None: no change.
    """

    name: str
    hours: float
    bend: Callable[[float, World], None]
    change: tuple[float, float] | None = None
    within: int | None = None
    repeats: int = 0  # that a partial change may cost
    resolved: int = RESOLVED_WITHIN  # minutes of health after which it must be over


@dataclass(slots=True)
class Score:
    false: int = 0
    missed: int = 0
    late: int = 0
    repeats: int = 0
    stuck: int = 0
    loud: int = 0  # openings told beside another that was open
    unnamed: int = 0  # a name was found and `fallback` did not lead
    answers: list[int] = field(default_factory=list)
    minutes_to_resolve: list[float] = field(default_factory=list)


def rows(scenario: Scenario, seed: int) -> Rows:
    """JSON rows of one scenario, in order of time."""
    draw = Random(f"{scenario.name}/{seed}")
    seen = left = 0  # answers of the other model in a row, and of the detector's way down
    for sweep in range(int(scenario.hours * timedelta(hours=1) / EVERY)):
        world = World()
        hour = sweep * EVERY / timedelta(hours=1)
        scenario.bend(hour, world)
        if world.silent:
            continue
        at = BEGUN + sweep * EVERY + timedelta(seconds=draw.uniform(0, 4))
        for nth, usual in enumerate(QUERIES):
            at += timedelta(seconds=2)
            row: dict[str, Any] = {
                "ts": at.isoformat(), "kind": "probe", "sweep": sweep, "query": f"q{nth}",
            }  # fmt: skip
            if draw.random() < world.error:
                yield row | {"ok": False, "error": "refused", "ttft_ms": None, "model": None}
                continue
            other = draw.random() < world.share
            if world.share == 1 and other:
                seen, left = seen + 1, AFTERWARDS
            elif world.share == 0 and seen:
                seen, left = (seen, left - 1) if left else (0, 0)
            identity, model = _judged(world, draw, other=other, seen=seen, left=left)
            ms = usual * draw.lognormvariate(0, 0.15) * (world.slow if other else 1)
            yield row | {"ok": True, "error": None, "ttft_ms": round(ms, 1), "model": model,
                         "identity": identity, "cost_usd": _cost(identity)}  # fmt: skip


def _judged(
    world: World, draw: Random, *, other: bool, seen: int, left: int
) -> tuple[str, str | None]:
    """What the monitor would store of one answer: its identity and the model it names."""
    if draw.random() < world.unknown:
        return "unknown", None
    if other:
        if world.named:
            return "fallback", FALLBACK
        if world.disputed:
            return "disputed", EXPECTED
        return ("changed" if world.share < 1 or seen > UNSEEN else "unknown"), None
    if seen > UNSEEN and left and not (world.named or world.disputed):
        return "changed", None
    strays = (("changed", None, world.stray_changed), ("disputed", EXPECTED, world.stray_disputed),
              ("fallback", FALLBACK, world.stray_fallback))  # fmt: skip
    luck = draw.random()
    for identity, model, share in strays:
        if luck < share:
            return identity, model
        luck -= share
    return "expected", EXPECTED


def _cost(identity: str) -> str | None:
    return {"expected": "0.000007", "fallback": "0.000950", "disputed": "0.000007"}.get(identity)


def always(**change: Any) -> Callable[[float, World], None]:
    return between(-1, 1e9, **change)


def between(start: float, end: float, **change: Any) -> Callable[[float, World], None]:
    def bend(hour: float, world: World) -> None:
        if start <= hour < end:
            for key, value in change.items():
                setattr(world, key, value)

    return bend


def both(*bends: Callable[[float, World], None]) -> Callable[[float, World], None]:
    def bend(hour: float, world: World) -> None:
        for each in bends:
            each(hour, world)

    return bend


def _flapping(hour: float, world: World) -> None:
    if 12 <= hour < 15 and round((hour - 12) * 12) // 4 % 2 == 0:
        world.share = 1.0


FULL = between(12, 18, share=1.0)
SCENARIOS = (
    Scenario("healthy", MONTH, lambda hour, world: None),
    Scenario("healthy_unknown", MONTH, always(unknown=0.4)),
    Scenario("healthy_short", MONTH, always(unknown=0.28, stray_changed=1 / 1_000)),
    Scenario("healthy_disputed", MONTH, always(stray_disputed=0.02)),
    Scenario("healthy_fallbacks", MONTH, always(stray_fallback=0.03)),
    Scenario("healthy_gaps", MONTH, lambda hour, world: setattr(world, "silent", hour % 50 < 3)),
    Scenario("change", DAY, FULL, (12, 18), 10),
    Scenario("change_unknown", DAY, both(always(unknown=0.4), FULL), (12, 18), 20, resolved=90),
    Scenario("change_slow", DAY, both(always(slow=2.0), FULL), (12, 18), 10),
    Scenario("change_for_good", 3 * DAY, between(12, 99, share=1.0), (12, 99), 10),
    Scenario("change_short", DAY, between(12, 13, share=1.0), (12, 13), 10),
    Scenario(
        "change_30", 2 * DAY, between(12, 36, share=0.3), (12, 36), 150, repeats=3, resolved=90
    ),
    Scenario("change_outage", DAY, both(FULL, between(14, 15, error=1.0)), (12, 18), 10),
    Scenario("change_gap", DAY, both(FULL, between(14, 16, silent=True)), (12, 18), 10),
    Scenario("change_named", DAY, both(FULL, between(13, 18, named=True)), (12, 18), 10),
    Scenario("change_at_start", DAY, between(0, 6, share=1.0), (0, 6), 10),
    Scenario("disputed", DAY, both(FULL, between(12, 18, disputed=True)), (12, 18), 8),
    Scenario("flapping", DAY, _flapping, (12, 15), 10),
)


def score(scenario: Scenario, seed: int) -> Score:
    """How the rules told one scenario."""
    stream = list(rows(scenario, seed))
    rules = {name: rule() for name, rule in RULES.items()}
    lines = [json.dumps(row) for row in stream]
    events = list(replay(lines, rules, identity=judged_by_name([EXPECTED])))
    found = Score()
    ours = [event for event in events if event.rule == "model_changed"]
    fires = [event for event in ours if event.event == "fire"]
    if scenario.change is None:
        found.false = len(fires)
        return found
    start, end = (BEGUN + timedelta(hours=hour) for hour in scenario.change)
    inside = [
        event for event in fires if start <= event.at < end + timedelta(minutes=scenario.resolved)
    ]
    found.false = len(fires) - len(inside)
    if not inside:
        found.missed = 1
        return found
    answers = [row for row in stream if row["ok"]]
    notified = sum(start <= datetime.fromisoformat(row["ts"]) <= inside[0].at for row in answers)
    found.answers.append(notified)
    found.late = int(notified > (scenario.within or 0))
    found.repeats = max(0, len(inside) - 1 - scenario.repeats)
    if scenario.change[1] <= scenario.hours - 1:
        ends = [event.at for event in ours if event.event == "resolve"]
        found.stuck = int(not ends or ends[-1] < inside[-1].at)
        if not found.stuck:
            took = ends[-1] - end
            found.minutes_to_resolve.append(took / timedelta(minutes=1))
            found.stuck = int(took > timedelta(minutes=scenario.resolved))
    found.loud = _loud(events)
    if scenario.name == "change_named":
        found.unnamed = int(not any(_leads(event) for event in events))
    return found


def _loud(events: Sequence[BacktestEvent]) -> int:
    """Openings told aloud while another incident of the target was open: each is one too many."""
    open_: set[str] = set()
    loud = 0
    for event in events:
        if event.rule not in ("model_changed", "fallback", "ttft", "down"):
            continue
        if event.event == "fire":
            notice = event.notice
            if notice and notice.status is NoticeStatus.FIRING and not notice.quiet and open_:
                loud += not any(label.split(" ")[0] in open_ for label in notice.facts)
            open_.add(event.rule)
        elif event.event == "resolve":
            open_.discard(event.rule)
    return loud


def _leads(event: BacktestEvent) -> bool:
    """Whether a message of `model_changed` goes by the name of `fallback`."""
    notice = event.notice
    return notice is not None and notice.rule == "fallback" and "model_changed" in notice.facts


def main() -> None:
    seeds = [int(seed) for seed in sys.argv[1:]] or [1, 2, 3]
    total = Score()
    print(f"{'scenario':18} {'false':>5} {'miss':>5} {'late':>5} {'again':>5} {'stuck':>5} "
          f"{'answers p50/max':>16} {'resolved p50/max min':>21}")  # fmt: skip
    for scenario in SCENARIOS:
        scores = [score(scenario, seed) for seed in seeds]
        sums = {
            name: sum(getattr(each, name) for each in scores)
            for name in ("false", "missed", "late", "repeats", "stuck", "loud", "unnamed")
        }
        for name, value in sums.items():
            setattr(total, name, getattr(total, name) + value)
        answers = sorted(n for each in scores for n in each.answers)
        minutes = sorted(m for each in scores for m in each.minutes_to_resolve)
        notified = f"{median(answers):g}/{answers[-1]}" if answers else "-"
        over = f"{median(minutes):.0f}/{minutes[-1]:.0f}" if minutes else "-"
        print(f"{scenario.name:18} {sums['false']:5} {sums['missed']:5} {sums['late']:5} "
              f"{sums['repeats']:5} {sums['stuck']:5} {notified:>16} {over:>21}")  # fmt: skip
    goals = (
        ("false openings in healthy months and beside a change", total.false),
        ("changes missed", total.missed),
        ("changes announced late", total.late),
        ("repeats within one change", total.repeats),
        ("not resolved in time after health", total.stuck),
        ("openings that another message does not tell of", total.loud),
        ("names found that did not become fallback", total.unnamed),
    )
    print()
    for what, count in goals:
        print(f"{'MISS' if count else 'ok  '} {what}: {count} (goal 0)")
    sys.exit(any(count for _, count in goals))


if __name__ == "__main__":
    main()

"""`cost_drift`: tokens, cost or cache-hit rate of a query move although the model does not."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import chain
from typing import Any
from uuid import UUID

import pytest

from monitor.domain import CostSource, Identity, Incident, Sample, Verdict, VerdictState
from monitor.incidents.state_machine import IncidentChange, ReminderPolicy, advance
from monitor.rules import CostDriftRule, Window
from tests.case_tables import each
from tests.probe_notation import EVERY, HAIKU, NOON, after, sample, window

OK, HOLD, BREACH, NO_DATA = (
    VerdictState.OK,
    VerdictState.HOLD,
    VerdictState.BREACH,
    VerdictState.NO_DATA,
)


def used(
    count: int,
    *,
    start: int = 0,
    prompt: int | None = 1000,
    answer: int | None = 200,
    cached: int | None = 800,
    usd: str | None = "0.0001",
    queries: Sequence[int] = (0, 1, 2),
    **changes: Any,
) -> Iterator[Sample]:
    """Rounds of three queries; those that are not among `queries` use what is usual."""
    number = 1000 * start
    for order in range(count):
        slot = NOON + (start + order) * EVERY
        for query in range(3):
            number += 1
            given = {"prompt_tokens": 1000, "answer_tokens": 200, "cached_tokens": 800,
                     "cost_usd": Decimal("0.0001")}  # fmt: skip
            if query in queries:
                given = {"prompt_tokens": prompt, "answer_tokens": answer, "cached_tokens": cached,
                         "cost_usd": None if usd is None else Decimal(usd), **changes}  # fmt: skip
            # Answers vary a little.
            if given["answer_tokens"]:
                given["answer_tokens"] += number % 7
            yield replace(
                sample(),
                id=UUID(int=number),
                at=slot + timedelta(seconds=2 * query + 1),
                round=slot,
                query=f"q{query}",
                **({"cost_source": CostSource.REPORTED} | given),
            )


def judged(*parts: Iterable[Sample]) -> Verdict:
    seen = Window("rag", every=EVERY, queries=3, a_day=1000)
    for part in parts:
        for one in part:
            seen.add(one)
    return CostDriftRule().judge(seen, None, after(seen))


@each(("rounds", "changes", "state"), [
    (16, {}, OK),
    (2, {"prompt": 1500}, OK),
    (16, {"prompt": 1500}, BREACH),
    (16, {"prompt": 700}, BREACH),
    (16, {"prompt": 1150}, OK),  # below the limit
    (16, {"answer": 400}, BREACH),
    (16, {"usd": "0.0002"}, BREACH),  # the price
    (16, {"usd": "0"}, BREACH),
    (16, {"cached": 0}, BREACH),  # a lost cache: 0 % is a value
    (16, {"cached": None}, OK),  # not reported
    (16, {"cached": 700}, OK),
    (16, {"prompt": None, "answer": None, "cached": None, "usd": None}, OK),
    (16, {"prompt": 1500, "model": HAIKU, "identity": Identity.FALLBACK}, OK),  # another model
    (16, {"prompt": 1500, "model": None, "identity": Identity.CHANGED}, OK),
    (16, {"prompt": 1500, "model": None, "identity": Identity.UNKNOWN}, OK),  # known before
    (16, {"prompt": 30, "cost_source": CostSource.ESTIMATED}, OK),  # tokens are not reported
    (48, {"prompt": 1500, "queries": (1,)}, BREACH),
    (1, {"prompt": 100_000, "answer": 10_000, "usd": "9"}, OK),  # one round
])  # fmt: skip
def test_what_moves_for_several_rounds_is_a_change(
    rounds: int, changes: dict[str, Any], state: VerdictState
) -> None:
    assert judged(used(100), used(rounds, start=100, **changes)).state is state


@each(("known", "rounds", "state"), [
    (18, 4, OK),
    (18, 10, BREACH),  # an hour and a half of history
    (100, 8, BREACH),
    (280, 6, BREACH),
])  # fmt: skip
def test_a_single_query_whose_tokens_never_vary(
    known: int, rounds: int, state: VerdictState
) -> None:
    parts = used(known), used(rounds, start=known, prompt=1500)
    one = [s for part in parts for s in part if s.query == "q0"]
    steady = [replace(s, answer_tokens=200, cached_tokens=None) for s in one]
    assert judged(steady).state is state


@each(("usual", "changes", "state"), [
    (lambda n: {}, {"prompt": 1210}, BREACH),  # hardly more than the limit
    (lambda n: {}, {"usd": "0.00008"}, BREACH),
    (lambda n: {"prompt": 1000 if n % 8 else 4000}, {}, OK),
    (lambda n: {"prompt": 1000 if n % 8 else 4000}, {"prompt": 1210}, BREACH),
    (lambda n: {"answer": 200 if n % 9 == 0 else None}, {"answer": 800}, BREACH),  # rarely known
    (lambda n: {"answer": 200 if n % 9 == 0 else None}, {"answer": 210}, OK),
])  # fmt: skip
def test_a_day_of_answers_every_few_minutes_is_judged_alike(
    usual: Callable[[int], dict[str, Any]], changes: dict[str, Any], state: VerdictState
) -> None:
    parts = [used(1, start=n, **usual(n)) for n in range(600)]
    assert judged(*parts, used(48, start=600, **changes)).state is state


def test_answers_of_unknown_model_are_compared_with_each_other() -> None:
    unknown = {"model": None, "identity": Identity.UNKNOWN, "usd": None, "cost_source": None}
    later = used(8, start=100, prompt=1500, **unknown)
    assert judged(used(100, **unknown), later).state is BREACH


def test_usage_that_alternates_is_no_change() -> None:
    parts = [used(3, start=3 * n, prompt=1000 if n % 2 else 1600) for n in range(40)]
    assert judged(*parts).state is OK


def test_a_cache_that_misses_now_and_then_is_not_lost() -> None:
    parts = [[*used(1, start=n, cached=0 if n % 5 in (0, 3) else 800)] for n in range(100)]
    assert judged(*parts).state is OK
    assert judged(*parts, used(3, start=100, cached=0)).state is OK
    assert judged(*parts, used(16, start=100, cached=0)).state is BREACH


def test_it_states_before_after_and_the_money_of_a_day() -> None:
    later = used(48, start=100, prompt=1500, cached=1200, usd="0.00015", queries=(1,))
    verdict = judged(used(100), later)
    assert verdict.because == (
        "Prompt tokens of query q1: 1,500, before 1,000, and the model is the same. "
        "Cost moved as well."
    )
    assert verdict.facts["Cost, q1"] == "$0.00015, before $0.0001"
    assert verdict.finding.what == "prompt tokens of query q1: 1,500, before 1,000; also cost"
    assert verdict.finding.usual_usd_a_day == Decimal("0.1")
    assert verdict.finding.money == "1.2 × the cost: at this rate $0.12 a day, was $0.10"
    assert verdict.since == NOON + 100 * EVERY + timedelta(seconds=3)
    assert (verdict.value, verdict.limit) == (0.5, 0.2)
    assert len(verdict.rows) == 48


@each(("changes", "what"), [
    ({"cached": 640, "answer": 225},
     "cache-hit rate of query q1: 64%, before 80%; also answer tokens, cost"),
    ({"prompt": 1130}, "prompt tokens of query q1: 1,130, before 1,000; also cost"),
    ({"prompt": 1130, "answer": 230, "cached": 904},
     "prompt tokens of query q1: 1,130, before 1,000; also answer tokens, cost"),
    ({"answer": 230}, "answer tokens of query q1: 233, before 203; also cost"),
    ({"cached": 950}, "cost of query q1: $0.00013, before $0.0001"),  # that would be cheaper
    ({"prompt": 1050}, "cost of query q1: $0.00013, before $0.0001"),  # too little
    ({}, "cost of query q1: $0.00013, before $0.0001"),
])  # fmt: skip
def test_a_cost_that_moved_names_what_explains_it_first(changes: dict[str, int], what: str) -> None:
    later = used(48, start=100, usd="0.00013", queries=(1,), **changes)  # type: ignore[arg-type]
    verdict = judged(used(100), later)
    assert verdict.finding.what == what
    assert verdict.finding.certainty.startswith("almost certain")


def test_what_moved_with_the_prompt_is_named_with_it() -> None:
    noisy = [[*used(1, start=n, cached=0 if n % 5 in (0, 3) else 800)] for n in range(100)]
    verdict = judged(*noisy, used(12, start=100, prompt=1500, cached=0))
    assert verdict.finding.what == (
        "cache-hit rate of 3 queries: 0%, before 48% (q0); also prompt tokens"
    )


def test_several_queries_are_one_notice() -> None:
    verdict = judged(used(100), used(8, start=100, cached=0))
    assert verdict.finding.what == "cache-hit rate of 3 queries: 0%, before 80% (q0)"
    assert verdict.facts["Cache-hit rate, q2"] == "0%, before 80%"


def test_each_change_is_reported_once() -> None:
    """Prompt edit, an hour later a lost cache, then the prompt of before."""
    seen = Window("rag", every=EVERY, queries=3, a_day=1000)
    current: Incident | None = None
    reported = []
    parts = [used(100), used(40, start=100, prompt=1500, cached=1200),
             used(40, start=140, prompt=1500, cached=0),
             used(200, start=180, prompt=1000, cached=0)]  # fmt: skip
    for number, one in enumerate(chain.from_iterable(parts)):
        seen.add(one)
        verdict = CostDriftRule().judge(seen, current, after(seen))
        current, change = advance(current, verdict, policy=ReminderPolicy(), now=after(seen))
        if change in (IncidentChange.OPENED, IncidentChange.GREW, IncidentChange.REOPENED):
            reported.append((number // 3, verdict.finding.what))
    assert [what.partition(" of ")[0] for _, what in reported] == [
        "prompt tokens", "cache-hit rate", "prompt tokens"
    ]  # fmt: skip
    assert [round_ for round_, _ in reported] == pytest.approx([103, 143, 183], abs=6)


def test_the_new_level_counts_after_an_hour() -> None:
    opening = [*used(100), *used(8, start=100, prompt=1500)]
    for wait, state in ((EVERY, HOLD), (timedelta(hours=1), OK)):
        seen = Window("rag", every=EVERY, queries=3, a_day=1000)
        for one in opening:
            seen.add(one)
        verdict = CostDriftRule().judge(seen, None, after(seen))
        opened, _ = advance(None, verdict, policy=ReminderPolicy(), now=after(seen) - wait)
        assert CostDriftRule().judge(seen, opened, after(seen)).state is state


@pytest.mark.parametrize("limits", [{"limit": 0.01}, {"limit_cached": 1.0}, {"answers": 3},
                                    {"evidence": 0.0}])  # fmt: skip
def test_limits_that_chance_could_reach_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="write"):
        CostDriftRule(**limits)  # type: ignore[arg-type]


def test_a_history_that_lost_its_only_answer_is_gone() -> None:
    """A new cost may move an answer to another source of figures."""
    histories = window(iter([sample(prompt_tokens=20, answer_tokens=5)])).histories
    assert len(histories.usage) == 1
    histories.forget(1_000_000)
    assert not histories.usage
    assert not histories.sources

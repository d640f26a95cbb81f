"""Thinning out: how many rounds the end of a fallback needs, and how many may be left out."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from monitor.domain import Query, Sample, Target
from monitor.rules import NoDataRule
from monitor.storage.leases import ClaimedRound
from monitor.worker.heartbeat import seeing
from monitor.worker.probe_throttling import THINNED, ProbePace, allowed_silence, pace, turn
from tests.case_tables import each
from tests.probe_notation import EVERY, NOON, marked

MINUTE = timedelta(minutes=1)


def target(every: timedelta = EVERY, queries: int = 4) -> Target:
    requested = tuple(Query(id=f"q{number}", text="Hi") for number in range(queries))
    return Target(name="rag", url="http://x", dialect="bali_zero", queries=requested, every=every)


def thinned(
    marks: str, *, every: timedelta = EVERY, usd: str = "0.003", intervals: int = 3,
    left_usd: str = "0.50", left: timedelta = timedelta(days=1), queries: int = 4,
) -> ProbePace:  # fmt: skip
    """The pace after these, of four queries; fallbacks cost `usd`."""
    watched = target(every, queries)
    latest = [
        replace(s, cost_usd=Decimal(usd)) if s.identity.fallback else s
        for s in marked(marks, every=every)
    ]
    return pace(
        watched, latest, wait_s=allowed_silence(watched, NoDataRule(intervals=intervals)),
        left_usd=Decimal(left_usd), left=left,
    )  # fmt: skip


FULL, HALF, LEAN, LEAN_HALF = (
    ProbePace(),
    ProbePace(2),
    ProbePace(1, lean=True),
    ProbePace(2, lean=True),
)


@pytest.mark.parametrize(
    ("marks", "requested"),
    [
        ("FFFF|FFFF|FFFF", LEAN_HALF),  # 288 rounds of $0.012 are $3.46 a day
        ("FFFF|FFFF|....", FULL),  # it may be over: now every round counts
        ("FFFF|FFFF|rr", FULL),  # nothing was learnt
        ("FFFF|F...|F...", LEAN_HALF),
        ("F|F|F|F", LEAN_HALF),  # lean rounds tell as much as they ask
        ("F???|F???|F???", LEAN_HALF),
        ("....|....", FULL),
    ],
)
def test_rounds_thin_out_while_the_newest_fell_back(marks: str, requested: ProbePace) -> None:
    assert thinned(marks) == requested


@pytest.mark.parametrize(
    ("usd", "requested"),
    [
        ("0.00043", FULL),  # 1152 answers a day: $0.495
        ("0.00044", HALF),  # $0.507
        ("0.00087", LEAN),  # 576 are $0.501, 288 are $0.25
        ("0.00174", LEAN_HALF),  # 288 are $0.501
        ("0.1", LEAN_HALF),  # even this is too dear, and no rule allows less
    ],
)
def test_the_densest_pace_that_lasts_the_day_is_taken(usd: str, requested: ProbePace) -> None:
    assert thinned("FFFF|FFFF", usd=usd) == requested


@pytest.mark.parametrize(
    ("left_usd", "hours", "requested"),
    [
        ("0.15", 1, FULL),  # 12 rounds of $0.012 are $0.144
        ("0.10", 1, HALF),
        ("0.05", 1, LEAN),
        ("0.02", 1, LEAN_HALF),
        ("0", 1, LEAN_HALF),  # nothing is left: the budget itself stops it
    ],
)
def test_what_is_left_is_spread_over_what_is_left_of_the_day(
    left_usd: str, hours: int, requested: ProbePace
) -> None:
    assert thinned("FFFF|FFFF", left_usd=left_usd, left=timedelta(hours=hours)) == requested


def test_a_target_of_one_query_has_no_leaner_round() -> None:
    assert thinned("F|F|F", queries=1, usd="0.1") == HALF


@pytest.mark.parametrize("began", [0, 100, 200])
def test_somebody_watches_all_day_however_expensive_the_fallback_is(began: int) -> None:
    usd, good, budget = Decimal("0.003"), Decimal("0.0001"), Decimal("0.50")
    watched, spent, requested = target(), Decimal(0), list[int]()
    samples: list[Sample] = []
    for slot in range(288):
        at = NOON + slot * EVERY
        latest = [s for s in samples if s.at > at - timedelta(hours=1)]
        chosen = ProbePace()
        if slot > began + 3:  # the incident is open
            chosen = pace(watched, latest, wait_s=allowed_silence(watched, NoDataRule()),
                          left_usd=budget - spent, left=(288 - slot) * EVERY)  # fmt: skip
        if slot % chosen.one_of:
            continue
        fell = slot >= began
        price = usd if fell else good
        round_ = list(marked(("F" if fell else ".") * (1 if chosen.lean else 4), start=at))
        samples += [replace(s, cost_usd=price) for s in round_]
        spent += price * len(round_)
        requested.append(slot)
    assert spent <= budget + usd * 4
    assert requested[-1] >= 286
    assert all(later - earlier <= 2 for earlier, later in pairwise(requested))


def test_queries_whose_answers_identify_the_model_take_turns() -> None:
    samples = [replace(s, query=f"q{n % 4}") for n, s in enumerate(marked("F?F?|F?F?"))]
    turns = [turn(target(), samples, nth).id for nth in range(4)]
    assert turns == ["q0", "q2", "q0", "q2"]
    assert [turn(target(), (), nth).id for nth in range(5)] == ["q0", "q1", "q2", "q3", "q0"]


@each(
    ("every", "intervals", "requested"),
    [
        (timedelta(seconds=1), 3, 1),  # who asks so often wants to know at once
        (timedelta(seconds=59), 3, 1),
        (MINUTE, 3, 2),
        (5 * MINUTE, 3, 2),
        (5 * MINUTE, 2, 1),  # no_data would fire after two
        (5 * MINUTE, 9, 2),  # a longer gap would begin the window anew
        (12 * MINUTE, 3, 2),
        (60 * MINUTE, 3, 2),
    ],
)
def test_no_rule_takes_it_for_silence(every: timedelta, intervals: int, requested: int) -> None:
    assert thinned("FFFF|FFFF", every=every, intervals=intervals, usd="0.1").one_of == requested


def test_without_a_rule_of_silence_the_gap_of_a_window_counts() -> None:
    assert allowed_silence(target(), None) == 15 * MINUTE
    assert allowed_silence(target(), NoDataRule(intervals=2, least_s=0)) == 10 * MINUTE
    assert allowed_silence(target(timedelta(seconds=10)), NoDataRule()) == 2 * MINUTE


def test_a_round_left_out_on_purpose_withholds_no_heartbeat() -> None:
    left_out = ClaimedRound(NOON, "w1", finished=True, missed=THINNED)
    for missed, reason in ((left_out, None), (left_out._replace(missed="it rained"), "it rained")):
        reported = seeing(missed, None, worker="w1", evaluated=True, spooled=0)
        assert reported == (reason and f"the round is incomplete: {reason}")


def test_rounds_of_unknown_models_thin_out_by_what_they_may_cost() -> None:
    watched = target()
    ends = {"cost_usd": None, "cost_low_usd": Decimal("0.0002"), "cost_high_usd": Decimal("0.003")}
    latest = [replace(s, **ends) for s in marked("CCCC|CCCC|CCCC")]  # type: ignore[arg-type]

    def chosen(seen: list[Sample]) -> ProbePace:
        return pace(
            watched,
            seen,
            wait_s=allowed_silence(watched, NoDataRule()),
            left_usd=Decimal("0.50"),
            left=timedelta(days=1),
        )

    assert chosen(latest) == LEAN_HALF
    back = [*latest, *marked("....", start=NOON + 3 * EVERY)]
    assert chosen(back) == FULL, "the round that is answered as expected again ends it"

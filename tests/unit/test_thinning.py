"""Thinning out: how many rounds the end of a fallback needs, and how many may be left out."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from monitor.domain import Query, Target
from monitor.jobs.heartbeat import seeing
from monitor.jobs.thinning import THINNED, needed, one_of, patience
from monitor.rules import Fallback, NoData
from monitor.store.cycles import Round
from tests.marks import EVERY, NOON, marked

MINUTE = timedelta(minutes=1)


def target(every: timedelta = EVERY, queries: int = 4) -> Target:
    asked = tuple(Query(id=f"q{number}", text="Hi") for number in range(queries))
    return Target(name="rag", url="http://x", dialect="bali_zero", queries=asked, every=every)


def thinned(marks: str, *, every: timedelta = EVERY, usd: str = "0.003", intervals: int = 3) -> int:
    """One round of how many is asked after these, of four queries; fallbacks cost `usd`."""
    watched = target(every)
    latest = [
        replace(s, cost_usd=Decimal(usd)) if s.identity.fallback else s
        for s in marked(marks, every=every)
    ]
    return one_of(
        watched, latest, needed=needed(Fallback(), 1.0),
        patience=patience(watched, NoData(intervals=intervals)), budget=Decimal("0.50"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("marks", "asked"),
    [
        ("FFFF|FFFF|FFFF", 2),  # 288 rounds of $0.012 are $3.46 a day
        ("FFFF|FFFF|....", 1),  # it may be over: now every round counts
        ("FFFF|FFFF|rr", 1),  # nothing was learnt
        ("FFFF|F...|F...", 2),
        ("F???|F???|F???", 1),  # one known answer a round: 15 rounds are over an hour
        ("FF??|FF??|FF??", 2),  # 8 rounds are 40 minutes
        ("....|....", 1),
    ],
)
def test_rounds_thin_out_while_the_newest_fell_back(marks: str, asked: int) -> None:
    assert thinned(marks) == asked


@pytest.mark.parametrize(("usd", "asked"), [("0.00043", 1), ("0.00044", 2)])
def test_only_a_fallback_dearer_than_the_budget_thins_out(usd: str, asked: int) -> None:
    assert thinned("FFFF|FFFF", usd=usd) == asked  # 1152 answers a day: $0.495, $0.507


@pytest.mark.parametrize(
    ("every", "intervals", "asked"),
    [
        (timedelta(seconds=1), 3, 1),  # who asks so often wants to know at once
        (timedelta(seconds=59), 3, 1),
        (MINUTE, 3, 2),
        (5 * MINUTE, 3, 2),
        (5 * MINUTE, 2, 1),  # no_data would fire after two
        (5 * MINUTE, 9, 2),  # a longer gap would begin the window anew
        (12 * MINUTE, 3, 1),  # four rounds are most of an hour
    ],
)
def test_no_rule_takes_it_for_silence_and_the_end_is_told_within_an_hour(
    every: timedelta, intervals: int, asked: int
) -> None:
    assert thinned("FFFF|FFFF", every=every, intervals=intervals) == asked


@pytest.mark.parametrize(
    ("rule", "share", "answers"),
    [
        (Fallback(), 1.0, 15),
        (Fallback(), 0.5, 19),  # 19 × 0.351 nats
        (Fallback(), 0.12, 40),  # no breach is taken to be smaller than 15 %: 40 × 0.163 nats
        (Fallback(answers_to_resolve=30), 1.0, 30),
        (Fallback(mode="share"), 1.0, 20),
        (Fallback(mode="immediate"), 1.0, 1),
    ],
)
def test_the_end_needs_as_many_answers_as_the_rule_says(
    rule: Fallback, share: float, answers: int
) -> None:
    assert needed(rule, share) == answers


def test_without_a_rule_of_silence_the_gap_of_a_window_counts() -> None:
    assert patience(target(), None) == 15 * MINUTE
    assert patience(target(), NoData(intervals=2, least_s=0)) == 10 * MINUTE
    assert patience(target(timedelta(seconds=10)), NoData()) == 2 * MINUTE


def test_a_round_left_out_on_purpose_withholds_no_heartbeat() -> None:
    left_out = Round(NOON, "w1", finished=True, missed=THINNED)
    for missed, why in ((left_out, None), (left_out._replace(missed="it rained"), "it rained")):
        said = seeing([missed], slot=NOON, worker="w1", evaluated=True, spooled=0)
        assert said == (why and f"the round was not asked whole: {why}")

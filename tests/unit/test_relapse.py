"""An incident that is well again and fails while it is still open: a breach of its own rows."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from monitor.domain import Incident, Sample
from monitor.incidents.state_machine import IncidentChange, ReminderPolicy, advance
from monitor.rules import DownRule, FallbackRule, ModelChangedRule, Rule, TtftRule
from tests.probe_notation import EVERY, NOON, marked, timed, window

CALM = ReminderPolicy(calm=timedelta(hours=9), calm_at_most=timedelta(hours=9))
SLOW, QUICK = (3000.0,) * 3, (400.0,) * 3


def followed(rule: Rule, samples: Iterator[Sample]) -> Incident:
    """The incident as it stands after every sample was judged, one after the other."""
    seen: list[Sample] = []
    current: Incident | None = None
    for sample in samples:
        seen.append(sample)
        now = sample.at + timedelta(seconds=1)
        verdict = rule.judge(window(iter(seen)), current, now)
        current, change = advance(current, verdict, policy=CALM, now=now)
        if change is IncidentChange.OPENED and current is not None:
            current = replace(current, reopenings=1)  # it came back before: a long calm follows
    assert current is not None
    assert current.open
    return current


def round_(nth: int) -> datetime:
    """Start of the first probe of a round."""
    return NOON + nth * EVERY + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("rule", "bad", "because"),
    [
        (DownRule(), "xxx", "6 of the last 6 probes failed"),
        (FallbackRule(), "FFF", "6 of the last 6 answers (100%)"),
        (ModelChangedRule(), "CCC", "since 2026-11-23 13:25 UTC: 6 of 6 answers"),
    ],
)
def test_what_fails_after_a_recovery_is_counted_over_its_own_rows(
    rule: Rule, bad: str, because: str
) -> None:
    marks = ["...", *[bad] * 4, *["..."] * 12, *[bad] * 2]
    found = followed(rule, marked("|".join(marks)))
    assert because in found.because
    assert (found.breach_since, found.first_seen_at) == (round_(17), round_(1))


@pytest.mark.parametrize("mode", ["evidence", "consecutive"])
def test_slow_rounds_after_a_recovery_are_judged_on_their_own(mode: str) -> None:
    slower = (5000.0,) * 3
    rounds = [*[QUICK] * 26, *[SLOW] * 6, *[QUICK] * 8, *[slower] * 3]
    found = followed(TtftRule(mode=mode), timed(rounds))  # type: ignore[arg-type]
    assert found.because.startswith("TTFT is 5000 ms, the median of 3 rounds")
    assert (found.breach_since, found.first_seen_at) == (round_(40), round_(26))


@pytest.mark.parametrize(
    ("rule", "samples"),
    [
        (DownRule(), lambda: marked("xxx|xxx|x..|xxx|.x.|xxx")),
        (FallbackRule(), lambda: marked("FFF|FFF|F..|...|FFF|...|FFF")),
        (ModelChangedRule(), lambda: marked("CCC|CCC|C..|...|CCC|...|CCC")),
        (TtftRule(), lambda: timed([*[SLOW] * 4, QUICK, QUICK, QUICK, *[SLOW] * 4])),
    ],
)  # fmt: skip
def test_good_ones_that_prove_no_recovery_do_not_move_the_start(
    rule: Rule, samples: Callable[[], Iterator[Sample]]
) -> None:
    found = followed(rule, samples())
    assert found.breach_since == round_(0)

"""`no_data`: silence, as long as we listen."""

from datetime import timedelta

import pytest

from monitor.domain import VerdictState
from monitor.rules import NoDataRule, Window
from tests.probe_notation import EVERY, NOON, incident, marked, sample, window

QUARTER = timedelta(minutes=15)
LAST = timedelta(minutes=5, seconds=5)  # when the last of two rounds of three was asked


@pytest.mark.parametrize(
    ("marks", "silent_for", "state"),
    [
        ("...|...", timedelta(0), VerdictState.OK),
        ("...|...", QUARTER, VerdictState.OK),  # three intervals exactly
        ("...|...", QUARTER + timedelta(seconds=1), VerdictState.BREACH),
        ("...|xxx", QUARTER, VerdictState.OK),  # a failed probe is a sample
    ],
)
def test_three_intervals_without_a_sample_are_silence(
    marks: str, silent_for: timedelta, state: VerdictState
) -> None:
    seen = window(marked(marks))
    assert NoDataRule().judge(seen, None, NOON + LAST + silent_for).state is state


def test_samples_that_say_nothing_do_not_end_the_silence() -> None:
    seen = window(marked("...|...|rrr|rrr|rrr|rrr"))
    verdict = NoDataRule().judge(seen, None, NOON + LAST + timedelta(minutes=16))
    assert verdict.state is VerdictState.BREACH
    assert verdict.because == (
        "No usable sample for 16 min (the service is rate limiting: HTTP 429); "
        "last sample: 12:05:05 UTC."
    )
    assert verdict.facts == {"Probes since then": "12 rate_limited"}
    assert (verdict.value, verdict.limit) == (960, 900)


def test_short_intervals_are_given_two_minutes() -> None:
    seen = Window.of(
        marked(".|.|.|.", every=timedelta(seconds=1)),
        scope="rag",
        every=timedelta(seconds=1),
        queries=1,
    )
    assert NoDataRule().judge(seen, None, NOON + timedelta(seconds=100)).state is VerdictState.OK
    assert (
        NoDataRule().judge(seen, None, NOON + timedelta(seconds=130)).state is VerdictState.BREACH
    )


@pytest.mark.parametrize("deadline_s", [60, 180, 600])
def test_a_probe_under_way_up_to_its_deadline_is_no_silence(deadline_s: int) -> None:
    """Every second, and each probe hangs: the next row comes a deadline after the last."""
    every, deadline = timedelta(seconds=1), timedelta(seconds=deadline_s)
    hung = sample("T", recorded_at=NOON + deadline)
    seen = Window.of([hung], scope="rag", every=every, queries=1, deadline=deadline)
    for rule in (NoDataRule(), NoDataRule(intervals=1, least_s=0)):
        assert rule.judge(seen, None, NOON + 2 * deadline + every).state is VerdictState.OK
    assert not seen.silent(NOON + 2 * deadline + every)
    stopped = NOON + 2 * deadline + timedelta(minutes=2)
    assert NoDataRule().judge(seen, None, stopped).state is VerdictState.BREACH


def test_a_row_that_waited_for_the_database_was_over_at_its_deadline() -> None:
    late = sample(recorded_at=NOON + timedelta(minutes=30))
    assert window(iter([late])).ended_at == NOON + timedelta(minutes=1)


def test_silence_before_we_began_to_watch_was_ours() -> None:
    began_at = NOON + timedelta(hours=3)
    seen = Window.of(marked("...|..."), scope="rag", every=EVERY, queries=3, watched_since=began_at)
    assert NoDataRule().judge(seen, None, began_at + timedelta(minutes=1)).state is VerdictState.OK
    assert (
        NoDataRule().judge(seen, None, began_at + timedelta(minutes=16)).state
        is VerdictState.BREACH
    )


def test_beginning_to_watch_again_does_not_end_the_silence() -> None:
    began_at = NOON + timedelta(hours=3)
    seen = Window.of(marked("...|..."), scope="rag", every=EVERY, queries=3, watched_since=began_at)
    latest_incident = incident("no_data", opened_at=NOON + timedelta(minutes=21))
    assert (
        NoDataRule().judge(seen, latest_incident, began_at + timedelta(minutes=1)).state
        is VerdictState.BREACH
    )


def test_a_sample_ends_the_silence() -> None:
    latest_incident = incident("no_data", opened_at=NOON - timedelta(hours=1))
    seen = window(marked("."))
    assert (
        NoDataRule().judge(seen, latest_incident, NOON + timedelta(seconds=2)).state
        is VerdictState.OK
    )


def test_a_watch_that_never_saw_anything_says_so_in_time() -> None:
    seen = Window.of((), scope="rag", every=EVERY, queries=3, watched_since=NOON)
    assert NoDataRule().judge(seen, None, NOON + QUARTER).state is VerdictState.OK
    verdict = NoDataRule().judge(seen, None, NOON + QUARTER + timedelta(seconds=1))
    assert verdict.state is VerdictState.BREACH
    assert verdict.because == "No usable sample for 15 min; last sample: never."


def test_without_a_beginning_nothing_can_be_said() -> None:
    seen = Window.of((), scope="rag", every=EVERY, queries=3)
    assert NoDataRule().judge(seen, None, NOON).state is VerdictState.NO_DATA


def test_a_senseless_limit_is_refused_with_its_remedy() -> None:
    with pytest.raises(ValueError, match="intervals = 0: write a number of at least 1"):
        NoDataRule(intervals=0)

"""What `baseline show` says of the answers since the capture: one sentence a state."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from monitor.cli.baseline import _state
from monitor.identity.fingerprint import sequential_tests
from monitor.identity.fingerprint.tracker import (
    DOUBT_BETS,
    DOUBT_LOG_ODDS,
    FallbackEvidence,
    TrackerState,
)
from monitor.storage.fingerprints import BaselineEpoch, BaselineState
from tests.example_data import HAIKU, LLAMA

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
EPOCH = BaselineEpoch("rag", 1, LLAMA, "operator", "", NOON)
TRACK = TrackerState(epoch=1, judged=40)
DOUBT = FallbackEvidence(
    HAIKU,
    sums=tuple(DOUBT_LOG_ODDS + 1 for _ in sequential_tests.NOTHING),
    queries=("hi",),
    spoke=2,
)
SINCE = " since 2026-11-22 12:00 UTC"


@pytest.mark.parametrize(
    ("track", "sentence"),
    [
        (TRACK, f"state: OK: the answers match {LLAMA}"),
        (replace(TRACK, since=NOON, courses=(replace(DOUBT, established=True),)),
         f"state: FALLBACK{SINCE}: the answers match {HAIKU}"),
        (replace(TRACK, since=NOON, courses=(DOUBT,)),
         f"state: SUSPECTED{SINCE}: {HAIKU} may be answering ({DOUBT.lacks}). More answers "
         "are needed to decide"),
        (replace(TRACK, since=NOON, bets=tuple(2 * DOUBT_BETS for _ in sequential_tests.NO_BETS)),
         f"state: SUSPECTED{SINCE}: the answers match {LLAMA} less closely than before. More "
         "answers are needed to decide"),
        (replace(TRACK, since=NOON, bets=tuple(1e9 for _ in sequential_tests.NO_BETS)),
         f"state: CHANGED{SINCE}: the answers no longer match {LLAMA}; the answering model is "
         "unknown"),
    ],
)  # fmt: skip
def test_each_state_is_one_sentence(track: TrackerState, sentence: str) -> None:
    assert list(_state(BaselineState(EPOCH, None, track), judged=True)) == [
        sentence,
        "40 answers compared",
    ]


def test_before_any_comparison_it_says_so() -> None:
    reported = list(_state(BaselineState(EPOCH, None, None), judged=True))
    assert reported == ["state: no answer has been compared with this baseline yet"]

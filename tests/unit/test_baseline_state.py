"""What `baseline show` says of the answers since the capture: one sentence a state."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from monitor.commands.baseline import _state
from monitor.identity import conformal, cusum
from monitor.identity.tracking import DOUBT_BETS, DOUBT_NATS, Course, Track
from monitor.store.identities import Epoch, State
from tests.facts import HAIKU, LLAMA

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
EPOCH = Epoch("rag", 1, LLAMA, "operator", "", NOON)
TRACK = Track(epoch=1, judged=40)
DOUBT = Course(HAIKU, sums=tuple(DOUBT_NATS + 1 for _ in cusum.NOTHING), queries=("hi",), spoke=2)
SINCE = " since 2026-11-22 12:00 UTC"


@pytest.mark.parametrize(
    ("track", "sentence"),
    [
        (TRACK, f"state: OK: the answers match {LLAMA}"),
        (replace(TRACK, since=NOON, courses=(replace(DOUBT, established=True),)),
         f"state: FALLBACK{SINCE}: the answers match {HAIKU}"),
        (replace(TRACK, since=NOON, courses=(DOUBT,)),
         f"state: SUSPECTED{SINCE}: {HAIKU} may be answering ({DOUBT.lacks}). The next answers "
         "will decide"),
        (replace(TRACK, since=NOON, bets=tuple(2 * DOUBT_BETS for _ in conformal.NO_BETS)),
         f"state: SUSPECTED{SINCE}: the answers match {LLAMA} less well than before. The next "
         "answers will decide"),
        (replace(TRACK, since=NOON, bets=tuple(1e9 for _ in conformal.NO_BETS)),
         f"state: CHANGED{SINCE}: the answers no longer match {LLAMA}; which model answers is not "
         "known"),
    ],
)  # fmt: skip
def test_each_state_is_one_sentence(track: Track, sentence: str) -> None:
    assert list(_state(State(EPOCH, None, track), judged=True)) == [sentence, "40 answers compared"]


def test_before_any_comparison_it_says_so() -> None:
    said = list(_state(State(EPOCH, None, None), judged=True))
    assert said == ["state: no answer was compared with this baseline yet"]

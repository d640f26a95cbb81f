"""An answer that lost its sources is no example of anybody's writing style."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from benchmarks.lost_sources import CASES, found_in
from monitor.domain import Identity, Outcome, Target
from monitor.identity.fingerprint.features import AnswerText
from monitor.identity.fingerprint.match import follow_answer
from monitor.identity.fingerprint.tracker import TrackerState
from monitor.identity.fingerprint.usual_sources import after_answer, lost_sources
from monitor.identity.judge import judge
from monitor.identity.learning import (
    AnswerEvidence,
    IdentityContext,
    LearntProfile,
    ProfileKey,
    StyleHistory,
    learning,
)
from monitor.simulator.situations import SimulatedModel
from tests.case_tables import each
from tests.simulated_answers import LLAMA, QUERIES, simulated_answer, simulated_profile

AT, EVERY = datetime(2026, 1, 1, tzinfo=UTC), timedelta(minutes=5)
NOTHING = "I found nothing about that in my documents, so I cannot tell you more today."


@each(("marks", "lost"), [
    # answers to one query: the number of sources of each, `-` for none listed
    ("33333" "0", ""),  # too few are known
    ("333333" "0", "0"),
    ("333333" "-", "-"),  # some services leave out an empty list
    ("------" "0", ""),  # it never had any
    ("030303" "030303" "0", ""),  # half of them have none
    ("03333333" "0", "0"),
    ("333333" "00000000", "00000000"),  # they stay out, however many
    ("333333" "000" "33" "0", "0000"),
    ("3" + "000000" + "3" * 17 + "0", "0"),  # three of four have some
    ("3" + "000000" + "3" * 16 + "0", ""),
])  # fmt: skip
def test_what_is_usual_is_learned_from_the_answers_of_the_query(marks: str, lost: str) -> None:
    known, found = (), ""
    for nth, mark in enumerate(marks):
        sources, at = None if mark == "-" else int(mark), AT + nth * EVERY
        found += mark * lost_sources(known, "q", sources, at=at)
        assert not lost_sources(known, "other", sources, at=at)
        known = after_answer(known, "q", sources, at=at)
    assert found == lost


def test_after_a_week_without_sources_they_are_compared_again() -> None:
    known = ()
    for nth in range(10):
        known = after_answer(known, "q", 3, at=AT + nth * EVERY)
    last = AT + 9 * EVERY
    assert lost_sources(known, "q", 0, at=last + timedelta(days=6))
    assert not lost_sources(known, "q", 0, at=last + timedelta(days=7))
    for nth in range(4):
        known = after_answer(known, "q", 0, at=last + timedelta(days=7) + nth * EVERY)
    assert known[0].marks == "1" * 10 + "0" * 4
    assert not lost_sources(known, "q", 0, at=last + timedelta(days=7, hours=1))


def test_a_clock_that_was_ahead_leaves_nothing_out_for_longer() -> None:
    known = ()
    for nth in range(10):
        known = after_answer(known, "q", 3, at=AT + nth * EVERY)
    known = after_answer(known, "q", 3, at=AT + timedelta(days=365))
    assert not lost_sources(known, "q", 0, at=AT + timedelta(days=1))
    known = after_answer(known, "q", 3, at=AT + timedelta(days=1))
    assert known[0].latest == AT + timedelta(days=1)
    assert lost_sources(known, "q", 0, at=AT + timedelta(days=2))


def followed(rounds: int = 8) -> TrackerState:
    track = TrackerState(epoch=1)
    for nth in range(rounds):
        for query in QUERIES:
            answer = simulated_answer(SimulatedModel.LLAMA, query, nth)
            answer = replace(answer, sources=3)
            track, _ = follow_answer(track, simulated_profile(), answer, at=AT + nth * EVERY)
    return track


def test_the_state_survives_a_restart_and_an_older_one_is_read() -> None:
    track = followed()
    kept = json.loads(json.dumps(track.to_json()))
    assert TrackerState.from_json(kept) == track
    del kept["sources"]
    assert TrackerState.from_json(kept) == replace(track, sources=())


def test_answers_of_a_dialect_that_cannot_list_sources_lose_none() -> None:
    """After a change of dialect, or of the expression for sources, all answers have none."""
    track, answer = followed(), simulated_answer(SimulatedModel.LLAMA, QUERIES[0], 99)
    for lists, compared in ((True, False), (False, True)):
        new = replace(answer, lists_sources=lists)
        after, match = follow_answer(track, simulated_profile(), new, at=AT + 9 * EVERY)
        assert match.lost_sources is not compared
        assert (after.judged > track.judged) is compared


def test_the_query_that_is_left_looks_like_no_change_in_days() -> None:
    """Its answers are ranked among a growing set, not always among the same ten."""
    track = TrackerState(epoch=1)
    for nth in range(-23, 820):
        for at, query in enumerate(QUERIES):
            lost = nth > 0 and at < 2
            if lost and nth > 1:
                continue
            answer = simulated_answer(SimulatedModel.LLAMA, query, f"3/{nth}")
            answer = (
                replace(answer, text=NOTHING, sources=0) if lost else replace(answer, sources=3)
            )
            track, _ = follow_answer(
                track, simulated_profile(candidates=False), answer, at=AT + nth * EVERY
            )
    assert not track.changed
    assert track.alone > 100
    assert TrackerState.from_json(json.loads(json.dumps(track.to_json()))) == track


def test_such_an_answer_is_neither_compared_nor_kept_as_an_example() -> None:
    track, target = followed(), Target(
        name="rag", url="http://x", dialect="bali_zero", queries=QUERIES, expected_models=(LLAMA,)
    )  # fmt: skip
    learnt = LearntProfile(key=ProfileKey(1, AT, QUERIES), profile=simulated_profile())
    known = IdentityContext(style=StyleHistory(learnt=learnt, track=track))
    for sources, compared in ((3, True), (0, False)):
        answer = AnswerText(QUERIES[1].id, NOTHING, sources=sources)
        said = AnswerEvidence(at=AT + 9 * EVERY, query=QUERIES[1], answer=answer)
        judged = judge(said, target, known)
        assert judged.style is not None
        assert judged.style.lost_sources is not compared
        assert judged.step is not None
        assert (judged.step.track.judged > track.judged) is compared
        assert judged.judgement.identity in (Identity.UNKNOWN, Identity.EXPECTED)
        suspected = replace(judged, step=replace(judged.step, track=replace(track, since=AT)))
        kept = learning(
            suspected, said, target, known, outcome=Outcome.ANSWERED, observation=UUID(int=1)
        )
        assert kept.captured is None or compared
    assert "lists no sources, unlike most answers to this query" in judged.judgement.reason


@each(("name", "seed", "latest"), [
    ("2 of 3 lose theirs", 1, None),
    # Among the answers to all queries, those to the one that is left looked like a change.
    ("2 of 3 lose theirs", 27, None),
    ("it changes, 1 of 3 loses its sources", 1, 6),
    ("it changes, 2 of 3 lose theirs", 1, 16),
])  # fmt: skip
def test_lost_sources_look_like_no_other_model_and_a_change_is_found(
    name: str, seed: int, latest: int | None
) -> None:
    """One run of some cases; `benchmarks.lost_sources` plays them all, many times."""
    case = next(case for case in CASES if case.name == name)
    number = found_in(case, seed, sources=True)
    assert (number is None) if latest is None else (number is not None and number <= latest)


def test_the_one_query_that_is_left_is_compared_with_its_own_answers() -> None:
    track, known = followed(), simulated_profile()
    for query, sources in ((QUERIES[0], 0), (QUERIES[1], 0), (QUERIES[2], 3)):
        answer = replace(simulated_answer(SimulatedModel.LLAMA, query, 99), sources=sources)
        track, match = follow_answer(track, known, answer, at=AT + 9 * EVERY)
    assert [one.gone for one in track.sources] == [True, True, False]
    assert match.identity is Identity.EXPECTED
    assert len(known.fingerprint.vectors_of(QUERIES[2].id)) == 10
    assert TrackerState.from_json(json.loads(json.dumps(track.to_json()))) == track
    back = replace(simulated_answer(SimulatedModel.LLAMA, QUERIES[0], 100), sources=3)
    track, _ = follow_answer(track, known, back, at=AT + 10 * EVERY)
    assert [one.gone for one in track.sources] == [False, True, False]

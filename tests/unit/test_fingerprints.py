"""Two models told apart, sums and bets that keep their promise, and a track that survives."""

import json
import math
import re
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain import ClaimKind, Identity, Reply, TextDelta
from monitor.identity.claims import answer_switch
from monitor.identity.fingerprint import sequential_tests
from monitor.identity.fingerprint.classifier import ModelClassifier, area, excess
from monitor.identity.fingerprint.features import AnswerText, answer_features
from monitor.identity.fingerprint.match import StyleMatch, follow_answer
from monitor.identity.fingerprint.profile import TooFewAnswers, learn_profile
from monitor.identity.fingerprint.style_model import Fingerprint
from monitor.identity.fingerprint.tracker import (
    BURST,
    CHANGED_AT,
    QUARANTINE,
    SIZE,
    FallbackEvidence,
    TrackerState,
    quantised,
)
from monitor.simulator.situations import SimulatedModel
from monitor.worker.probe_round import answer_of
from tests.simulated_answers import (
    HAIKU,
    LLAMA,
    QUERIES,
    simulated_answer,
    simulated_answers,
    simulated_profile,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)


def followed(
    speakers: str, *, candidates: bool = True, track: TrackerState | None = None
) -> tuple[TrackerState, list[StyleMatch]]:
    """Follow answers by L(lama) and H(aiku), queries in turn."""
    known, seen = simulated_profile(candidates=candidates), []
    track = track or TrackerState(epoch=1)
    for nth, letter in enumerate(speakers):
        speaker = SimulatedModel.LLAMA if letter == "L" else SimulatedModel.HAIKU
        answer = simulated_answer(speaker, QUERIES[nth % 3], f"stream{nth}")
        track, style_match = follow_answer(track, known, answer, at=AT)
        seen.append(style_match)
    return track, seen


def test_two_voices_are_distinguished_and_one_voice_is_not() -> None:
    llama, haiku = (
        [answer_features(a) for a in simulated_answers(s, 10)]
        for s in (SimulatedModel.LLAMA, SimulatedModel.HAIKU)
    )
    again = [answer_features(a) for a in simulated_answers(SimulatedModel.LLAMA, 10, seed="other")]
    assert ModelClassifier(llama, haiku).separability > 0.95
    assert ModelClassifier(llama, again).separability < 0.85


@pytest.mark.parametrize(
    ("ratios", "log_odds"),
    [
        ([0.02] * 40, 0.0),  # easily told apart: nothing is taken off
        ([0.02] * 39 + [30.0], 0.41805),  # one answer of forty: the mean is 0.77, its error 0.75
        ([1.0] * 40, 0.0),
        ([2.0] * 40, 0.6931),
        ([0.5, 1.5] * 20, 0.07702),  # one on average, which may be luck
        ([0.5, 1.5] * 200, 0.0247),  # with more answers it is less
    ],
)
def test_what_is_taken_off_covers_the_luck_of_few_answers(
    ratios: list[float], log_odds: float
) -> None:
    assert excess(ratios) == pytest.approx(log_odds, abs=1e-4)


def test_nats_never_say_more_than_the_answers_that_could_contradict_them() -> None:
    llama, haiku = (
        [answer_features(a) for a in simulated_answers(s, 10)]
        for s in (SimulatedModel.LLAMA, SimulatedModel.HAIKU)
    )
    contrast = ModelClassifier(llama, haiku)
    for answer in (*llama, *haiku):
        assert abs(contrast.log_odds(answer)) <= math.log(31) + 1e-9


def test_models_never_asked_the_same_are_not_compared() -> None:
    llama = [answer_features(a) for a in simulated_answers(SimulatedModel.LLAMA, 10)]
    with pytest.raises(ValueError, match="same canned queries"):
        ModelClassifier(llama, [replace(each, query="other") for each in llama])


@pytest.mark.parametrize(
    ("low", "high", "chance"), [([1, 2], [3, 4], 1.0), ([1, 3], [2], 0.5), ([1], [1], 0.5)]
)
def test_area(low: list[float], high: list[float], chance: float) -> None:
    assert area(low, high) == chance


def test_learnt_answers_lie_as_far_as_new_ones() -> None:
    """Otherwise few answers would raise alarms, or none ever."""
    known = Fingerprint([answer_features(a) for a in simulated_answers(SimulatedModel.LLAMA, 10)])
    new = [
        known.vector(answer_features(a))
        for a in simulated_answers(SimulatedModel.LLAMA, 40, seed="new")
    ]
    for scalar in range(3):
        old = [vector[scalar] for vector in known.vectors]
        assert 0.35 < area(old, [vector[scalar] for vector in new]) < 0.65


def test_a_sum_needs_more_than_one_answer_and_never_owes() -> None:
    sums = sequential_tests.summed(sequential_tests.NOTHING, 5.0)
    assert 0 < max(sums) < sequential_tests.LIMIT
    assert sequential_tests.summed(sequential_tests.NOTHING, -5.0) == sequential_tests.NOTHING
    for _ in range(10):
        sums = sequential_tests.summed(sums, 5.0)
    assert max(sums) == sequential_tests.LIMIT + 5.0


def test_some_answers_by_a_fallback_reach_the_limit_as_all_would() -> None:
    sums = sequential_tests.NOTHING
    for nth in range(30):
        sums = sequential_tests.summed(sums, 4.5 if nth % 3 == 0 else -4.5)
    assert sums[0] < sequential_tests.LIMIT <= max(sums)


def test_bets_on_even_ranks_neither_win_nor_lose_on_average() -> None:
    draw, received, rounds = Random(7), 100, 20_000
    won = 0.0
    for _ in range(rounds):
        ranks = [
            (draw.randrange(received + 1) + draw.random()) / (received + 1)
        ] * sequential_tests.VIEWS
        won += sequential_tests.evidence(
            sequential_tests.wagered(sequential_tests.NO_BETS, ranks, received=received)
        )
    assert won / rounds <= 1.0


def test_a_known_fallback_is_named_within_four_answers_with_its_evidence() -> None:
    _, seen = followed("LLLLLLHHHH")
    assert [style_match.identity for style_match in seen[:6]] == [Identity.EXPECTED] * 6
    last = seen[-1]
    assert (last.identity, last.model, last.established) == (Identity.FALLBACK, HAIKU, True)
    assert {item.kind for item in last.evidence} == {ClaimKind.TEXT}
    assert "separability 1.00 on 30 and 30 answers" in last.evidence[0].detail


def test_answers_to_one_query_alone_name_no_one() -> None:
    track, known = TrackerState(epoch=1), simulated_profile()
    for nth in range(12):
        track, style_match = follow_answer(
            track, known, simulated_answer(SimulatedModel.HAIKU, QUERIES[1], nth), at=AT
        )
        assert style_match.identity is not Identity.FALLBACK


def test_each_answer_keeps_its_own_author_while_a_fallback_gives_some() -> None:
    _, seen = followed("LLL" + "HHHHHH" + "LLL")
    assert [style_match.identity for style_match in seen[-3:]] == [Identity.EXPECTED] * 3


def test_an_unknown_model_is_a_change_and_has_no_name() -> None:
    track, seen = followed("L" * 12 + "H" * 20, candidates=False)
    assert track.changed
    assert (seen[-1].identity, seen[-1].model) == (Identity.CHANGED, None)
    assert "differs in" in seen[-1].evidence[0].detail


ITALIAN = (
    "Ciao! Sono qui per aiutarti con il visto: che cosa vuoi sapere della tua pratica?",
    "Il codice KBLI è una classificazione delle attività che la legge usa per le imprese.",
    "Sono un assistente e non posso dire di più, ma posso aiutarti con la tua domanda.",
)


@pytest.mark.parametrize("candidates", [True, False])
def test_answers_that_stay_in_another_language_are_a_change_and_name_no_fallback(
    candidates: bool,
) -> None:
    track, _ = followed("L" * 12, candidates=candidates)
    known, seen = simulated_profile(candidates=candidates), []
    for nth in range(30):
        answer = AnswerText(QUERIES[nth % 3].id, f"{ITALIAN[nth % 3]} Risposta {nth} per te.")
        track, style_match = follow_answer(track, known, answer, at=AT)
        seen.append(style_match.identity)
        if track.changed:
            break
    assert seen[-1] is Identity.CHANGED
    assert len(seen) <= 12
    assert set(seen[:-1]) <= {Identity.UNKNOWN}
    assert not track.leading or not track.leading.nats


def test_an_answer_that_is_not_suitable_says_so_for_later_counts() -> None:
    answer = AnswerText(QUERIES[0].id, "No.")
    _, style_match = follow_answer(TrackerState(epoch=1), simulated_profile(), answer, at=AT)
    assert [(item.claim, item.nats) for item in style_match.evidence] == [("not compared", 0.0)]


def test_one_answer_in_another_language_is_no_change() -> None:
    track, _ = followed("L" * 12)
    answer = AnswerText(QUERIES[0].id, ITALIAN[0])
    track, style_match = follow_answer(track, simulated_profile(), answer, at=AT)
    assert (style_match.identity, style_match.established) == (Identity.UNKNOWN, False)
    assert "in italian" in style_match.reason
    back = simulated_answer(SimulatedModel.LLAMA, QUERIES[1], "back")
    _, style_match = follow_answer(track, simulated_profile(), back, at=AT)
    assert style_match.identity is Identity.EXPECTED


def test_the_old_model_returns() -> None:
    track, _ = followed("L" * 12 + "H" * 20, candidates=False)
    known = simulated_profile(candidates=False)
    for nth in range(20):
        answer = simulated_answer(SimulatedModel.LLAMA, QUERIES[nth % 3], f"back{nth}")
        track, style_match = follow_answer(track, known, answer, at=AT)
    assert style_match.identity is Identity.EXPECTED
    assert track.since is None


def test_a_fallback_that_cannot_be_distinguished_is_never_named() -> None:
    twin = {HAIKU: simulated_answers(SimulatedModel.LLAMA, 10, seed="twin")}
    known = learn_profile(LLAMA, simulated_answers(SimulatedModel.LLAMA, 10), twin)
    assert not known.candidates
    _, style_match = follow_answer(
        TrackerState(epoch=1), known, simulated_answer(SimulatedModel.LLAMA, QUERIES[0], "x"), at=AT
    )
    assert style_match.identity is Identity.UNKNOWN
    assert "the two models write too alike" in style_match.reason


def test_a_baseline_needs_twenty_five_answers() -> None:
    with pytest.raises(TooFewAnswers, match="24 of 25"):
        learn_profile(LLAMA, simulated_answers(SimulatedModel.LLAMA, 8), {})


def test_a_baseline_no_one_confirmed_makes_nothing_surer_than_four_fifths() -> None:
    known = replace(simulated_profile(), verified_by=None)
    _, style_match = follow_answer(
        TrackerState(epoch=1), known, simulated_answer(SimulatedModel.LLAMA, QUERIES[0], "x"), at=AT
    )
    assert style_match.identity is Identity.EXPECTED
    assert style_match.confidence <= 0.8


def test_an_answer_further_off_than_a_small_baseline_ever_was_is_nobodys() -> None:
    known = simulated_profile(candidates=False)
    assert known.fingerprint.count < 50, "too few for a rank of one in fifty"
    strange = AnswerText(
        QUERIES[0], "**Certainly!** — let us delve: \n1. one;\n2. two; and so forth."
    )
    _, style_match = follow_answer(TrackerState(epoch=1), known, strange, at=AT)
    assert (style_match.identity, style_match.model) == (Identity.UNKNOWN, None)


@pytest.mark.parametrize("cut", [r".", r"\s*\S+", r".{1,64}", r".*\n?", r".*"])
def test_an_answer_is_the_same_however_the_stream_was_cut(cut: str) -> None:
    """A proxy that buffers, or a gateway that streams letters, is no other model."""
    text = simulated_answer(SimulatedModel.LLAMA, QUERIES[1], "cut").text
    pieces = [TextDelta(nth * 10**7, part) for nth, part in enumerate(re.findall(cut, text, re.S))]
    assert "".join(piece.text for piece in pieces) == text
    assert answer_of(QUERIES[1], Reply(pieces=pieces), ()) == AnswerText(QUERIES[1].id, text)
    assert answer_switch(pieces) is None


def test_an_answer_repeated_word_for_word_says_nothing_new() -> None:
    known, answer = (
        simulated_profile(),
        simulated_answer(SimulatedModel.LLAMA, QUERIES[1], "cached"),
    )
    track, _ = follow_answer(TrackerState(epoch=1), known, answer, at=AT)
    again, style_match = follow_answer(track, known, answer, at=AT)
    assert again == track
    assert "as a cache would" in style_match.reason


def test_suspicion_asks_for_four_more_probes_and_not_for_five() -> None:
    doubtful = TrackerState(epoch=1, courses=(FallbackEvidence(HAIKU, (4.0, 1.0, 0.5)),), since=AT)
    assert doubtful.wants_more
    assert not replace(doubtful, extra=BURST).wants_more
    assert not replace(doubtful, courses=(FallbackEvidence(HAIKU, (3.0, 1.0, 0.5)),)).wants_more


def test_new_answers_wait_before_others_are_ranked_against_them() -> None:
    track, _ = followed("L" * (QUARANTINE + 3))
    assert (len(track.waiting), len(track.accepted)) == (QUARANTINE, 3)


def test_a_restart_neither_forgets_nor_repeats() -> None:
    whole, _ = followed("L" * 15 + "H" * 3)
    kept, known = TrackerState(epoch=1), simulated_profile()
    for nth, letter in enumerate("L" * 15 + "H" * 3):
        speaker = SimulatedModel.LLAMA if letter == "L" else SimulatedModel.HAIKU
        answer = simulated_answer(speaker, QUERIES[nth % 3], f"stream{nth}")
        kept, _ = follow_answer(
            TrackerState.from_json(json.loads(json.dumps(kept.to_json()))), known, answer, at=AT
        )
    assert kept == whole


figures = st.floats(-8, 8).map(lambda figure: round(figure * 256) / 256)
vectors = st.lists(st.tuples(*[figures] * SIZE), max_size=3).map(tuple)


@settings(max_examples=20)
@given(accepted=vectors, waiting=vectors, bet=st.floats(0, 1e7), extra=st.integers(0, 4))
def test_a_track_survives_as_json(
    accepted: tuple[tuple[float, ...], ...],
    waiting: tuple[tuple[float, ...], ...],
    bet: float,
    extra: int,
) -> None:
    track = TrackerState(
        epoch=3,
        accepted=accepted,
        waiting=waiting,
        extra=extra,
        since=AT,
        bets=(bet,) * len(sequential_tests.NO_BETS),
        courses=(FallbackEvidence(HAIKU, (1.5, 0.5, 0.0), ("hi",), 1),),
    )
    assert TrackerState.from_json(json.loads(json.dumps(track.to_json()))) == track


def test_good_answers_raise_no_alarm() -> None:
    """A few hundred, seeded; `python -m benchmarks.false_alarms` measures the promise itself."""
    known, draw, alarms = simulated_profile(), Random(3), 0
    track = TrackerState(epoch=1)
    vectors = [
        quantised(known.fingerprint.vector(answer_features(a)))
        for a in simulated_answers(SimulatedModel.LLAMA, 20, seed="null")
    ]
    for _ in range(400):
        track = track.bet(draw.choice(vectors), known.fingerprint.vectors, draw.random())
        alarms += track.change >= CHANGED_AT
    assert alarms == 0

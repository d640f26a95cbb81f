"""The simulated models' manners and figures, as planned before anything is sent."""

from itertools import pairwise
from random import Random
from statistics import mean

import pytest

from monitor.simulator.answer_plan import (
    AnswerRequest,
    BlockKind,
    WaitKind,
    answer,
    script,
    sources,
)
from monitor.simulator.service_pages import chat
from monitor.simulator.service_state import ServiceCaches
from monitor.simulator.situations import COURSES, ServiceSituation, SimulatedModel
from tests.case_tables import each

LIVE = ("Hi", "KBLI?", "Hello there")
IDENTITY = "Who are you? Which AI model are you?"
STATES = ServiceSituation


def asked(query, seed, **more):
    return AnswerRequest(query=query, draw=Random(seed), candour={}, **more)


def first_text_ms(situation, query, **more):
    """Mean over a hundred seeds of the planned silence before the first text."""
    return 1000 * mean(silence_s(situation, asked(query, seed, **more)) for seed in range(100))


def silence_s(situation, one):
    silence = 0.0
    for beat in script(COURSES[situation], one):
        silence += beat.after_s
        if beat.says is BlockKind.TEXT:
            break
    return silence


@each(
    ("situation", "query", "expected_ms"),
    [
        (STATES.HEALTHY, "Hi", 519),
        (STATES.HEALTHY, "KBLI?", 1301),
        (STATES.HEALTHY, "Hello there", 1182),
        (STATES.HEALTHY, IDENTITY, 1000),
        (STATES.KEY_REJECTED, "Hi", 519 * 2.195),
        (STATES.THROTTLED, "Hi", 519 * 2.195 + 8200),
        (STATES.UPSTREAM_5XX, "Hi", 519 * 2.195 + 2700),
        (STATES.ONE_5XX, "Hi", 519 + 900),
        (STATES.UPSTREAM_REFUSED, IDENTITY, 4000),
        (STATES.SWITCH, "Hi", 519),  # the first token is as quick as ever
        (STATES.SLOW, "Hi", 519 * 2.5),
    ],
)
def test_first_tokens_come_when_they_came_live(situation, query, expected_ms):
    assert first_text_ms(situation, query) == pytest.approx(expected_ms, rel=0.05)


def test_a_round_means_1001_ms_when_healthy_and_2197_ms_under_the_fallback():
    assert mean(first_text_ms(STATES.HEALTHY, query) for query in LIVE) == pytest.approx(
        1001, rel=0.03
    )
    assert mean(first_text_ms(STATES.KEY_REJECTED, query) for query in LIVE) == pytest.approx(
        2197, rel=0.03
    )


def test_a_hang_is_waited_out_in_real_time_whatever_the_pace():
    beats = list(script(COURSES[STATES.HANG], asked("Hi", 1)))
    hang = next(beat for beat in beats if beat.after_s > 1)
    assert (hang.wait, hang.says) == (WaitKind.HANG, BlockKind.KEEPALIVE)
    assert hang.after_s > 1800


def test_a_keepalive_precedes_a_text_only_after_more_than_fifteen_silent_seconds():
    for situation in (STATES.THROTTLED, STATES.STALL):
        beats = list(script(COURSES[situation], asked("KBLI?", 1)))
        early = [b for b, after in pairwise(beats) if after.says is BlockKind.TEXT]
        waited = [beat.after_s for beat in early if beat.says is BlockKind.KEEPALIVE]
        assert len(waited) == (situation is STATES.STALL)
        assert all(18 < silence < 18.1 for silence in waited)


def test_a_known_user_waits_for_the_third_ping():
    beats = list(script(COURSES[STATES.HEALTHY], asked("Hi", 1, known_user=True)))
    assert [beat.after_s for beat in beats[:3]] == [0, 0, 0.05]


def test_a_cold_process_loses_time_once():
    caches = ServiceCaches()
    assert caches.lost_s("KBLI?") == 0
    caches.restart()
    lost = [caches.lost_s(query) for query in ("KBLI?", "KBLI?", "Hello there", "Hi")]
    assert lost == [3.29, 0, 0.29, 0]


@pytest.mark.parametrize("query", [*LIVE, IDENTITY, "Explain in your own words what a guide is."])
@pytest.mark.parametrize(
    ("speaker", "chunk_characters"),
    [(SimulatedModel.LLAMA, (3.6, 5)), (SimulatedModel.HAIKU, (6, 10))],
)
def test_each_voice_has_many_answers_in_chunks_of_its_own_size(query, speaker, chunk_characters):
    answers = [answer(speaker, query, draw=Random(seed), candour={}) for seed in range(60)]
    assert len({"".join(chunks) for chunks in answers}) >= 12
    characters = sum(len(chunk) for chunks in answers for chunk in chunks)
    smallest, largest = chunk_characters
    assert smallest < characters / sum(map(len, answers)) < largest


@pytest.mark.parametrize("query", [*LIVE, IDENTITY])
def test_the_expected_model_is_the_longer_and_more_decorated_one(query):
    def texts(speaker):
        return ["".join(answer(speaker, query, draw=Random(s), candour={})) for s in range(40)]

    llama, haiku = texts(SimulatedModel.LLAMA), texts(SimulatedModel.HAIKU)
    assert mean(map(len, llama)) > 1.5 * mean(map(len, haiku))
    assert all("**" in text for text in llama)
    assert not any("**" in text or "#" in text for text in haiku)


@pytest.mark.parametrize(
    ("speaker", "text"),
    [
        (SimulatedModel.LLAMA, "I'm Llama, a large"),
        (SimulatedModel.HAIKU, "I'm Claude, an AI created by"),
    ],
)
def test_candour_is_the_share_of_identity_answers_that_name_the_model(speaker, text):
    reported = [
        "".join(answer(speaker, IDENTITY, draw=Random(seed), candour={speaker: 0.25}))
        for seed in range(200)
    ]
    assert 30 <= sum(text_.startswith(text) for text_ in reported) <= 70


def test_candour_concerns_direct_questions_only():
    chunks = answer(SimulatedModel.HAIKU, "Hi", draw=Random(1), candour={SimulatedModel.HAIKU: 1.0})
    assert "Claude" not in "".join(chunks)


def test_sources_are_three_at_most_with_short_snippets():
    for query in (*LIVE, IDENTITY, "anything"):
        found = sources(query)
        assert len(found) <= 3
        assert all(len(entry["snippet"]) <= 240 for entry in found)
    assert [entry["dateLastCrawled"] for entry in sources("KBLI?")] == [
        "2025-11-01",
        "2025-10-18",
        None,
    ]


def test_the_blocking_endpoint_gives_up_on_a_silent_model_after_a_minute():
    reply, took_s = chat({"query": "Hi"}, COURSES[STATES.HANG], asked("Hi", 1))
    assert (reply.status, took_s) == (500, 60)
    assert reply.body == b'{"detail":"Chat failed: 504: AI response timeout - please try again"}'

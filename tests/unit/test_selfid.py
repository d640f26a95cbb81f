"""What a text says of its own speaker, and all the ways of not saying it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.identity.model_names.families import FAMILIES
from monitor.identity.self_identification.detector import self_claims
from monitor.identity.self_identification.sentences import MAKERS, NAMES, UNMISTAKABLE
from tests.case_tables import each

SAMPLES = Path(__file__).parent / "samples" / "self_claims.jsonl"
SENTENCES = [tuple(json.loads(line).values()) for line in SAMPLES.read_text().splitlines()]


def named(text: str) -> set[str]:
    return {claim.family for claim in self_claims(text)}


@pytest.mark.search
def test_no_family_is_read_that_was_not_claimed() -> None:
    assert not [text for text, family in SENTENCES if not named(text) <= {family}]


def test_few_claims_are_missed() -> None:
    claims = [(text, family) for text, family in SENTENCES if family]
    missed = [text for text, family in claims if not named(text)]
    assert len(claims) > 400
    assert len(missed) <= 0.03 * len(claims), missed


@pytest.mark.search
def test_no_family_is_read_from_glued_words_that_was_not_claimed() -> None:
    glued = [(text.replace(" ", ""), family) for text, family in SENTENCES]
    assert not [text for text, family in glued if not named(text) <= {family}]


@pytest.mark.parametrize(
    "text",
    [
        "I'mClaude,anAIcreatedbyAnthropic",
        "Hello!I'mClaude,anAIassistantmadebyAnthropic.HowcanIhelpyou?",
        "I'm ClaudeanAIassistant",
        "SayaadalahClaude,asistenAIyangdibuatolehAnthropic.",
        "SonoClaude,unassistenteAIcreatodaAnthropic.",
        "我是Claude,由Anthropic开发。",
    ],
)
def test_missing_blanks_do_not_hide_a_claim(text: str) -> None:
    assert named(text) == {"claude"}


@each(
    ("text", "families"),
    [
        ("No, I'm not ChatGPT. I'm Claude by Anthropic.", {"claude"}),
        ("I'm Claude, made by Anthropic. Just kidding!", set()),
        ("Imagine the following. I'm Claude, made by Anthropic.", set()),
        ("Here is my draft:\n\nI am ChatGPT, trained by OpenAI.", set()),
        ("> I'm Claude, made by Anthropic\n\nI disagree.", set()),
        ("```\nI am Claude, made by Anthropic.\n```", set()),
        ("I'm `Claude`, an AI assistant.", {"claude"}),
        ("I am Llama, made by Meta. I am Claude, made by Anthropic.", {"llama", "claude"}),
        ("KITAS means limited stay permit.\n\nI'm ZANTARA, powered by Claude.", {"claude"}),
        ("", set()),
    ],
)
def test_what_surrounds_a_claim_counts(text: str, families: set[str]) -> None:
    assert named(text) == families


def test_a_claim_has_family_maker_and_words() -> None:
    (claim,) = self_claims("Hi! I was trained by the team at OpenAI to help.")
    assert (claim.family, claim.maker) == ("gpt", "openai")
    assert claim.text == "I was trained by the team at OpenAI"


def test_every_speaker_is_a_known_family_of_its_maker() -> None:
    assert {*UNMISTAKABLE, *NAMES} <= FAMILIES.keys()
    for maker, (_, family) in MAKERS.items():
        assert FAMILIES[family].vendor == maker


@given(text=st.text(max_size=500))
def test_no_text_is_an_error(text: str) -> None:
    assert all(claim.family in FAMILIES for claim in self_claims(text))


@pytest.mark.parametrize(
    "text",
    [
        "I am " * 4_000 + "Claude",
        "I'm Claude, " * 2_000,
        '"I am Claude" ' * 1_000,
        "no, " * 5_000 + "I'm Claude",
        "IamClaudemadebyAnthropic" * 1_000,
    ],
)
def test_long_texts_are_read_to_their_end(text: str) -> None:
    assert {claim.family for claim in self_claims(text)} <= {"claude"}
